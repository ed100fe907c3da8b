"""A thin view of HDF5 objects for mat_v73: h5py's low-level calls, far faster on many small objects."""

import math
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5r, h5s, h5t

from matlab_compat.errors import MatFileError
from matlab_compat.hdf5_heaps import attribute_problem, heap_problem
from matlab_compat.mat_hdf5_chunks import read_chunks

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
