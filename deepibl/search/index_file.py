"""The file of an index: its contents, and how damage is detected.

It is a safetensors file (no pickle; any safetensors reader opens it), memory-mapped when read:

=============  =================================  ============================================================
tensor         type, shape                        holds
=============  =================================  ============================================================
descriptors    float32 or float16 (N, D)          one row an image
positions      float64 (N, 2)                     latitude, longitude, or metres; NaN if unknown
names          uint8                              UTF-8 names below the root, separated by newlines
blanks         float32 (P, D), may be missing     descriptors of blank images
structure      uint8, not with backend 'exact'    the search structure, as faiss writes it
metadata       strings                            format version, backend, network id and path, root, frame
                                                  ('degrees' or ''), reading (how images are scaled and
                                                  turned), largest squared norm, calibration of the
                                                  confidence, checksums
=============  =================================  ============================================================

Checksums are SHA-256: one a tensor, and one of the metadata with the tensors' types and shapes. Opening
compares all but that of the descriptors, and the file's length, so its time does not depend on the number of
descriptors; `check_file` compares that one too.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.geo import DEGREES
from deepibl.errors import IndexFileError
from deepibl.images import Reading
from deepibl.runtime.files import bytes_of, map_tensors, write_tensors
from deepibl.runtime.progress import working
from deepibl.runtime.text_files import storable
from deepibl.search.compressed import KINDS, Structure, read_structure
from deepibl.search.confidence import Calibration
from deepibl.search.exact import largest_norm
from matlab_compat.files import StrPath, temporary_beside

FORMAT = "deepibl-index/3"
ADVICE = "make one with `deepibl index PHOTOS -o FILE.idx`"
EXACT = "exact"
BACKENDS = (EXACT, *KINDS)
_SETTINGS = ("network_id", "network_path", "root", "frame")


@working("writing the index")
def write_file(path: StrPath, fields: Mapping[str, Any]) -> None:
    """Writes the fields of a PlaceIndex under a temporary name, then replaces `path`.

    Raises FeatureFileError for descriptors with NaN or infinity, IndexFileError for a name with a line
    break, or of bytes that are not UTF-8.
    """
    names: list[str] = fields["names"]
    broken = next((name for name in names if not storable(name)), None)
    if broken is not None:
        raise IndexFileError(
            f"the image name {broken!r} has a line break or is not UTF-8: no index stores it"
        )
    structure: Structure | None = fields["structure"]
    tensors = {
        "descriptors": fields["descriptors"],
        "positions": np.ascontiguousarray(fields["positions"], dtype=np.float64),
        "names": np.frombuffer("\n".join(names).encode(), dtype=np.uint8),
    }
    metadata = {name: fields[name] or "" for name in _SETTINGS} | {
        "format": FORMAT,
        "reading": json.dumps(asdict(fields["reading"])),
        "backend": structure.kind if structure is not None else EXACT,
        "largest": repr(largest_norm(fields["descriptors"], "the descriptors")),
        "calibration": fields["calibration"].as_text(),
    }
    if fields["blanks"] is not None:
        tensors["blanks"] = np.ascontiguousarray(fields["blanks"], np.float32)
    with _as_bytes(structure, Path(path).parent) as content:
        if content is not None:
            tensors["structure"] = content
        metadata["checksums"] = json.dumps({name: _digest(array) for name, array in tensors.items()})
        metadata["header_checksum"] = _header_digest(tensors, metadata)
        write_tensors(path, tensors, metadata)


def read_file(path: StrPath) -> dict[str, Any]:
    """The fields of a PlaceIndex; descriptors and structure are memory-mapped, not read.

    Raises IndexFileError for a file that is missing, damaged or not an index of a known version.
    """
    with _explained(path):
        tensors, metadata = _read(path)
        names = bytes(tensors["names"]).decode()
        backend = metadata["backend"]
        return {
            "descriptors": tensors["descriptors"],
            "names": names.split("\n") if names else [],
            "positions": tensors["positions"],
            "blanks": tensors.get("blanks"),
            **{name: metadata[name] for name in _SETTINGS},
            "frame": metadata["frame"] or None,
            "reading": reading_of(metadata["reading"]),
            "structure": None if backend == EXACT else read_structure(backend, tensors["structure"]),
            "largest": float(metadata["largest"]),
            "calibration": Calibration.from_text(metadata["calibration"]),
        }


@working("comparing the index's checksums")
def check_file(path: StrPath) -> dict[str, Any]:
    """Reads all of an index file, compares every checksum and returns what the file holds.

    Raises IndexFileError, naming the part that is damaged.
    """
    fields = read_file(path)
    with _explained(path):
        tensors, metadata = _read(path, every=True)
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
        **{name: metadata[name] for name in _SETTINGS},
        **asdict(fields["reading"]),
        "confidence": str(fields["calibration"]),
    }


def reading_of(text: str) -> Reading:
    """The reading in a JSON string. Raises ValueError."""
    plain = json.loads(text)
    try:
        resize, longest = (plain[name] and int(plain[name]) for name in ("resize", "max_side"))
        return Reading(resize, longest, bool(plain["upright"]))
    except (KeyError, TypeError) as error:
        raise ValueError(f"its reading of images is {text!r}") from error


@contextmanager
def _explained(path: StrPath) -> Iterator[None]:
    """Turns what reading the file raises (see `map_tensors`, `_read`) into an IndexFileError naming it."""
    try:
        yield
    except (ArithmeticError, IndexFileError, OSError, ValueError) as problem:
        what = f"{os.fspath(path)} is not an index that can be read"
        raise IndexFileError(f"{what}: {problem}; {ADVICE}") from problem


def _read(path: StrPath, every: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of an index file, mapped, and its metadata; ValueError names the first part that is wrong.

    every: compares the descriptors' checksum, too.
    """
    tensors, metadata = map_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"its format is {metadata.get('format')!r}, this version reads {FORMAT!r}")
    if metadata.get("header_checksum") != _header_digest(tensors, metadata):
        raise ValueError("its header is damaged (the checksum differs)")
    checksums = json.loads(metadata.get("checksums", "{}"))
    for name, array in tensors.items():
        if (every or name != "descriptors") and _digest(array) != checksums.get(name):
            raise ValueError(f"its {name} are damaged (the checksum differs)")
    needed = {"descriptors", "positions", "names"}
    if metadata.get("backend") != EXACT:
        needed.add("structure")
    texts = {*_SETTINGS, "reading", "backend", "largest", "calibration"}
    if missing := (needed - tensors.keys()) | (texts - metadata.keys()):
        raise ValueError(f"it lacks {min(missing)!r}")
    if metadata["frame"] not in ("", DEGREES):
        raise ValueError(f"its frame is {metadata['frame']!r}, this version knows '' and {DEGREES!r}")
    for name, axes, types in (
        ("descriptors", 2, (np.float32, np.float16)),
        ("positions", 2, (np.float64,)),
        ("names", 1, (np.uint8,)),
    ):
        array = tensors[name]
        if array.ndim != axes or array.dtype not in types:
            raise ValueError(f"its {name} are {array.dtype} {array.shape}, which is invalid in an index")
    return tensors, metadata


@contextmanager
def _as_bytes(structure: Structure | None, folder: Path) -> Iterator[np.ndarray | None]:
    """The structure as faiss's bytes, mapped from a temporary file in `folder` that is deleted at the end."""
    if structure is None:
        yield None
        return
    with temporary_beside(folder / structure.kind) as written:
        structure.write(written)
        yield np.memmap(written, np.uint8, "r")


def _digest(array: Any) -> str:
    digest = hashlib.sha256()
    for part in bytes_of(array):
        digest.update(part)
    return digest.hexdigest()


def _header_digest(tensors: Mapping[str, Any], metadata: Mapping[str, str]) -> str:
    shapes = {name: [str(np.dtype(array.dtype)), list(array.shape)] for name, array in tensors.items()}
    strings = {name: value for name, value in metadata.items() if name != "header_checksum"}
    return hashlib.sha256(json.dumps([shapes, strings], sort_keys=True).encode()).hexdigest()
