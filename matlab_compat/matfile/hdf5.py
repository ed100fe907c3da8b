"""A thin view of HDF5 objects for matfile.v73: h5py's low-level calls, far faster on many small objects.

What h5py raises on a damaged file becomes MatFileError (`mat_damage`). The heaps in which HDF5 keeps strings
of variable length are checked first, since HDF5 never returns from a damaged one. h5py does not expose where
they are, so it is read from the file: of a dataset in one piece, as h5py writes it, and of an attribute in an
object header of version 1, as MATLAB writes it. Other forms are left to HDF5.
"""

import math
import os
import struct
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5i, h5l, h5o, h5r, h5s, h5t

from matlab_compat.errors import MatFileError
from matlab_compat.files import mat_damage
from matlab_compat.matfile.chunks import read_chunks
from matlab_compat.matfile.classes import corrupted

HEAD = 16
ELEMENT = struct.Struct("<IQI")  # of a string: its length, its collection's address, its number there
SIGNATURE = b"GCOL\x01"
ATTRIBUTE, CONTINUED = 0x0C, 0x10  # messages of an object header
MOST_BLOCKS = 64


class Stored:
    """The bytes of a file that h5py has open; addresses are HDF5's, after the user block."""

    def __init__(self, oid: Any) -> None:
        file = h5i.get_file_id(oid)
        layout = file.get_create_plist()
        self._handle, self.user_block = file.get_vfd_handle(), layout.get_userblock()
        self.readable = layout.get_sizes() == (8, 8) and hasattr(os, "pread")
        self._size = os.fstat(self._handle).st_size - self.user_block

    def read(self, address: int, count: int) -> bytes:
        """At most `count` bytes, none beyond the end of the file."""
        left = max(0, self._size - address)
        return os.pread(self._handle, min(count, left), self.user_block + address) if left else b""


def heap_problem(dataset: h5d.DatasetID) -> str:
    """Why a dataset of strings (or lists) is not read: a collection of it is invalid; or ''."""
    at, stored = dataset.get_offset(), Stored(dataset)  # h5py counts the user block, too
    if at is None or not _of_any_length(dataset.get_type()) or not stored.readable:
        return ""
    return _problem(stored, stored.read(at - stored.user_block, dataset.get_storage_size()))


def attribute_problem(oid: Any, name: bytes) -> str:
    """As `heap_problem`, for an attribute of a group or dataset."""
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
    return f"its strings at byte {damaged[0]} are invalid: the file is corrupted" if damaged else ""


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
    """The attributes among an object header's messages; none in a header of another version."""
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
MAX_PACKING = 1040  # gzip packs no tighter
FREE_BYTES, FREE_VALUES = 64 << 20, 10_000
BYTES_A_VALUE = 8  # in the file: a reference; all empty elements of cells refer to one "canonical empty"
_stored_type = lru_cache(h5t.py_create)
TEXT = _stored_type(np.dtype("S256"))


class Budget:
    """How much may be read from a file of `size` bytes; refuses those that repeat the same data."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values = FREE_VALUES + size // BYTES_A_VALUE
        self.nbytes = FREE_BYTES + size * MAX_PACKING

    def take(self, nbytes: int) -> None:
        """Counts one more value of `nbytes`."""
        self.values -= 1
        self.nbytes -= nbytes
        if self.values < 0 or self.nbytes < 0:
            raise corrupted("it refers to the same values again and again")


def claim_problem(dataset: h5d.DatasetID, itemsize: int, size: int) -> str:
    """Why a dataset is not read: more data than a file of `size` bytes can hold, or in other files; or ''."""
    if dataset.get_offset() is None:
        layout = dataset.get_create_plist()
        if layout.get_external_count() or layout.get_layout() == h5d.VIRTUAL:
            return "a dataset keeps its data in other files, which are not read"
    declared = math.prod(dataset.shape or ()) * itemsize
    kept = min(dataset.get_storage_size(), size)
    if declared <= max(CHECKED_BYTES, MAX_PACKING * kept):
        return ""
    return (
        f"a dataset of shape {dataset.shape} declares {declared:,} bytes where the file has {kept:,}: "
        "the file is corrupted"
    )


class Node:
    """One dataset or group of a file, by its low-level id; all nodes of a file share its budget."""

    def __init__(self, oid: Any, budget: Budget) -> None:
        self.id, self.budget = oid, budget
        self.is_dataset = isinstance(oid, h5d.DatasetID)

    def path(self) -> str:
        """The object's name in the file, as '/net/layers'."""
        return (h5i.get_name(self.id) or b"?").decode("utf-8", errors="replace")

    @mat_damage()
    def has(self, attribute: str) -> bool:
        """Whether the object has an attribute."""
        return bool(h5a.exists(self.id, attribute.encode()))

    @mat_damage()
    def integer(self, attribute: str) -> int:
        """An attribute that is one integer; 0 where it is missing."""
        if not self.has(attribute):
            return 0
        value = np.zeros((), np.int64)
        h5a.open(self.id, attribute.encode()).read(value, h5t.NATIVE_INT64)
        return int(value)

    @mat_damage()
    def text(self, attribute: str) -> str:
        """An attribute that is a string; '' where it is missing."""
        if not self.has(attribute):
            return ""
        opened = h5a.open(self.id, attribute.encode())
        if opened.get_type().is_variable_str():  # h5py's own form; MATLAB writes strings of fixed length
            return str(self._high_level().attrs[attribute])
        value = np.zeros((), "S256")
        opened.read(value, TEXT)
        return value.item().decode("utf-8")

    @mat_damage()
    def words(self, attribute: str) -> list[str] | None:
        """An attribute that is a list of strings stored as letters; None where it is missing."""
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

    @mat_damage()
    def __iter__(self) -> Iterator[str]:
        return iter([name.decode("utf-8") for name in (() if self.is_dataset else self.id)])

    @mat_damage()
    def __contains__(self, name: str) -> bool:
        return not self.is_dataset and name.encode() in self.id

    @mat_damage()
    def __getitem__(self, name: str) -> "Node":
        if name not in self:
            raise corrupted(f"its HDF5 group lacks {name!r}")
        if self.id.links.get_info(name.encode()).type == h5l.TYPE_EXTERNAL:
            raise MatFileError(f"{name!r} is a link to another file, which is not followed")
        return Node(h5o.open(self.id, name.encode()), self.budget)

    @mat_damage()
    def at(self, reference: Any) -> "Node":
        """The object that a reference points to."""
        target = h5r.dereference(reference, self.id)
        if target is None:
            raise corrupted("it holds a reference that points nowhere")
        return Node(target, self.budget)

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """HDF5's shape of a dataset."""
        shape = self.id.shape if self.is_dataset else None
        if shape is None:
            raise corrupted("an HDF5 group or an empty dataset is where an array should be")
        return shape

    @property
    @mat_damage()
    def _type_class(self) -> int | None:
        return self.id.get_type().get_class() if self.is_dataset else None

    @property
    def holds_references(self) -> bool:
        """Whether this is a dataset of references to other objects."""
        return self._type_class == h5t.REFERENCE

    @property
    def holds_complex(self) -> bool:
        """Whether this is a dataset of (real, imag) pairs."""
        return self._type_class == h5t.COMPOUND

    @mat_damage()
    def numbers(self, dtype: np.dtype) -> np.ndarray:
        """The data of a numeric dataset in the given type and HDF5's shape."""
        self._take(dtype.itemsize)
        data = np.empty(self.shape, dtype)
        if not read_chunks(self.id, data):
            self.id.read(h5s.ALL, h5s.ALL, data, _stored_type(dtype))
        return data

    @mat_damage()
    def complex_numbers(self, dtype: Any = np.complex128) -> np.ndarray:
        """The data of a dataset of (real, imag) pairs as complex numbers, of a real one as it is stored."""
        stored = self.stored()
        if not self.holds_complex:
            return stored
        data = np.empty(stored.shape, dtype)
        data.real, data.imag = stored["real"], stored["imag"]
        return data

    @mat_damage()
    def stored(self) -> np.ndarray:
        """The data of a dataset as it is stored."""
        self._take(self.id.get_type().get_size() if self.is_dataset else 0)
        return np.asarray(h5py.Dataset(self.id)[()])

    def _take(self, itemsize: int) -> None:
        declared = math.prod(self.shape) * itemsize
        small_and_here = declared <= CHECKED_BYTES and self.id.get_offset() is not None
        if not small_and_here and (problem := claim_problem(self.id, itemsize, self.budget.size)):
            raise MatFileError(problem)
        self.budget.take(declared)
