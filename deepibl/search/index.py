"""An index of a place: descriptors, names, positions and the identity of their network, in one file.

`deepibl.search.index_file` says what stands in the file. An index is a value: `merge`, `without` and `with_backend`
give another one (which shares the descriptors with this one, and is searched or saved like it).
A query is answered only by the network whose identity stands in the index; another one is refused.

An index with more images in it, or fewer. Descriptors are not copied before it is saved.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from deepibl.datasets.geo import change_zone
from deepibl.datasets.positions import one_position, squared_metres
from deepibl.errors import IndexFileError, NetworkMismatchError
from deepibl.runtime.files import RowView
from deepibl.search.compressed import CompressedIndex, Structure, build_structure, require_fit
from deepibl.search.exact import Searcher
from deepibl.search.index_file import read_file, write_file
from matlab_compat.errors import ArgumentError


@dataclass(frozen=True)
class Match:
    """One answer: `distance` is the squared L2 distance of descriptors, `east`/`north` are UTM metres.

    `row` is the image's row of the index (it does not count when matches are compared); None in a database.
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
    """Descriptors (N, D), float32 or float16, with their names and positions (N, 2); see the module.

    `utm_zone` is like '33N' (None: positions cannot be turned into latitude and longitude).
    `resize` is the shorter side in pixels that images were scaled to (None: as they are).
    `structure` finds candidates in place of an exact search. `largest`: the largest squared norm, if known.
    """

    descriptors: Any
    names: list[str]
    positions: np.ndarray
    network_id: str
    network_path: str = ""
    root: str = ""
    utm_zone: str | None = None
    resize: int | None = None
    structure: Structure | None = None
    largest: float | None = None

    def __post_init__(self) -> None:
        count = len(self.names)
        if self.descriptors.ndim != 2 or len(self.descriptors) != count or self.positions.shape != (count, 2):
            raise IndexFileError(
                f"the index does not fit together: {count} names, descriptors {self.descriptors.shape}, "
                f"positions {self.positions.shape}; expected (N, D) and (N, 2) for N names"
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

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index (to a temporary name first; `path` is replaced only by a whole file)."""
        write_file(path, {part.name: getattr(self, part.name) for part in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "PlaceIndex":
        """Opens an index; descriptors and structure are memory-mapped, not read.

        Raises IndexFileError for a file that is missing, cut short, damaged or no index of a known version.
        """
        return cls(**read_file(path))

    def require_network(self, network_id: str) -> None:
        """Raises NetworkMismatchError unless `network_id` is the network that made this index."""
        refuse_another_network(self, network_id)

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[list[Match]]:
        """The `top` nearest images of each row of `features` (Q, D) float32, nearest first.

        near: UTM east, north (2,) in metres of all queries, or (Q, 2) one a query; within: metres around it
        in which an image has to stand. Such a search is exact whatever the backend: it looks at these images
        alone; there may be fewer than `top` of them, or none.
        """
        check_question(self.dim, features, near, within)
        if near is not None:
            return self._search_near(features, top, near, float(within or 0))
        if self.structure is None:
            ids, distances = self._searcher.nearest(features, top)
        else:
            ids, distances = CompressedIndex(self.structure, self.descriptors).nearest(features, top)
        return self._matches(ids, distances)

    def ids_within(self, near: Any, within: float) -> np.ndarray:
        """Ids (M,), ascending, of images that stand within metres of a position (2,): UTM east, north."""
        return np.flatnonzero(squared_metres(one_position(near), self.positions) <= within**2)

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""
        return set(names).intersection(self.names)

    def merge(self, other: "PlaceIndex") -> "PlaceIndex":
        """This index with the images of another one of the same network; see `deepibl.search.index.merge`."""

        return merge(self, other)

    def without(self, names: Iterable[str]) -> "PlaceIndex":
        """This index without some images. Raises ArgumentError for a name that is not in it."""

        return without(self, names)

    def with_backend(self, kind: str, **settings: Any) -> "PlaceIndex":
        """This index searched another way: 'exact', 'ivfpq', 'hnsw'; settings: of the structure's `build`."""
        structure = None if kind == "exact" else build_structure(kind, self.descriptors, **settings)
        return replace(self, structure=structure)

    def recall(self, asked: int = 100, top: int = 10, seed: int = 0) -> float:
        """The share of the exact `top` neighbours that the backend finds for `asked` random images of it.

        The image itself, which any search finds, does not count. 1.0 with the exact backend.
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

    def _search_near(self, features: np.ndarray, top: int, near: Any, within: float) -> list[list[Match]]:
        answers: list[list[Match]] = [[] for _ in features]
        for place, asked in by_place(near, len(features)):
            rows = self.ids_within(place, within)
            view = RowView([(self.descriptors, rows)])
            ids, distances = Searcher(view, self._searcher.largest).nearest(features[asked], top)
            for query, found in zip(asked, self._matches(rows[ids], distances), strict=True):
                answers[query] = found
        return answers

    def _matches(self, ids: np.ndarray, distances: np.ndarray) -> list[list[Match]]:
        """Rows of matches; an id of -1 (nothing found) gives none."""
        return [
            [
                replace(
                    make_match(rank, self.names[i], float(d), self.positions[i], self.root, self.utm_zone),
                    row=int(i),
                )
                for rank, (i, d) in enumerate(zip(*row, strict=True), start=1)
                if i >= 0
            ]
            for row in zip(ids, distances, strict=True)
        ]


def make_match(rank: int, name: str, distance: float, position: Any, root: str, zone: str | None) -> Match:
    """A match: `position` (2,) is UTM east, north in metres, NaN where it is not known."""
    from deepibl.datasets.geo import map_link, utm_to_latlon

    place: dict[str, Any] = {}
    if np.isfinite(position).all():
        east, north = (float(value) for value in position)
        place = {"east": east, "north": north}
        if zone is not None:
            latitude, longitude = utm_to_latlon(east, north, zone)
            place |= {"latitude": latitude, "longitude": longitude, "map_link": map_link(latitude, longitude)}
    return Match(rank, name, os.path.join(root, name), distance, **place)


def refuse_another_network(index: Any, network_id: str) -> None:
    """Raises NetworkMismatchError unless `network_id` is the network that made the index."""
    if network_id != index.network_id:
        raise NetworkMismatchError(
            f"this index was made by network {index.network_id[:12]}… "
            f"({index.network_path or 'path unknown'}), "
            f"the query comes from network {network_id[:12]}…; their descriptors cannot be compared. "
            "Use the index's own network (int8-…: with the same --scales), or make an index with the new one"
        )


def check_question(dim: int, features: np.ndarray, near: Any, within: float | None) -> None:
    """Raises NetworkMismatchError for descriptors of another width, ArgumentError for half a position."""
    if features.ndim != 2 or features.shape[1] != dim:
        raise NetworkMismatchError(
            f"the query's descriptors have shape {features.shape}, the index holds {dim} dimensions"
        )
    if (near is None) != (within is None):
        raise ArgumentError("near and within go together: a position, and metres around it")
    if within is not None and not (np.isfinite(np.asarray(near, float)).all() and 0 <= within < np.inf):
        raise ArgumentError(f"near needs two numbers and within metres >= 0, not {near!r}, {within!r}")


def by_place(near: Any, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each different position (2,) of `near`, (2,) or (count, 2), with the ids of its queries."""
    given = np.asarray(near, np.float64)
    places = np.broadcast_to(given, (count, 2)) if given.shape == (2,) else given
    if places.shape != (count, 2):
        raise ArgumentError(f"near is one position (2,) or one a query ({count}, 2), not {given.shape}")
    for place in np.unique(places, axis=0):
        yield place, np.flatnonzero((places == place).all(axis=1))


def merge(first: PlaceIndex, second: PlaceIndex) -> PlaceIndex:
    """The images of `first`, then those of `second`; where both have an image of a name, that of `second`.

    Names are below `first`'s root afterwards (absolute where they lie elsewhere), positions in its zone,
    descriptors of its precision, and it has `first`'s backend: lists (ivfpq) keep their centres and code the
    new images, a graph (hnsw) links them in.
    Errors: NetworkMismatchError for another network, IndexFileError where images were scaled otherwise or
    positions cannot be brought into one zone.
    """
    require_same_kind(first, second)
    adopts = not np.isfinite(first.positions).any()
    zone = second.utm_zone if adopts else first.utm_zone
    positions = in_zone(second, zone)
    names = names_below(first.root, second.root, second.names)
    replaced = set(names)
    kept = np.array([i for i, name in enumerate(first.names) if name not in replaced], np.int64)
    rows = RowView([(first.descriptors, kept), (second.descriptors, None)], first.descriptors.dtype)
    return replace(
        first,
        descriptors=rows,
        names=[first.names[i] for i in kept] + names,
        positions=np.concatenate([first.positions[kept], positions]),
        utm_zone=zone,
        structure=first.structure.edited(kept, rows) if first.structure is not None else None,
        largest=None,
    )


def without(index: PlaceIndex, names: Iterable[str]) -> PlaceIndex:
    """The index without the images of these names; a name that is not in it raises ArgumentError."""
    gone = set(names)
    missing = sorted(gone.difference(index.names))
    if missing:
        raise ArgumentError(
            f"{len(missing)} of {len(gone)} names are not in the index, the first is {missing[0]!r}"
        )
    kept = np.array([i for i, name in enumerate(index.names) if name not in gone], np.int64)
    rows = RowView([(index.descriptors, kept)])
    return replace(
        index,
        descriptors=rows,
        names=[index.names[i] for i in kept],
        positions=index.positions[kept],
        structure=index.structure.edited(kept, rows) if index.structure and len(kept) > 1 else None,
        largest=index.largest,
    )


def require_same_kind(first: Any, second: PlaceIndex) -> None:
    """Raises NetworkMismatchError or IndexFileError unless descriptors of `second` may stand in `first`."""
    first.require_network(second.network_id)
    if (first.resize, first.dim) != (second.resize, second.dim):
        raise IndexFileError(
            f"one index was made with resize={first.resize} and {first.dim} dimensions, the other with "
            f"resize={second.resize} and {second.dim}: make the second one again as the first"
        )


def in_zone(index: PlaceIndex, zone: str | None) -> np.ndarray:
    """The positions (N, 2) of an index in a UTM zone. Errors: IndexFileError where one zone is not known."""
    if index.utm_zone == zone or not np.isfinite(index.positions).any():
        return index.positions
    if zone is None or index.utm_zone is None:
        raise IndexFileError(
            f"the positions of one index are in UTM zone {zone or index.utm_zone}, the other does "
            "not say its zone: they cannot be merged"
        )
    return change_zone(index.positions, index.utm_zone, zone)


def names_below(root: str, other: str, names: Sequence[str]) -> list[str]:
    """Names below the folder `other` as names below `root`; absolute for those that lie elsewhere."""
    start = os.path.join(os.path.abspath(root), "") if root else ""
    if os.path.join(os.path.abspath(other), "") == start or root == other:
        return list(names)
    paths = [os.path.abspath(os.path.join(other, name)) for name in names]
    return [os.path.relpath(path, root) if start and path.startswith(start) else path for path in paths]
