"""Making an index that is interrupted: what was computed is not computed again, and nothing is left over."""

from pathlib import Path

import numpy as np
import pytest

from deepibl.datasets.folder import Places
from deepibl.datasets.geo import to_degrees
from deepibl.errors import DatasetError, IndexFileError
from deepibl.search import localization as indexing
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import add_to_index, build_index
from tests.extractors import make_photos, simplenn


@pytest.fixture
def places(tmp_path: Path) -> Places:
    folder = tmp_path / "photos"
    folder.mkdir()
    names = make_photos(folder)[:6]
    (folder / "bad.jpg").write_text("no image")
    names = [*names[:2], "bad.jpg", *names[2:]]
    return Places(str(folder), names, np.arange(14.0).reshape(7, 2), "33N")


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each extraction was asked for."""
    asked: list[int] = []
    extract = indexing.extract_to_file

    def counting(net: object, root: str, names: list[str], *rest: object, **settings: object) -> object:
        asked.append(len(names))
        return extract(net, root, names, *rest, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "extract_to_file", counting)
    return asked


def stopped(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw"])
def test_a_run_stopped_while_the_index_is_written_does_not_describe_again(
    places: Places, tmp_path: Path, counted: list[int], monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    net, out = simplenn(), tmp_path / "a.idx"
    whole, failures = build_index(net, places, tmp_path / "whole.idx", backend=backend)
    with monkeypatch.context() as patch:
        patch.setattr(PlaceIndex, "save", stopped)
        with pytest.raises(KeyboardInterrupt):
            build_index(net, places, out, backend=backend)
    assert not out.exists()
    _, again = build_index(net, places, out, backend=backend)
    assert counted == [7, 7]
    assert again == failures and [Path(failure.name).name for failure in again] == ["bad.jpg"]
    assert out.read_bytes() == (tmp_path / "whole.idx").read_bytes()
    assert len(whole) == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.idx", "photos", "whole.idx"]


def test_other_images_or_another_scale_are_described_anew(
    places: Places, tmp_path: Path, counted: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, out = simplenn(), tmp_path / "a.idx"
    with monkeypatch.context() as patch:
        patch.setattr(PlaceIndex, "save", stopped)
        for asked, size in ((places, None), (places.subset([0, 1, 3]), None), (places, 40)):
            with pytest.raises(KeyboardInterrupt):
                build_index(net, asked, out, resize=size)
    assert counted == [7, 3, 7]


def test_adding_describes_only_what_is_new_and_cleans_up_after_a_kill(
    places: Places, tmp_path: Path, counted: list[int]
) -> None:
    net, out = simplenn(), tmp_path / "a.idx"
    build_index(net, places.subset([0, 1]), out, half=True)
    index, failures, there = add_to_index(net, places, out)
    assert (len(index), there, counted) == (6, 2, [2, 5])
    assert [Path(failure.name).name for failure in failures] == ["bad.jpg"]
    kept = [0, 1, 3, 4, 5, 6]
    assert PlaceIndex.load(out).positions.tolist() == to_degrees(places.positions, "33N")[kept].tolist()
    left = tmp_path / "a.idx.features.bin"
    left.write_bytes(b"of a killed run")
    add_to_index(net, places.subset([0, 1]), out)
    assert not left.exists() and counted == [2, 5]


@pytest.mark.parametrize("frame", [None, "33N"])
def test_degrees_given_as_metres_are_refused_before_anything_is_computed(
    places: Places, tmp_path: Path, counted: list[int], frame: str | None
) -> None:
    degrees = np.stack([55.7 + np.arange(7) / 1000, np.full(7, 13.19)], axis=1)
    with pytest.raises(DatasetError, match="positions must be in metres"):
        build_index(simplenn(), Places(places.root, places.names, degrees, frame), tmp_path / "a.idx")
    assert counted == [] and not (tmp_path / "a.idx").exists()


def test_adding_to_nothing_is_refused(places: Places, tmp_path: Path) -> None:
    with pytest.raises(IndexFileError, match=r"none\.idx"):
        add_to_index(simplenn(), places, tmp_path / "none.idx")


def test_what_another_program_adds_meanwhile_is_not_lost(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net, out = simplenn(), tmp_path / "a.idx"
    build_index(net, places.subset([0]), out)
    described = indexing._described

    def meanwhile(*rest: object) -> object:  # the images of the first call are described, not yet written
        monkeypatch.setattr(indexing, "_described", described)
        add_to_index(net, places.subset([3, 4]), out)
        return described(*rest)  # type: ignore[arg-type]

    monkeypatch.setattr(indexing, "_described", meanwhile)
    with pytest.raises(IndexFileError, match="written by another program meanwhile"):
        add_to_index(net, places.subset([1]), out)
    index, _, _ = add_to_index(net, places.subset([1]), out)
    assert sorted(index.names) == ["00.jpg", "01.jpg", "02.jpg", "03.jpg"]
