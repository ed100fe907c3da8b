"""An index with more images in it, or fewer. Descriptors are not copied before it is saved."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.geo import change_zone
from deepibl.index import PlaceIndex
from deepibl.rows import RowView
from matlab_compat.errors import ArgumentError


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
