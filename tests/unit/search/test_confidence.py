"""How sure an answer is: probabilities are those that are observed; what cannot be known stays unknown."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from deepibl.errors import IndexFileError
from deepibl.search import edit_index
from deepibl.search.answer import VERDICTS, Answer, agreeing, estimate_at, verdict_of
from deepibl.search.confidence import Calibration, Found, evidence
from deepibl.search.index import PlaceIndex

DIM = 24
SURE, LIKELY, NOT_SURE = (words for _, words in VERDICTS)


def look(places: np.ndarray, noise: float, seed: int, city: int = 0) -> np.ndarray:
    """Unit descriptors (N, DIM) of positions (N, 2) in a city, with noise: they change over about 15 m."""
    world, photo = np.random.default_rng(city), np.random.default_rng([seed, 1])
    waves = world.normal(0, 1 / 15, (2, DIM))
    rows = np.cos(places @ waves + world.uniform(0, 2 * np.pi, DIM))
    rows += photo.normal(0, 1, rows.shape) * photo.uniform(0, 2 * noise, (len(rows), 1))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def street(count: int = 600, step: float = 8.0) -> np.ndarray:
    return np.stack([np.arange(count) * step, np.zeros(count)], axis=1)


def index_of(places: np.ndarray, descriptors: np.ndarray, **changes: object) -> PlaceIndex:
    names = [f"{i}.jpg" for i in range(len(places))]
    return PlaceIndex(descriptors, names, places, "ab" * 32, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def index() -> PlaceIndex:
    return index_of(street(), look(street(), 0.5, 0)).with_confidence()


def asked(index: PlaceIndex, noise: float, seed: int, count: int = 3000) -> tuple[np.ndarray, np.ndarray]:
    """Confidence and truth of the first answer to photos, one in ten of which is of another street."""
    east = np.random.default_rng([seed, 2]).uniform(0, index.positions[-1, 0], count)
    places = np.stack([east, np.where(np.arange(count) % 10, 0.0, 7000.0)], axis=1)
    answers = index.search(look(places, noise, seed), 1)
    right = [np.hypot(*(at - (a[0].east, a[0].north))) <= 25 for a, at in zip(answers, places, strict=True)]
    return np.array([answer.confidence for answer in answers]), np.array(right)


def test_predicted_probabilities_are_observed(index: PlaceIndex) -> None:
    sure, right = asked(index, 0.5, 5)
    assert 0.3 < right.mean() < 0.95
    assert abs(sure.mean() - right.mean()) < 0.1
    for low, high in ((0.0, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        between = (sure >= low) & (sure <= high)
        assert between.sum() > 50
        assert abs(sure[between].mean() - right[between].mean()) < 0.13, (low, between.sum())
    assert index.calibration.brier < 0.8 * right.mean() * (1 - right.mean())


def test_queries_with_positions_calibrate_what_the_index_alone_cannot_know(index: PlaceIndex) -> None:
    places = street(400, 11.7)
    better = index.with_confidence(queries=(look(places, 1.0, 7), places))
    assert better.calibration.source == "query photos"
    sure, right = asked(better, 1.0, 9)
    assert abs(sure.mean() - right.mean()) < 0.1


@pytest.mark.parametrize("what", ["another city", "noise", "one colour"])
def test_what_is_not_in_the_index_has_no_confident_match(index: PlaceIndex, what: str) -> None:
    rows = {
        "another city": look(street(200, 31.0), 0.2, 3, city=1),
        "noise": np.random.default_rng(4).normal(0, 1 / np.sqrt(DIM), (200, DIM)).astype(np.float32),
        "one colour": np.full((1, DIM), DIM**-0.5, np.float32),
    }[what]
    answers = index.search(rows, 5)
    assert np.mean([answer.verdict == NOT_SURE for answer in answers]) > 0.85
    assert all(answer.estimate is None for answer in answers if answer.verdict == NOT_SURE)
    assert np.mean([answer.verdict == SURE for answer in answers]) <= 0.05


def test_an_answer_is_surer_the_nearer_the_clearer_and_the_more_agree(index: PlaceIndex) -> None:
    _, distance, margin, agreement = index.calibration.weights
    assert distance <= 0 <= margin and agreement >= 0


def test_no_probability_is_nearer_to_one_than_the_questions_can_show() -> None:
    apart = index_of(street(120), look(street(120), 0.0, 0)).with_confidence()
    sure = [answer.confidence for answer in apart.search(apart.descriptors, 1)]
    assert max(sure) == pytest.approx(1 - 1 / (apart.calibration.questions + 2))


def test_images_of_one_spot_do_not_answer_each_other() -> None:
    spots = np.repeat(street(150, 200.0), 4, axis=0)  # four photos of each spot, no other within 25 m
    alone = index_of(spots, look(spots, 0.05, 0)).with_confidence()
    assert alone.calibration.right == 0
    assert not alone.calibration.weights


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        (np.full((300, 2), np.nan), "it takes 50 images of the index with positions; there are 0"),
        (street(1), "it takes 50 images of the index with positions; there is 1"),
        (street(15), "it takes 50 images of the index with positions; there are 15"),
        (
            np.zeros((60, 2)),
            "it takes 50 images of the index that can find images farther than 2 m away; there are 0",
        ),
        (street(300, 100.0), "it takes 20 images of the index that find another within 25 m; there are 0"),
    ],
)
def test_an_index_that_cannot_be_calibrated_says_why(places: np.ndarray, reason: str) -> None:
    index = index_of(places, look(np.nan_to_num(places), 0.1, 0)).with_confidence()
    answer = index.search(index.descriptors[:1], 3)[0]
    assert (answer.confidence, answer.verdict) == (None, "confidence unknown")
    assert reason in answer.reason and reason in answer.summary
    assert [match.confidence for match in answer] == [None] * min(3, len(places))
    assert answer.as_dict()["confidence"] is None


def test_queries_cannot_calibrate_an_index_without_positions() -> None:
    places = street(60)
    index = index_of(np.full((60, 2), np.nan), look(places, 0.1, 0))
    reason = index.with_confidence(queries=(look(places, 0.1, 1), places)).calibration.reason
    assert reason == "it takes 50 query photos that can find images with positions; there are 0"


def test_a_blank_photo_has_no_match_in_an_index_of_few_photos_either() -> None:
    places = street(15)
    rows = look(places, 0.1, 0)
    blank = look(np.array([[9e5, 9e5]]), 0.1, 1)
    few = replace(index_of(places, rows), blanks=blank).with_confidence()
    for near in ({}, {"near": places[3], "within": 50.0}):
        card, photo = few.search(np.concatenate([blank, rows[3:4]]), 3, **near)
        assert (card.verdict, card.confidence, card.estimate) == ("no confident match", None, None)
        assert (
            card.summary
            == "no confident match (the photo is more like a blank one than like any of the index)"
        )
        assert photo.verdict == "confidence unknown" and photo.estimate is not None


def test_a_best_match_without_position_has_no_confidence(index: PlaceIndex) -> None:
    places = index.positions.copy()
    places[7] = np.nan
    some = index_of(places, index.descriptors).with_confidence()
    answer = some.search(index.descriptors[7:8], 5)[0]
    assert answer[0].name == "7.jpg"
    assert (answer.confidence, answer.estimate) == (None, None)
    assert "position of the best match is unknown" in answer.summary
    assert some.search(index.descriptors[100:101], 1)[0].confidence is not None


def test_the_calibration_is_kept_in_the_file_and_damage_is_found(index: PlaceIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "a.idx")
    assert PlaceIndex.load(tmp_path / "a.idx").calibration == index.calibration
    text = index.calibration.as_text()
    for wrong in ("", "[]", "{}", text.replace("weights", "waits"), text.replace("[", "[1, ", 1), "{" + text):
        with pytest.raises(ValueError, match="calibration is damaged"):
            Calibration.from_text(wrong)


def test_blank_images_are_kept_in_the_file_and_must_fit(index: PlaceIndex, tmp_path: Path) -> None:
    for blanks in (np.ones((3, DIM), np.float32), np.ones((0, DIM), np.float32)):
        replace(index, blanks=blanks).save(tmp_path / "a.idx")
        np.testing.assert_array_equal(PlaceIndex.load(tmp_path / "a.idx").blanks, blanks)
        assert PlaceIndex.load(tmp_path / "a.idx").search(index.descriptors[:2], 1)[0]
    with pytest.raises(IndexFileError, match="blank images"):
        replace(index, blanks=np.ones((3, 5), np.float32))


def test_other_images_are_not_judged_by_an_old_calibration(index: PlaceIndex, tmp_path: Path) -> None:
    assert not index.without(["3.jpg"]).calibration.weights
    assert not index.merge(index_of(street(3), look(street(3), 0.1, 8))).calibration.weights
    index.save(tmp_path / "a.idx")
    edited = edit_index(tmp_path / "a.idx", delete=[f"{i}.jpg" for i in range(300)])
    assert edited.calibration.weights and edited.calibration.questions <= 300
    assert edit_index(tmp_path / "a.idx", backend="ivfpq").calibration == edited.calibration


def test_a_position_to_look_around_is_not_evidence(index: PlaceIndex) -> None:
    photo = look(np.array([[1000.0, 0.0]]), 0.0, 1)
    free = index.search(photo, 1)[0]
    assert free.verdict == SURE
    assert index.search(photo, 1, near=(1000.0, 0.0), within=60.0)[0].confidence == free.confidence
    elsewhere = index.search(photo, 1, near=(3000.0, 0.0), within=60.0)[0]
    assert elsewhere.verdict == NOT_SURE
    nothing = index.search(photo, 1, near=(0.0, 9999.0), within=60.0)[0]
    assert (list(nothing), nothing.summary) == ([], f"{NOT_SURE} (no image of the index is in range)")


def test_every_backend_and_any_top_gives_the_same_confidence(index: PlaceIndex) -> None:
    photos = look(street(20, 203.0), 0.2, 11)
    want = [(answer.confidence, answer.estimate) for answer in index.search(photos, 1)]
    assert [(answer.confidence, answer.estimate) for answer in index.search(photos, 30)] == want
    walked = [answer.confidence for answer in index.with_backend("hnsw").search(photos, 1)]
    assert np.median(np.abs(np.array(walked) - [confidence for confidence, _ in want])) < 0.02


def test_what_looks_like_a_blank_image_is_not_claimed(index: PlaceIndex) -> None:
    dark = index.descriptors[50:51]  # an image of the index that looks almost like a grey card
    card = dark + np.float32(0.02)
    assert index.search(card, 1)[0].verdict == SURE
    asked = replace(index, blanks=card.copy()).with_confidence()
    assert asked.search(card, 1)[0].verdict == NOT_SURE
    others = look(street(100, 41.0), 0.2, 6)
    assert sum(a.verdict == SURE for a in asked.search(others, 1)) > 20


def test_the_place_of_a_photo_is_where_the_agreeing_images_are() -> None:
    points = np.array([[0.0, 0.0], [10.0, 0.0], [500.0, 0.0], [np.nan, np.nan], [20.0, 0.0]])
    distances = np.square([1.0, 2.0, 4.0, 4.5, 5.0])
    weights = agreeing(points, distances, 25.0)
    assert weights.tolist() == pytest.approx([0.6, 0.4, 0, 0, 0])  # 3 and 2 below the nearest elsewhere
    at = estimate_at(points, weights, None)
    assert (at.east, at.spread) == pytest.approx((4.0, np.sqrt(0.6 * 16 + 0.4 * 36)))
    assert agreeing(points[[0, 1, 4]], distances[:3], 25.0).tolist() == pytest.approx([0.6, 0.4, 0])
    assert agreeing(points[:1], distances[:1], 25.0).tolist() == [1]
    assert agreeing(points[[2, 0, 1]], distances[[0, 0, 1]], 25.0).tolist() == [1, 0, 0]
    assert not agreeing(points[3:], distances[3:], 25.0).any()


def test_the_estimate_is_nearer_than_the_first_match(index: PlaceIndex) -> None:
    east = np.random.default_rng(1).uniform(100, 4000, 300)
    answers = index.search(look(np.stack([east, 0 * east], axis=1), 0.3, 2), 1)
    sure = [(a, at) for a, at in zip(answers, east, strict=True) if a.verdict == SURE and a.estimate]
    first, estimated = (
        np.median([abs(e - at) for e, at in pairs])
        for pairs in ([(a[0].east, at) for a, at in sure], [(a.estimate.east, at) for a, at in sure])
    )
    assert len(sure) > 30 and estimated <= first + 1


@pytest.mark.parametrize("longitude", [13.0, 179.99998, -179.99998])
def test_an_estimate_is_true_on_both_sides_of_the_date_line(longitude: float) -> None:
    shifts = np.array(
        [0.0, 4e-5, 8e-5, 12e-5, 0.01]
    )  # degrees; 9 m of longitude at 0 north between the first
    places = np.stack([np.zeros(5), (longitude + shifts + 180) % 360 - 180], axis=1)
    index = index_of(places, np.eye(5, dtype=np.float32), frame="degrees")
    asked = np.array([[0.6, 0.6, 0.5, 0.1, 0.0]], np.float32)
    estimate = index.search(asked, 1)[0].estimate
    assert estimate is not None and estimate.images == 4
    off = (estimate.longitude - longitude + 180) % 360 - 180
    assert 2e-5 < off < 8e-5 and abs(estimate.longitude) <= 180
    assert 2 < estimate.spread < 9


@pytest.mark.parametrize("backend", ["exact", "ivfpq", "hnsw"])
def test_tiny_and_unplaced_indexes_answer_with_every_backend(backend: str) -> None:
    for count in (0, 1, 2, 30):
        places = np.full((count, 2), np.nan) if count == 30 else street(count)
        index = index_of(places, look(np.nan_to_num(places), 0.1, 0))
        index = index.with_backend(backend if count > 2 else "exact").with_confidence()
        answers = index.search(look(street(2), 0.1, 1), 5)
        assert [len(answer) for answer in answers] == [min(5, count)] * 2
        assert all(answer.confidence is None for answer in answers)


def test_a_dense_index_is_calibrated_and_a_large_one_asks_some_of_its_images() -> None:
    places = street(3000, 0.25)  # 200 images within 25 m of each
    dense = index_of(places, look(places, 0.4, 0)).with_confidence()
    assert dense.calibration.weights and dense.calibration.questions <= 1000
    found = dense.search(look(street(200, 3.7), 0.4, 3), 1)
    right = np.mean([abs(a[0].east - 3.7 * i) <= 25 for i, a in enumerate(found)])
    assert abs(np.mean([a.confidence for a in found]) - right) < 0.15


def test_evidence_of_two_places() -> None:
    found = Found(np.array([[1.0, 4.0, 9.0]]), np.array([[[0.0, 0], [10, 0], [100, 0]]]))
    np.testing.assert_allclose(
        evidence(found, found, 25.0)[0], [[1, (3 - 1) / 4, 0.5], [1, (3 - 1) / 4, 0.5], [3, (1 - 3) / 4, 0.0]]
    )


@pytest.mark.parametrize(
    ("confidence", "said"),
    [(1.0, SURE), (0.9, SURE), (0.89, LIKELY), (0.7, LIKELY), (0.69, NOT_SURE), (None, "confidence unknown")],
)
def test_verdicts(confidence: float | None, said: str) -> None:
    assert verdict_of(confidence) == said


def test_an_answer_is_a_list_of_matches(index: PlaceIndex) -> None:
    answer = index.search(index.descriptors[:1], 3)[0]
    assert isinstance(answer, Answer) and len(answer) == 3 and [m.rank for m in answer] == [1, 2, 3]


def test_a_damaged_calibration_in_a_file_is_named(index: PlaceIndex, tmp_path: Path) -> None:
    broken = index_of(index.positions, index.descriptors, calibration=Calibration(weights=(1.0, 2.0)))
    broken.save(tmp_path / "a.idx")
    with pytest.raises(IndexFileError, match="its calibration is damaged"):
        PlaceIndex.load(tmp_path / "a.idx")
