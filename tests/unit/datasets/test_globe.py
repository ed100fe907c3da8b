"""Positions anywhere on the globe: distances, neighbours, zones whose metres are true, directions."""

import time

import numpy as np
import pytest

from deepibl.datasets.geo import (
    DEGREES,
    common_zone,
    in_one_frame,
    latlon_to_utm,
    map_metres,
    metres_between,
    parse_position,
    to_degrees,
)
from deepibl.datasets.positions import GlobePositions, refuse_degrees
from deepibl.errors import DatasetError

PLACES = {
    "Fiji, on both sides of the date line": (-17.0, 180.0),
    "Svalbard": (78.22, 15.64),
    "the border of zones 32 and 33": (48.0, 12.0),
    "Quito": (0.0, -78.5),
    "McMurdo": (-77.85, 166.67),
    "the north pole": (90.0, 0.0),
    "the south pole": (-90.0, 0.0),
    "San Francisco": (37.775, -122.419),
}


def scattered(place: tuple[float, float], count: int, metres: float = 60.0) -> np.ndarray:
    """Random positions (N, 2) in degrees around a place, by bearing and distance on a sphere."""
    draws = np.random.default_rng(0)
    bearing, far = draws.uniform(0, 2 * np.pi, count), metres * np.sqrt(draws.uniform(0, 1, count)) / 6371e3
    latitude, longitude = np.radians(place)
    there = np.arcsin(np.sin(latitude) * np.cos(far) + np.cos(latitude) * np.sin(far) * np.cos(bearing))
    east = np.arctan2(
        np.sin(bearing) * np.sin(far) * np.cos(latitude), np.cos(far) - np.sin(latitude) * np.sin(there)
    )
    return np.degrees(np.stack([there, (longitude + east + np.pi) % (2 * np.pi) - np.pi], axis=1))


@pytest.mark.parametrize(
    ("first", "second", "metres"),
    [
        ((0, 10), (1, 10), 110_574.4),  # lengths of a degree on WGS 84
        ((89, 10), (90, -100), 111_693.9),
        ((0, 10), (0, 11), 111_319.5),
        ((60, 179.5), (60, -179.5), 55_800.0),
        ((48.8584, 2.2945), (51.5007, -0.1246), 340_900.0),
    ],
)
def test_distances_are_those_on_the_ground(first, second, metres):
    assert metres_between(first, second, DEGREES) == pytest.approx(metres, rel=2e-3)


@pytest.mark.parametrize("latitude", [-79.0, -33.0, 0.5, 45.0, 78.0])
def test_within_25_metres_distances_are_exact_to_a_millimetre(latitude):
    zone = f"36{'N' if latitude > 0 else 'S'}"  # in its middle, where its scale is 0.9996
    here = latlon_to_utm([latitude], [33.0], zone)[0][0]
    there = to_degrees([np.add(here, [15 * 0.9996, 20 * 0.9996])], zone)
    assert metres_between((latitude, 33.0), there, DEGREES)[0] == pytest.approx(25, abs=1e-3)


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_neighbours_are_those_of_a_search_of_all_positions(place):
    positions = np.concatenate([scattered(place, 200), scattered((-33.87, 151.2), 20), [[np.nan, np.nan]]])
    search = GlobePositions(positions, 25)
    for image in range(0, 220, 7):
        metres = metres_between(positions[image], positions, DEGREES)
        ids, squared = search.positives_of_image(image)
        assert ids.tolist() == np.flatnonzero(metres <= 25).tolist() and len(ids) > 0
        assert np.sqrt(squared) == pytest.approx(metres[ids], abs=1e-6)
        assert (search.near(positions[image], np.arange(221)) == (metres <= 25)).all()
    assert search.positives([np.nan, 0])[0].size == 0


def test_hundred_thousand_positions_are_searched_in_milliseconds():
    draws = np.random.default_rng(7)
    cities = np.array([[55.68, 12.57], [37.77, -122.42], [-17.0, 179.99]])[draws.integers(0, 3, 100_000)]
    positions = cities + draws.uniform(-0.01, 0.01, (100_000, 2))
    search = GlobePositions(positions, 25)
    started = time.perf_counter()
    for position in positions[:100]:
        search.positives(position)
    assert (time.perf_counter() - started) / 100 < 0.005  # 0.1 ms measured


@pytest.mark.parametrize(
    ("degrees", "zone"),
    [
        ([(48.0, 11.99), (48.0, 12.01)], "32N"),  # the first one's, over the border
        ([(48.0, 12.01), (48.0, 11.99)], "33N"),
        ([(-17.0, 179.99), (-17.0, -179.99)], "60S"),
        ([(0.001, 36.8), (-0.001, 36.8)], "37N"),
        ([(0.0, 11.9), (0.0, 17.9)], "33N"),  # too wide for the first one's zone, not for the next one's
        ([(78.2, 9.5), (78.2, 20.5)], "33N"),  # Svalbard's zones are twice as wide
        ([(-77.85, 166.7)], "58S"),
        ([(55.68, 12.57), (37.77, -122.42)], None),
        ([(0.0, 11.0), (0.0, 19.0)], None),
        ([(84.5, 10.0)], None),
        ([(-80.5, 10.0), (-79.0, 10.0)], None),
        ([(np.nan, np.nan)], None),
    ],
)
def test_a_zone_is_common_where_its_metres_are_true_for_all(degrees, zone):
    places = np.array(degrees)
    assert common_zone(places) == zone
    (positions,), frame = in_one_frame([(places, DEGREES)])
    assert frame == (zone or DEGREES)
    if zone:
        flat, ground = (
            np.linalg.norm(positions - positions[0], axis=1),
            metres_between(places[0], places, DEGREES),
        )
        assert flat == pytest.approx(ground, rel=1.5e-3)


def test_a_zone_far_away_is_refused_instead_of_stretching_metres():
    with pytest.raises(DatasetError, match=r"position 1: latitude 37.77, .* is not in or near UTM zone 33N"):
        latlon_to_utm([55.68, 37.77], [12.57, -122.42])


def test_metres_that_no_place_of_the_zone_has_are_refused():
    with pytest.raises(DatasetError, match="-9000000 m east is not in or near zone 33N"):
        to_degrees([[347_071.0, 6_172_701.0], [-9e6, 4e6]], "33N")


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_on_a_map_directions_and_distances_from_the_centre_are_true(place):
    positions = scattered(place, 50, 3000.0)
    drawn = map_metres(positions, place, DEGREES)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(metres_between(place, positions, DEGREES))
    if abs(place[0]) < 90:
        north, east = map_metres([[place[0] - 0.001, place[1]], [place[0], place[1] + 0.001]], place, DEGREES)
        assert north[1] < -100 and abs(north[0]) < 1e-6 and east[0] > 10 and abs(east[1]) < 0.01


@pytest.mark.parametrize(
    ("text", "frame", "want"),
    [
        ("55.7, 13.2", DEGREES, (55.7, 13.2)),
        ("-90,180", DEGREES, (-90, 180)),
        ("390100,6170000,33N", DEGREES, (55.66338, 13.25293)),
        ("390100, 6170000 , 33N", DEGREES, (55.66338, 13.25293)),
        ("95,13", None, (95, 13)),
    ],
)
def test_positions_are_read_in_degrees_or_metres_of_a_zone(text, frame, want):
    assert parse_position(text, frame) == pytest.approx(want, abs=1e-5)


@pytest.mark.parametrize(
    ("text", "frame", "said"),
    [
        ("95,13", DEGREES, "within 90 and 180"),
        ("139.69,35.68", DEGREES, "within 90 and 180"),
        ("390100,6170000", DEGREES, "390100,6170000,33N"),
        ("390100,6170000,99N", DEGREES, "not a UTM zone"),
        ("nan,13", DEGREES, "is not a position"),
        ("55.7", DEGREES, "is not a position"),
        ("55.7,13.2,33N,1", DEGREES, "is not a position"),
        ("390100,6170000,33N", None, "does not know its UTM zone"),
        ("here", None, "EAST,NORTH in metres"),
    ],
)
def test_other_positions_are_refused_with_what_to_give(text, frame, said):
    with pytest.raises(DatasetError, match=said):
        parse_position(text, frame)


CITY = np.array([[55.7, 13.19], [55.7012, 13.1907], [55.7031, 13.1911], [55.81, 13.2]])


@pytest.mark.parametrize(
    "degrees",
    [
        CITY,
        CITY[:, ::-1],
        [[35.6812, 139.7671]],
        [[51.5, -0.12], [51.503, -0.119]],
        [*CITY, (0, 0)],  # one photo whose GPS had no fix
        [*CITY, (np.nan, np.nan)],
        [*CITY, (37.775, -122.419), (37.7751, -122.4192)],
    ],
)
def test_degrees_given_as_metres_are_refused_with_what_to_do(degrees):
    with pytest.raises(DatasetError, match=r"mine: .*latitudes and longitudes.*latlon_to_utm.*add 1000"):
        refuse_degrees("mine", np.array(degrees, float), 25)
    refuse_degrees("mine", np.array(degrees, float) + 1000, 25)


@pytest.mark.parametrize(
    "metres",
    [
        np.zeros((0, 2)),
        [[np.nan, np.nan]],
        [[0, 0], [3.5, 4.2]],
        [[0.3, 0.4], [10.5, 2.5]],
        [[10, 20], [11, 20]],
        np.random.default_rng(0).uniform(0, 90, (50, 2)),
        np.random.default_rng(0).uniform(0, 25, (200, 2)),
        [[390100.5, 6170000.5], [390101.5, 6170000.5]],
        [[500.25, 30.5], [501.25, 30.5]],
    ],
)
def test_metres_of_a_small_map_are_taken(metres):
    refuse_degrees("toy", np.array(metres, float).reshape(-1, 2), 25)
