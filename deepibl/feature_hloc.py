"""hloc's files of global descriptors: HDF5 with a group an image, its data set global_descriptor (D,).

Group names are the images' names; a name with slashes is a group within groups. hloc stores float16 when
asked to extract as_half; here everything is float32, and read as such.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepibl.errors import FeatureFileError
from deepibl.feature_files import read_dataset, read_features, suffix_of, write_features
from matlab_compat.damage import damage_as
from matlab_compat.errors import ArgumentError
from matlab_compat.files import atomic_output

if TYPE_CHECKING:
    import h5py

KEY = "global_descriptor"
StrPath = str | os.PathLike[str]


def read_hloc(path: StrPath, names: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names and descriptors (N, D) float32 of an hloc file.

    names: which, in this order; default all, in the file's (alphabetical) order.
    Raises FeatureFileError for another kind of file, images that are not in it, and mixed dimensions.
    """
    import h5py

    with damage_as(FeatureFileError, path, "is no HDF5 file of hloc's"), h5py.File(path, "r") as file:
        there = list_names(file)
        if not there:
            raise FeatureFileError(
                f"{path}: no data set {KEY}: not hloc's, or hloc's local features; it holds "
                f"{', '.join(list(file)[:5]) or 'nothing'}"
            )
        wanted = there if names is None else list(names)
        lost = sorted(set(wanted) - set(there))
        if lost:
            raise FeatureFileError(f"{path}: {len(lost)} images are not in it, e.g. {lost[0]}")
        stored = (read_dataset(file[name][KEY], Path(path)) for name in wanted)
        rows = [np.asarray(row, dtype=np.float32).ravel() for row in stored]
    sizes = {len(row) for row in rows}
    if len(sizes) > 1:
        raise FeatureFileError(f"{path}: descriptors of {', '.join(map(str, sorted(sizes)))} dimensions")
    return wanted, np.stack(rows)


def write_hloc(path: StrPath, features: np.ndarray, names: Sequence[str]) -> None:
    """Writes descriptors (N, D) as hloc's file, whole or not at all.

    Raises ArgumentError for another number of names, or names that cannot stand beside one another.
    """
    import h5py

    if features.ndim != 2 or len(names) != len(features):
        raise ArgumentError(f"features of shape {features.shape} and {len(names)} names: need (N, D) and N")
    if len(set(names)) != len(names):
        raise ArgumentError("hloc's file has one group an image: a name is in the list twice")
    with atomic_output(path) as temporary, h5py.File(temporary, "w") as file:
        for name, row in zip(names, features, strict=True):
            try:
                file.create_group(name.strip("/")).create_dataset(KEY, data=np.asarray(row, dtype=np.float32))
            except ValueError as problem:
                raise ArgumentError(f"{name}: cannot be a group beside the others: {problem}") from None


def is_hloc(path: StrPath) -> bool:
    """Whether a .h5 file is of hloc's kind."""
    import h5py

    if Path(path).suffix != ".h5" or not h5py.is_hdf5(path):
        return False
    with damage_as(FeatureFileError, path, "is no whole HDF5 file"), h5py.File(path, "r") as file:
        return not isinstance(file.get("features"), h5py.Dataset)


def list_names(file: "h5py.File") -> list[str]:
    """The names of the images that have a global descriptor."""
    names: list[str] = []

    def visit(name: str, item: Any) -> None:
        if name.endswith(f"/{KEY}"):
            names.append(name[: -len(KEY) - 1])

    file.visititems(visit)
    return names


def convert_features(
    source: StrPath,
    target: StrPath,
    *,
    names: Sequence[str] | None = None,
    dim: int | None = None,
    hloc: bool = False,
) -> tuple[int, int]:
    """Copies descriptors from one kind of file to another (.bin, .npy, .h5, hloc's .h5); returns (N, D).

    names: of the images, in the order of the rows; where the source knows its names they choose and order
    the rows instead. dim: D, for a .bin file without names. hloc: write a .h5 of hloc's kind.
    Raises FeatureFileError, ArgumentError.
    """
    kind = suffix_of(target)
    if hloc and kind != ".h5":
        raise ArgumentError(f"{os.fspath(target)}: hloc's files end in .h5")
    known, features = _read(source, names, dim)
    if kind == ".h5" and known is None:
        raise ArgumentError("a .h5 file holds the images' names: give them with --list FILE")
    if hloc and known is not None:
        write_hloc(target, features, known)
    else:
        write_features(target, features, known)
    return features.shape[0], features.shape[1]


def stored_names(path: StrPath) -> list[str] | None:
    """The image names in a .h5 file of our kind, None where it has none."""
    import h5py

    with damage_as(FeatureFileError, path, "has no list of names"), h5py.File(path, "r") as file:
        if "names" not in file:
            return None
        return [name.decode() for name in read_dataset(file["names"], Path(path)).tolist()]


def _read(
    source: StrPath, names: Sequence[str] | None, dim: int | None
) -> tuple[list[str] | None, np.ndarray]:
    if is_hloc(source):
        return read_hloc(source, names)
    listed = list(names) if names is not None else None
    if Path(source).suffix == ".h5":
        features = read_features(source, dim=dim)
        inside = stored_names(source)
        if inside is None or listed is None:
            return listed or inside, features
        rows = {name: row for row, name in enumerate(inside)}
        lost = [name for name in listed if name not in rows]
        if lost:
            raise FeatureFileError(f"{source}: {len(lost)} images are not in it, e.g. {lost[0]}")
        return listed, features[[rows[name] for name in listed]]
    return listed, read_features(source, count=len(listed) if listed else None, dim=dim)
