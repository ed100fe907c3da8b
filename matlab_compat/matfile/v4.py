"""Reads MAT 4 files: numeric, char and sparse matrices, by scipy, which never ends on some damaged headers.

A header of 20 bytes is five integers: a type MOPT (its digits: byte order, 0, storage, kind), rows, columns,
whether complex and the length of the name. Numeric matrices are doubles in MATLAB, however they are stored.
"""

import inspect
import io
import math
import os
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import scipy.io

from matlab_compat.errors import MatFileError
from matlab_compat.files import mat_damage
from matlab_compat.matfile.classes import MAX_EMPTY_ROWS, char_codes, chars, checked_size, corrupted
from matlab_compat.matfile.values import VariableInfo

HEADER_BYTES = 20
STORAGE = {0: "f8", 1: "f4", 2: "i4", 3: "i2", 4: "u2", 5: "u1"}
CHAR, SPARSE = 1, 2
CLASSNAMES = {0: "double", CHAR: "char", SPARSE: "sparse"}
# newer SciPy warns unless it is told which of its two kinds of sparse matrices to return
SPMATRIX: Any = {"spmatrix": True} if "spmatrix" in inspect.signature(scipy.io.loadmat).parameters else {}


class Entry(NamedTuple):
    """A matrix: its kind, how its numbers are stored, its stored shape, and where it is, header included."""

    kind: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]
    start: int
    nbytes: int


def is_mat4(head: bytes) -> bool:
    """Whether bytes can be the beginning of a MAT 4 file."""
    return len(head) >= HEADER_BYTES and _type_of(head) is not None


def _type_of(head: bytes) -> tuple[str, np.dtype[Any], int] | None:
    """Byte order, type of numbers and kind of the matrix with this header; None where it is not a header."""
    for digit, order in enumerate("<>"):
        mopt = int(np.frombuffer(head[:4], f"{order}i4")[0])
        storage, kind = mopt // 10 % 10, mopt % 10
        if mopt // 100 == digit * 10 and storage in STORAGE and kind in CLASSNAMES:
            return order, np.dtype(order + STORAGE[storage]), kind
    return None


class Mat4File:
    """An open MAT 4 file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.size = os.fstat(stream.fileno()).st_size
        self.entries: dict[str, Entry] = {}
        self.problems: dict[str, MatFileError] = {}
        at = 0
        while at < self.size:
            try:
                name, entry = self._header(at)
            except MatFileError as problem:
                if not self.entries:
                    raise
                self.problems[f"the variable at byte {at:,}"] = problem
                break
            self.entries[name] = entry
            at += entry.nbytes
        self.names = list(self.entries)

    def _header(self, at: int) -> tuple[str, Entry]:
        head = self._read(at, HEADER_BYTES)
        found = _type_of(head)
        if found is None:
            raise MatFileError(f"found no matrix at byte {at:,} of a MAT 4 file: it is corrupted")
        order, dtype, kind = found
        _, rows, columns, imaginary, length = (int(word) for word in np.frombuffer(head, f"{order}i4"))
        if not 0 < length <= self.size:
            raise MatFileError(f"a name of {length} characters at byte {at:,}: it is corrupted")
        name = self._read(at + HEADER_BYTES, length).split(b"\0")[0].decode("latin-1")
        if kind == SPARSE and (rows < 1 or columns not in (3, 4)):
            raise MatFileError(f"the sparse matrix {name!r} is invalid: stored as {rows} x {columns} numbers")
        parts = 2 if imaginary == 1 and kind == 0 else 1
        left = (self.size - at - HEADER_BYTES - length) // parts
        count = checked_size((rows, columns), left, dtype.itemsize, f"matrix {name!r}")
        nbytes = HEADER_BYTES + length + parts * count * dtype.itemsize
        return name, Entry(kind, dtype, (rows, columns), at, nbytes)

    def _read(self, at: int, count: int) -> bytes:
        self.stream.seek(at)
        data = self.stream.read(count)
        if len(data) < count:
            raise MatFileError("it ends in the middle of a matrix: it is truncated")
        return data

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable."""
        entry = self.entries[name]
        shape = self._loaded(entry).shape if entry.kind == SPARSE else entry.shape
        return VariableInfo(CLASSNAMES[entry.kind], shape)

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        entry = self.entries[name]
        if entry.kind == CHAR:  # whatever numbers hold the codes; scipy takes the lowest byte of each
            nbytes = math.prod(entry.shape) * entry.dtype.itemsize
            stored = self._read(entry.start + entry.nbytes - nbytes, nbytes)
            return chars(char_codes(np.frombuffer(stored, entry.dtype)), entry.shape)
        value = self._loaded(entry)
        if entry.kind == SPARSE:
            if value.shape[1] > MAX_EMPTY_ROWS:  # each column takes memory in the form that is returned
                raise corrupted(f"a sparse matrix declares {value.shape[1]:,} columns")
            with mat_damage():
                return value.tocsc()
        return value.astype(np.complex128 if value.dtype.kind == "c" else np.float64)

    def _loaded(self, entry: Entry) -> Any:
        """The matrix as scipy returns it: numeric, of single characters, or sparse in coordinate form."""
        content = io.BytesIO(self._read(entry.start, entry.nbytes))
        with mat_damage(), np.errstate(invalid="ignore"):  # of sparse positions that are not numbers
            (value,) = scipy.io.loadmat(content, chars_as_strings=False, **SPMATRIX).values()
        return value
