"""The known data sets by name: where dbStruct and images lie, how to get them, which rules they follow.

What the command line calls a source of images: folder, CSV, dbStruct file, or a known data set's name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.datasets.dbstruct import read_dbstruct
from deepibl.datasets.folder import Places, dataset_from_places, make_dataset, read_places
from deepibl.datasets.pitts_tokyo import Tokyo247, TokyoTimeMachine, tiny_tokyo
from deepibl.datasets.place import ListedPositives, PlaceDataset
from deepibl.errors import DatasetError
from deepibl.runtime.paths import LocalPaths, localPaths
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import Generator

NETVLAD_PAGE = "http://www.di.ens.fr/willow/research/netvlad/"

_PITTS = (
    "Pittsburgh: ask the authors of the Pittsburgh 250k images (Torii et al., 'Visual place recognition with "
    f"repetitive structures'; the NetVLAD page {NETVLAD_PAGE} says how), unpack them so that "
    "images/000/… and queries/000/… lie under the root."
)

_TOKYO247 = (
    "Tokyo 24/7: ask its authors (Torii et al., '24/7 place recognition by view synthesis'), unpack the "
    "database under images/ and version 2 of the queries under query/ of the root, and convert the "
    "database's .png files with `deepibl convert-png`."
)

_TOKYO_TM = (
    f"Tokyo Time Machine: ask the authors of NetVLAD ({NETVLAD_PAGE}), "
    "unpack it so that images/ lies under the root."
)

_SF = (
    "San Francisco (Sf-0): ask the authors of the San Francisco landmark data set (Chen et al., 'City-scale "
    "landmark identification on mobile devices'), put database images under images/ and queries under "
    "queries/ of the root, and make sf0.mat (and sf0_positives.txt) as deepibl/dbstruct.py describes."
)


@dataclass(frozen=True)
class CatalogEntry:
    """A known data set: `spec` is its dbStruct's name, `root_key` the localPaths entry of its images."""

    spec: str
    root_key: str
    db_folder: str
    q_folder: str
    utm_zone: str
    advice: str


def _pitts(size: str, which: str) -> CatalogEntry:
    return CatalogEntry(f"pitts{size}_{which}", "dsetRootPitts", "images/", "queries/", "17N", _PITTS)


def _tokyo_tm(which: str) -> CatalogEntry:
    return CatalogEntry(f"tokyoTM_{which}", "dsetRootTokyoTM", "images/", "images/", "54N", _TOKYO_TM)


CATALOG: dict[str, CatalogEntry] = {
    **{
        f"pitts{size}/{part}": _pitts(size, part)
        for size in ("30k", "250k")
        for part in ("train", "val", "test")
    },
    "tokyo247": CatalogEntry("tokyo247", "dsetRootTokyo247", "images/", "query/", "54N", _TOKYO247),
    **{f"tokyoTM/{part}": _tokyo_tm(part) for part in ("train", "val")},
    **{f"tokyoTinyTM/{part}": _tokyo_tm(part) for part in ("train", "val")},
    "sf0": CatalogEntry("sf0", "dsetRootSf0", "images/", "queries/", "10N", _SF),
}


def dataset_class(name: str, fields: Mapping[str, Any]) -> type[PlaceDataset]:
    """The class whose rules a dbStruct's fields and name call for."""
    if "posIDs" in fields:
        return ListedPositives
    if "dbTimeStamp" in fields:
        return TokyoTimeMachine
    return Tokyo247 if name.lower() == "tokyo247" else PlaceDataset


def open_dataset(
    name: str,
    *,
    root: str | os.PathLike[str] | None = None,
    spec: str | os.PathLike[str] | None = None,
    paths: LocalPaths | None = None,
    generator: Generator | None = None,
) -> PlaceDataset:
    """A known data set by its name, e.g. 'pitts30k/test', 'tokyo247', 'tokyoTM/val'.

    root: the folder that holds its images/ and queries/; spec: its dbStruct file, or a folder with it.
    What is not given comes from `paths`, by default localPaths(). generator: for the tiny set's draws.
    Errors: DatasetError for an unknown name, or a dbStruct that is in none of the places looked at.
    """
    key = next((known for known in CATALOG if known.lower() == name.lower().replace("_", "/")), None)
    if key is None:
        raise DatasetError(f"no data set is called {name!r}; known are {', '.join(CATALOG)}")
    entry = CATALOG[key]
    paths = paths or localPaths()
    folder = Path(os.path.expanduser(root if root is not None else getattr(paths, entry.root_key)))
    file = _find_spec(entry.spec, spec, folder, Path(paths.dsetSpecDir), entry.advice)
    dataset = load_dbstruct(
        file,
        dbPath=os.path.join(folder, entry.db_folder),
        qPath=os.path.join(folder, entry.q_folder),
        name=entry.spec,
    )
    dataset.advice = entry.advice
    dataset.utm_zone = dataset.utm_zone or entry.utm_zone
    if key.startswith("tokyoTinyTM"):
        return tiny_tokyo(dataset, key.replace("/", "_"), generator)
    return dataset


def _find_spec(
    name: str, given: str | os.PathLike[str] | None, root: Path, spec_dir: Path, advice: str
) -> Path:
    file = f"{name}.mat"
    if given is not None:
        spec = Path(os.path.expanduser(given))
        tried = [spec / file if spec.is_dir() else spec]
    else:
        tried = [spec_dir / file, root / file, root / "datasets" / file]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    places = "\n".join(f"  {place}" for place in tried)
    raise DatasetError(
        f"the dbStruct file {file} is in none of these places:\n{places}\n"
        f"Download it with the data set specifications from {NETVLAD_PAGE} and set "
        f"dsetSpecDir in localPaths, or name the file. {advice}"
    )


def load_dbstruct(
    path: str | os.PathLike[str],
    *,
    root: str | os.PathLike[str] | None = None,
    dbPath: str | os.PathLike[str] | None = None,
    qPath: str | os.PathLike[str] | None = None,
    name: str | None = None,
) -> PlaceDataset:
    """The data set of a dbStruct .mat file.

    root: folder of all images; dbPath, qPath: folders of the database and query images, if they differ.
    What is not given comes from the file, where it says so. name: default the file's. The rules (time
    stamps, lists of positives, Tokyo 24/7's) follow from the fields and the name. Errors: as read_dbstruct.
    """

    fields = read_dbstruct(path)
    for key, given in (("dbPath", dbPath), ("qPath", qPath)):
        chosen = given if given is not None else root
        if chosen is not None:
            fields[key] = chosen
    name = name or Path(path).stem
    return dataset_class(name, fields)(name, **fields)


StrPath = str | os.PathLike[str]


def database_places(source: StrPath, root: StrPath | None = None, zone: str | None = None) -> Places:
    """The database images of a folder, a CSV or a dbStruct .mat file; raises what reading those raises."""
    if Path(source).suffix.lower() != ".mat":
        return read_places(source, root=root, zone=zone)
    dataset = load_dbstruct(source, root=root)
    return Places(dataset.dbPath, dataset.dbImageFns, dataset.utmDb, dataset.utm_zone)


def query_places(source: StrPath, root: StrPath | None = None, zone: str | None = None) -> Places:
    """As `database_places`, for query images."""
    if Path(source).suffix.lower() != ".mat":
        return read_places(source, root=root, zone=zone)
    dataset = load_dbstruct(source, root=root)
    return Places(dataset.qPath, dataset.qImageFns, dataset.utmQ, dataset.utm_zone)


def evaluation_dataset(
    dataset: str, root: StrPath | None, db: StrPath | None, queries: StrPath | None, threshold: float
) -> PlaceDataset:
    """The data set to evaluate on: a known one by name, or database and queries from sources of one's own.

    threshold: metres within which a match is right, for sources of one's own. Errors: ArgumentError when
    neither or both are given.
    """
    if dataset and db is None and queries is None:
        return open_dataset(dataset, root=root)
    if dataset or db is None or queries is None:
        raise ArgumentError("give either --dataset NAME (with --root DIR), or both --db and --queries")
    database = database_places(db, root)
    asked = query_places(queries, root, database.utm_zone)
    return dataset_from_places(Path(db).stem, database, asked, posDistThr=threshold)


def training_datasets(
    dataset: str,
    root: StrPath | None,
    train: StrPath | None,
    val: StrPath | None,
    queries: tuple[StrPath | None, StrPath | None] = (None, None),
    **thresholds: Any,
) -> tuple[PlaceDataset, PlaceDataset]:
    """The training and the validation set: a known data set's by its name ('pitts30k'), or of one's own.

    train, val: a dbStruct .mat file (root: the folder of its images); a folder or CSV, whose query images
    are in `queries`; or a folder with database/ and queries/ in it, or in its images/train and images/val.
    thresholds: posDistThr, nonTrivPosDistSqThr of folders and CSVs.
    Errors: ArgumentError when neither or both are given.
    """
    if dataset and train is None and val is None:
        name = dataset.split("/")[0]
        return open_dataset(f"{name}/train", root=root), open_dataset(f"{name}/val", root=root)
    if dataset or train is None or val is None:
        raise ArgumentError("give either --dataset NAME (with --root DIR), or both --train and --val")
    made = []
    for split, source, asked in zip(("train", "val"), (train, val), queries, strict=True):
        if Path(source).suffix.lower() == ".mat":
            made.append(load_dbstruct(source, root=root))
        else:
            if asked is None and not Path(source).is_dir():
                raise ArgumentError(
                    f"--{split} {source}: expected a dbStruct .mat file, or a folder with database/ and "
                    f"queries/ in it; --{split}-queries gives the queries of a folder or CSV of the database"
                )
            name = f"{Path(source).resolve().stem}_{split}"
            made.append(make_dataset(source, asked, name=name, split=split, **thresholds))
    return made[0], made[1]
