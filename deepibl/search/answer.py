"""The answer to a query: its matches, how sure the best one is, and where the agreeing ones put the query."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from deepibl.datasets.geo import DEGREES, in_space, latlon_to_utm, map_link, metres_between, zone_of
from deepibl.errors import how_many
from deepibl.search.confidence import DEPTH, UNFITTED, Calibration, metres

VERDICTS = ((0.9, "confident"), (0.7, "likely"), (0.0, "no confident match"))  # least confidence
UNKNOWN = "confidence unknown"
LEAST, SURE = 15, 30  # inliers that make a match likely, confident


def verdict_of(confidence: float | None) -> str:
    """A confidence in words, by VERDICTS; None is unknown."""
    if confidence is None:
        return UNKNOWN
    return next(words for least, words in VERDICTS if confidence >= least)


@dataclass(frozen=True, kw_only=True)
class Position:
    """latitude, longitude: degrees; east, north: metres of its own UTM zone, or of the index's plane.

    None where they are not known; metres also beyond -80 and 84 degrees of latitude.
    """

    east: float | None = None
    north: float | None = None
    utm_zone: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    map_link: str | None = None

    @property
    def coordinates(self) -> tuple[float | None, float | None]:
        """Latitude and longitude, else metres east and north, else None twice."""
        return (self.east, self.north) if self.latitude is None else (self.latitude, self.longitude)

    @property
    def position(self) -> str:
        """Metres and their zone, degrees where there is no zone, or 'position unknown'."""
        if self.east is not None and self.north is not None:
            return f"{self.east:.1f} E {self.north:.1f} N {self.utm_zone or ''}".rstrip()
        if self.latitude is not None:
            return f"latitude {self.latitude:.6f} longitude {self.longitude:.6f}"
        return "position unknown"


@dataclass(frozen=True)
class Match(Position):
    """One image that was found; distance: squared L2 distance of the descriptors.

    confidence: the probability that it is within the index's threshold of the query, by the descriptors;
    None: unknown. row: the image's row in the index, ignored when matches are compared; None in a database.
    inliers: points that fit one scene in both photos (`deepibl.search.geometry`); None: not looked for.
    """

    rank: int
    name: str
    path: str
    distance: float
    confidence: float | None = None
    row: int | None = field(default=None, compare=False)
    inliers: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """The match as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Estimate(Position):
    """Where a query was taken, by the `images` (their number) that agree with the best one.

    spread: weighted root mean square distance of these images from it in metres; None for a single one.
    """

    images: int
    spread: float | None

    def __str__(self) -> str:
        spread = "" if self.spread is None else f", spread {self.spread:.1f} m"
        return f"{self.position}{spread}, from {how_many(self.images, 'image')}"


class Answer(list[Match]):
    """The matches of one query, best first: a list, with what is known of them together.

    confidence: the probability that the best match is within `threshold` metres of the query; None: unknown,
    for the `reason`. verdict: in words, see VERDICTS. estimate: None where no position is known, and for "no
    confident match". blank: whether the query is nearer to a blank image than to any match: where the
    confidence is unknown, that is "no confident match".
    """

    def __init__(
        self,
        matches: Iterable[Match] = (),
        calibration: Calibration = UNFITTED,
        estimate: Estimate | None = None,
        blank: bool = False,
    ) -> None:
        super().__init__(matches)
        self.threshold = calibration.threshold
        self.confidence = self[0].confidence if self else None
        unsure = not self or (blank and self.confidence is None)
        self.verdict = verdict_of(0.0 if unsure else self.confidence)
        self.reason = ""
        if not self:
            self.reason = "no image of the index is in range"
        elif unsure:
            self.reason = "the photo is more like a blank one than like any of the index"
        elif self.confidence is None:
            self.reason = calibration.reason or "the position of the best match is unknown"
        self.estimate = None if self.verdict == VERDICTS[-1][1] else estimate

    @property
    def summary(self) -> str:
        """The verdict with its probability, or with the reason why there is none."""
        if self.confidence is None:
            return f"{self.verdict} ({self.reason})"
        return f"{self.verdict} (probability {self.confidence:.2f} of being within {self.threshold:g} m)"

    def ordered(self, order: Sequence[int], inliers: Sequence[int], top: int) -> Answer:
        """This answer with its matches in another order, `top` of them.

        order: where they are now. inliers: of the first matches as they are now, see `Match`. Where the new
        first one has LEAST or more, these decide the verdict, and the position is that of the images around
        it with as many, weighted by them.
        """
        made = copy(self)
        seen = [replace(match, inliers=int(count)) for match, count in zip(self, inliers, strict=False)]
        seen += self[len(seen) :]
        made[:] = [replace(seen[i], rank=rank) for rank, i in enumerate(order[:top], start=1)]
        sure = [seen[i] for i in order if (seen[i].inliers or 0) >= LEAST]
        if not sure:
            return made
        made.confidence, made.reason = None, f"{sure[0].inliers} points of both photos fit one scene"
        made.verdict = VERDICTS[int((sure[0].inliers or 0) < SURE)][1]
        frame = None if sure[0].latitude is None else DEGREES
        places = np.array([match.coordinates for match in sure], np.float64)
        near = metres_between(places, places[0], frame) <= self.threshold
        weights = np.array([match.inliers for match in sure], np.float64) * near
        made.estimate = estimate_at(places, weights / max(weights.sum(), 1), frame)
        return made

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


def agreeing(points: np.ndarray, distances: np.ndarray, threshold: float) -> np.ndarray:
    """The weights (k,) of the images within `threshold` metres of the first.

    points: (k, n), see `confidence.Found`; distances: (k,), squared; nearest first. An image weighs what
    its distance is below that of the nearest one elsewhere; all weigh 0 where the first point is unknown.
    """
    away, own = metres(points[:1], points), np.sqrt(distances)
    near, other = away <= threshold, own[away > threshold]
    weights = np.where(near, np.maximum((other.min() if len(other) else own.max(initial=0)) - own, 0), 0.0)
    if near.any() and not weights.any():
        weights[0] = 1.0
    return np.asarray(weights / max(weights.sum(), 1e-12))


def estimate_at(places: np.ndarray, weights: np.ndarray, frame: str | None) -> Estimate | None:
    """The mean of positions (k, 2) of a frame, around the first, by weights (k,); None if all weigh 0."""
    used = weights > 0
    if not used.any():
        return None
    off = np.where(used[:, None], places - places[0], 0.0)
    off = (off + 180) % 360 - 180 if frame == DEGREES else off  # the date line may be between
    points = np.where(used[:, None], in_space(places, frame), 0.0)
    spread = float(np.sqrt(weights @ metres(points, weights @ points) ** 2))
    count, place = int(used.sum()), _place(places[0] + weights @ off, frame)
    return Estimate(count, spread if count > 1 else None, **place)


def make_answer(
    index: Any,
    names: Sequence[str],
    distances: Any,
    positions: Any,
    sure: Any,
    top: int,
    rows: Any = None,
    blank: float = np.inf,
) -> Answer:
    """The answer of the images `names`, nearest first, with `top` of them as matches.

    positions: (k, 2) of the index's frame, sure: (k,) confidences; NaN if unknown. rows: their ids.
    blank: squared distance of the nearest blank image.
    """
    matches = [
        Match(
            rank,
            names[i],
            os.path.join(index.root, names[i]),
            float(distances[i]),
            **_place(positions[i], index.frame),
            row=None if rows is None else int(rows[i]),
            confidence=float(sure[i]) if np.isfinite(sure[i]) else None,
        )
        for rank, i in enumerate(range(min(top, len(names))), start=1)
    ]
    nearest = np.asarray(positions[: min(DEPTH, len(names))])
    points, threshold = in_space(nearest, index.frame), index.calibration.threshold
    estimate = estimate_at(nearest, agreeing(points, distances[: len(nearest)], threshold), index.frame)
    return Answer(matches, index.calibration, estimate, bool(len(names)) and blank < distances[0])


def _place(position: np.ndarray, frame: str | None) -> dict[str, Any]:
    """What a match says of a position (2,), in degrees or, with frame None, in metres; NaN if unknown."""
    first, second = (float(value) for value in position)
    if not np.isfinite(position).all():
        return {}
    if frame is None:
        return {"east": first, "north": second}
    second = (second + 180) % 360 - 180 if abs(second) > 180 else second
    place: dict[str, Any] = {"latitude": first, "longitude": second, "map_link": map_link(first, second)}
    if zone := zone_of(first, second):
        east, north = latlon_to_utm(first, second, zone)[0][0].round(3).tolist()
        place |= {"east": east, "north": north, "utm_zone": zone}
    return place
