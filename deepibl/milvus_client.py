"""Talking to Milvus: where it is, connecting, making a collection, and its errors as ours."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from deepibl.errors import IndexFileError
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
