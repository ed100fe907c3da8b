"""The command prepares its process for computing; the library leaves its caller's process as it is."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deepibl.cli import process
from matlab_compat import faiss_library

# prints which of the allocator's functions a program looks up in glibc, the kernels it chooses for faiss, and
# whether environment and signal handlers are as before
PROGRAM = """
import json, os, signal, sys
import torch
from contextlib import suppress
from pathlib import Path
looked_up = []
sys.addaudithook(lambda event, about: looked_up.append(about[1]) if event == "ctypes.dlsym" else None)

def state():
    return dict(os.environ), [signal.getsignal(each) for each in sorted(signal.valid_signals())]

folder, before = sys.argv.pop(), state()
{program}
from matlab_compat import faiss_library
allocator = [name for name in ("mallopt", "malloc_trim") if name in looked_up]
print(json.dumps([allocator, faiss_library._chosen, state() == before]))
"""
LIBRARY = """
import deepibl
from deepibl.cli.main import main
from deepibl.engine import choose_engine
from deepibl.search import nearest
from tests.extractors import make_photos, simplenn
net = simplenn()
choose_engine(net, "auto", "fp32", torch.device("cpu"))
rows = deepibl.extract(net, make_photos(Path(folder))[:3], root=folder, progress=False)
nearest(rows, rows, 1)
with suppress(SystemExit):
    main(["convert-png", folder])  # a command, run by a program in its own process
"""
COMMAND = """
from deepibl.cli.main import main
sys.argv += ["convert-png", folder]
with suppress(SystemExit):
    main()
"""


def changes(program: str, folder: Path) -> list[object]:
    code = [sys.executable, "-c", PROGRAM.replace("{program}", program), str(folder)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_library_leaves_the_process_as_it_is(tmp_path: Path) -> None:
    assert changes(LIBRARY, tmp_path) == [[], [], True]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs glibc")
def test_the_command_prepares_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faiss_library, "_chosen", [])
    faiss_library.choose_kernels()
    allocator, kernels, _ = changes(COMMAND, tmp_path)
    assert (allocator, kernels) == (["mallopt"], faiss_library._chosen)


def test_thresholds_can_be_raised_and_reset() -> None:
    expected = sys.platform.startswith("linux")
    assert process.keep_buffers() == expected and process.release_buffers() == expected


def test_names_that_are_not_utf_8_are_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, "utf-8"))
    monkeypatch.setattr(process, "choose_kernels", lambda: None)
    monkeypatch.setattr(process, "keep_buffers", lambda: None)
    monkeypatch.setattr("warnings.formatwarning", None)
    process.prepare_process()
    print(os.fsdecode(b"\xff.jpg"), "größe", flush=True)
    assert written.getvalue().decode().split() == [r"\udcff.jpg", "größe"]
