"""The answer to a query: its matches, how sure the best one is, and where the agreeing ones put the query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from deepibl.search.confidence import UNFITTED, Calibration, metres

if TYPE_CHECKING:
    from deepibl.search.index import Match

VERDICTS = ((0.9, "confident"), (0.7, "likely"), (0.0, "no confident match"))  # least confidence
UNKNOWN = "confidence unknown"


def verdict_of(confidence: float | None) -> str:
    """A confidence in words, by VERDICTS; None is unknown."""
    if confidence is None:
        return UNKNOWN
    return next(words for least, words in VERDICTS if confidence >= least)


def position_text(place: Match | Estimate) -> str:
    """Metres and their zone, degrees where there is no zone, or 'position unknown'."""
    if place.east is not None and place.north is not None:
        return f"{place.east:.1f} E {place.north:.1f} N {place.utm_zone or ''}".rstrip()
    if place.latitude is not None:
        return f"latitude {place.latitude:.6f} longitude {place.longitude:.6f}"
    return "position unknown"


@dataclass(frozen=True)
class Estimate:
    """Where a query was taken, by the images that agree with the best one.

    Positions are those of a match. images: how many they are. spread: weighted root mean square distance of
    these images from it in metres; None for a single one.
    """

    images: int
    spread: float | None
    east: float | None = None
    north: float | None = None
    utm_zone: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    map_link: str | None = None

    def __str__(self) -> str:
        images = "1 image" if self.images == 1 else f"{self.images} images"
        spread = "" if self.spread is None else f", spread {self.spread:.1f} m"
        return f"{position_text(self)}{spread}, from {images}"


class Answer(list["Match"]):
    """The matches of one query, best first: a list, with what is known of them together.

    confidence: the probability that the best match is within `threshold` metres of the query; None: unknown,
    for the `reason`. verdict: in words, see VERDICTS. estimate: None where no position is known, and for "no
    confident match".
    """

    def __init__(
        self,
        matches: Iterable[Match] = (),
        calibration: Calibration = UNFITTED,
        estimate: Estimate | None = None,
    ) -> None:
        super().__init__(matches)
        self.threshold = calibration.threshold
        self.confidence = self[0].confidence if self else None
        self.verdict = verdict_of(self.confidence if self else 0.0)
        self.reason = ""
        if not self:
            self.reason = "no image of the index is in range"
        elif self.confidence is None:
            self.reason = calibration.reason or "the position of the best match is unknown"
        self.estimate = None if self.verdict == VERDICTS[-1][1] else estimate

    @property
    def summary(self) -> str:
        """The verdict with its probability, or with the reason why there is none."""
        if self.confidence is None:
            return f"{self.verdict} ({self.reason})"
        return f"{self.verdict} (probability {self.confidence:.2f} of being within {self.threshold:g} m)"

    def as_dict(self) -> dict[str, Any]:
        """The answer as plain values, for JSON."""
        return {
            "verdict": self.verdict,
            "confidence": self.confidence,
            "within_metres": self.threshold,
            "reason": self.reason,
            "estimate": asdict(self.estimate) if self.estimate else None,
            "places": [match.as_dict() for match in self],
        }


def agreeing(points: np.ndarray, distances: np.ndarray, threshold: float) -> tuple[np.ndarray, float]:
    """The weights (k,) of the images within `threshold` metres of the first, and their spread in metres.

    points: (k, n), see `confidence.Found`; distances: (k,), squared; nearest first. An image weighs what
    its distance is below that of the nearest one elsewhere; all weigh 0 where the first point is unknown.
    """
    away, own = metres(points[:1], points), np.sqrt(distances)
    near, other = away <= threshold, own[away > threshold]
    weights = np.where(near, np.maximum((other.min() if len(other) else own.max(initial=0)) - own, 0), 0.0)
    if near.any() and not weights.any():
        weights[0] = 1.0
    weights /= max(weights.sum(), 1e-12)
    placed = np.where(near[:, None], points, 0.0)
    return weights, float(np.sqrt(weights @ metres(placed, weights @ placed) ** 2))
