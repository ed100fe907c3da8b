"""How sure an answer is: the probability that an image of the index is within some metres of the query.

Three numbers of the place of an image that was found, which is all within the threshold of it, speak for it
or against it. Rivals are the DEPTH nearest images of the whole index:

=========  ===========================================================================================
distance   of the descriptors (not squared), of the nearest rival at the place
margin     (e - d) / (e + d), d being that distance, e that of the nearest rival at another place, or of the
           nearest blank image (a grey card), which is at no place
agreement  the share of the other rivals that are at the place
=========  ===========================================================================================

A logistic regression makes a probability of them; its signs are fixed, so that a larger distance, a smaller
margin or less agreement never makes an answer surer. It is fitted on questions with a known answer: queries
with positions, or images of the index, each asked with all images of its own spot (SPOT metres) left out; of
each the best answer counts. Every question is asked once more with its whole place left out, where any answer
is wrong: that is how a photo of another place looks. Those count as a share ELSEWHERE of all questions.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from deepibl.runtime.files import from_plain
from deepibl.runtime.progress import working

THRESHOLD = 25.0  # metres within which a match is right, as in the recall
DEPTH = 10
SPOT = 2.0
MOST_QUESTIONS = 1000
LEAST = 50, 20  # questions, and right answers among them
ELSEWHERE = 0.1
_FOLDS, _RIDGE = 5, 1.0
_FEW = 500  # images that are all ranked for every question
# how deep at most how many are searched
_DEPTHS = ((8 * DEPTH, MOST_QUESTIONS), (64 * DEPTH, 250), (512 * DEPTH, 50))
_BLOCK = 128
_SIGNS = np.array([-1.0, 1.0, 1.0])

Nearest = Callable[[np.ndarray, int], tuple[np.ndarray, np.ndarray]]


class Found(NamedTuple):
    """What a search found for Q questions: squared distances (Q, k) and points (Q, k, n), NaN if unknown.

    Points are positions in metres, on a plane or in space, so that their differences are distances. blank:
    squared distances (Q, 1) of the nearest blank image.
    """

    distances: np.ndarray
    points: np.ndarray
    blank: Any = np.inf


def metres(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Metres between points (…, n) that broadcast, shape (…); NaN where one is unknown."""
    return np.asarray(np.linalg.norm(first - second, axis=-1))


def evidence(found: Found, rivals: Found, threshold: float) -> np.ndarray:
    """Distance, margin and agreement, (Q, k, 3), of what was found; NaN where a position is unknown."""
    if not found.distances.size:
        return np.zeros((*found.distances.shape, 3))
    away = metres(found.points[:, :, None], rivals.points[:, None])  # (Q, k, rivals)
    own, other = np.sqrt(found.distances.astype(np.float64)), np.sqrt(rivals.distances.astype(np.float64))
    reached = np.where(np.isfinite(other), other, 0).max(axis=1)[:, None]
    here = np.minimum(own, np.where(away <= threshold, other[:, None], np.inf).min(axis=2))
    elsewhere = np.where(away > threshold, other[:, None], np.inf).min(axis=2)
    elsewhere = np.where(np.isfinite(elsewhere), elsewhere, np.maximum(reached, here))
    elsewhere = np.minimum(elsewhere, np.sqrt(rivals.blank))
    margin = (elsewhere - here) / np.maximum(elsewhere + here, 1e-12)
    itself = own <= reached  # it is one of the rivals
    together, known = (away <= threshold).sum(axis=2) - itself, np.isfinite(away).sum(axis=2) - itself
    agreement = np.maximum(together, 0) / np.maximum(known, 1)
    rows = np.stack([here, margin, agreement], axis=2)
    rows[~(np.isfinite(found.points).all(axis=2) & np.isfinite(own))] = np.nan
    return rows


@dataclass(frozen=True)
class Calibration:
    """How the confidence of an index's answers is computed, and what it was fitted on.

    threshold: metres within which an answer is right. weights: of 1, distance, margin, agreement; empty:
    unknown, for the `reason`. source: what was asked. questions, right: how many had their place in the
    index, and were answered rightly. brier: mean squared difference of confidence and truth (0 or 1), on
    fifths of the questions that were left out of the fit.
    """

    threshold: float = THRESHOLD
    weights: tuple[float, ...] = ()
    source: str = ""
    questions: int = 0
    right: int = 0
    brier: float | None = None
    reason: str = "the index was not calibrated"

    def confidences(self, found: Found, rivals: Found) -> np.ndarray:
        """The probability (Q, k) that what was found is within the threshold of its query; NaN: unknown."""
        if not self.weights:
            return np.full(found.distances.shape, np.nan)
        nearest = Found(rivals.distances[:, :DEPTH], rivals.points[:, :DEPTH], rivals.blank)
        sure = _logistic(np.array(self.weights), evidence(found, nearest, self.threshold))
        least = 1 / (self.questions + 2)  # n questions show no probability nearer to 0 or 1
        return np.clip(sure, least, 1 - least)

    def __str__(self) -> str:
        if not self.weights:
            return f"confidence unknown: {self.reason}"
        return (
            f"confidence of a match within {self.threshold:g} m: fitted on {self.questions} {self.source} "
            f"({self.right} right), Brier score {self.brier:.3f}"
        )

    def as_text(self) -> str:
        """As JSON, for an index file."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Calibration":
        """Reads `as_text`. Raises ValueError for anything else."""
        try:
            found: Calibration = from_plain(cls, {"weights": None, **json.loads(text)}, "it")
        except (TypeError, ValueError):
            raise ValueError("its calibration is damaged") from None
        numbers = found.threshold, *found.weights
        if len(numbers) not in (1, 2 + len(_SIGNS)) or not np.isfinite(numbers).all():
            raise ValueError("its calibration is damaged")
        return found


UNFITTED = Calibration()


def nearest_blank(features: np.ndarray, blanks: np.ndarray | None) -> Any:
    """Squared distances (Q, 1) from descriptors (Q, D) to the nearest of blanks (P, D); infinity if None."""
    if blanks is None or not len(blanks):
        return np.inf
    each = [np.square(features - blank).sum(axis=1, keepdims=True) for blank in blanks]
    return np.min(each, axis=0)


@working("fitting the confidence of answers")
def fit_calibration(
    nearest: Nearest,
    points: np.ndarray,
    asked: np.ndarray,
    places: np.ndarray,
    *,
    source: str,
    blanks: np.ndarray | None = None,
    spot: float = -1.0,
    threshold: float = THRESHOLD,
) -> Calibration:
    """A calibration of an index, by questions with known places; without weights where they do not suffice.

    nearest: ids and squared distances of a number of nearest images of each question (id -1: none).
    points (N, n): of the index. asked (Q, D), places (Q, n): descriptors and points of the questions.
    source: what they are, in the plural. blanks (P, D): descriptors of blank images. spot: images up to this
    many metres from a question are left out of its answers; -1: none.
    """
    rows, right, folds, weights = [], [], [], []
    for radius, share in ((spot, 1 - ELSEWHERE), (threshold, ELSEWHERE)):
        found, away, who = _without(nearest, points, asked, places, radius)
        best = Found(found.distances[:, :1], found.points[:, :1])
        rows.append(evidence(best, found._replace(blank=nearest_blank(asked[who], blanks)), threshold)[:, 0])
        right.append(away <= threshold)
        folds.append(who * _FOLDS // max(1, len(asked)))
        weights.append(np.full(len(who), share / max(1, len(who))))
    questions, hits = len(right[0]), int(right[0].sum())
    x, y, fold, weight = (np.concatenate(parts) for parts in (rows, right, folds, weights))
    beyond = "with positions" if spot < 0 else f"farther than {spot:g} m away"
    needs = (
        (LEAST[0], len(asked), f"{source} with positions"),
        (LEAST[0], questions, f"{source} that can find images {beyond}"),
        (LEAST[1], hits, f"{source} that find another within {threshold:g} m"),
        (LEAST[1], len(y) - hits, "wrong answers"),
    )
    for least, there, what in needs:
        if there < least:
            reason = f"it takes {least} {what}; there {'is' if there == 1 else 'are'} {there}"
            return Calibration(threshold, source=source, questions=questions, right=hits, reason=reason)
    weight *= questions / weight.sum()
    predicted = np.empty(len(y))
    for part in range(_FOLDS):
        out = fold == part
        predicted[out] = _logistic(_fit(x[~out], y[~out], weight[~out]), x[out])
    return Calibration(
        threshold,
        weights=tuple(float(f"{each:.6g}") for each in _fit(x, y, weight)),  # as rounded by any kernel
        source=source,
        questions=questions,
        right=hits,
        brier=float(np.average((predicted - y) ** 2, weights=weight)),
        reason="",
    )


def _without(
    nearest: Nearest, points: np.ndarray, asked: np.ndarray, places: np.ndarray, radius: float
) -> tuple[Found, np.ndarray, np.ndarray]:
    """The DEPTH nearest images of each question that are farther than `radius` metres from it.

    Images without a position are left out. Returns what was found, the best image's metres from the question
    (Q',), and the ids (Q',) of the questions; those with fewer images left are not among them.
    """
    kept = np.full((len(asked), DEPTH), -1)
    distances = np.full((len(asked), DEPTH), np.inf)
    few = len(points) <= _FEW
    for depth, most in [(len(points), MOST_QUESTIONS)] if few else _DEPTHS:
        waiting = np.flatnonzero(kept[:, -1] < 0)
        waiting = waiting[:: 1 + len(waiting) // (most + 1)]
        for start in range(0, len(waiting), _BLOCK):
            block = waiting[start : start + _BLOCK]
            ids, squared = nearest(asked[block], depth)
            left = (metres(places[block, None], points[ids]) > radius) & (ids >= 0)
            order = np.argsort(~left, axis=1, kind="stable")[:, :DEPTH]
            left, ids, squared = (np.take_along_axis(a, order, axis=1) for a in (left, ids, squared))
            kept[block, : left.shape[1]] = np.where(left, ids, -1)
            distances[block, : left.shape[1]] = np.where(left, squared, np.inf)
    who = np.flatnonzero(kept[:, 0 if few else -1] >= 0)
    found = Found(distances[who], np.where((kept[who] >= 0)[..., None], points[kept[who]], np.nan))
    return found, metres(places[who], found.points[:, 0]), who


def _fit(rows: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The weights of 1 and of the columns of `rows` (P, 3); the columns' have the signs _SIGNS."""
    centre, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-9
    x = np.concatenate([np.ones((len(rows), 1)), (rows - centre) / scale * _SIGNS], axis=1)
    ridge = np.array([0.0, *[_RIDGE] * len(_SIGNS)])  # keeps the weights finite where one column decides all

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        score = x @ w
        value = weight @ (np.logaddexp(0, score) - right * score) + ridge @ w**2 / 2
        return float(value), x.T @ (weight * (expit(score) - right)) + ridge * w

    bounds = [(None, None), *[(0, None)] * len(_SIGNS)]
    fitted = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = fitted[1:] * _SIGNS / scale
    return np.array([fitted[0] - slopes @ centre, *slopes])


def _logistic(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return np.asarray(expit(weights[0] + rows @ weights[1:]))
