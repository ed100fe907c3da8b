"""Reads MAT 4 files: numeric, char and sparse matrices, one after another, each with 20 bytes of header.

A header is five integers: a type MOPT (its digits: byte order, 0, storage, kind), rows, columns, whether
complex and the length of the name. Every numeric matrix is a double in MATLAB, however it is stored."""

import os
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from matlab_compat.errors import MatFileError
from matlab_compat.matfile.classes import MAX_EMPTY_ROWS, chars, checked_size, sparse
from matlab_compat.matfile.values import VariableInfo

HEADER_BYTES = 20

ORDERS = {0: "<", 1: ">"}

STORAGE = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}

NUMERIC, CHAR, SPARSE = 0, 1, 2

CLASSNAMES = {NUMERIC: "double", CHAR: "char", SPARSE: "sparse"}


class Entry(NamedTuple):
    """A matrix: its kind, stored shape, type, whether complex, and where its data is."""

    kind: int
    shape: tuple[int, int]
    dtype: np.dtype[Any]
    is_complex: bool
    at: int


def is_mat4(head: bytes) -> bool:
    """Whether bytes can be the beginning of a MAT 4 file."""
    return len(head) >= HEADER_BYTES and any(
        _kind_of(int(np.frombuffer(head[:4], f"{order}i4")[0])) is not None for order in ORDERS.values()
    )


def _kind_of(mopt: int) -> tuple[str, str, int] | None:
    """Byte order, storage and kind of a header's first number; None where it is none."""
    order, zero, storage, kind = (mopt // 1000, mopt // 100 % 10, mopt // 10 % 10, mopt % 10)
    known = mopt >= 0 and order in ORDERS and zero == 0 and storage in STORAGE and kind in CLASSNAMES
    return (ORDERS[order], STORAGE[storage], kind) if known else None


class Mat4File:
    """An open MAT 4 file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        self.entries: dict[str, Entry] = {}
        at = 0
        while at < self.size:
            at = self._scan(at)
        self.names = list(self.entries)

    def _scan(self, at: int) -> int:
        head = self._read(at, HEADER_BYTES)
        kinds = (_kind_of(int(np.frombuffer(head[:4], f"{order}i4")[0])) for order in ORDERS.values())
        found = next((kind for kind in kinds if kind), None)
        if found is None:
            raise MatFileError(f"found no matrix at byte {at:,} of a MAT 4 file: it is corrupted")
        order, storage, kind = found
        _, rows, columns, imaginary, length = (int(word) for word in np.frombuffer(head, f"{order}i4"))
        if not 0 < length <= self.size:
            raise MatFileError(f"a name of {length} characters at byte {at:,}: it is corrupted")
        name = self._read(at + HEADER_BYTES, length).split(b"\0")[0].decode("latin-1")
        dtype = np.dtype(order + storage)
        data_at = at + HEADER_BYTES + length
        parts = 2 if imaginary and kind != SPARSE else 1
        left = (self.size - data_at) // parts
        count = checked_size((rows, columns), left, dtype.itemsize, f"matrix {name!r}")
        self.entries[name] = Entry(kind, (rows, columns), dtype, bool(imaginary), data_at)
        return data_at + parts * count * dtype.itemsize

    def _read(self, at: int, count: int) -> bytes:
        self.stream.seek(at)
        data = self.stream.read(count)
        if len(data) < count:
            raise MatFileError("it ends in the middle of a matrix: it is truncated")
        return data

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable."""
        entry = self.entries[name]
        shape = self.value(name).shape if entry.kind == SPARSE else entry.shape
        return VariableInfo(CLASSNAMES[entry.kind], shape)

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        entry = self.entries[name]
        stored = self._part(entry, 0)
        if entry.kind == CHAR:
            return chars(stored.astype(np.uint16), entry.shape)
        if entry.kind == SPARSE:
            return _sparse(stored.reshape(entry.shape, order="F"))
        if entry.is_complex:
            stored = stored + 1j * self._part(entry, 1)
        return stored.reshape(entry.shape, order="F")

    def _part(self, entry: Entry, part: int) -> np.ndarray:
        count = entry.shape[0] * entry.shape[1]
        nbytes = count * entry.dtype.itemsize
        return np.frombuffer(self._read(entry.at + part * nbytes, nbytes), entry.dtype).astype(np.float64)


def _sparse(table: np.ndarray) -> Any:
    """From rows of (row, column, value[, imaginary]), counted from 1, the last of which holds the shape."""
    if table.shape[0] < 1 or table.shape[1] not in (3, 4):
        raise MatFileError(f"a sparse matrix kept as {table.shape} numbers makes no sense")
    rows, columns = (int(side) for side in table[-1, :2])
    if columns > MAX_EMPTY_ROWS:
        raise MatFileError(f"a sparse matrix claims {columns:,} columns: the file is corrupted")
    i, j = table[:-1, 0].astype(np.int64) - 1, table[:-1, 1].astype(np.int64) - 1
    if i.size and (i.min() < 0 or j.min() < 0 or i.max() >= rows or j.max() >= columns):
        raise MatFileError(f"a sparse matrix of shape {(rows, columns)} has elements outside")
    data = table[:-1, 2] if table.shape[1] == 3 else table[:-1, 2] + 1j * table[:-1, 3]
    order = np.lexsort((i, j))
    starts = np.searchsorted(j[order], np.arange(columns + 1))
    return sparse(data[order], i[order], starts, (rows, columns))
