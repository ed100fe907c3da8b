"""A thin view of HDF5 objects for mat_v73: h5py's low-level calls, far faster on many small objects.

Large packed datasets of HDF5 files, unpacked in several threads: HDF5 itself does it in one.

A dataset is stored in chunks of equal shape, each packed by itself; those at the border are filled up.

Where HDF5 keeps texts of any length: damage there is found here, for HDF5 would go on forever.

A data set or attribute of such texts has (length, address, number) for each. At the address lies a
collection: a head of 16 bytes with its size, then objects, each with a head of 16 bytes that says how long
it is. h5py has no way to read these numbers, so they are read from the file as HDF5's format lays them out:
those of a data set in one piece, as h5py writes it, and of an attribute in an object header of version 1, as
MATLAB writes it. What lies otherwise is left to HDF5.
"""

import itertools
import math
import os
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5r, h5s, h5t, h5z

from matlab_compat.errors import MatFileError
from matlab_compat.files import ERRORS, inflated

LEAST_BYTES = 1 << 20  # of a dataset for which threads are worth their start

MOST_THREADS = 8

NOT_HERE: tuple[type[Exception], ...] = (*ERRORS, OSError, RuntimeError, ValueError, KeyError)

AT_A_TIME = 64  # packed chunks that are held


def read_chunks(dataset: Any, into: np.ndarray) -> bool:
    """Fills an array of the dataset's shape and type; False, with anything in it, if that cannot be done.

    dataset: h5py's low-level id. What cannot be done here (other packings, chunks that are missing or
    damaged) is left to HDF5 itself, which then reads it or says what is wrong.
    """
    layout = dataset.get_create_plist()
    if into.nbytes < LEAST_BYTES or dataset.dtype != into.dtype or layout.get_layout() != h5d.CHUNKED:
        return False
    if layout.get_nfilters() != 1 or layout.get_filter(0)[0] != h5z.FILTER_DEFLATE:
        return False
    shape = layout.get_chunk()
    size = int(np.prod(shape)) * into.itemsize

    def place(offset: tuple[int, ...], packed: bytes) -> None:
        chunk = np.frombuffer(inflated(packed, size), into.dtype).reshape(shape)
        target = into[tuple(slice(at, at + side) for at, side in zip(offset, shape, strict=True))]
        target[...] = chunk[tuple(slice(side) for side in target.shape)]

    corners = itertools.product(*(range(0, n, side) for n, side in zip(into.shape, shape, strict=True)))
    try:
        with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1), "deepibl-unpack") as pool:
            while some := list(itertools.islice(corners, AT_A_TIME)):
                packed = [dataset.read_direct_chunk(corner) for corner in some]
                if any(mask for mask, _ in packed):  # a chunk that was kept unpacked
                    return False
                list(pool.map(place, some, (data for _, data in packed)))
    except NOT_HERE:
        return False
    return True


HEAD = 16

ELEMENT = struct.Struct("<IQI")

SIGNATURE = b"GCOL\x01"

ATTRIBUTE, CONTINUED = 0x0C, 0x10  # messages of an object header

MOST_BLOCKS = 64


class Stored:
    """The bytes of an open HDF5 file, beside h5py; addresses are HDF5's, after its user block."""

    def __init__(self, oid: Any) -> None:
        file = h5i.get_file_id(oid)
        layout = file.get_create_plist()
        self._handle, self.user_block = file.get_vfd_handle(), layout.get_userblock()
        self.readable = layout.get_sizes() == (8, 8) and hasattr(os, "pread")
        self._size = os.fstat(self._handle).st_size - self.user_block

    def read(self, address: int, count: int) -> bytes:
        """At most `count` bytes; none where the file has ended."""
        left = max(0, self._size - address)
        return os.pread(self._handle, min(count, left), self.user_block + address) if left else b""


def heap_problem(dataset: h5d.DatasetID) -> str:
    """Why a data set of texts (or lists) is not read: its collections lead nowhere; or ''."""
    at, stored = dataset.get_offset(), Stored(dataset)  # h5py counts the user block, too
    if at is None or not _of_any_length(dataset.get_type()) or not stored.readable:
        return ""
    return _problem(stored, stored.read(at - stored.user_block, dataset.get_storage_size()))


def attribute_problem(oid: Any, name: bytes) -> str:
    """As `heap_problem`, of an attribute of a group or data set."""
    stored, attribute = Stored(oid), h5a.open(oid, name)
    if not _of_any_length(attribute.get_type()) or not stored.readable:
        return ""
    count = math.prod(attribute.shape)
    for message in _messages(stored, h5o.get_info(oid).addr):
        if (content := _content(message, name)) is not None:
            return _problem(stored, content[: count * ELEMENT.size])
    return ""


def _of_any_length(kind: Any) -> bool:
    of_texts = kind.get_class() == h5t.STRING and kind.is_variable_str()
    return of_texts or kind.get_class() == h5t.VLEN


def _problem(stored: Stored, elements: bytes) -> str:
    whole = len(elements) // ELEMENT.size * ELEMENT.size
    addresses = {address for length, address, _ in ELEMENT.iter_unpack(elements[:whole]) if length}
    damaged = [address for address in sorted(addresses) if not _ends(stored, address)]
    return f"its texts at {damaged[0]} make no sense: the file is corrupted" if damaged else ""


def _ends(stored: Stored, address: int) -> bool:
    """Whether a collection's objects fill it, one after the other."""
    head = stored.read(address, HEAD)
    if len(head) < HEAD or not head.startswith(SIGNATURE):
        return False
    size = int.from_bytes(head[8:], "little")
    content = stored.read(address, size)
    if len(content) < size:
        return False
    at = HEAD
    while at + HEAD <= size:
        number, length = struct.unpack_from("<H6xQ", content, at)
        taken = HEAD + -(-length // 8) * 8 if number else length  # number 0: what is free, its head included
        if not HEAD <= taken <= size - at:
            return False
        at += taken
    return True


def _messages(stored: Stored, address: int) -> Iterator[bytes]:
    """The attributes among an object header's messages; none where it is of another version."""
    head = stored.read(address, HEAD)
    if len(head) < HEAD or head[0] != 1:
        return
    blocks = [(address + HEAD, int.from_bytes(head[8:12], "little"))]
    for start, size in blocks:
        block, at = stored.read(start, size), 0
        while at + 8 <= len(block):
            kind, length = struct.unpack_from("<HH", block, at)
            message = block[at + 8 : at + 8 + length]
            if kind == ATTRIBUTE:
                yield message
            if kind == CONTINUED and len(message) >= 16 and len(blocks) < MOST_BLOCKS:
                blocks.append(struct.unpack_from("<QQ", message))
            at += 8 + length


def _content(message: bytes, name: bytes) -> bytes | None:
    """The values of an attribute (of version 1, whose parts are padded to 8 bytes) if it has that name."""
    if len(message) < 8 or message[0] != 1 or not message[8:].startswith(name + b"\0"):
        return None
    sizes = struct.unpack_from("<HHH", message, 2)
    return message[8 + sum(-(-size // 8) * 8 for size in sizes) :]


CHECKED_BYTES = 1 << 20

MAX_PACKING = 1040  # gzip packs no tighter: a claim beyond it is a lie

FREE_BYTES, FREE_VALUES = 64 << 20, 10_000

BYTES_A_VALUE = 8  # in the file: a reference; all empty elements of cells refer to one "canonical empty"

TEXT = h5t.py_create(np.dtype("S256"))


class Budget:
    """What may come of a file of `size` bytes; where it refers to the same data again and again, no more."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values = FREE_VALUES + size // BYTES_A_VALUE
        self.nbytes = FREE_BYTES + size * MAX_PACKING

    def take(self, nbytes: int) -> None:
        """One more value of so many bytes is read."""
        self.values -= 1
        self.nbytes -= nbytes
        if self.values < 0 or self.nbytes < 0:
            raise MatFileError("it refers to the same values again and again: the file is corrupted")


def claim_problem(dataset: h5d.DatasetID, itemsize: int, size: int) -> str:
    """Why a data set is not read: a claim that a file of `size` bytes cannot keep, data elsewhere; or ''."""
    if dataset.get_offset() is None and _is_elsewhere(dataset):
        return "a dataset keeps its data in other files, which are not read"
    claimed = math.prod(dataset.shape or ()) * itemsize
    if claimed <= CHECKED_BYTES:
        return ""
    kept = min(dataset.get_storage_size(), size)
    if claimed > MAX_PACKING * kept:
        return (
            f"a dataset of shape {dataset.shape} claims {claimed:,} bytes where the file keeps {kept:,}: "
            "the file is corrupted"
        )
    return ""


def _is_elsewhere(dataset: h5d.DatasetID) -> bool:
    layout = dataset.get_create_plist()
    return bool(layout.get_external_count()) or layout.get_layout() == h5d.VIRTUAL


class Node:
    """One dataset or group of a file, by its low-level id; all nodes of a file share its budget."""

    def __init__(self, oid: Any, budget: Budget) -> None:
        self.id, self.budget = oid, budget
        self.is_dataset = isinstance(oid, h5d.DatasetID)

    def has(self, attribute: str) -> bool:
        """Whether the object has an attribute."""
        return bool(h5a.exists(self.id, attribute.encode()))

    def integer(self, attribute: str, default: int = 0) -> int:
        """An attribute that is one integer."""
        if not self.has(attribute):
            return default
        value = np.zeros((), np.int64)
        h5a.open(self.id, attribute.encode()).read(value, h5t.NATIVE_INT64)
        return int(value)

    def text(self, attribute: str) -> str:
        """An attribute that is a text; '' where it is missing."""
        if not self.has(attribute):
            return ""
        opened = h5a.open(self.id, attribute.encode())
        if opened.get_type().is_variable_str():  # h5py's own form; MATLAB writes texts of fixed length
            return str(self._high_level().attrs[attribute])
        value = np.zeros((), "S256")
        opened.read(value, TEXT)
        return value.item().decode("utf-8")

    def words(self, attribute: str) -> list[str] | None:
        """An attribute that is a list of texts kept as letters; None where it is missing."""
        if not self.has(attribute):
            return None
        if problem := attribute_problem(self.id, attribute.encode()):
            raise MatFileError(problem)
        listed = self._high_level().attrs[attribute]
        if isinstance(listed, h5py.Reference):  # where it is too long for an attribute
            node = self.at(listed)
            if problem := heap_problem(node.id):
                raise MatFileError(problem)
            listed = node.stored()
        return [b"".join(letters.tolist()).decode("utf-8") for letters in listed]

    def _high_level(self) -> Any:
        return h5py.Group(self.id) if isinstance(self.id, h5g.GroupID) else h5py.Dataset(self.id)

    def __iter__(self) -> Iterator[str]:
        return (name.decode("utf-8") for name in (() if self.is_dataset else self.id))

    def __contains__(self, name: str) -> bool:
        return not self.is_dataset and name.encode() in self.id

    def __getitem__(self, name: str) -> "Node":
        if name not in self:
            raise MatFileError(f"its HDF5 group lacks {name!r}: the file is corrupted")
        if self.id.links.get_info(name.encode()).type == h5l.TYPE_EXTERNAL:
            raise MatFileError(f"{name!r} is a link to another file, which is not followed")
        return Node(h5o.open(self.id, name.encode()), self.budget)

    def at(self, reference: Any) -> "Node":
        """The object that a reference points to."""
        target = h5r.dereference(reference, self.id)
        if target is None:
            raise MatFileError("it holds a reference that points nowhere: the file is corrupted")
        return Node(target, self.budget)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """HDF5's shape of a dataset."""
        return self.id.shape

    @property
    def holds_references(self) -> bool:
        """Whether this is a dataset of references to other objects."""
        return self.is_dataset and self.id.get_type().get_class() == h5t.REFERENCE

    @property
    def holds_complex(self) -> bool:
        """Whether this is a dataset of (real, imag) pairs."""
        return self.is_dataset and self.id.get_type().get_class() == h5t.COMPOUND

    def numbers(self, dtype: np.dtype) -> np.ndarray:
        """The data of a numeric dataset in a type of our choice and HDF5's shape."""
        self._check_claim(dtype.itemsize)
        data = np.empty(self.shape, dtype)
        if not read_chunks(self.id, data):
            self.id.read(h5s.ALL, h5s.ALL, data, _stored_type(dtype))
        return data

    def stored(self) -> Any:
        """The data of a dataset as it is stored."""
        self._check_claim(self.id.get_type().get_size())
        return h5py.Dataset(self.id)[()]

    def _check_claim(self, itemsize: int) -> None:
        claimed = math.prod(self.shape) * itemsize
        small_and_here = claimed <= CHECKED_BYTES and self.id.get_offset() is not None
        if not small_and_here and (problem := claim_problem(self.id, itemsize, self.budget.size)):
            raise MatFileError(problem)
        self.budget.take(claimed)


@lru_cache
def _stored_type(dtype: np.dtype[Any]) -> Any:
    return h5t.py_create(dtype)
