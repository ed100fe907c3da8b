"""The toy city: same seed, same bytes; positions that are true; photos that differ by time of day; files."""

import csv
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io

from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.exif import photo_position
from deepibl.datasets.folder import read_places
from deepibl.datasets.geo import latlon_to_utm
from deepibl.datasets.place import PlaceDataset
from deepibl.demo.run import raw_pixel_recall
from deepibl.errors import DatasetError
from deepibl.toycity.camera import View
from deepibl.toycity.city import make_city, render_names, take
from deepibl.toycity.places import SPACING, Shot, database_shots, query_shots, stops
from deepibl.toycity.plan import City

SIZE = (96, 72)  # small photos: most claims do not need large ones
IMAGES, QUERIES = 22, 7


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("toycity")
    make_city(target, images=IMAGES, queries=QUERIES, size=SIZE, progress=False)
    return target


@pytest.fixture(scope="module")
def dataset(folder: Path) -> PlaceDataset:
    return load_dbstruct(folder / "toycity_test.mat", root=folder)


def photos(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in sorted(folder.rglob("*.jpg"))}


def picture(folder: Path, name: str) -> np.ndarray:
    found = cv2.imread(str(folder / name))
    assert found is not None
    return found


def view_from(
    city: City,
    place: np.ndarray,
    heading: float,
    time: str = "day",
    date: int = 0,
    size: tuple[int, int] = (160, 120),
) -> np.ndarray:
    view = View((place[0], place[1]), heading, size=size)
    return take(city, Shot("", view, time, date, ("view", time, date)))


# what is drawn


def test_a_larger_city_in_another_order_has_the_same_bytes(folder: Path) -> None:
    city, kept = City(0), photos(folder)
    shots = database_shots(city, "test", 60, SIZE)[:IMAGES]
    assert [shot.name for shot in shots] == sorted(name for name in kept if name.startswith("images"))
    for shot in reversed(shots[-6:]):
        again = take(city, shot).astype(int)
        decoded = picture(folder, shot.name)[:, :, ::-1].astype(int)
        assert np.abs(again - decoded).mean() < 6  # JPEG's loss only


def test_the_same_seed_gives_the_same_files(folder: Path, tmp_path: Path) -> None:
    make_city(tmp_path, images=12, queries=QUERIES, size=SIZE, progress=False)
    again, first = photos(tmp_path), photos(folder)
    shared = [name for name in again if name.startswith("images")]
    assert len(shared) == 12
    assert all(again[name] == first[name] for name in shared)


def test_processes_do_not_change_a_byte(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepibl.toycity.city.CHUNK", 15)
    make_city(tmp_path, images=IMAGES, queries=QUERIES, size=SIZE, workers=2, progress=False)
    assert photos(tmp_path) == photos(folder)


def test_another_seed_or_split_is_another_place(folder: Path, tmp_path: Path) -> None:
    make_city(tmp_path / "seed", images=1, queries=0, seed=1, size=SIZE, progress=False)
    make_city(tmp_path / "split", images=1, queries=0, split="train", size=SIZE, progress=False)
    name = "images/test_00000_yaw0.jpg"
    here = picture(folder, name).astype(int)
    for other in (tmp_path / "seed" / name, tmp_path / "split" / name.replace("test", "train")):
        assert np.abs(picture(other.parent, other.name) - here).mean() > 15


def test_any_size_shows_the_same_view() -> None:
    city, place = City(3), City(3).segment("row", 2, 2).at(30.0)
    small, large = (view_from(city, place, 20.0, size=size) for size in ((160, 120), (320, 240)))
    shrunk = cv2.resize(large, (160, 120), interpolation=cv2.INTER_AREA).astype(float)
    assert small.shape == (120, 160, 3)
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.85


def test_night_is_darker_than_day_and_has_lights() -> None:
    city = City(0)
    places = [segment.at(at) for segment, at in islice(stops(city, "test"), 6)]
    means, brightest = {}, {}
    for time in ("day", "night"):
        views = [view_from(city, place, 40.0, time, date) for date, place in enumerate(places)]
        means[time], brightest[time] = np.mean(views), np.percentile(views, 99.5)
    assert means["night"] < 0.6 * means["day"]
    assert brightest["night"] / means["night"] > 1.2 * brightest["day"] / means["day"]


def test_a_further_place_shows_other_houses_and_the_next_step_the_same() -> None:
    city = City(0)
    segment = city.segment("row", 1, 300)

    def tiny(at: float) -> np.ndarray:
        view = view_from(city, segment.at(at), segment.heading + 45)
        grey = cv2.resize(view, (40, 30), interpolation=cv2.INTER_AREA).mean(2).ravel()
        return (grey - grey.mean()) / grey.std()

    here = tiny(30.0)
    assert here @ tiny(30.3) > here @ tiny(60.0)


# where it is


def test_every_query_has_the_right_answer_near_by(dataset: PlaceDataset) -> None:
    gaps = np.hypot(*(dataset.query_positions[:, None] - dataset.database_positions[None]).transpose(2, 0, 1))
    assert (gaps.min(1) <= dataset.positive_distance).all()
    assert (gaps.min(1) > 1.0).all()  # never the very place: training looks for d > 1 m


def test_most_queries_have_a_positive_that_training_may_use() -> None:
    city = City(0)
    database = np.array([shot.view.position for shot in database_shots(city, "train", 400, SIZE)])
    queries = np.array([shot.view.position for shot in query_shots(city, "train", 100, 400, SIZE)])
    squared = ((queries[:, None] - database[None]) ** 2).sum(2)
    assert ((squared > 1) & (squared <= 100)).any(1).mean() > 0.85


def test_stops_are_on_the_streets_and_apart() -> None:
    city = City(7)
    found = list(islice(stops(city, "val"), 200))
    places = np.array([segment.at(at) for segment, at in found])
    for place in places[::20]:
        segment, at = city.nearest_street(place)
        assert np.hypot(*(segment.at(at) - place)) < 1e-6
    same_street = [np.hypot(*(b - a)) for a, b in pairwise(places)]
    assert np.isclose(np.median(same_street), SPACING)


def test_splits_are_kilometres_apart() -> None:
    city = City(0)
    middles = [
        np.mean([segment.start for segment, _ in islice(stops(city, split), 100)], axis=0)
        for split in ("train", "val", "test")
    ]
    assert min(np.hypot(*(middles[a] - middles[b])) for a, b in ((0, 1), (0, 2), (1, 2))) > 20_000


def test_queries_come_at_all_times_of_day() -> None:
    names = [shot.name for shot in query_shots(City(0), "test", 60, 40, SIZE)]
    for time in ("day", "sunset", "night"):
        assert sum(time in name for name in names) == 20


# what is written


def test_queries_come_at_chosen_times_of_day() -> None:
    by_day = query_shots(City(0), "test", 20, 40, SIZE, ["day"])
    assert {shot.time for shot in by_day} == {"day"}
    usual = query_shots(City(0), "test", 20, 40, SIZE)
    assert [shot.view for shot in by_day] == [shot.view for shot in usual]
    with pytest.raises(DatasetError, match="got 'dawn'"):
        make_city("nowhere", images=4, times=("day", "dawn"))


def test_the_dbstruct_has_netvlads_fields_and_shapes(folder: Path) -> None:
    struct: Any = scipy.io.loadmat(folder / "toycity_test.mat")["dbStruct"][0, 0]
    assert struct["dbImageFns"].shape == (IMAGES, 1) and struct["qImageFns"].shape == (QUERIES, 1)
    assert struct["utmDb"].shape == (2, IMAGES) and struct["utmQ"].shape == (2, QUERIES)
    assert struct["whichSet"][0] == "test"
    numbers = {"numImages": IMAGES, "numQueries": QUERIES, "posDistThr": 25, "posDistSqThr": 625}
    for name, value in (numbers | {"nonTrivPosDistSqThr": 100}).items():
        assert struct[name].item() == value, name


def test_positions_in_exif_csv_and_dbstruct_agree(folder: Path, dataset: PlaceDataset) -> None:
    degrees = [photo_position(path) for path in dataset.image_paths("q")]
    utm, zone = latlon_to_utm([d[0] for d in degrees if d], [d[1] for d in degrees if d])
    assert zone == dataset.frame == "31N"
    np.testing.assert_allclose(utm, dataset.query_positions, atol=0.01)
    table = read_places(folder / "toycity_test_images.csv")
    assert table.names == dataset.database_names
    there, _ = latlon_to_utm(*table.positions.T, zone)
    np.testing.assert_allclose(there, dataset.database_positions, atol=0.01)


def test_tables_tell_the_time_of_day(folder: Path) -> None:
    with open(folder / "toycity_test_queries.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == QUERIES
    assert all(row["time"] in row["name"] for row in rows)


def test_without_gps_a_photo_has_no_position(tmp_path: Path) -> None:
    make_city(tmp_path, images=1, queries=0, size=SIZE, gps=False, progress=False)
    assert photo_position(tmp_path / "images" / "test_00000_yaw0.jpg") is None


def test_a_stopped_run_goes_on_and_leaves_no_broken_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deepibl.toycity.city.CHUNK", 5)

    def stop(now: Any) -> None:
        if now.done >= 10:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"images": IMAGES, "queries": QUERIES, "size": SIZE}
    with pytest.raises(KeyboardInterrupt):
        make_city(tmp_path, **settings, progress=stop)
    assert not (tmp_path / "toycity_test.mat").exists()
    first = sorted(tmp_path.rglob("*.jpg"))
    assert len(first) == 10
    whole, broken = first[0], first[1]
    broken.write_bytes(broken.read_bytes()[:-100])
    before = whole.stat().st_mtime_ns
    make_city(tmp_path, **settings, progress=False)
    assert whole.stat().st_mtime_ns == before
    assert photos(tmp_path) == photos(folder)
    assert not list(tmp_path.rglob("*.part"))


def test_a_photo_of_another_seed_in_the_way_is_replaced(folder: Path, tmp_path: Path) -> None:
    make_city(tmp_path, images=2, queries=0, seed=4, size=SIZE, progress=False)
    make_city(tmp_path, images=2, queries=0, size=SIZE, progress=False)
    name = "images/test_00000_yaw1.jpg"
    assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_progress_counts_all_photos(tmp_path: Path) -> None:
    seen: list[Any] = []
    make_city(tmp_path, images=3, queries=2, size=SIZE, progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (5, 5)


# names from elsewhere


def test_given_names_are_rendered_by_their_place_and_yaw(tmp_path: Path) -> None:
    names = ["000/000062_pitch1_yaw1.jpg", "000/000062_pitch1_yaw2.jpg", "001/q7.jpg"]
    utm = np.array([[585042.7, 4477031.2], [585042.7, 4477031.2], [585942.7, 4476031.2]])
    render_names(tmp_path, names, utm, size=SIZE, progress=False)
    first, second = (picture(tmp_path, name).astype(int) for name in names[:2])
    assert first.shape == (72, 96, 3)
    assert np.abs(first - second).mean() > 5
    render_names(tmp_path / "again", names[:1], utm[:1], size=SIZE, date=500, progress=False)
    assert 0 < np.abs(picture(tmp_path / "again", names[0]) - first).mean() < 80


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda to: make_city(to, images=0), "at least one image"),
        (lambda to: make_city(to, images=4, size=(10, 10)), "10x10"),
        (lambda to: make_city(to, images=4, split="tokyo"), "train, val, test"),
        (lambda to: make_city(to, images=4, workers=0), "workers"),
        (lambda to: render_names(to, ["a.jpg"], [[1.0, 2.0], [3.0, 4.0]]), r"got \(2, 2\)"),
        (lambda to: render_names(to, ["a.jpg"], [[1.0, 2.0]], time="noon"), "day, sunset, night"),
    ],
)
def test_errors_say_what_is_allowed(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=message):
        call(tmp_path)


# how hard it is


@pytest.mark.slow
def test_raw_pixels_fail_on_it(tmp_path: Path) -> None:
    dataset = load_dbstruct(make_city(tmp_path, images=200, queries=66, progress=False), root=tmp_path)
    gaps = np.hypot(*(dataset.query_positions[:, None] - dataset.database_positions[None]).transpose(2, 0, 1))
    chance = float((gaps <= dataset.positive_distance).mean())
    recall = raw_pixel_recall(dataset)
    print(f"\n200 images, 66 queries: raw pixels Recall@1 {recall:.3f}, chance {chance:.3f}")
    assert chance < 0.1
    assert recall < 0.35
