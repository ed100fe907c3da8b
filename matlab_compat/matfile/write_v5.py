"""Writes MAT 5 files, every variable compressed, as MATLAB's -v7 (the format is that of matfile.v5).

scipy's writer puts spaces for char(0), changes the shape of N-D and empty chars, and writes no `struct([])`.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import scipy.sparse

from matlab_compat.matfile.v5 import CLASSES, COMPLEX, COMPRESSED, LOGICAL, MATRIX, STORAGE, UTF16

INT8, UTF8 = 1, 16
HEADER = b"MATLAB 5.0 MAT-file, written by deepibl".ljust(116) + bytes(8) + struct.pack("<H2s", 256, b"IM")
KINDS = {form: kind for kind, form in STORAGE.items()}
CLASS_NUMBERS = {name: number for number, name in CLASSES.items()}
CLASS_OF_DTYPE = {"float64": "double", "float32": "single", "bool": "uint8"}


def write(stream: BinaryIO, variables: Mapping[str, Any]) -> None:
    """Writes a file of variables in the form that `matfile.write.to_arrays` gives them."""
    stream.write(HEADER)
    for name, value in variables.items():
        packer = zlib.compressobj()
        packed = [*map(packer.compress, _matrix(value, name)), packer.flush()]
        stream.write(struct.pack("<II", COMPRESSED, sum(map(len, packed))))
        stream.writelines(packed)


def _matrix(value: Any, name: str = "") -> list[Any]:
    """The element of a value, in pieces: bytes, and views of arrays."""
    room, fields = 0, value.dtype.names
    body: list[Any] = []
    items: Any = ()
    if scipy.sparse.issparse(value):
        classname, room = "sparse", max(1, value.nnz)  # MATLAB does not load one with room for 0 values
        for part in (value.indices.astype("i4"), value.indptr.astype("i4"), value.data):
            body += _element(part)
    elif fields is not None:
        classname, width = "struct", max(map(len, fields), default=0) + 1
        body = _element(np.array([width], "i4"))
        body += _element(b"".join(field.encode().ljust(width, b"\0") for field in fields), INT8)
        items = [item[field] for item in (value.ravel("F") if fields else ()) for field in fields]
    elif value.dtype == object:
        classname, items = "cell", value.ravel("F")
    elif value.dtype.kind == "U":
        classname, units = "char", value.ravel("F").view(np.uint32)
        in_ascii = units.max(initial=0) < 128
        body = _element(units.astype("u1" if in_ascii else "u2"), UTF8 if in_ascii else UTF16)
    else:
        classname = CLASS_OF_DTYPE.get(value.real.dtype.name, value.dtype.name)
        body = _element(value)
    for item in items:
        body += _matrix(item)
    flags = {"b": LOGICAL, "c": COMPLEX}.get(value.dtype.kind, 0) << 8 | CLASS_NUMBERS[classname]
    head = _element(np.array([flags, room], "u4")) + _element(np.array(value.shape, "i4"))
    head += _element(name.encode(), INT8)
    return [struct.pack("<II", MATRIX, sum(map(len, head + body))), *head, *body]


def _element(data: Any, kind: int = 0) -> list[Any]:
    """The element of bytes or numbers; two of complex ones."""
    if isinstance(data, np.ndarray) and data.dtype.kind == "c":
        return _element(data.real) + _element(data.imag)
    if isinstance(data, np.ndarray):
        data = data.ravel("F").view("u1" if data.dtype == bool else data.dtype)
        kind = kind or KINDS[data.dtype.str[1:]]
        data = data.astype(data.dtype.newbyteorder("<"), copy=False).view("u1").data
    if len(data) <= 4:
        return [struct.pack("<I4s", len(data) << 16 | kind, bytes(data))]
    return [struct.pack("<II", kind, len(data)), data, bytes(-len(data) % 8)]
