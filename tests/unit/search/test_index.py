"""The index file: what is written comes back, damage and foreign networks are refused."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from deepibl.errors import FeatureFileError, IndexFileError, NetworkMismatchError
from deepibl.images import OWN_PHOTOS, Reading
from deepibl.runtime.files import map_tensors, write_tensors
from deepibl.search import index_file
from deepibl.search.index import PlaceIndex
from deepibl.search.index_file import check_file
from matlab_compat.errors import ArgumentError


def make_index(count: int = 6, dim: int = 4, **changes: object) -> PlaceIndex:
    generator = np.random.default_rng(0)
    values = {
        "descriptors": generator.standard_normal((count, dim), dtype=np.float32),
        "names": [f"sträße/{i}.jpg" for i in range(count)],
        "positions": np.stack([np.arange(count) * 10.0 + 390000, np.full(count, 6170000.0)], axis=1),
        "network_id": "ab" * 32,
        "network_path": "/nets/small.mat",
        "root": "/photos",
        "frame": "33N",
        "reading": Reading(320),
    }
    return PlaceIndex(**{**values, **changes})  # type: ignore[arg-type]


def test_an_index_comes_back_as_it_was_written(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "city.idx")
    back = PlaceIndex.load(tmp_path / "city.idx")
    np.testing.assert_array_equal(back.descriptors, index.descriptors)
    np.testing.assert_array_equal(back.positions, index.positions)
    same = ["names", "network_id", "network_path", "root", "frame", "reading"]
    assert [getattr(back, name) for name in same] == [getattr(index, name) for name in same]


def test_other_programs_read_the_file_as_safetensors(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "city.idx")
    with safe_open(tmp_path / "city.idx", framework="numpy") as file:
        np.testing.assert_array_equal(file.get_tensor("descriptors"), index.descriptors)
        assert file.metadata()["format"] == "deepibl-index/3"


def test_what_is_unknown_stays_unknown(tmp_path: Path) -> None:
    index = make_index(positions=np.full((6, 2), np.nan), frame=None, reading=OWN_PHOTOS)
    index.save(tmp_path / "city.idx")
    back = PlaceIndex.load(tmp_path / "city.idx")
    assert back.frame is None
    assert back.reading == OWN_PHOTOS
    match = back.search(index.descriptors[:1], 1)[0][0]
    assert (match.name, match.east, match.map_link) == ("sträße/0.jpg", None, None)


def test_matches_are_ranked_and_say_where_they_are() -> None:
    index = make_index()
    matches = index.search(index.descriptors[2:3], top=3)[0]
    assert [match.rank for match in matches] == [1, 2, 3]
    assert matches[0].name == "sträße/2.jpg"
    assert matches[0].path == "/photos/sträße/2.jpg"
    assert matches[0].distance == pytest.approx(0, abs=1e-6)
    assert (matches[0].east, matches[0].north, matches[0].utm_zone) == (390020.0, 6170000.0, "33N")
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


def test_only_images_near_a_position_are_found_and_exactly() -> None:
    index = make_index(count=60).with_backend("ivfpq", code_bytes=2)
    asked = index.descriptors[3:5]
    found = index.search(asked, top=100, near=index.positions[10], within=25.0)
    near = range(8, 13)  # images stand every 10 m
    assert [{match.name for match in row} for row in found] == [{f"sträße/{i}.jpg" for i in near}] * 2
    alone = make_index(count=60, descriptors=index.descriptors)
    distances = np.square(alone.descriptors[near] - asked[0]).sum(axis=1)
    assert [m.distance for m in found[0]] == pytest.approx(sorted(distances.tolist()), rel=1e-5)


@pytest.mark.parametrize(
    ("place", "zone"),
    [((-17.0, 180.0), "1S"), ((78.2, 15.6), "33N"), ((0.0, -78.5), "17N"), ((90.0, 0.0), None)],
)
def test_places_are_found_near_a_position_anywhere(place: tuple[float, float], zone: str | None) -> None:
    index = make_index(positions=np.array([place, (37.7, -122.4), *[(-87.0, 3.0)] * 4]), frame="degrees")
    found = index.search(index.descriptors[:1], near=np.subtract(place, [0.0001, 0]), within=12.0)[0]
    assert [(match.latitude, match.longitude, match.utm_zone) for match in found] == [(*place, zone)]
    assert (found[0].east is None) == (zone is None) and f"mlat={place[0]:.6f}" in str(found[0].map_link)
    assert index.metres_from(place)[:2].astype(int).tolist() == [0, int(index.metres_from((37.7, -122.4))[0])]
    assert index.search(index.descriptors[:1], near=(10.0, 10.0), within=1e5) == [[]]


def test_degrees_beyond_the_globe_are_not_an_index() -> None:
    with pytest.raises(IndexFileError, match="beyond 90 and 180"):
        make_index(positions=np.full((6, 2), 95.0), frame="degrees")


def test_metres_of_an_unknown_zone_stay_as_they_are() -> None:
    index = make_index(frame=None)
    match = index.search(index.descriptors[:1], 1, near=(390000.0, 6170000.0), within=0.0)[0][0]
    assert (match.east, match.north, match.utm_zone, match.latitude) == (390000.0, 6170000.0, None, None)


def test_each_query_may_have_its_own_position() -> None:
    index = make_index(count=30)
    near = index.positions[[4, 20, 4]]
    found = index.search(index.descriptors[[9, 9, 9]], top=5, near=near, within=0.0)
    assert [[match.name for match in row] for row in found] == [[f"sträße/{i}.jpg"] for i in (4, 20, 4)]


def test_images_without_position_stand_nowhere() -> None:
    index = make_index(positions=np.full((6, 2), np.nan))
    assert index.search(index.descriptors[:1], near=(0.0, 0.0), within=1e9) == [[]]


@pytest.mark.parametrize(
    ("near", "within", "said"),
    [
        ((1.0, 2.0), None, "go together"),
        (None, 5.0, "go together"),
        ((1.0, 2.0), -1.0, "metres >= 0"),
        ((np.nan, 2.0), 5.0, "two numbers"),
        ((1.0, 2.0, 3.0), 5.0, "one position"),
        (np.zeros((3, 2)), 5.0, "one position"),
        ((390100.0, 6170000.0), 5.0, "latitude and longitude"),
    ],
)
def test_half_a_position_is_refused(near: object, within: float | None, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        make_index().search(make_index().descriptors[:2], near=near, within=within)


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_every_backend_comes_back_from_its_file(tmp_path: Path, backend: str, dtype: type) -> None:
    index = make_index(count=200, dim=8)
    index = make_index(count=200, descriptors=index.descriptors.astype(dtype)).with_backend(backend)
    index.save(tmp_path / "city.idx")
    back = PlaceIndex.load(tmp_path / "city.idx")
    assert (back.backend, back.descriptors.dtype) == (backend, dtype)
    queries = index.descriptors[::9].astype(np.float32)
    assert back.search(queries, 3) == index.search(queries, 3)
    assert [row[0].name for row in back.search(queries, 1)] == index.names[::9]
    assert back.recall(asked=30) == index.recall(asked=30) > 0.7
    assert [file.name for file in tmp_path.iterdir()] == ["city.idx"]  # nothing is left beside it


@pytest.mark.parametrize("number", [1, 2, 9])
def test_another_format_is_refused_with_what_to_do(tmp_path: Path, number: int) -> None:
    write_tensors(tmp_path / "a.idx", {"names": np.zeros(0, np.uint8)}, {"format": f"deepibl-index/{number}"})
    with pytest.raises(IndexFileError, match=f"deepibl-index/{number}.*make one with `deepibl index"):
        PlaceIndex.load(tmp_path / "a.idx")


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw"])
def test_a_damaged_byte_anywhere_is_found(tmp_path: Path, backend: str) -> None:
    path = tmp_path / "city.idx"
    make_index(count=40).with_backend(backend).save(path)
    content = path.read_bytes()
    assert check_file(path)["backend"] == backend
    header = int.from_bytes(content[:8], "little")
    places = {0, 9, header // 2, header - 40, *range(header + 8, len(content), 97), len(content) - 1}
    for place in sorted(places):
        damaged = bytearray(content)
        damaged[place] ^= 0x11
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError, match=r"city\.idx is not an index that can be read"):
            check_file(path)


def test_opening_finds_damage_in_all_but_the_descriptors(tmp_path: Path) -> None:
    path = tmp_path / "city.idx"
    index = make_index(count=40).with_backend("hnsw")
    index.save(path)
    content = bytearray(path.read_bytes())
    where = content.find(index.descriptors.tobytes())
    content[where + 20] ^= 1
    path.write_bytes(content)
    assert len(PlaceIndex.load(path)) == 40
    with pytest.raises(IndexFileError, match="its descriptors are damaged"):
        check_file(path)
    for part in ("structure", "names", "positions"):
        damaged = bytearray(content)
        tensors, _ = map_tensors(path)
        at = content.find(tensors[part].tobytes()[:64])
        damaged[at + 8] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(IndexFileError, match=f"its {part} are damaged"):
            PlaceIndex.load(path)
        path.write_bytes(content)


@pytest.mark.parametrize(
    ("tensor", "wrong"),
    [
        ("descriptors", np.zeros((6, 4), np.int32)),
        ("descriptors", np.zeros(24, np.float32)),
        ("positions", np.zeros((6, 2), np.float32)),
        ("names", np.zeros((6, 4), np.float32)),
    ],
)
def test_tensors_of_other_types_are_refused(
    tmp_path: Path, tensor: str, wrong: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("_digest", "_header_digest"):  # the checksums of a file that was written so agree
        monkeypatch.setattr(index_file, name, lambda *_: "same")
    path = tmp_path / "a.idx"
    make_index().save(path)
    tensors, metadata = map_tensors(path)
    write_tensors(path, {**tensors, tensor: wrong}, metadata)
    with pytest.raises(IndexFileError, match=f"{tensor} are"):
        PlaceIndex.load(path)
    write_tensors(path, tensors, {**metadata, "frame": "33N"})
    with pytest.raises(IndexFileError, match="its frame is '33N'"):
        PlaceIndex.load(path)


def test_descriptors_that_are_not_finite_and_names_with_line_breaks_are_not_written(tmp_path: Path) -> None:
    rows = make_index().descriptors.copy()
    rows[2, 1] = np.nan
    with pytest.raises(FeatureFileError, match="the first is row 2"):
        make_index(descriptors=rows).save(tmp_path / "a.idx")
    with pytest.raises(IndexFileError, match="line break"):
        make_index(names=["a\nb", *"cdefg"]).save(tmp_path / "a.idx")
    assert not list(tmp_path.iterdir())


def test_a_search_of_a_saved_index_does_not_read_all_its_descriptors_first(tmp_path: Path) -> None:
    index = make_index()
    index.save(tmp_path / "a.idx")
    back = PlaceIndex.load(tmp_path / "a.idx")
    norms = np.square(index.descriptors).sum(axis=1)
    assert back.largest == pytest.approx(norms.max(), rel=1e-6)
