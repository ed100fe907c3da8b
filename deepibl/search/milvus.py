"""An index in Milvus, a distributed vector database, or in its embedded form (milvus-lite: a folder, *.db).

One collection holds a row an image; a small second one, COLLECTION_about, the network's identity and the
other settings of an index. It is written last: a collection without it was never finished, and is made anew.

===========  ================  ==========================================================================
field        type              holds
===========  ================  ==========================================================================
key          VARCHAR, primary  half of the SHA-256 of the name (names may hold what Milvus cannot quote)
name         VARCHAR           the image's name below the root
descriptor   FLOAT_VECTOR (D)  its descriptor
placed       BOOL              whether its position is known
east, north  DOUBLE            UTM metres; 0 where it is not known
===========  ================  ==========================================================================

The database finds candidates (filtered by a square around a position); distances are measured here in float64
from the descriptors it sends, so order and ties do not depend on its index type. Needs `deepibl[milvus]`.

Talking to Milvus: where it is, connecting, making a collection, and its errors as ours.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.runtime.files import blocks
from deepibl.search.exact import as_descriptors
from deepibl.search.index import (
    Match,
    PlaceIndex,
    by_place,
    check_question,
    in_zone,
    make_match,
    names_below,
    refuse_another_network,
    require_same_kind,
)
from matlab_compat.errors import ArgumentError

COLLECTION = "places"  # in an embedded database


def is_database(where: str) -> bool:
    """Whether this names a Milvus collection: a path that ends in .db, or http://HOST:PORT/COLLECTION."""
    return where.startswith(("http://", "https://")) or where.endswith(".db")


def address(where: str) -> tuple[str, str]:
    """The database (a path, or a URL) and the collection. Errors: ArgumentError for a URL without one."""
    if not where.startswith(("http://", "https://")):
        return where, COLLECTION
    parts = urlsplit(where)
    collection = parts.path.strip("/")
    if not re.fullmatch(r"[A-Za-z_]\w*", collection):
        raise ArgumentError(
            f"{where!r} names no collection: write http://HOST:PORT/COLLECTION, of letters, digits and _"
        )
    return f"{parts.scheme}://{parts.netloc}", collection


def connect(uri: str, where: str) -> Any:
    """A client of pymilvus. The token of a server that wants one stands in the variable MILVUS_TOKEN.

    Errors: ArgumentError where pymilvus is missing, IndexFileError where the database cannot be reached.
    """
    try:
        from pymilvus import MilvusClient
    except ImportError as error:
        raise ArgumentError("an index in Milvus needs pymilvus: pip install 'deepibl[milvus]'") from error
    if not uri.startswith("http"):
        os.makedirs(os.path.dirname(os.path.abspath(uri)), exist_ok=True)
        return _explained_client(MilvusClient, where, uri=uri)
    return _explained_client(MilvusClient, where, uri=uri, token=os.environ.get("MILVUS_TOKEN", ""))


@contextmanager
def explained(where: str) -> Iterator[None]:
    """Turns what goes wrong with the database, or with what it holds, into IndexFileError."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except (MilvusException, LookupError, ValueError, TypeError) as problem:
        raise IndexFileError(f"the index {where} cannot be used: {problem}") from problem


def make_collection(
    client: Any,
    name: str,
    fields: Mapping[str, tuple[str, Mapping[str, Any]]],
    vector: str,
    index_type: str,
    params: Mapping[str, Any] | None = None,
) -> None:
    """A collection of fields (name: Milvus's type, its settings), its `vector` indexed by L2 distance."""
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False)
    for field, (kind, settings) in fields.items():
        schema.add_field(field, DataType[kind], **settings)
    index = client.prepare_index_params()
    index.add_index(vector, index_type=index_type, metric_type="L2", params=dict(params or {}))
    client.create_collection(name, schema=schema, consistency_level="Strong")
    client.create_index(name, index, sync=False)  # loading the collection waits for it


def _explained_client(make: Any, where: str, **settings: Any) -> Any:
    with explained(where):
        return make(**settings)


FORMAT = "deepibl-milvus/1"

MESSAGE_BYTES = 1 << 24  # of descriptors in one message, either way: Milvus takes up to 64 MB

MOST = 16384  # hits that Milvus gives at most

SPARE = 16  # hits asked for beyond those wanted, so that ties at the end are seen

ABOUT = "_about"  # the second collection is called COLLECTION_about

FIELDS = ["name", "descriptor", "placed", "east", "north"]

_SETTINGS = ("network_id", "network_path", "root", "utm_zone", "resize")

_KEY = ("VARCHAR", {"max_length": 32, "is_primary": True})

# Milvus wants a vector in each collection
_SETTINGS_FIELDS = {
    "key": _KEY,
    "value": ("VARCHAR", {"max_length": 65535}),
    "nothing": ("FLOAT_VECTOR", {"dim": 2}),
}


class MilvusIndex:
    """An open index: `where` is FOLDER.db (embedded), or http://HOST:PORT/COLLECTION. See `create`."""

    def __init__(self, where: str) -> None:
        self.where = where
        uri, self.collection = address(where)
        if not (uri.startswith("http") or Path(uri).exists()):
            raise IndexFileError(f"{where}: there is no such database")
        self._client = connect(uri, where)
        with explained(where):
            settings = _settings(self._client, self.collection)
            if settings is None:
                self.close()
                raise ValueError(
                    "it holds no finished index; make one with "
                    f"`deepibl index NET --images DIR --backend milvus -o {where}`"
                )
            if settings["format"] != FORMAT:
                raise ValueError(f"its format is {settings['format']!r}, this version reads {FORMAT!r}")
            self.dim = int(settings["dim"])
            self.network_id, self.network_path = settings["network_id"], settings["network_path"]
            self.root, self.utm_zone = settings["root"], settings["utm_zone"]
            self.resize: int | None = settings["resize"]
            self._client.load_collection(self.collection)

    @classmethod
    def create(
        cls, where: str, index: PlaceIndex, *, index_type: str = "FLAT", params: dict[str, Any] | None = None
    ) -> "MilvusIndex":
        """Writes the images of `index` into a new collection and opens it.

        index_type, params: how Milvus searches: 'FLAT' (exact, the default), 'IVF_PQ', 'HNSW', 'DISKANN' …
        Errors: IndexFileError if the collection is there already.
        """
        uri, collection = address(where)
        client = connect(uri, where)
        with explained(where):
            if _settings(client, collection) is not None:
                raise ValueError("it holds an index already: add to it with --add, or name another one")
            _drop_unfinished(client, collection, index.dim)
            make_collection(client, collection, _images(index.dim), "descriptor", index_type, params)
            _upsert(client, collection, index, index.names, index.positions)
            settings = {name: getattr(index, name) for name in _SETTINGS}
            settings |= {"format": FORMAT, "dim": index.dim}
            make_collection(client, collection + ABOUT, _SETTINGS_FIELDS, "nothing", "FLAT")
            row = {"key": "index", "value": json.dumps(settings), "nothing": [0.0, 0.0]}
            client.upsert(collection + ABOUT, [row])
        client.close()
        return cls(where)

    @property
    def backend(self) -> str:
        """'milvus'."""
        return "milvus"

    def __len__(self) -> int:
        with explained(self.where):
            row = self._client.query(self.collection, filter="", output_fields=["count(*)"])[0]
        return int(row["count(*)"])

    def require_network(self, network_id: str) -> None:
        """Raises NetworkMismatchError unless `network_id` is the network that made this index."""
        refuse_another_network(self, network_id)

    def search(
        self, features: np.ndarray, top: int = 5, *, near: Any = None, within: float | None = None
    ) -> list[list[Match]]:
        """As PlaceIndex.search; equally near images come in the order of their names."""
        if top < 1:
            raise ArgumentError(f"top must be at least 1, not {top}")
        check_question(self.dim, features, near, within)
        rows = as_descriptors(features, "queries")
        if near is None:
            return [self._ask(row, top, "", None, 0.0) for row in rows]
        answers: list[list[Match]] = [[] for _ in rows]
        radius = float(within or 0)
        for place, asked in by_place(near, len(rows)):
            for query in asked:
                answers[query] = self._ask(rows[query], top, _square(place, radius), place, radius)
        return answers

    def holds(self, names: Iterable[str]) -> set[str]:
        """Those of the names that are in the index."""
        wanted, found = sorted(set(names)), set()
        for start in range(0, len(wanted), 1000):
            keys = json.dumps([_key(name) for name in wanted[start : start + 1000]])
            with explained(self.where):
                rows = self._client.query(self.collection, filter=f"key in {keys}", output_fields=["name"])
            found |= {row["name"] for row in rows}
        return found

    def merge(self, other: PlaceIndex) -> "MilvusIndex":
        """Writes the images of an index of the same network into this one, at once; same names are replaced.

        Errors: as of `deepibl.search.index.merge`.
        """
        require_same_kind(self, other)
        names = names_below(self.root, other.root, other.names)
        positions = in_zone(other, self.utm_zone)
        with explained(self.where):
            _upsert(self._client, self.collection, other, names, positions)
        return self

    def without(self, names: Iterable[str]) -> "MilvusIndex":
        """Deletes images from this index, at once. Raises ArgumentError for a name that is not in it."""
        wanted = set(names)
        missing = sorted(wanted - self.holds(wanted))
        if missing:
            raise ArgumentError(
                f"{len(missing)} of {len(wanted)} names are not in the index, the first is {missing[0]!r}"
            )
        with explained(self.where):
            self._client.delete(self.collection, ids=[_key(name) for name in wanted])
        return self

    def close(self) -> None:
        """Ends the connection."""
        self._client.close()

    def _ask(
        self, query: np.ndarray, top: int, condition: str, place: np.ndarray | None, radius: float
    ) -> list[Match]:
        """One query; where too many hits stand in the corners of the square, more are asked for."""
        wanted = min(top + SPARE, MOST)
        while True:
            with explained(self.where):
                hits = self._client.search(
                    self.collection, data=[query], limit=wanted, filter=condition, output_fields=FIELDS
                )[0]
            found = [hit["entity"] for hit in hits]
            inside = [hit for hit in found if place is None or _distance(hit, place) <= radius]
            if len(inside) >= top or len(found) < wanted or wanted == MOST:
                return self._ranked(query, inside, top)
            wanted = min(4 * wanted, MOST)

    def _ranked(self, query: np.ndarray, hits: list[Any], top: int) -> list[Match]:
        if not hits:
            return []
        rows = np.array([hit["descriptor"] for hit in hits], np.float32).astype(np.float64)
        exact = np.square(rows - query).sum(axis=1).astype(np.float32)
        order = sorted(range(len(hits)), key=lambda i: (exact[i], hits[i]["name"]))[:top]
        return [
            make_match(rank, hits[i]["name"], float(exact[i]), _position(hits[i]), self.root, self.utm_zone)
            for rank, i in enumerate(order, start=1)
        ]


def _settings(client: Any, collection: str) -> dict[str, Any] | None:
    """The settings of a finished index; None where there is none."""
    about = collection + ABOUT
    if not client.has_collection(about):
        return None
    client.load_collection(about)
    rows = client.query(about, filter='key == "index"', output_fields=["value"])
    return json.loads(rows[0]["value"]) if rows else None


def _drop_unfinished(client: Any, collection: str, dim: int) -> None:
    """Drops what a run that was killed left. Errors: ValueError for a collection that is none of ours."""
    for name, fields in ((collection, _images(dim)), (collection + ABOUT, _SETTINGS_FIELDS)):
        if client.has_collection(name):
            found = {field["name"] for field in client.describe_collection(name)["fields"]}
            if found != set(fields):
                raise ValueError(f"its collection {name} is no index of ours (fields {sorted(found)})")
            client.drop_collection(name)


def _images(dim: int) -> dict[str, tuple[str, dict[str, Any]]]:
    """The fields of the collection of images."""
    return {
        "key": _KEY,
        "name": ("VARCHAR", {"max_length": 4096}),
        "descriptor": ("FLOAT_VECTOR", {"dim": dim}),
        "placed": ("BOOL", {}),
        "east": ("DOUBLE", {}),
        "north": ("DOUBLE", {}),
    }


def _upsert(client: Any, collection: str, index: PlaceIndex, names: list[str], positions: np.ndarray) -> None:
    """Writes the images of an index, as many in a message as fit into it."""
    placed = np.isfinite(positions).all(axis=1)
    start = 0
    for part in blocks(index.descriptors, MESSAGE_BYTES * index.descriptors.dtype.itemsize // 4):
        rows = [
            {
                "key": _key(names[i]),
                "name": names[i],
                "descriptor": descriptor,
                "placed": bool(placed[i]),
                "east": float(positions[i, 0]) if placed[i] else 0.0,
                "north": float(positions[i, 1]) if placed[i] else 0.0,
            }
            for i, descriptor in enumerate(np.asarray(part, np.float32), start)
        ]
        client.upsert(collection, rows)
        start += len(part)


def _key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _square(place: np.ndarray, radius: float) -> str:
    """Milvus's condition for images in the square around a circle."""
    (west, south), (east, north) = (place - radius).tolist(), (place + radius).tolist()
    return f"placed == true and east >= {west} and east <= {east} and north >= {south} and north <= {north}"


def _position(hit: Any) -> np.ndarray:
    return np.array([hit["east"], hit["north"]] if hit["placed"] else [np.nan, np.nan])


def _distance(hit: Any, place: np.ndarray) -> float:
    return float(np.hypot(*(_position(hit) - place)))
