"""What the command line calls a source of images: folder, CSV, dbStruct file, or a known data set's name."""

import os
from pathlib import Path
from typing import Any

from deepibl.data_make import make_dataset
from deepibl.dataset_catalog import open_dataset
from deepibl.dataset_folder import Places, dataset_from_places, read_places
from deepibl.datasets import PlaceDataset, load_dbstruct
from matlab_compat.errors import ArgumentError

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
