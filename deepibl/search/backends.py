"""One interface to an index, whether it is a file with one of three backends or a database."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from deepibl.runtime.text_files import find_name
from deepibl.search.index import PlaceIndex
from deepibl.search.index_file import BACKENDS as FILE_BACKENDS, check_file
from deepibl.search.milvus import MilvusIndex, is_database
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath

BACKENDS = (*FILE_BACKENDS, "milvus")
Index = PlaceIndex | MilvusIndex  # what search, merge, without and require_network of both need is the same


def open_index(where: StrPath) -> Index:
    """Opens an index: a file, a FOLDER.db of milvus-lite, or http://HOST:PORT/COLLECTION of a Milvus server.

    Raises IndexFileError for anything but an index, ArgumentError if the database's client is not installed.
    """
    return MilvusIndex(os.fspath(where)) if is_database(os.fspath(where)) else PlaceIndex.load(where)


def open_index_file(where: StrPath, what: str) -> PlaceIndex:
    """Opens an index for a purpose that needs all its rows in order. what: the purpose, for the error.

    Raises ArgumentError for a database, IndexFileError for anything but an index.
    """
    if is_database(os.fspath(where)):
        raise ArgumentError(
            f"{os.fspath(where)} is a database (Milvus), and {what} needs an index in a file; make one with "
            "`deepibl index NET --images DIR -o FILE.idx` (--backend ivfpq or hnsw for many images)"
        )
    return PlaceIndex.load(where)


def check_index(where: StrPath, asked: int = 0) -> dict[str, Any]:
    """Reads all of an index, compares its checksums and returns what it holds (a database is not compared).

    asked: number of its images to search for, which adds the share of the exact 10 nearest that the backend
    finds (0: left out; not for a database). Raises IndexFileError for a damaged index.
    """
    if is_database(os.fspath(where)):
        index = open_index(where)
        names = ("backend", "dim", "network_id", "network_path", "root", "frame")
        said = {"images": len(index), "confidence": str(index.calibration), **asdict(index.reading)}
        return said | {name: getattr(index, name) or "" for name in names}
    found = check_file(where)
    if asked:
        found["recall_of_top_10"] = PlaceIndex.load(where).recall(asked)
    return found


def edit_index(
    where: StrPath,
    output: StrPath | None = None,
    *,
    delete: Iterable[str] = (),
    merge: Iterable[StrPath] = (),
    backend: str | None = None,
) -> Index:
    """Removes images from an index, adds those of other index files, and writes it once.

    output: a new file; None: the same one (a database always changes in place). backend: change to 'exact',
    'ivfpq' or 'hnsw'. Where images change, the confidence is fitted anew, on the images themselves. Raises
    ArgumentError for a name that is not in it, and what PlaceIndex.merge raises.
    """
    if is_database(os.fspath(where)) and (output is not None or backend is not None):
        raise ArgumentError("an index in a database is changed in place and keeps its backend")
    if is_database(os.fspath(output or "")) or backend not in (None, *FILE_BACKENDS):
        raise ArgumentError("a file stays one, its backend exact, ivfpq or hnsw: for Milvus index its photos")
    index = open_index(where)
    threshold, gone, files = index.calibration.threshold, list(delete), list(merge)
    if gone:
        there = index.holds(gone)
        others = {name: find_name(name, lambda each: bool(index.holds([each]))) for name in {*gone} - there}
        gone = [others.get(name) or name for name in gone]
        index = index.without(gone)
    for file in files:
        index = index.merge(PlaceIndex.load(file))
    if not isinstance(index, PlaceIndex):
        return index
    if backend is not None:
        index = index.with_backend(backend)
    if gone or files:
        index = index.with_confidence(threshold)
    index.save(output or where)
    return PlaceIndex.load(output or where)
