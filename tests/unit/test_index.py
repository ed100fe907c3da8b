"""The index file: what is written comes back, damage and foreign networks are refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.index import PlaceIndex


def make_index(count: int = 6, dim: int = 4, **changes: object) -> PlaceIndex:
    generator = np.random.default_rng(0)
    values = {
        "descriptors": generator.standard_normal((count, dim), dtype=np.float32),
        "names": [f"sträße/{i}.jpg" for i in range(count)],
        "positions": np.stack([np.arange(count) * 10.0 + 390000, np.full(count, 6170000.0)], axis=1),
        "network_id": "ab" * 32,
        "network_path": "/nets/small.mat",
        "root": "/photos",
        "utm_zone": "33N",
        "resize": 320,
    }
    return PlaceIndex(**{**values, **changes})  # type: ignore[arg-type]


def test_an_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "city.idx")
    back = PlaceIndex.load(tmp_path / "city.idx")
    np.testing.assert_array_equal(back.descriptors, index.descriptors)
    np.testing.assert_array_equal(back.positions, index.positions)
    same = ["names", "network_id", "network_path", "root", "utm_zone", "resize"]
    assert [getattr(back, name) for name in same] == [getattr(index, name) for name in same]


def test_other_programs_read_the_file_as_safetensors(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "city.idx")
    with safe_open(tmp_path / "city.idx", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("descriptors"), index.descriptors)
        assert file.metadata()["format"] == "deepibl-index/1"


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    index = make_index(positions=np.full((6, 2), np.nan), utm_zone=None, resize=None)
    index.save(tmp_path / "city.idx")
    back = PlaceIndex.load(tmp_path / "city.idx")
    assert back.utm_zone is None
    assert back.resize is None
    match = back.search(index.descriptors[:1], 1)[0][0]
    assert (match.name, match.east, match.map_link) == ("sträße/0.jpg", None, None)


def test_matches_are_ranked_and_say_where_they_are() -> None:
    index = make_index()
    matches = index.search(index.descriptors[2:3], top=3)[0]
    assert [match.rank for match in matches] == [1, 2, 3]
    assert matches[0].name == "sträße/2.jpg"
    assert matches[0].path == "/photos/sträße/2.jpg"
    assert matches[0].distance == pytest.approx(0, abs=1e-6)
    assert (matches[0].east, matches[0].north) == (390020.0, 6170000.0)
    assert matches[0].latitude == pytest.approx(55.66, abs=0.01)  # Lund lies in zone 33
    assert matches[0].longitude == pytest.approx(13.25, abs=0.01)
    assert "openstreetmap" in str(matches[0].map_link)
    assert [m.distance for m in matches] == sorted(m.distance for m in matches)


def test_more_matches_than_images_gives_all_images() -> None:
    assert len(make_index().search(make_index().descriptors[:1], top=100)[0]) == 6


@pytest.mark.parametrize("length", [0, 5, 200, -1])
def test_a_file_that_was_cut_short_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "city.idx"
    make_index().save(path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(IndexFileError, match=r"city\.idx"):
        PlaceIndex.load(path)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "city.idx"
    path.write_text("name,lat,lon\n")
    with pytest.raises(IndexFileError, match="deepibl index"):
        PlaceIndex.load(path)
    with pytest.raises(IndexFileError, match=r"nothing\.idx"):
        PlaceIndex.load(tmp_path / "nothing.idx")


def test_a_query_of_another_network_is_refused() -> None:
    index = make_index()
    index.require_network("ab" * 32)
    with pytest.raises(NetworkMismatchError, match=r"small\.mat"):
        index.require_network("cd" * 32)
    with pytest.raises(NetworkMismatchError, match="4 dimensions"):
        index.search(np.zeros((1, 5), np.float32))


def test_parts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(IndexFileError, match="6 names"):
        make_index(positions=np.zeros((5, 2)))
