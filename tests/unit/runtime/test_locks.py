"""Locks of files: who has one, and what happens where no file can be made."""

import sys
from pathlib import Path

import pytest
from filelock import FileLock

from deepibl.features.partial import PartialFeatures
from deepibl.runtime.files import hold
from deepibl.runtime.provenance import Provenance
from matlab_compat.files import atomic_output


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "a.lock"), FileLock(tmp_path / "a.lock")
    assert hold(first) and not hold(second)
    first.release()
    assert hold(second)
    second.release()


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which takes no files")
def test_a_lock_that_cannot_be_made_is_not_called_held() -> None:
    with pytest.raises(OSError, match=r"/proc/a\.lock"):
        hold(FileLock("/proc/a.lock"))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, which takes no files")
def test_an_output_that_cannot_be_made_is_named_as_it_was_given() -> None:
    with pytest.raises(OSError) as refused, atomic_output("/proc/a.csv"):
        pass
    assert refused.value.filename == "/proc/a.csv"


def test_the_lock_is_free_after_an_error_on_closing(tmp_path: Path) -> None:
    class Full:
        def close(self) -> None:
            raise OSError(28, "No space left on device")

    def features() -> PartialFeatures:
        return PartialFeatures(tmp_path / "f.bin", Provenance("net", 1, "", "", {}), 1, 64)

    with pytest.raises(OSError, match="No space left"), features() as file:
        file._file.close()
        file._file = Full()
    with features():
        pass
