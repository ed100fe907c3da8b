"""An index in Milvus, a distributed vector database, or in its embedded form (milvus-lite: a folder, *.db).

One collection holds a row an image; a small second one, COLLECTION_about, holds the network's identity and
the other settings. It is written last: a collection without it is unfinished, and is made again.

===========  ================  ==========================================================================
field        type              holds
===========  ================  ==========================================================================
key          VARCHAR, primary  half of the SHA-256 of the name (names may hold what Milvus cannot quote)
name         VARCHAR           the image's name below the root
descriptor   FLOAT_VECTOR (D)  its descriptor
placed       BOOL              whether its position is known
first,       DOUBLE            latitude and longitude in degrees, or east and north in metres; 0 if unknown
second
x, y, z      DOUBLE            the point in space (`deepibl.datasets.geo.in_space`), in metres; 0 if unknown
===========  ================  ==========================================================================

The database finds candidates (filtered by a cube around a position); distances are measured here in float64
from the descriptors it sends, so order and ties do not depend on its index type. Milvus's errors are raised
as IndexFileError. Needs `deepibl[milvus]`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from deepibl.datasets.geo import in_space, metres_between
from deepibl.errors import IndexFileError
from deepibl.runtime.files import blocks
from deepibl.runtime.progress import working
from deepibl.search.answer import Answer, make_answer
from deepibl.search.confidence import DEPTH, Calibration, Found
from deepibl.search.exact import as_descriptors
from deepibl.search.index import (
    PlaceIndex,
    by_place,
    check_question,
    merged_frame,
    names_below,
    require_names,
    require_same_kind,
)
from deepibl.search.index_file import reading_of
from matlab_compat.errors import ArgumentError

COLLECTION = "places"  # in an embedded database


def is_database(where: str) -> bool:
    """Whether this names a Milvus collection: a path that ends in .db, or http://HOST:PORT/COLLECTION."""
    return where.startswith(("http://", "https://")) or where.endswith(".db")


def address(where: str) -> tuple[str, str]:
    """The database (a path or URL) and the collection. Raises ArgumentError for a URL without one."""
    if not where.startswith(("http://", "https://")):
        return where, COLLECTION
    parts = urlsplit(where)
    collection = parts.path.strip("/")
    if not re.fullmatch(r"[A-Za-z_]\w*", collection):
        raise ArgumentError(
            f"{where!r} does not name a collection: http://HOST:PORT/COLLECTION (letters, digits and _)"
        )
    return f"{parts.scheme}://{parts.netloc}", collection


def connect(uri: str, where: str) -> Any:
    """A client of pymilvus. The environment variable MILVUS_TOKEN holds the token, if the server needs one.

    Raises ArgumentError if pymilvus is not installed, IndexFileError if the database cannot be reached.
    """
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise ArgumentError("an index in Milvus needs pymilvus: pip install 'deepibl[milvus]'") from error
    if uri.startswith("http"):
        settings = {"token": os.environ.get("MILVUS_TOKEN", "")}
    else:
        settings = {}
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
    with explained(where):
        return MilvusClient(uri=uri, **settings)


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns Milvus's errors, and a ValueError for what the database holds, into IndexFileError."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, ValueError) as problem:
        raise IndexFileError(f"the index {where} cannot be used: {problem}") from problem


def make_collection(
    client: Any,
    name: str,
    fields: Mapping[str, tuple[str, Mapping[str, Any]]],
    vector: str,
    index_type: str,
    params: Mapping[str, Any] | None = None,
) -> None:
    """Makes a collection. fields: Milvus's type and its settings by name; vector: the field to be indexed."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False)
    for field, (kind, settings) in fields.items():
        schema.add_field(field, DataType[kind], **settings)
    index = client.prepare_index_params()
    index.add_index(vector, index_type=index_type, metric_type="L2", params=dict(params or {}))
    client.create_collection(name, schema=schema, consistency_level="Strong")
    client.create_index(name, index, sync=False)  # loading the collection waits for it


FORMAT = "deepibl-milvus/2"
MESSAGE_BYTES = 1 << 24  # of descriptors in one message, either way; Milvus refuses more than 64 MB
MOST = 16384  # hits in one answer; Milvus refuses to send more
SPARE = 16  # hits requested beyond `top`, so that ties at the end are seen
ABOUT = "_about"  # the second collection is called COLLECTION_about
FIELDS = ["name", "descriptor", "placed", "first", "second"]
AXES = ("x", "y", "z")
_SETTINGS = ("network_id", "network_path", "root", "frame")
_KEY = ("VARCHAR", {"max_length": 32, "is_primary": True})

# Milvus requires a vector in each collection
_SETTINGS_FIELDS = {
    "key": _KEY,
    "value": ("VARCHAR", {"max_length": 65535}),
    "nothing": ("FLOAT_VECTOR", {"dim": 2}),
}


class MilvusIndex:
    """An open index: `where` is FOLDER.db (embedded), or http://HOST:PORT/COLLECTION. See `create`."""

    backend = "milvus"

    def __init__(self, where: str) -> None:
        self.where = where
        uri, self.collection = address(where)
        if not (uri.startswith("http") or Path(uri).exists()):
            raise IndexFileError(f"{where}: no such database")
        self._client = connect(uri, where)
        with explained(where):
            settings = _settings(self._client, self.collection)
            if settings is None:
                self.close()
                raise ValueError("it holds no finished index; make one (deepibl index … --backend milvus)")
            if settings.get("format") != FORMAT:
                raise ValueError(
                    f"its format is {settings.get('format')!r}, this version reads {FORMAT!r}: make it again"
                )
            self.dim = int(settings["dim"])
            self.network_id, self.network_path = settings["network_id"], settings["network_path"]
            self.root, self.frame = settings["root"], settings["frame"]
            self.reading = reading_of(settings.get("reading", "{}"))
            self.calibration = Calibration.from_text(settings["calibration"])
            self._client.load_collection(self.collection)

    @classmethod
    @working("writing the index to Milvus")
    def create(
        cls, where: str, index: PlaceIndex, *, index_type: str = "FLAT", params: dict[str, Any] | None = None
    ) -> MilvusIndex:
        """Writes the images of `index` into a new collection and opens it.

        index_type, params: Milvus's index: 'FLAT' (exact), 'IVF_PQ', 'HNSW', 'DISKANN' …
        Raises IndexFileError if the collection already holds an index.
        """
        uri, collection = address(where)
        client = connect(uri, where)
        with explained(where):
            if _settings(client, collection) is not None:
                raise ValueError("it already holds an index: add to it with --add, or name another one")
            _drop_unfinished(client, collection, index.dim)
            make_collection(client, collection, _images(index.dim), "descriptor", index_type, params)
            _upsert(client, collection, index, index.names)
            settings = {name: getattr(index, name) for name in _SETTINGS}
            settings |= {"format": FORMAT, "dim": index.dim, "calibration": index.calibration.as_text()}
            settings["reading"] = json.dumps(asdict(index.reading))
            make_collection(client, collection + ABOUT, _SETTINGS_FIELDS, "nothing", "FLAT")
            row = {"key": "index", "value": json.dumps(settings), "nothing": [0.0, 0.0]}
            client.upsert(collection + ABOUT, [row])
        client.close()
        return cls(where)

    def __len__(self) -> int:
        with explained(self.where):
            row = self._client.query(self.collection, filter="", output_fields=["count(*)"])[0]
        return int(row["count(*)"])

    require_network: Any = PlaceIndex.require_network

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[Answer]:
        """The nearest images, see PlaceIndex.search; equal distances are ordered by name."""
        check_question(self.dim, features, near, within, top)
        rows = as_descriptors(features, "queries")
        if near is None:
            return [self._answer(row, top) for row in rows]
        answers = [Answer() for _ in rows]
        for place, asked in by_place(near, len(rows), self.frame):
            for query in asked:
                answers[query] = self._answer(rows[query], top, place, float(within or 0))
        return answers

    def at(self, root: str) -> MilvusIndex:
        """This index with its images in another folder, until it is closed."""
        self.root = os.path.abspath(root)
        return self

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""
        wanted, found = sorted(set(names)), set()
        for start in range(0, len(wanted), 1000):
            keys = json.dumps([_key(name) for name in wanted[start : start + 1000]])
            with explained(self.where):
                rows = self._client.query(self.collection, filter=f"key in {keys}", output_fields=["name"])
            found |= {row["name"] for row in rows}
        return found

    def merge(self, other: PlaceIndex) -> MilvusIndex:
        """Writes the images of another index into this one at once; equal names are replaced.

        Raises what PlaceIndex.merge raises.
        """
        require_same_kind(self, other)
        names = names_below(self.root, other.root, other.names)
        merged_frame(self.frame, True, other)
        with explained(self.where):
            _upsert(self._client, self.collection, other, names)
        return self

    def without(self, names: Iterable[str]) -> MilvusIndex:
        """Deletes images from this index at once. Raises ArgumentError for a name that is not in it."""
        wanted = set(names)
        require_names(wanted, self.holds(wanted))
        with explained(self.where):
            self._client.delete(self.collection, ids=[_key(name) for name in wanted])
        return self

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _answer(
        self, query: np.ndarray, top: int, place: np.ndarray | None = None, radius: float = 0.0
    ) -> Answer:
        names, positions, found = self._ask(query, max(top, DEPTH), place, radius)
        rivals = found
        if place is not None and self.calibration.weights:
            rivals = self._ask(query, DEPTH)[2]
        sure = self.calibration.confidences(found, rivals)
        return make_answer(self, names, found.distances[0], positions, sure[0], top)

    def _ask(
        self, query: np.ndarray, top: int, place: np.ndarray | None = None, radius: float = 0.0
    ) -> tuple[list[str], np.ndarray, Found]:
        """Names, positions (k, 2) and distances of the `top` nearest images of one query.

        place, radius: only images within `radius` metres of a place (2,).

        Milvus filters by the cube around the place; while too many hits are in its corners, more are asked.
        """
        condition = ""
        if place is not None:
            point = zip(AXES, in_space(place, self.frame).tolist(), strict=True)
            sides = [f"{axis} >= {at - radius} and {axis} <= {at + radius}" for axis, at in point]
            condition = " and ".join(["placed == true", *sides])
        wanted = min(top + SPARE, MOST)
        while True:
            with explained(self.where):
                hits = self._client.search(
                    self.collection, data=[query], limit=wanted, filter=condition, output_fields=FIELDS
                )[0]
            found = [hit["entity"] for hit in hits]
            inside = [
                hit
                for hit in found
                if place is None or metres_between(_position(hit), place, self.frame) <= radius
            ]
            if len(inside) >= top or len(found) < wanted or wanted == MOST:
                break
            wanted = min(4 * wanted, MOST)
        rows = np.array([hit["descriptor"] for hit in inside], np.float32).reshape(-1, self.dim)
        exact = np.square(rows.astype(np.float64) - query).sum(axis=1).astype(np.float32)
        order = sorted(range(len(inside)), key=lambda i: (exact[i], inside[i]["name"]))[:top]
        positions = np.array([_position(inside[i]) for i in order]).reshape(-1, 2)
        near = Found(exact[None, order], in_space(positions, self.frame)[None])
        return [inside[i]["name"] for i in order], positions, near


def _settings(client: Any, collection: str) -> dict[str, Any] | None:
    """The settings of a finished index; None if the collection does not hold one."""
    about = collection + ABOUT
    if not client.has_collection(about):
        return None
    client.load_collection(about)
    rows = client.query(about, filter='key == "index"', output_fields=["value"])
    if not rows:
        return None
    settings = json.loads(rows[0]["value"])
    if not isinstance(settings, dict) or (
        settings.get("format") == FORMAT and not {*_SETTINGS, "dim", "calibration"} <= settings.keys()
    ):
        raise ValueError("its settings are damaged")
    return settings


def _drop_unfinished(client: Any, collection: str, dim: int) -> None:
    """Drops what a killed run left. Raises ValueError for a collection with other fields."""
    for name, fields in ((collection, _images(dim)), (collection + ABOUT, _SETTINGS_FIELDS)):
        if client.has_collection(name):
            found = {field["name"] for field in client.describe_collection(name)["fields"]}
            if found != set(fields):
                raise ValueError(f"its collection {name} is not an index of deepibl (fields {sorted(found)})")
            client.drop_collection(name)


def _images(dim: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The fields of the collection of images."""
    return {
        "key": _KEY,
        "name": ("VARCHAR", {"max_length": 4096}),
        "descriptor": ("FLOAT_VECTOR", {"dim": dim}),
        "placed": ("BOOL", {}),
        **{name: ("DOUBLE", {}) for name in ("first", "second", *AXES)},
    }


def _upsert(client: Any, collection: str, index: PlaceIndex, names: list[str]) -> None:
    """Writes the images of an index, in messages of at most MESSAGE_BYTES."""
    placed = np.isfinite(index.positions).all(axis=1)
    places = np.nan_to_num(np.hstack([index.positions, in_space(index.positions, index.frame)]))
    start = 0
    for part in blocks(index.descriptors, MESSAGE_BYTES * index.descriptors.dtype.itemsize // 4):
        rows = [
            {
                "key": _key(names[i]),
                "name": names[i],
                "descriptor": descriptor,
                "placed": bool(placed[i]),
                **dict(zip(("first", "second", *AXES), places[i].tolist(), strict=True)),
            }
            for i, descriptor in enumerate(np.asarray(part, np.float32), start)
        ]
        client.upsert(collection, rows)
        start += len(part)


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _position(hit: Any) -> np.ndarray:
    return np.array([hit["first"], hit["second"]] if hit["placed"] else [np.nan, np.nan])
