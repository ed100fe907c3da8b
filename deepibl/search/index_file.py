"""The file of an index: what stands in it, and how damage is found.

It is a safetensors file (no pickle; any safetensors reader opens it), memory-mapped on reading:

=============  =================================  ============================================================
tensor         type, shape                        holds
=============  =================================  ============================================================
descriptors    float32 or float16 (N, D)          one row an image
positions      float64 (N, 2)                     UTM east, north in metres; NaN where an image has none
names          uint8                              UTF-8 names below the root, separated by newlines
structure      uint8, not with backend 'exact'    what finds candidates, as faiss writes it
metadata       strings                            format version, backend, network id and path, root, UTM
                                                  zone, resize, largest squared norm, checksums
=============  =================================  ============================================================

Checksums are SHA-256: one a tensor, and one of the metadata with the tensors' types and shapes. Opening
compares those of the metadata, names, positions and structure, and the file's length: this takes no time that
grows with the descriptors. `check_file` compares that of the descriptors, too. Files of format 1 (before
there were backends) have no checksums; they are read as they are, and written as format 2."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from deepibl.errors import IndexFileError
from deepibl.runtime.files import bytes_of, map_tensors, write_tensors
from deepibl.search.compressed import STRUCTURES, Structure, read_structure
from deepibl.search.exact import largest_norm
from matlab_compat.files import damage_as

FORMAT = "deepibl-index/2"

FORMATS = (FORMAT, "deepibl-index/1")

ADVICE = "make one with `deepibl index NET --images DIR -o FILE.idx`"

EXACT = "exact"

BACKENDS = (EXACT, *STRUCTURES)

_SETTINGS = ("network_id", "network_path", "root", "utm_zone")


def write_file(path: str | os.PathLike[str], fields: Mapping[str, Any]) -> None:
    """Writes the fields of an index; `path` is replaced only by a whole file.

    fields: those of PlaceIndex. Errors: FeatureFileError for descriptors with NaN or infinity, IndexFileError
    for a name that holds a line break.
    """
    names: list[str] = fields["names"]
    broken = next((name for name in names if "\n" in name), None)
    if broken is not None:
        raise IndexFileError(f"the image name {broken!r} holds a line break, which an index cannot store")
    structure: Structure | None = fields["structure"]
    tensors = {
        "descriptors": fields["descriptors"],
        "positions": np.ascontiguousarray(fields["positions"], dtype=np.float64),
        "names": np.frombuffer("\n".join(names).encode(), dtype=np.uint8),
    }
    metadata = {name: fields[name] or "" for name in _SETTINGS} | {
        "format": FORMAT,
        "resize": str(fields["resize"] or ""),
        "backend": structure.kind if structure is not None else EXACT,
        "largest": repr(largest_norm(fields["descriptors"], "the descriptors")),
    }
    with _as_bytes(structure, Path(path).parent) as content:
        if content is not None:
            tensors["structure"] = content
        metadata["checksums"] = json.dumps({name: _digest(array) for name, array in tensors.items()})
        metadata["header_checksum"] = _header_digest(tensors, metadata)
        write_tensors(path, tensors, metadata)


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of an index; descriptors and structure are mapped, not read into memory.

    Errors: IndexFileError for a file that is missing, cut short, damaged or not an index of a known version.
    """
    with _explained(path):
        tensors, metadata = map_tensors(path)
        if metadata.get("format") not in FORMATS:
            raise ValueError(f"its format is {metadata.get('format')!r}, this version reads {FORMATS}")
        if metadata["format"] == FORMAT:
            _compare(tensors, metadata, [name for name in tensors if name != "descriptors"])
        names = bytes(tensors["names"]).decode()
        _require_types(tensors)
        backend = metadata.get("backend", EXACT)
        structure = None if backend == EXACT else read_structure(backend, tensors["structure"])
        return {
            "descriptors": tensors["descriptors"],
            "names": names.split("\n") if names else [],
            "positions": tensors["positions"],
            **{name: metadata[name] for name in _SETTINGS},
            "utm_zone": metadata["utm_zone"] or None,
            "resize": int(metadata["resize"]) if metadata["resize"] else None,
            "structure": structure,
            "largest": float(metadata["largest"]) if "largest" in metadata else None,
        }


def check_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Compares every checksum of an index file, reading all of it; what it holds, in words and numbers.

    Errors: IndexFileError, naming what is damaged; also for format 1, which has no checksums to compare.
    """
    fields = read_file(path)
    with _explained(path):
        tensors, metadata = map_tensors(path)
        if metadata["format"] != FORMAT:
            raise ValueError(
                f"it is of format {metadata['format']}, which has no checksums; PlaceIndex.load(…).save(…) "
                "writes it with them"
            )
        _compare(tensors, metadata, tensors)
    count, dim = fields["descriptors"].shape
    return {
        "format": metadata["format"],
        "backend": metadata["backend"],
        "images": count,
        "dimensions": dim,
        "descriptors": str(fields["descriptors"].dtype),
        "with_position": int(np.isfinite(fields["positions"]).all(axis=1).sum()),
        "bytes": os.path.getsize(path),
        "structure_bytes": int(tensors["structure"].nbytes) if "structure" in tensors else 0,
        **{name: metadata[name] for name in (*_SETTINGS, "resize")},
    }


@contextmanager
def _explained(path: str | os.PathLike[str]) -> Iterator[None]:
    what = "is not an index that can be read"
    try:
        with damage_as(IndexFileError, path, what, ADVICE):
            yield
    except IndexFileError as problem:
        if what in str(problem):
            raise
        raise IndexFileError(f"{os.fspath(path)} {what}: {problem}; {ADVICE}") from problem


@contextmanager
def _as_bytes(structure: Structure | None, folder: Path) -> Iterator[np.ndarray | None]:
    """The structure as faiss's bytes, mapped from a temporary file in `folder` while they are needed."""
    if structure is None:
        yield None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".structure.") as temporary:
        written = Path(temporary) / structure.kind
        structure.write(written)
        yield np.memmap(written, np.uint8, "r")


def _compare(tensors: Mapping[str, Any], metadata: Mapping[str, str], which: Any) -> None:
    """Raises ValueError naming the first part that is not what was written."""
    if metadata["header_checksum"] != _header_digest(tensors, metadata):
        raise ValueError("its header is damaged (the checksum differs)")
    wanted = json.loads(metadata["checksums"])
    for name in which:
        if _digest(tensors[name]) != wanted[name]:
            raise ValueError(f"its {name} are damaged (the checksum differs)")


def _digest(array: Any) -> str:
    digest = hashlib.sha256()
    for part in bytes_of(array):
        digest.update(part)
    return digest.hexdigest()


def _header_digest(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    shapes = {name: [str(np.dtype(array.dtype)), list(array.shape)] for name, array in tensors.items()}
    strings = {name: value for name, value in metadata.items() if name != "header_checksum"}
    return hashlib.sha256(json.dumps([shapes, strings], sort_keys=True).encode()).hexdigest()


def _require_types(tensors: Mapping[str, np.ndarray]) -> None:
    fits: dict[str, Callable[[np.ndarray], bool]] = {
        "descriptors": lambda array: array.ndim == 2 and array.dtype in (np.float32, np.float16),
        "positions": lambda array: array.ndim == 2 and array.dtype == np.float64,
        "names": lambda array: array.dtype == np.uint8,
    }
    for name, test in fits.items():
        array = tensors[name]
        if not test(array):
            raise ValueError(f"its {name} are {array.dtype} {array.shape}, which no index holds")
