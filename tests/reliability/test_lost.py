"""Images that vanish or change while a run reads them, and workers that are lost."""

import os
import signal
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import deepibl.toycity.city as toycity
from deepibl.errors import DatasetError, ExtractionError
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features
from matlab_compat import jpeg
from matlab_compat.errors import ImageReadError
from tests.extractors import Extractor, make_photos

LATE = 24  # images from here on are read last


@pytest.fixture
def photos(tmp_path: Path) -> tuple[Path, list[str]]:
    folder = tmp_path / "photos"
    folder.mkdir()
    return folder, make_photos(folder)


class Disturbed(Extractor):
    """Disturbs the images once, when the first batch is computed."""

    def __init__(self, disturb: Any) -> None:
        super().__init__()
        self.disturb = disturb

    def prepare(self, images: Any) -> Any:
        disturb, self.disturb = self.disturb, lambda: None
        disturb()
        return super().prepare(images)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deepibl.features.extraction.group_length", lambda batch_size: 4)


def vanish(path: Path) -> None:
    path.unlink()


def become_empty(path: Path) -> None:
    path.write_bytes(b"")


def become_no_image(path: Path) -> None:
    path.write_bytes(b"<html>moved</html>")


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("change", [vanish, become_empty, become_no_image, become_a_folder])
def test_images_that_are_lost_during_a_run_are_named_and_the_next_start_ends_the_same(
    change: Any, photos: tuple[Path, list[str]], tmp_path: Path
) -> None:
    folder, names = photos
    want = extract(Extractor(), names, root=folder, batch_size=2, num_threads=1)
    kept = {name: (folder / name).read_bytes() for name in names[LATE:]}
    net = Disturbed(lambda: [change(folder / name) for name in kept])
    out = tmp_path / "f.bin"
    with pytest.raises(ExtractionError) as caught:
        extract_to_file(net, folder, names, out, batch_size=2, num_threads=1, progress=False)
    assert {names[failure.index] for failure in caught.value.failures} == set(kept)
    assert not out.exists()
    for name, content in kept.items():
        if (folder / name).is_dir():
            (folder / name).rmdir()
        (folder / name).write_bytes(content)
    extract_to_file(Extractor(), folder, names, out, batch_size=2, num_threads=1, progress=False)
    np.testing.assert_array_equal(read_features(out, count=len(names)), want)


def test_an_image_that_is_exchanged_during_a_run_changes_its_own_row_only(
    photos: tuple[Path, list[str]],
) -> None:
    folder, names = photos
    want = extract(Extractor(), names, root=folder, batch_size=2, num_threads=1)
    last = folder / names[-1]
    with Image.open(last) as picture:
        size = picture.size
    net = Disturbed(lambda: Image.new("RGB", size, (200, 10, 10)).save(last))
    found = extract(net, names, root=folder, batch_size=2, num_threads=1)
    np.testing.assert_array_equal(found[:-1], want[:-1])
    assert not np.array_equal(found[-1], want[-1])
    np.testing.assert_array_equal(found[-1], extract(Extractor(), [names[-1]], root=folder)[0])


@pytest.mark.parametrize("how", ["longer", "other"])
def test_an_image_that_changes_while_it_is_read_is_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    plain, asked = os.fstat, []

    def stat_and_change(number: int) -> Any:
        found = plain(number)
        if not asked:
            content = path.read_bytes()
            path.write_bytes(content + b"x" if how == "longer" else bytes(len(content)))
            os.utime(path, ns=(0, found.st_mtime_ns + 1000))
        asked.append(number)
        return found

    monkeypatch.setattr(jpeg.os, "fstat", stat_and_change)
    with pytest.raises(ImageReadError, match=r"a\.jpg: it changed while it was read"):
        jpeg.read_bytes(path)


def test_a_reading_thread_that_dies_ends_the_run_and_the_next_start_ends_the_same(
    photos: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, names = photos
    out = tmp_path / "f.bin"
    want = extract(Extractor(), names, root=folder, batch_size=2)
    read = jpeg.read_bytes

    def dies(path: Any) -> bytes:
        if Path(path).name == names[LATE]:
            raise SystemExit("this thread is gone")
        return read(path)

    with monkeypatch.context() as patch:
        patch.setattr(jpeg, "read_bytes", dies)
        with pytest.raises(SystemExit, match="this thread is gone"):
            extract_to_file(Extractor(), folder, names, out, batch_size=2, progress=False)
    assert not out.exists() and not [t for t in threading.enumerate() if t.name.startswith("deepibl-loader")]
    net = Extractor()
    extract_to_file(net, folder, names, out, batch_size=2, progress=False)
    np.testing.assert_array_equal(read_features(out, count=len(names)), want)
    assert sum(shape[0] for shape in net.batches) < len(names)


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_lost_process_of_the_toy_city_is_an_error_that_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool(ProcessPoolExecutor):
        def submit(self, function: Any, *arguments: Any) -> Any:  # type: ignore[override]
            return super().submit(die)

    monkeypatch.setattr(toycity, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(toycity, "CHUNK", 1)
    with pytest.raises(
        DatasetError, match=r"a process that draws photos into .* ended early .* run the same command again"
    ):
        toycity._take_all(tmp_path, [None, None], 0, None, 2, False)  # type: ignore[list-item]
