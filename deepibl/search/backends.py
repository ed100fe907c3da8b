"""One small interface for whatever holds an index: a file of one of three backends, or a database."""

import os
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from deepibl.search.index import Match, PlaceIndex
from deepibl.search.index_file import BACKENDS as FILE_BACKENDS, check_file
from deepibl.search.milvus import is_database
from matlab_compat.errors import ArgumentError

BACKENDS = (*FILE_BACKENDS, "milvus")


class Index(Protocol):
    """What can be asked of an index. The properties mean what the fields of PlaceIndex mean."""

    @property
    def network_id(self) -> str: ...

    @property
    def network_path(self) -> str: ...

    @property
    def root(self) -> str: ...

    @property
    def utm_zone(self) -> str | None: ...

    @property
    def resize(self) -> int | None: ...

    @property
    def dim(self) -> int:
        """Dimensions of a descriptor."""

    @property
    def backend(self) -> str:
        """One of BACKENDS."""

    def __len__(self) -> int: ...

    def require_network(self, network_id: str) -> None:
        """Raises NetworkMismatchError for another network."""

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[list[Match]]:
        """The nearest images of each row of `features` (Q, D), of those within metres of a position."""

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""

    def merge(self, other: PlaceIndex) -> "Index":
        """The index to go on with, which has the other one's images, too. A file's has to be saved; a
        database is changed at once.
        """

    def without(self, names: Iterable[str]) -> "Index":
        """The index to go on with, without these images. Likewise."""


def open_index(where: str | os.PathLike[str]) -> Index:
    """Opens an index: a file, a FOLDER.db of milvus-lite, or http://HOST:PORT/COLLECTION of a Milvus server.

    Errors: IndexFileError for what is no index, ArgumentError where the database's client is not installed.
    """
    if not is_database(os.fspath(where)):
        return PlaceIndex.load(where)
    from deepibl.search.milvus import MilvusIndex

    return MilvusIndex(os.fspath(where))


def open_index_file(where: str | os.PathLike[str], what: str) -> PlaceIndex:
    """Opens an index for what needs all its rows in order. what: names that, for the error.

    Errors: ArgumentError for a database, IndexFileError for what is no index.
    """
    if is_database(os.fspath(where)):
        raise ArgumentError(
            f"{os.fspath(where)} is a database (Milvus), and {what} needs an index in a file; make one with "
            "`deepibl index NET --images DIR -o FILE.idx` (--backend ivfpq or hnsw for many images)"
        )
    return PlaceIndex.load(where)


def check_index(where: str | os.PathLike[str], asked: int = 0) -> dict[str, Any]:
    """What an index holds, after all of it was read and its checksums compared (a database does that itself).

    asked: images of the index that are asked for, to say which share of the exact 10 nearest its backend
    finds (0: none are; not for a database). Errors: IndexFileError for an index that is damaged.
    """
    if is_database(os.fspath(where)):
        index = open_index(where)
        names = ("backend", "dim", "network_id", "network_path", "root", "utm_zone", "resize")
        return {"images": len(index), **{name: getattr(index, name) or "" for name in names}}
    said = check_file(where)
    if asked:
        said["recall_of_top_10"] = PlaceIndex.load(where).recall(asked)
    return said


def edit_index(
    where: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    delete: Iterable[str] = (),
    merge: Iterable[str | os.PathLike[str]] = (),
    backend: str | None = None,
) -> Index:
    """Leaves images out of an index, then adds those of index files, and writes it in one go.

    output: another file (None: where it was; a database always changes in place). backend: 'exact', 'ivfpq'
    or 'hnsw' from now on. Errors: ArgumentError for a name that is not there; as of PlaceIndex.merge.
    """
    if is_database(os.fspath(where)) and (output is not None or backend is not None):
        raise ArgumentError("an index in a database is changed in place and keeps its backend")
    index = open_index(where)
    gone = list(delete)
    if gone:
        index = index.without(gone)
    for file in merge:
        index = index.merge(PlaceIndex.load(file))
    if not isinstance(index, PlaceIndex):
        return index
    if backend is not None:
        index = index.with_backend(backend)
    index.save(output or where)
    return PlaceIndex.load(output or where)
