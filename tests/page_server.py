"""The page as users start it: `deepibl serve` in a process of its own, on a free port of this machine."""

import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_START_SECONDS = 120


@dataclass(frozen=True)
class Served:
    """A page that answers: its address and its process."""

    url: str
    process: "subprocess.Popen[str]"

    def resident(self) -> int:
        """Bytes of memory that the process holds now (Linux)."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmRSS:\s+(\d+)", text).group(1))  # type: ignore[union-attr]

    def open_files(self) -> list[str]:
        """The regular files that the process holds open, deleted ones too (Linux)."""
        links = [
            link.readlink() for link in Path(f"/proc/{self.process.pid}/fd").iterdir() if link.is_symlink()
        ]
        return sorted(str(link) for link in links if str(link).startswith("/") and "/dev/" not in str(link))

    def get(self, path: str) -> Any:
        """The JSON that a path answers."""
        with urllib.request.urlopen(self.url.rstrip("/") + path, timeout=30) as response:
            return json.load(response)


@contextmanager
def serving(
    index: Path, arguments: Sequence[str] = (), environment: dict[str, str] | None = None
) -> Iterator[Served]:
    """Runs `deepibl serve` on an index until the block ends; it is then asked to end, and does."""
    command = [sys.executable, "-m", "deepibl", "serve", "--index", str(index), "--port", "0", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            if address is None:
                process.wait(_START_SECONDS)
                errors.seek(0)
                raise RuntimeError(f"the page did not start: {line}{errors.read()}")
            yield Served(address.group(), process)
        finally:
            process.terminate()
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                raise
