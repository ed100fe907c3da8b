"""An index of a place: descriptors, names, positions and the identity of their network, in one file.

`deepibl.search.index_file` describes the file. An index is immutable: `merge`, `without` and `with_backend`
return a new one that shares the descriptors. A query must come from the network whose identity is in the
index.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from deepibl.datasets.geo import change_zone, map_link, utm_to_latlon
from deepibl.datasets.positions import one_position, squared_metres
from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.images import AS_STORED, Reading
from deepibl.runtime.files import RowView
from deepibl.search.compressed import CompressedIndex, Structure, build_structure, require_fit
from deepibl.search.exact import Searcher
from deepibl.search.index_file import read_file, write_file
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath


@dataclass(frozen=True)
class Match:
    """One answer; distance: squared L2 distance of the descriptors; east, north: UTM metres.

    row: the image's row in the index, ignored when matches are compared; None in a database.
    """

    rank: int
    name: str
    path: str
    distance: float
    east: float | None = None
    north: float | None = None
    latitude: float | None = None
    longitude: float | None = None
    map_link: str | None = None
    row: int | None = field(default=None, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """The match as plain values, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class PlaceIndex:
    """Descriptors (N, D), float32 or float16, with names below `root` and positions (N, 2) in UTM metres.

    utm_zone: such as '33N'; None: positions cannot be converted to latitude and longitude. reading: how
    images were scaled and turned, and queries are: extract(net, photos, **asdict(index.reading)).
    structure: finds candidates; None: searches are exact. largest: the largest squared norm of a descriptor,
    if known.
    Raises IndexFileError for parts that do not fit together.
    """

    descriptors: Any
    names: list[str]
    positions: np.ndarray
    network_id: str
    network_path: str = ""
    root: str = ""
    utm_zone: str | None = None
    reading: Reading = AS_STORED
    structure: Structure | None = None
    largest: float | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.descriptors.ndim != 2 or len(self.descriptors) != count or self.positions.shape != (count, 2):
            raise IndexFileError(
                f"the parts of the index do not fit together: {count} names, descriptors "
                f"{self.descriptors.shape}, positions {self.positions.shape}; expected (N, D) and (N, 2)"
            )
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
        refuse_another_network(self, network_id)

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[list[Match]]:
        """The `top` nearest images of each row of `features` (Q, D) float32, nearest first.

        near: UTM east, north in metres, (2,) for all queries or (Q, 2) one each; within: only images within
        this many metres of it are found, which may be fewer than `top` or none. Such a search is exact with
        every backend. Raises NetworkMismatchError for descriptors of another width, ArgumentError for half a
        position.
        """
        check_question(self.dim, features, near, within)
        if near is None:
            if self.structure is None:
                return self._matches(*self._searcher.nearest(features, top))
            compressed = CompressedIndex(self.structure, self.descriptors)
            return self._matches(*compressed.nearest(features, top))
        answers: list[list[Match]] = [[] for _ in features]
        for place, asked in by_place(near, len(features)):
            rows = self.ids_within(place, float(within or 0))
            view = RowView([(self.descriptors, rows)])
            ids, distances = Searcher(view, self._searcher.largest).nearest(features[asked], top)
            for query, found in zip(asked, self._matches(rows[ids], distances), strict=True):
                answers[query] = found
        return answers

    def ids_within(self, near: Any, within: float) -> np.ndarray:
        """Ids (M,), ascending, of the images `within` metres of a position (2,), UTM east and north."""
        return np.flatnonzero(squared_metres(one_position(near), self.positions) <= within**2)

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""
        return set(names).intersection(self.names)

    def merge(self, other: PlaceIndex) -> PlaceIndex:
        """These images, then those of `other`; an image that both have, by name, is that of `other`.

        Root, zone, precision and backend are this index's: names outside the root become absolute paths,
        lists (ivfpq) keep their centres and encode the new images, a graph (hnsw) links them in. Descriptors
        are not copied before the index is saved.
        Raises NetworkMismatchError for another network, IndexFileError if images were scaled differently or
        positions cannot be converted to one zone.
        """
        require_same_kind(self, other)
        zone = self.utm_zone if np.isfinite(self.positions).any() else other.utm_zone
        positions = in_zone(other, zone)
        names = names_below(self.root, other.root, other.names)
        replaced = set(names)
        kept = np.array([i for i, name in enumerate(self.names) if name not in replaced], np.int64)
        rows = RowView([(self.descriptors, kept), (other.descriptors, None)], self.descriptors.dtype)
        return replace(
            self,
            descriptors=rows,
            names=[self.names[i] for i in kept] + names,
            positions=np.concatenate([self.positions[kept], positions]),
            utm_zone=zone,
            structure=self.structure.edited(kept, rows) if self.structure is not None else None,
            largest=None,
        )

    def without(self, names: Iterable[str]) -> PlaceIndex:
        """This index without some images. Raises ArgumentError for a name that is not in it."""
        gone = set(names)
        require_names(gone, gone.intersection(self.names))
        kept = np.array([i for i, name in enumerate(self.names) if name not in gone], np.int64)
        rows = RowView([(self.descriptors, kept)])
        return replace(
            self,
            descriptors=rows,
            names=[self.names[i] for i in kept],
            positions=self.positions[kept],
            structure=self.structure.edited(kept, rows) if self.structure and len(kept) > 1 else None,
        )

    def with_backend(self, kind: str, **settings: Any) -> PlaceIndex:
        """This index with the backend 'exact', 'ivfpq' or 'hnsw'. settings: see the structure's `build`."""
        structure = None if kind == "exact" else build_structure(kind, self.descriptors, **settings)
        return replace(self, structure=structure)

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
    def _searcher(self) -> Searcher:
        return Searcher(self.descriptors, self.largest)

    def _matches(self, ids: np.ndarray, distances: np.ndarray) -> list[list[Match]]:
        """Matches of each row of ids and distances (Q, k); an id of -1 (nothing found) is left out."""
        return [
            [
                make_match(rank, self.names[i], d, self.positions[i], self.root, self.utm_zone, int(i))
                for rank, (i, d) in enumerate(zip(*row, strict=True), start=1)
                if i >= 0
            ]
            for row in zip(ids, distances, strict=True)
        ]


def make_match(
    rank: int, name: str, distance: Any, position: Any, root: str, zone: str | None, row: int | None = None
) -> Match:
    """A match; position: (2,) UTM east and north in metres, NaN if unknown."""
    place: dict[str, Any] = {}
    if np.isfinite(position).all():
        east, north = (float(value) for value in position)
        place = {"east": east, "north": north}
        if zone is not None:
            latitude, longitude = utm_to_latlon(east, north, zone)
            place |= {"latitude": latitude, "longitude": longitude, "map_link": map_link(latitude, longitude)}
    return Match(rank, name, os.path.join(root, name), float(distance), row=row, **place)


def refuse_another_network(index: Any, network_id: str) -> None:
    """Raises NetworkMismatchError unless `network_id` is the network that made the index."""
    if network_id != index.network_id:
        raise NetworkMismatchError(
            f"this index was made by network {index.network_id[:12]}… "
            f"({index.network_path or 'path unknown'}), the query comes from network {network_id[:12]}…; "
            "their descriptors cannot be compared. Use the index's own network (int8-…: with the same "
            "--scales), or make an index with the new one"
        )


def check_question(dim: int, features: np.ndarray, near: Any, within: float | None) -> None:
    """Raises NetworkMismatchError for descriptors of another width, ArgumentError for half a position."""
    if features.ndim != 2 or features.shape[1] != dim:
        raise NetworkMismatchError(
            f"the query's descriptors have shape {features.shape}, the index holds {dim} dimensions"
        )
    if (near is None) != (within is None):
        raise ArgumentError("near and within go together: give a position and the metres around it")
    if within is not None and not (np.isfinite(np.asarray(near, float)).all() and 0 <= within < np.inf):
        raise ArgumentError(f"near must be two numbers and within metres >= 0; got {near!r}, {within!r}")


def by_place(near: Any, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each distinct position (2,) of `near`, which is (2,) or (count, 2), with the ids of its queries."""
    given = np.asarray(near, np.float64)
    places = np.broadcast_to(given, (count, 2)) if given.shape == (2,) else given
    if places.shape != (count, 2):
        raise ArgumentError(f"near must be one position (2,) or one a query ({count}, 2); got {given.shape}")
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


def require_names(wanted: set[str], there: set[str]) -> None:
    """Raises ArgumentError for wanted names that are not there."""
    if missing := sorted(wanted - there):
        raise ArgumentError(
            f"{len(missing)} of {len(wanted)} names are not in the index, the first is {missing[0]!r}"
        )


def in_zone(index: PlaceIndex, zone: str | None) -> np.ndarray:
    """The positions (N, 2) of an index in a UTM zone. Raises IndexFileError if a zone is unknown."""
    if index.utm_zone == zone or not np.isfinite(index.positions).any():
        return index.positions
    if zone is None or index.utm_zone is None:
        raise IndexFileError(
            f"the positions of one index are in UTM zone {zone or index.utm_zone}, the other does "
            "not say its zone: they cannot be merged"
        )
    return change_zone(index.positions, index.utm_zone, zone)


def names_below(root: str, other: str, names: Sequence[str]) -> list[str]:
    """Names below the folder `other` as names below `root`; absolute paths for those outside it."""
    start = os.path.join(os.path.abspath(root), "") if root else ""
    if os.path.join(os.path.abspath(other), "") == start or root == other:
        return list(names)
    paths = [os.path.abspath(os.path.join(other, name)) for name in names]
    return [os.path.relpath(path, root) if start and path.startswith(start) else path for path in paths]
