"""The dbStruct files that specify data sets: MATLAB's fields in a .mat file, as Python's values.

============================  ==========================  ==============================================
field in the file             value here                  meaning
============================  ==========================  ==============================================
dbImageFns, qImageFns (cell)  list of str                 file names below the roots
utmDb, utmQ (2 x N)           (N, 2) float64              east, north in metres
posDistThr                    float                       metres within which an image is a positive
nonTrivPosDistSqThr           float                       squared metres: positives used for training
whichSet                      str                         train, val, test
dbTimeStamp, qTimeStamp       (N,)                        Tokyo Time Machine: year and month
posIDs (cell, 1-based)        list of int64, 0-based      positives of each query (not in the original)
ignoreIDs (cell, 1-based)     list of int64, 0-based      images that count for no answer (not original)
gtHard (N x Q logical)        posIDs                      row: database image, column: query; dense or sparse
gtSoft (N x Q logical)        ignoreIDs                   those of gtSoft that are not in gtHard
dbPath, qPath                 str                         roots; optional, as in the original
============================  ==========================  ==============================================

numImages, numQueries and posDistSqThr are computed, not read. The published files store thresholds as uint8
and uint16; as floats they cannot overflow. A variable `utmZone` beside dbStruct ('17N') names the UTM zone;
MATLAB's dbLoad ignores it. Other fields are kept in `extra`.

gtHard marks the images that must be found, gtSoft those that may be: neither right nor wrong in an
evaluation, and no negatives in training. Alone, either one gives the positives. Both are read, and posIDs and
ignoreIDs are written.

Where the correct images are listed (San Francisco), utmDb, utmQ and the thresholds are optional.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from deepibl.datasets.geo import plain_zone
from deepibl.datasets.positions import as_positions
from deepibl.errors import DatasetError
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath
from matlab_compat.matfile.values import describe
from matlab_compat.simplenn.tidy import cell_row

COMPUTED = ("numImages", "numQueries", "posDistSqThr", "cp", "name")
NAMES = ("dbImageFns", "qImageFns")
THRESHOLDS = ("posDistThr", "nonTrivPosDistSqThr")
TIMESTAMPS = ("dbTimeStamp", "qTimeStamp")
TEXTS = ("whichSet", "dbPath", "qPath")
LISTS = ("posIDs", "ignoreIDs")
GROUND_TRUTH = ("gtHard", "gtSoft")
POSITIONS = {"utmDb": "dbImageFns", "utmQ": "qImageFns"}
ABOUT = "see help(deepibl.datasets.dbstruct) or NetVLAD's dbBase.m for the fields"

# a field's name -> the argument and attribute of PlaceDataset and its subclasses
FIELDS = {
    "whichSet": "split", "dbImageFns": "database_names", "qImageFns": "query_names",
    "utmDb": "database_positions", "utmQ": "query_positions", "posDistThr": "positive_distance",
    "nonTrivPosDistSqThr": "nontrivial_distance_squared", "dbPath": "database_root", "qPath": "query_root",
    "dbTimeStamp": "database_times", "qTimeStamp": "query_times", "posIDs": "positive_ids",
    "ignoreIDs": "ignored_ids",
}  # fmt: skip


def python_names(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a dbStruct as keyword arguments of a PlaceDataset."""
    return {FIELDS.get(name, name): value for name, value in fields.items()}


def read_dbstruct(path: StrPath) -> dict[str, Any]:
    """The fields of a dbStruct file, under the file's names, with `extra` and `frame` (the UTM zone or None).

    Raises DatasetError for fields that are missing or do not fit together, MatFileError when the file cannot
    be read or has no dbStruct. Ported from: netvlad/datasets/dbBase.m
    """
    variables = matfile.load(path, ["dbStruct"], optional=["utmZone"])
    struct, zone = variables["dbStruct"], variables.get("utmZone")
    if not isinstance(struct, Mapping):
        raise DatasetError(f"{path}: dbStruct must be one struct; {ABOUT}")
    truth = [name for name in GROUND_TRUTH if np.prod(np.shape(struct.get(name, [])))]
    listed = "posIDs" in struct or bool(truth)
    needed = [*NAMES, *([] if listed else [*POSITIONS, *THRESHOLDS])]
    missing = [name for name in needed if name not in struct]
    if missing:
        held = ", ".join(struct)
        raise DatasetError(f"{path}: dbStruct lacks {', '.join(missing)} (it has {held}); {ABOUT}")
    left = {*COMPUTED, *(() if "posIDs" in struct else GROUND_TRUTH), *(() if listed else LISTS)}
    fields = {name: _field(name, value, str(path)) for name, value in struct.items() if name not in left}
    for name, images in POSITIONS.items():
        fields[name] = _positions(fields.get(name), name, len(fields[images]), str(path))
    if truth and "posIDs" not in fields:
        size = len(fields["dbImageFns"]), len(fields["qImageFns"])
        marked = [_marked(struct[name], f"{path}: dbStruct.{name}", size) for name in truth]
        fields["posIDs"] = marked[0]
        if len(marked) > 1:
            fields["ignoreIDs"] = [np.setdiff1d(soft, hard) for hard, soft in zip(*marked, strict=True)]
    known = {*NAMES, *THRESHOLDS, *TIMESTAMPS, *TEXTS, *POSITIONS, *LISTS}
    extra = {name: fields.pop(name) for name in list(fields) if name not in known}
    return {**fields, "extra": extra, "frame": _zone(zone, str(path))}


def write_dbstruct(path: StrPath, fields: Mapping[str, Any], utm_zone: str | None = None) -> None:
    """Writes the fields of `read_dbstruct` in MATLAB's types and shapes (v7; MATLAB and Octave load it)."""
    struct: dict[str, Any] = {"whichSet": fields.get("whichSet", "")}
    for images, positions, stamps in (
        ("dbImageFns", "utmDb", TIMESTAMPS[0]),
        ("qImageFns", "utmQ", TIMESTAMPS[1]),
    ):
        struct[images] = cell_row(fields[images]).T
        struct[positions] = np.ascontiguousarray(np.asarray(fields[positions], dtype=np.float64).T)
        if fields.get(stamps) is not None:
            struct[stamps] = np.asarray(fields[stamps]).reshape(1, -1)
    struct["numImages"] = float(len(fields["dbImageFns"]))
    struct["numQueries"] = float(len(fields["qImageFns"]))
    struct["posDistThr"] = float(fields["posDistThr"])
    struct["posDistSqThr"] = float(fields["posDistThr"]) ** 2
    struct["nonTrivPosDistSqThr"] = float(fields["nonTrivPosDistSqThr"])
    for name in LISTS:
        if fields.get(name) is not None:
            ids_from_1 = [np.asarray(ids, np.float64).reshape(-1, 1) + 1 for ids in fields[name]]
            struct[name] = cell_row(ids_from_1).T
    struct.update(fields.get("extra") or {})
    variables: dict[str, Any] = {"dbStruct": struct}
    if utm_zone:
        variables["utmZone"] = utm_zone
    matfile.save(Path(path), variables)


def _field(name: str, value: Any, path: str) -> Any:
    try:
        if name in NAMES:
            return matfile.image_names(value)
        if name in THRESHOLDS:
            return float(matfile.scalar(value))
        if name in TIMESTAMPS:
            return matfile.vector(value)
        if name in TEXTS:
            return matfile.text(value)
        if name in LISTS:
            return [_ids(ids) - 1 for ids in matfile.cell_list(value)]
    except MatFileError as problem:
        raise DatasetError(f"{path}: dbStruct.{name}: {problem}; {ABOUT}") from None
    return value


def _ids(value: Any) -> np.ndarray:
    ids = matfile.vector(value)
    if ids.dtype == bool or (ids % 1 != 0).any():
        raise MatFileError(f"expected whole numbers from 1 (find of a mask), found {describe(value)}")
    return ids.astype(np.int64)


def _zone(value: Any, path: str) -> str | None:
    try:
        zone = "" if value is None else matfile.text(value)
        return plain_zone(zone) if zone else None
    except (MatFileError, DatasetError) as problem:
        raise DatasetError(f"{path}: utmZone: {problem}") from None


def _positions(value: Any, name: str, count: int, path: str) -> np.ndarray:
    if value is None or np.size(value) == 0:
        return np.full((count, 2), np.nan)
    array = np.asarray(value)
    if array.ndim != 2 or array.shape[0] != 2:
        hint = "it seems to be transposed" if array.ndim == 2 and array.shape[1] == 2 else ABOUT
        wanted = f"2 x {count} (east; north)"
        raise DatasetError(f"{path}: dbStruct.{name} must be {wanted}, found {array.shape}; {hint}")
    return as_positions(array.T, f"{path}: dbStruct.{name}", count)


def _marked(value: Any, what: str, size: tuple[int, int]) -> list[np.ndarray]:
    """The rows (from 0) that a matrix of database images x queries marks in each column."""
    if not scipy.sparse.issparse(value) and np.asarray(value).dtype.kind not in "buif":
        raise DatasetError(f"{what} must be a logical matrix, found {describe(value)}; {ABOUT}")
    if value.shape != size:
        hint = "it seems to be transposed" if value.shape == size[::-1] else ABOUT
        wanted = f"{size[0]} x {size[1]} (database images x queries)"
        raise DatasetError(f"{what} must be {wanted}, found {value.shape}; {hint}")
    columns = scipy.sparse.csc_matrix(value)
    if not np.isin(columns.data, (0, 1)).all():
        raise DatasetError(f"{what} must be logical: it holds other numbers than 0 and 1")
    columns.eliminate_zeros()
    columns.sort_indices()
    return [rows.astype(np.int64) for rows in np.split(columns.indices, columns.indptr[1:-1])]
