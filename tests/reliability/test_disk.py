"""A disk that is full, or takes nothing: an error, nothing half-written under a final name, and once there is
room the same call ends with the same bytes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.datasets.folder import Places
from deepibl.datasets.png_to_jpeg import convert_folder
from deepibl.features.extraction import extract_to_file
from deepibl.networks.conversion import convert
from deepibl.report.run import collect, write_run
from deepibl.search.localization import build_index
from matlab_compat.errors import MatlabCompatError
from tests.extractors import simplenn
from tests.reliability.killed import contents
from tests.reliability.killed_jobs import make_material, photos
from tests.reports import evaluation
from tests.tiny_training import Workplace

MEGABYTE = 2**20
PAGE = 4096


def _mounted(folder: Path, options: str) -> None:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"needs the right to mount a small tmpfs: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    if sys.platform != "linux" or not shutil.which("mount") or os.geteuid():
        pytest.skip("needs root, to mount a small tmpfs")
    folder = tmp_path / "disk"
    folder.mkdir()
    _mounted(folder, f"size={MEGABYTE}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos, PNGs and a network to read."""
    folder = tmp_path_factory.mktemp("material")
    make_material(folder)
    torch.set_num_threads(1)
    return folder


def fill(disk: Path, free: int) -> None:
    """Leaves so many bytes free, in whole pages."""
    (disk / ".ballast").unlink(missing_ok=True)
    room = os.statvfs(disk)
    with open(disk / ".ballast", "wb") as file:
        file.write(bytes(max(0, room.f_bavail * room.f_bsize - free)))


def features(suffix: str) -> Callable[[Path, Path], object]:
    def run(out: Path, material: Path) -> object:
        root, names = photos(material)
        return extract_to_file(simplenn(), root, names, out / f"f{suffix}", batch_size=4, progress=False)

    return run


def index(out: Path, material: Path) -> object:
    root, names = photos(material)
    places = Places(str(root), names, np.zeros((len(names), 2)), "33N")
    return build_index(simplenn(), places, out / "city.idx", progress=False)


def network(suffix: str) -> Callable[[Path, Path], object]:
    return lambda out, material: convert(material / "nets" / "released_struct.mat", out / f"net{suffix}")


def pictures(out: Path, material: Path) -> object:
    for path in sorted((material / "png").iterdir()):
        if not (out / path.name).exists():
            (out / path.name).symlink_to(path)
    report = convert_folder(out)
    if report.failures:
        raise OSError(str(report))
    return report


def training(out: Path, material: Path) -> object:
    options = {"nEpoch": 1, "sessionID": "run", "compFeatsFrequency": 100}
    return Workplace(material / "workplace", output=out).train(**options)


def report(out: Path, material: Path) -> object:
    return write_run(collect(evaluation(queries=40, database=60, dim=8)), out / "report.json")


WORK = {
    "features.bin": features(".bin"),
    "features.npy": features(".npy"),
    "features.h5": features(".h5"),
    "index": index,
    "network.mat": network(".mat"),
    "network.safetensors": network(".safetensors"),
    "pictures": pictures,
    "training": training,
    "report": report,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORK)
def test_on_a_full_disk_nothing_is_half_written(name: str, disk: Path, material: Path) -> None:
    work = WORK[name]
    out = disk / "out"
    out.mkdir()
    work(out, material)
    whole, used = contents(out), sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    shutil.rmtree(out)
    refused = 0
    for pages in sorted({0, 1, 2, 3, used // PAGE // 2, max(0, used // PAGE - 1)}):
        out.mkdir()
        fill(disk, pages * PAGE)
        try:
            work(out, material)
        except (MatlabCompatError, OSError) as error:
            refused += 1
            assert "No space left" in str(error) or "write" in str(error), error
            for written, content in contents(out).items():
                assert content != "unreadable", f"{written} with {pages} pages free"
                if name != "training" and written in whole:
                    assert content == whole[written], f"{written} with {pages} pages free"
        (disk / ".ballast").unlink()
        work(out, material)
        assert contents(out) == whole, f"{pages} pages were free"
        shutil.rmtree(out)
    assert refused >= 2


@pytest.mark.parametrize("name", WORK)
def test_a_read_only_folder_is_an_error_that_says_so(name: str, disk: Path, material: Path) -> None:
    out = disk / "out"
    out.mkdir()
    if name == "pictures":
        for path in sorted((material / "png").iterdir()):
            shutil.copyfile(path, out / path.name)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    with pytest.raises((MatlabCompatError, OSError), match=r"[Rr]ead-only|cannot be written"):
        WORK[name](out, material)
