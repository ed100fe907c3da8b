"""An index of a place: descriptors, names, positions and the identity of their network, in one file.

`deepibl.search.index_file` describes the file. An index is immutable: `merge`, `without` and `with_backend`
return a new one that shares the descriptors. A query must come from the index's network.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from numbers import Integral
from typing import Any

import numpy as np

from deepibl.datasets.geo import DEGREES, arc, in_space, to_degrees
from deepibl.datasets.positions import one_position
from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.images import AS_STORED, Reading
from deepibl.runtime.files import RowView
from deepibl.search import confidence
from deepibl.search.answer import Answer, make_answer
from deepibl.search.compressed import CompressedIndex, Structure, build_structure, require_fit
from deepibl.search.confidence import DEPTH, UNFITTED, Calibration
from deepibl.search.exact import Searcher
from deepibl.search.index_file import read_file, write_file
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath


@dataclass(frozen=True, eq=False)
class PlaceIndex:
    """Descriptors (N, D), float32 or float16, with names below `root` and positions (N, 2).

    frame: 'degrees' (latitude, longitude) or None (metres of an unknown zone); metres of a zone such as '33N'
    become degrees. reading: how images were scaled and turned, and queries are: extract(net, photos,
    **asdict(index.reading)). structure: finds candidates; None: searches are exact. largest: the largest
    squared norm of a descriptor, if known. blanks: descriptors (P, D) of blank images. calibration: of the
    answers' confidence; other images than those it was fitted on need another one.
    Raises IndexFileError for parts that do not fit together.
    """

    descriptors: Any
    names: list[str]
    positions: np.ndarray
    network_id: str
    network_path: str = ""
    root: str = ""
    frame: str | None = None
    reading: Reading = AS_STORED
    structure: Structure | None = None
    largest: float | None = None
    blanks: np.ndarray | None = None
    calibration: Calibration = UNFITTED

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.descriptors.ndim != 2 or len(self.descriptors) != count or self.positions.shape != (count, 2):
            raise IndexFileError(
                f"the parts of the index do not fit together: {count} names, descriptors "
                f"{self.descriptors.shape}, positions {self.positions.shape}; expected (N, D) and (N, 2)"
            )
        if self.blanks is not None and self.blanks.shape[1:] != self.descriptors.shape[1:]:
            raise IndexFileError(f"blank images have descriptors {self.blanks.shape[1:]}, images {self.dim}")
        if self.frame not in (None, DEGREES):
            object.__setattr__(self, "positions", to_degrees(self.positions, self.frame))
            object.__setattr__(self, "frame", DEGREES)
        if self.frame == DEGREES and (np.abs(self.positions) > (90, 180)).any():
            raise IndexFileError("the positions of the index are beyond 90 and 180 degrees")
        if self.structure is not None:
            require_fit(self.structure, self.descriptors, "the index's structure")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def backend(self) -> str:
        """How it is searched: 'exact', 'ivfpq' or 'hnsw'."""
        return "exact" if self.structure is None else self.structure.kind

    @property
    def dim(self) -> int:
        """Dimensions D of a descriptor."""
        return int(self.descriptors.shape[1])

    def save(self, path: StrPath) -> None:
        """Writes the index under a temporary name, then replaces `path`."""
        write_file(path, {part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def load(cls, path: StrPath) -> PlaceIndex:
        """Opens an index; descriptors and structure are memory-mapped, not read.

        Raises IndexFileError for a file that is missing, damaged or not an index of a known version.
        """
        return cls(**read_file(path))

    def require_network(self, network_id: str) -> None:
        """Raises NetworkMismatchError unless `network_id` is the network that made this index."""
        if network_id != self.network_id:
            raise NetworkMismatchError(
                f"this index was made by network {self.network_id[:12]}… "
                f"({self.network_path or 'path unknown'}), the query comes from network {network_id[:12]}…: "
                "use the index's own network (int8-…: with its --scales), or make an index with the new one"
            )

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[Answer]:
        """The `top` nearest images of each row of `features` (Q, D) float32, nearest first.

        near: a position of the index's frame, (2,) for all queries or (Q, 2) one each; within: only images
        within this many metres of it are found, which may be fewer than `top` or none. Such a search is exact
        with every backend; its confidences do not count the position as evidence: they come from a search of
        the whole index. Raises NetworkMismatchError for descriptors of another width, ArgumentError for half
        a position, degrees beyond 90 and 180, and `top` below 1.
        """
        check_question(self.dim, features, near, within, top)
        if near is None:
            return self._answers(features, *self._nearest(features, max(top, DEPTH)), top)
        answers = [Answer() for _ in features]
        for place, asked in by_place(near, len(features), self.frame):
            rows = self.ids_within(place, float(within or 0))
            view = RowView([(self.descriptors, rows)])
            ids, distances = Searcher(view, self._searcher.largest).nearest(features[asked], max(top, DEPTH))
            rivals = self._nearest(features[asked], DEPTH) if self.calibration.weights else None
            found = self._answers(features[asked], rows[ids], distances, top, rivals)
            for query, answer in zip(asked, found, strict=True):
                answers[query] = answer
        return answers

    def ids_within(self, near: Any, within: float) -> np.ndarray:
        """Ids (M,), ascending, of the images `within` metres of a position (2,) of the index's frame."""
        return np.flatnonzero(self.metres_from(near) <= within)

    def metres_from(self, near: Any) -> np.ndarray:
        """Metres (N,) from a position (2,) of the index's frame to each image; NaN where that is unknown."""
        away = self._points - in_space(one_position(near), self.frame)
        return arc(np.sqrt(np.einsum("ij,ij->i", away, away)), self.frame)

    def at(self, root: str) -> PlaceIndex:
        """This index with its images in another folder."""
        return replace(self, root=os.path.abspath(root))

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""
        return set(names).intersection(self.names)

    def merge(self, other: PlaceIndex) -> PlaceIndex:
        """These images, then those of `other`; an image that both have, by name, is that of `other`.

        Root, precision and backend are this index's: names outside the root become absolute paths,
        lists (ivfpq) keep their centres and encode the new images, a graph (hnsw) links them in. Descriptors
        are not copied before the index is saved.
        Raises NetworkMismatchError for another network, IndexFileError if images were scaled differently or
        only one of the two knows where on the globe its images are.
        """
        require_same_kind(self, other)
        frame = merged_frame(self.frame, bool(np.isfinite(self.positions).any()), other)
        names = names_below(self.root, other.root, other.names)
        replaced = set(names)
        more: Any = {"names": names, "positions": other.positions, "frame": frame, "largest": None}
        return self._edited(replaced, [(other.descriptors, None)], **more)

    def without(self, names: Iterable[str]) -> PlaceIndex:
        """This index without some images. Raises ArgumentError for a name that is not in it."""
        gone = set(names)
        require_names(gone, gone.intersection(self.names))
        return self._edited(gone, [], names=[], positions=self.positions[:0])

    def _edited(
        self, gone: set[str], more: list[Any], names: list[str], positions: np.ndarray, **others: Any
    ) -> PlaceIndex:
        """Without the images called `gone`, with the rows `more`, their names and positions behind."""
        kept = np.array([i for i, name in enumerate(self.names) if name not in gone], np.int64)
        rows = RowView([(self.descriptors, kept), *more], self.descriptors.dtype)
        return replace(
            self,
            descriptors=rows,
            names=[self.names[i] for i in kept] + names,
            positions=np.concatenate([self.positions[kept], positions]),
            structure=self.structure.edited(kept, rows) if self.structure and len(rows) > 1 else None,
            calibration=UNFITTED,
            **others,
        )

    def with_backend(self, kind: str, **settings: Any) -> PlaceIndex:
        """This index with the backend 'exact', 'ivfpq' or 'hnsw'. settings: see `build_structure`."""
        structure = None if kind == "exact" else build_structure(kind, self.descriptors, **settings)
        return replace(self, structure=structure)

    def with_confidence(
        self, threshold: float = confidence.THRESHOLD, queries: tuple[np.ndarray, np.ndarray] | None = None
    ) -> PlaceIndex:
        """This index with a calibration of its answers, see `deepibl.search.confidence`.

        threshold: metres within which an answer is right. queries: descriptors (Q, D) and positions (Q, 2) of
        photos whose place is known, in the index's frame; by default images of the index, MOST_QUESTIONS at
        most, at random.
        """
        how: dict[str, Any] = {"source": "query photos", "threshold": threshold, "blanks": self.blanks}
        if queries is None:
            known = np.flatnonzero(np.isfinite(self.positions).all(axis=1))
            chosen = np.sort(np.random.default_rng(0).permutation(known)[: confidence.MOST_QUESTIONS])
            queries = np.asarray(self.descriptors[chosen], np.float32), self.positions[chosen]
            how |= {"source": "images of the index", "spot": confidence.SPOT}
        points, places = in_space(self.positions, self.frame), in_space(queries[1], self.frame)
        made = confidence.fit_calibration(self._nearest, points, queries[0], places, **how)
        return replace(self, calibration=made)

    def recall(self, asked: int = 100, top: int = 10, seed: int = 0) -> float:
        """The share of the exact `top` neighbours that the backend finds for `asked` images of the index.

        The images are random; each itself, which any search finds, is left out. 1.0 with the exact backend.
        """
        if self.structure is None or len(self) < 2:
            return 1.0
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self))[:asked])
        queries = np.asarray(self.descriptors[chosen], np.float32)
        compressed = CompressedIndex(self.structure, self.descriptors)
        found, _ = compressed.nearest(queries, top + 1)
        exact, _ = self._searcher.nearest(queries, top + 1)
        shares = [
            np.isin(want[want != own], got).mean()
            for got, want, own in zip(found, exact, chosen, strict=True)
        ]
        return float(np.mean(shares))

    @cached_property
    def _points(self) -> np.ndarray:
        return in_space(self.positions, self.frame)

    @cached_property
    def _searcher(self) -> Searcher:
        return Searcher(self.descriptors, self.largest)

    def _nearest(self, features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (-1: nothing found) and squared distances of the nearest images, (Q, min(count, N)) both."""
        if self.structure is None:
            return self._searcher.nearest(features, count)
        return CompressedIndex(self.structure, self.descriptors).nearest(features, count)

    def _answers(
        self, features: np.ndarray, ids: np.ndarray, distances: np.ndarray, top: int, rivals: Any = None
    ) -> list[Answer]:
        """The answers of ids and distances, (Q, k). rivals: those of a search of the whole index."""
        found, nearest = (
            confidence.Found(
                far, np.where((rows >= 0)[..., None], in_space(self.positions[rows], self.frame), np.nan)
            )
            for rows, far in ((ids, distances), rivals or (ids, distances))
        )
        nearest = nearest._replace(blank=confidence.nearest_blank(features, self.blanks))
        sure = self.calibration.confidences(found, nearest)
        blanks = np.broadcast_to(nearest.blank, (len(ids), 1))[:, 0]
        return [
            make_answer(
                self, [self.names[i] for i in row[row >= 0]], far, self.positions[row], each, top, row, blank
            )
            for row, far, each, blank in zip(ids, distances, sure, blanks, strict=True)
        ]


def check_question(dim: int, features: np.ndarray, near: Any, within: float | None, top: int) -> None:
    """Raises NetworkMismatchError for descriptors of another width, ArgumentError for an invalid position."""
    if not isinstance(top, Integral) or top < 1:
        raise ArgumentError(f"top must be an integer of at least 1, not {top!r}")
    if features.ndim != 2 or features.shape[1] != dim:
        raise NetworkMismatchError(
            f"the query's descriptors have shape {features.shape}, the index holds {dim} dimensions"
        )
    if (near is None) != (within is None):
        raise ArgumentError("near and within go together: give a position and the metres around it")
    if within is not None and not (np.isfinite(np.asarray(near, float)).all() and 0 <= within < np.inf):
        raise ArgumentError(f"near must be two numbers and within metres >= 0; got {near!r}, {within!r}")


def by_place(near: Any, count: int, frame: str | None) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each distinct position (2,) of `near`, which is (2,) or (count, 2), with the ids of its queries."""
    given = np.asarray(near, np.float64)
    places = np.broadcast_to(given, (count, 2)) if given.shape == (2,) else given
    if places.shape != (count, 2):
        raise ArgumentError(f"near must be one position (2,) or one a query ({count}, 2); got {given.shape}")
    if frame == DEGREES and (np.abs(places) > (90, 180)).any():
        raise ArgumentError(f"near must be latitude and longitude, within 90 and 180 degrees; got {near!r}")
    for place in np.unique(places, axis=0):
        yield place, np.flatnonzero((places == place).all(axis=1))


def require_same_kind(first: Any, second: PlaceIndex) -> None:
    """Raises NetworkMismatchError or IndexFileError unless descriptors of `second` fit into `first`."""
    first.require_network(second.network_id)
    if (first.reading, first.dim) != (second.reading, second.dim):
        raise IndexFileError(
            f"one index has {first.dim} dimensions and images by {first.reading}, the other {second.dim} and "
            f"{second.reading}: make the second one again as the first"
        )


def merged_frame(frame: str | None, known: bool, other: PlaceIndex) -> str | None:
    """The frame of an index after a merge; known: whether it has positions. Raises IndexFileError."""
    if not np.isfinite(other.positions).any():
        return frame
    if known and frame != other.frame:
        raise IndexFileError(
            "one index has places on the globe, the other metres without a zone: make that again with a zone"
        )
    return other.frame


def require_names(wanted: set[str], there: set[str]) -> None:
    """Raises ArgumentError for wanted names that are not there."""
    if missing := sorted(wanted - there):
        raise ArgumentError(
            f"{len(missing)} of {len(wanted)} names are not in the index, the first is {missing[0]!r}"
        )


def names_below(root: str, other: str, names: Sequence[str]) -> list[str]:
    """Names below the folder `other` as names below `root`; absolute paths for those outside it."""
    start = os.path.join(os.path.abspath(root), "") if root else ""
    if os.path.join(os.path.abspath(other), "") == start or root == other:
        return list(names)
    paths = [os.path.abspath(os.path.join(other, name)) for name in names]
    return [os.path.relpath(path, root) if start and path.startswith(start) else path for path in paths]
