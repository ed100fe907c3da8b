"""For `python -m benchmarks.gpu`: stages that fail one by one, and results that are on disk as they come."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from benchmarks.measure import Settings, Table
from matlab_compat.files import atomic_output


@dataclass(frozen=True)
class Asked:
    """What a stage works with. share: of the epoch's images; ways: which of the epoch's, by number from 1;
    city: a folder where its photos stay, or None; batch: images at a time.
    """

    settings: Settings
    device: torch.device
    batch: int = 32
    share: float = 0.1
    ways: Sequence[int] = (1, 2, 3)
    city: Path | None = None


@dataclass(frozen=True)
class Stage:
    """A stage: its name, what it does, the seconds that it is expected to take on an H100, and its work."""

    name: str
    what: str
    seconds: int
    run: Callable[[Asked], Iterator[Table]]


@dataclass
class Results:
    """What the stages found, written to NAME.json and NAME.md whenever something is added."""

    path: Path | None = None
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def update(self, stage: str, **what: Any) -> None:
        """Notes the tables, seconds or error of a stage and writes the files."""
        self.stages.setdefault(stage, {"tables": [], "seconds": 0.0, "error": ""}).update(what)
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        for suffix, text in ((".json", json.dumps(self.stages, indent=1, default=str)), (".md", self.page())):
            with atomic_output(self.path.with_suffix(suffix)) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def page(self) -> str:
        """All results as Markdown."""
        parts = []
        for name, stage in self.stages.items():
            parts.append(f"## {name} ({stage['seconds']:.0f} s)\n")
            parts += [Table(**table).text() for table in stage["tables"]]
            if stage["error"]:
                parts.append(f"\n**failed**\n\n```\n{stage['error'].rstrip()}\n```\n")
        return "\n".join(parts)

    @property
    def failed(self) -> list[str]:
        """The stages that ended with an error."""
        return [name for name, stage in self.stages.items() if stage["error"]]


class Trials:
    """Several ways in one stage: an error of one is printed and kept, and the others go on."""

    def __init__(self) -> None:
        self._errors: list[str] = []

    @contextmanager
    def trial(self, name: str) -> Iterator[None]:
        """Catches what fails within it."""
        try:
            yield
        except Exception:
            self._errors.append(f"{name}:\n{traceback.format_exc()}")
            print(self._errors[-1], flush=True)

    def finish(self) -> None:
        """Raises RuntimeError with all that failed."""
        if self._errors:
            raise RuntimeError(f"{len(self._errors)} ways failed:\n" + "\n".join(self._errors))


def run_here(stage: Stage, asked: Asked, results: Results) -> None:
    """A stage in this process: its tables are printed and kept as they come, its error too."""
    start, tables, error = time.perf_counter(), [], ""
    results.update(stage.name)
    try:
        for table in stage.run(asked):
            table.print()
            tables.append(asdict(table))
            results.update(stage.name, tables=tables, seconds=time.perf_counter() - start)
    except Exception:
        error = traceback.format_exc()
        print(error, flush=True)
    results.update(stage.name, seconds=time.perf_counter() - start, error=error)


def run_apart(stage: Stage, command: Sequence[str], limit: float, results: Results) -> None:
    """A stage in a new process, since an error on a device ends all that follows it in a process.

    command: arguments of benchmarks.gpu. limit: seconds, after which it is ended; what it had found stays.
    """
    if limit <= 0:
        results.update(stage.name, error="not begun: no time was left")
        return
    start, error = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found"
        words = [sys.executable, "-m", "benchmarks.gpu", "--here", "--output", str(path), *command]
        try:
            code = subprocess.run([*words, "--only", stage.name], timeout=limit, check=False).returncode
            error = f"the process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            error = f"not done after {limit:.0f} s, its limit"
            print(f"{stage.name}: {error}", flush=True)
        found = path.with_suffix(".json")
        own = json.loads(found.read_text(encoding="utf-8"))[stage.name] if found.exists() else {}
    error = own.get("error") or error
    results.update(stage.name, **{**own, "seconds": time.perf_counter() - start, "error": error})
