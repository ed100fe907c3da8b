"""Named arrays and a few strings in one file: safetensors, memory-mapped on reading, written whole or not at
all.

Any safetensors reader opens such a file. Arrays are mapped, not read: opening takes no time whatever their
size, and pages that are changed stay in this process ("copy on write"), so mapped weights can be trained.
"""

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.rows import blocks
from matlab_compat.files import atomic_output

_CODES = {
    np.dtype(numpy): code
    for code, numpy in {
        "F64": "f8",
        "F32": "f4",
        "F16": "f2",
        "I64": "i8",
        "I32": "i4",
        "I16": "i2",
        "I8": "i1",
        "U64": "u8",
        "U32": "u4",
        "U16": "u2",
        "U8": "u1",
        "BOOL": "?",
    }.items()
}
_DTYPES = {code: dtype for dtype, code in _CODES.items()}
_LONGEST_HEADER = 100 * 2**20


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], strings: Mapping[str, str]
) -> None:
    """Writes arrays (any shape and numeric class) and strings; `path` is replaced only by a whole file.

    tensors: arrays, or row views (`deepibl.rows`), which are read a block at a time.
    """
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
            for part in bytes_of(array):
                file.write(part)
        file.flush()
        os.fsync(file.fileno())


def bytes_of(array: Any) -> Iterator[memoryview]:
    """The bytes of an array or a row view, in C order, a block at a time where it has more than one axis."""
    for part in blocks(array) if array.ndim > 1 and array.size else (array,):
        yield np.ascontiguousarray(part).reshape(-1).view(np.uint8).data


def read_strings(path: str | os.PathLike[str]) -> dict[str, str]:
    """The strings of a file; ValueError or OSError when it is no such file."""
    return _read_header(Path(path))[1]


def map_tensors(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays, mapped (copy on write), and the strings; ValueError or OSError when the file is damaged."""
    path = Path(path)
    header, strings, start = _read_header(path)
    ends = [entry["data_offsets"][1] for entry in header.values()]
    if path.stat().st_size != start + max(ends, default=0):
        raise ValueError(
            f"{path} is {path.stat().st_size} bytes long instead of {start + max(ends, default=0)}"
        )
    if not ends or max(ends) == 0:
        return {name: _part(np.empty(0, np.uint8), entry) for name, entry in header.items()}, strings
    content = np.memmap(path, dtype=np.uint8, mode="c", offset=start)
    return {name: _part(content, entry) for name, entry in header.items()}, strings


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, str], int]:
    """The arrays' entries, the strings and the offset of the first byte of data; checked."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_LONGEST_HEADER, path.stat().st_size - 8):
            raise ValueError(f"{path} is no safetensors file")
        try:
            header = json.loads(file.read(length))
        except RecursionError:
            raise ValueError(f"{path} is no safetensors file: its header is nested too deep") from None
    strings: Any = header.pop("__metadata__", {}) if isinstance(header, dict) else None
    if not _are_strings(strings) or not all(map(_is_entry, header.values())):
        raise ValueError(f"{path} is no safetensors file: its header makes no sense")
    return header, strings, 8 + length


def _are_strings(strings: Any) -> bool:
    return isinstance(strings, dict) and all(isinstance(text, str) for text in strings.values())


def _is_entry(entry: Any) -> bool:
    """Whether this says of an array what has to be said, in numbers that can be."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        return False
    if entry["dtype"] not in _DTYPES:
        return False
    lists = entry.get("shape"), entry.get("data_offsets")
    whole = all(
        isinstance(each, list) and all(type(number) is int and number >= 0 for number in each)
        for each in lists
    )
    return whole and len(entry["data_offsets"]) == 2


def _part(content: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    first, last = entry["data_offsets"]
    dtype, shape = _DTYPES[entry["dtype"]], tuple(entry["shape"])
    count = math.prod(shape)
    if not first <= last <= content.size or last - first != dtype.itemsize * count:
        raise ValueError(f"an array of shape {shape} cannot lie in bytes {first} to {last}")
    # a plain ndarray over the mapped bytes: torch takes it without a copy
    return np.frombuffer(content, dtype, count, first).reshape(shape)
