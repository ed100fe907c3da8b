"""Files that other modules keep: JSON notes, and named tensors in one safetensors file.

`write_tensors` and `map_tensors` write and memory-map named arrays with a few strings: the safetensors
package cannot write the rows of several files, larger than memory, without copying them. `RowView` selects
and joins rows of matrices without copying them: what is larger than memory stays in its files.
"""

import dataclasses
import functools
import hashlib
import json
import os
import reprlib
import types
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open

from matlab_compat.files import StrPath, atomic_output, write_text


def hold(lock: FileLock) -> bool:
    """Takes a lock; False where another process has it. Raises OSError where its file cannot be made."""
    try:
        lock.acquire(timeout=0)
    except Timeout:  # filelock takes a full disk, and a folder that takes no files, for a held lock
        with open(lock.lock_file, "ab"):
            return False
    return True


def read_note(path: Path) -> dict[str, Any]:
    """Returns the object in a note; {} if the file is missing, damaged or not a JSON object."""
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def write_note(path: StrPath, content: Any, indent: int | None = None) -> None:
    """Writes JSON, whole or not at all."""
    write_text(path, json.dumps(content, indent=indent) + "\n")


def checksum(path: StrPath, method: str = "sha256") -> str:
    digest = hashlib.new(method, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


_hints = functools.cache(get_type_hints)


def from_plain(kind: Any, value: Any, name: str) -> Any:
    """`value` as an annotated type; ValueError, which names what is wrong, where it is not of it.

    kind: int, float (whole numbers too), str, bool, None, Any, or lists, tuples (of JSON's lists), dicts
    (JSON's keys are strings; integers are made of them where the annotation has int), unions and dataclasses
    of these. name: of the value, for messages.
    """
    outer, inner = get_origin(kind), get_args(kind)
    plain = int | float if kind is float else kind
    if kind is Any:
        return value
    if outer in (Union, types.UnionType):
        for each in inner:
            with suppress(ValueError):
                return from_plain(each, value, name)
    elif isinstance(kind, type) and dataclasses.is_dataclass(kind) and isinstance(value, dict):
        known = _hints(kind)
        needed = {
            field.name
            for field in dataclasses.fields(kind)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        if wrong := sorted(needed - set(value)):
            raise ValueError(f"{name} lacks {wrong[0]!r}")
        if wrong := sorted(set(value) - set(known)):
            raise ValueError(f"{name} has an unknown field {wrong[0]!r:.60}")
        return kind(**{key: from_plain(known[key], item, key) for key, item in value.items()})
    elif outer is list and isinstance(value, list):
        return [from_plain(inner[0], item, name) for item in value]
    elif outer is tuple and isinstance(value, list):
        kinds = inner[:1] * len(value) if inner[-1] is ... else inner
        if len(kinds) == len(value):
            return tuple(from_plain(each, item, name) for each, item in zip(kinds, value, strict=True))
    elif outer in (dict, Mapping) and isinstance(value, dict):
        if inner[0] is str or all(map(str.isdecimal, value)):
            return {inner[0](key): from_plain(inner[1], item, name) for key, item in value.items()}
    elif outer is None and isinstance(value, bool) == (kind is bool) and isinstance(value, plain):
        return value
    raise ValueError(f"{name} is {reprlib.repr(value)}")


BLOCK_BYTES = 1 << 26  # in memory at a time, of a matrix that is read from end to end


class RowView:
    """Rows of matrices (N_i, D), as if they were one matrix (N, D).

    parts: pairs of a matrix (mapped, in memory, or itself a view) and the 0-based rows to take of it, in
    order (None: all). dtype: of the rows that are returned; default: that of the first matrix.
    Indexing by a slice or by ids (M,) returns a new array of those rows, in that order.

    >>> RowView([(np.eye(3), np.array([2, 0])), (np.zeros((1, 3)), None)])[np.array([0, 2])]
    array([[0., 0., 1.],
           [0., 0., 0.]])
    """

    def __init__(self, parts: Sequence[tuple[Any, np.ndarray | None]], dtype: Any = None) -> None:
        self.parts = list(parts)
        sizes = [len(matrix) if rows is None else len(rows) for matrix, rows in self.parts]
        self._ends = np.cumsum(sizes)
        first = self.parts[0][0]
        self.dtype = np.dtype(first.dtype if dtype is None else dtype)
        self.shape = (int(self._ends[-1]), int(first.shape[1]))
        self.ndim, self.size = 2, self.shape[0] * self.shape[1]
        self.nbytes = self.dtype.itemsize * self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, wanted: Any) -> np.ndarray:
        if isinstance(wanted, slice):
            wanted = np.arange(*wanted.indices(len(self)))
        ids = np.asarray(wanted)
        found = np.empty((len(ids), self.shape[1]), self.dtype)
        which = np.searchsorted(self._ends, ids, side="right")
        for number in np.unique(which):
            matrix, rows = self.parts[number]
            here = which == number
            local = ids[here] - (self._ends[number - 1] if number else 0)
            found[here] = matrix[local if rows is None else rows[local]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


def blocks(rows: Any, size: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """Yields a matrix (N, D) or a view in consecutive blocks of rows, of about `size` bytes each."""
    step = max(1, size // max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:]))))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]


_CODES = {
    np.dtype(f"{kind}{size}"): f"{kind.upper()}{8 * size}"
    for kind in "fiu"
    for size in (1, 2, 4, 8)[kind == "f" :]
}
_CODES[np.dtype("?")] = "BOOL"


def write_tensors(path: StrPath, tensors: Mapping[str, Any], strings: Mapping[str, str]) -> None:
    """Writes arrays, or `RowView`s, and strings; `path` is replaced only by a complete file."""
    header: dict[str, Any] = {"__metadata__": dict(strings)}
    offset = 0
    ordered = sorted(tensors.items(), key=lambda item: -item[1].dtype.itemsize)  # so every array is aligned
    for name, array in ordered:
        where = [offset, offset := offset + array.nbytes]
        header[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": where}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_output(path) as temporary, open(temporary, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            file.writelines(bytes_of(array))
        file.flush()
        os.fsync(file.fileno())


def bytes_of(array: Any) -> Iterator[memoryview]:
    """Yields the bytes of an array or a `RowView`, in C order, in blocks if it has more than one axis."""
    for part in blocks(array) if array.ndim > 1 and array.size else (array,):
        yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data


def map_tensors(path: StrPath) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Returns the arrays, mapped copy-on-write, and the strings; ValueError or OSError if it is damaged."""
    try:
        with safe_open(path, "pt") as file:  # torch maps; numpy would read
            arrays = {name: file.get_tensor(name).numpy() for name in file.keys()}  # noqa: SIM118
            return arrays, dict(file.metadata() or {})
    except (SafetensorError, TypeError) as error:  # numpy has no bfloat16
        raise ValueError(f"{os.fspath(path)} is not a safetensors file of numbers: {error}") from None
