"""Files of descriptors: MATLAB's .bin, .npy and .h5, chosen by the suffix.

======  =====================================================================================
.bin    float32, little-endian, one descriptor after the other, nothing else: what serialAllFeats
        writes and reads as MATLAB's D x N; its shape has to be known (`count` or `dim`)
.npy    numpy's (N, D) float32
.h5     HDF5: `features` (N, D) float32 and `names` (N,) UTF-8 strings
======  =====================================================================================

Every file is written under a temporary name and renamed when whole; sizes are checked on reading. What is
beside a file (`side_files`) belongs to it alone and is removed before another one takes its name.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.errors import FeatureFileError
from deepibl.runtime.files import RowView, blocks, bytes_of
from deepibl.runtime.provenance import note_of
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_output, damage_as

SUFFIXES = (".bin", ".npy", ".h5")
_FLOAT = np.dtype("<f4")


def read_features(
    path: StrPath, *, count: int | None = None, dim: int | None = None, mmap: bool = False
) -> np.ndarray:
    """Descriptors (N, D) float32 from a .bin, .npy or .h5 file.

    count, dim: the N and D that the file must have; a .bin file needs one of them. mmap: maps a .bin or
    .npy file instead of reading it (read-only), for files larger than memory.
    Raises FeatureFileError if the file is missing or its size is not what it should be, ArgumentError for
    a .bin file without count and dim.
    """
    path = Path(path)
    if not path.is_file():
        raise FeatureFileError(f"{path}: no such feature file{_hint(path)}")
    kind = suffix_of(path, path.suffix or ".bin")
    if kind == ".bin":
        return _read_bin(path, count, dim, mmap)
    if kind == ".npy":
        with damage_as(FeatureFileError, path, "is not a whole .npy file"):
            mapped = np.lib.format.open_memmap(path, mode="r")  # checks the size, and never unpickles
            features = mapped if mmap else np.array(mapped)
    else:
        features = _read_h5(path)
    if features.ndim != 2 or features.dtype != np.float32:
        raise FeatureFileError(f"{path}: holds {features.dtype} {features.shape}, not float32 (N, D)")
    for what, wanted, found in (
        ("descriptors", count, len(features)),
        ("dimensions", dim, features.shape[1]),
    ):
        if wanted is not None and wanted != found:
            raise FeatureFileError(f"{path}: {found} {what}, expected {wanted}")
    return features


def write_features(
    path: StrPath,
    features: np.ndarray,
    names: Sequence[str] | None = None,
    *,
    rows: Sequence[int] | None = None,
    suffix: str | None = None,
) -> None:
    """Writes descriptors (N, D) as float32, whole or not at all; mapped ones are copied block by block.

    names: of the images, N of them; only .h5 keeps them. rows: which of the N to write, default all.
    suffix: the format, default that of the path.
    Raises ArgumentError for another suffix or a shape that is not (N, D).
    """
    if features.ndim != 2 or (names is not None and len(names) != len(features)):
        count = "no" if names is None else len(names)
        raise ArgumentError(f"features of shape {features.shape} and {count} names: need (N, D) and N")
    chosen = None if rows is None else np.asarray(rows, dtype=np.int64)
    view = RowView([(features, chosen)], _FLOAT)
    kind = suffix_of(path, suffix)
    with atomic_output(path) as temporary:
        if kind == ".h5":
            import h5py

            with h5py.File(temporary, "w") as file:
                target, row = file.create_dataset("features", view.shape, dtype=_FLOAT), 0
                for block in blocks(view):
                    target[row : row + len(block)] = block
                    row += len(block)
                if names is not None:
                    kept = list(names) if chosen is None else [names[i] for i in chosen]
                    file.create_dataset("names", data=kept, dtype=h5py.string_dtype("utf-8"))
        else:
            with open(temporary, "wb") as file:
                if kind == ".npy":
                    header = {"descr": _FLOAT.str, "fortran_order": False, "shape": view.shape}
                    np.lib.format.write_array_header_1_0(file, header)
                file.writelines(bytes_of(view))
                file.flush()
                os.fsync(file.fileno())
        forget_old(path)


def side_files(path: StrPath) -> tuple[Path, Path]:
    """NAME.json, the file's provenance, and NAME.names.txt: its rows' images, where not all could be used."""
    return note_of(path), Path(f"{os.fspath(path)}.names.txt")


def forget_old(path: StrPath) -> None:
    """Removes what is beside a file that is about to be replaced; where there is none yet, does nothing."""
    if Path(path).exists():
        for each in side_files(path):
            each.unlink(missing_ok=True)


def suffix_of(path: StrPath, suffix: str | None = None) -> str:
    """A feature file's format: `suffix`, else that of the path. Raises ArgumentError for an unknown one."""
    kind = Path(path).suffix if suffix is None else suffix
    if kind not in SUFFIXES:
        raise ArgumentError(f"{os.fspath(path)}: features are written as {', '.join(SUFFIXES)}, not {kind!r}")
    return kind


def _read_bin(path: Path, count: int | None, dim: int | None, mmap: bool) -> np.ndarray:
    if count is None and dim is None:
        raise ArgumentError(f"{path}: a .bin holds numbers only: give count (images) or dim (descriptors)")
    size = path.stat().st_size
    numbers = size // _FLOAT.itemsize
    rows = numbers // dim if count is None and dim else count or 0
    columns = (numbers // rows if rows else 0) if dim is None else dim
    if rows * columns * _FLOAT.itemsize != size:
        expected = " x ".join("?" if side is None else str(side) for side in (count, dim))
        raise FeatureFileError(
            f"{path}: {size} bytes, which is not {expected} float32 (images x dimensions): "
            f"the file is of other images or another network, or was cut off; compute it again{_hint(path)}"
        )
    if mmap and numbers:
        return np.memmap(path, dtype=_FLOAT, mode="r", shape=(rows, columns))
    return np.fromfile(path, dtype=_FLOAT).reshape(rows, columns)


def _read_h5(path: Path) -> np.ndarray:
    import h5py

    what = "is not an HDF5 file with a data set 'features'"
    with damage_as(FeatureFileError, path, what), h5py.File(path, "r") as file:
        return read_dataset(file["features"], path)


def read_dataset(dataset: Any, path: Path) -> np.ndarray:
    """The values of an HDF5 data set; FeatureFileError where it is none, or declares more than it holds."""
    import h5py

    from matlab_compat.matfile.hdf5 import claim_problem, heap_problem

    if not isinstance(dataset, h5py.Dataset) or not dataset.shape:
        raise FeatureFileError(f"{path}: {dataset.name} is not a data set with rows")
    size = claim_problem(dataset.id, dataset.dtype.itemsize, path.stat().st_size)
    if problem := size or heap_problem(dataset.id):
        raise FeatureFileError(f"{path}: {problem}")
    return dataset[()]


def _hint(path: Path) -> str:
    part = path.with_name(path.name + ".part")
    return f" (an unfinished extraction is beside it, {part.name}: start it again)" if part.exists() else ""


def convert_features(
    source: StrPath, target: StrPath, *, names: Sequence[str] | None = None, dim: int | None = None
) -> tuple[int, int]:
    """Copies descriptors from one kind of file to another (.bin, .npy, .h5); returns (N, D).

    names: of the images, in the order of the rows; where the source knows its names they choose and order
    the rows instead. dim: D, for a .bin file without names.
    Raises FeatureFileError, ArgumentError.
    """
    kind, inside = suffix_of(target), None
    known = None if names is None else list(names)
    if Path(source).suffix == ".h5":
        features, inside = read_features(source, dim=dim), stored_names(source)
    else:
        features = read_features(source, count=len(known) if known else None, dim=dim)
    if inside is not None and known is not None:
        rows = {name: row for row, name in enumerate(inside)}
        lost = [name for name in known if name not in rows]
        if lost:
            raise FeatureFileError(f"{source}: {len(lost)} images are not in it, e.g. {lost[0]}")
        features = features[[rows[name] for name in known]]
    known = known or inside
    if kind == ".h5" and known is None:
        raise ArgumentError("a .h5 file holds the images' names: give them with --list FILE")
    write_features(target, features, known)
    return features.shape[0], features.shape[1]


def stored_names(path: StrPath) -> list[str] | None:
    """The image names in a .h5 file that `write_features` wrote, None where it has none."""
    import h5py

    with damage_as(FeatureFileError, path, "has no list of names"), h5py.File(path, "r") as file:
        if "names" not in file:
            return None
        return [name.decode() for name in read_dataset(file["names"], Path(path)).tolist()]
