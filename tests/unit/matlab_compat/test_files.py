"""Files that appear whole or not at all, and what is left of those whose process was killed."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from matlab_compat.files import atomic_output, write_text

WRITES = """
import os, sys
from pathlib import Path
from matlab_compat.files import atomic_output
with atomic_output(sys.argv[1]) as temporary:
    temporary.write_text("whole")
    print(temporary, flush=True)
    sys.stdin.read()
"""


def writer(target: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that writes a file and waits, and the file's temporary name."""
    command, pipe = [sys.executable, "-c", WRITES, str(target)], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[3])
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


@pytest.mark.skipif(os.name != "posix", reason="elsewhere it is not asked whether a process runs")
def test_what_a_killed_process_left_is_removed_by_the_next_one_and_what_others_write_is_not(
    tmp_path: Path,
) -> None:
    killed, left = writer(tmp_path / "city.idx")
    running, being_written = writer(tmp_path / "city.idx")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    mark, owner = left.name.split(".")[-2].split("-")[:2]
    assert int(owner) == killed.pid and not (tmp_path / "city.idx").exists()
    others = [left.name.replace(mark, "0" * 8), f".city.{mark}.idx", f"a.idx.{mark}-{owner}-00000000.idx"]
    for name in others:  # of another machine; of the user
        (tmp_path / name).touch()
    following, _ = writer(tmp_path / "another.npy")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name[-4:] == ".idx") == sorted(
        [*others, being_written.name]
    )
    for process, name in ((running, "city.idx"), (following, "another.npy")):
        process.communicate()
        assert process.returncode == 0 and (tmp_path / name).read_text() == "whole"
    assert {path.name for path in tmp_path.iterdir()} == {*others, "city.idx", "another.npy"}


def test_a_file_that_fails_leaves_the_old_one_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(RuntimeError), atomic_output(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]
    (tmp_path / "b.txt").touch()
    assert len({stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}) == 1
