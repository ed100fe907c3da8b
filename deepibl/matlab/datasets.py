"""The original's data sets, closePosition, localPaths and setup, under their own names.

Paths come from localPaths(); `paths` takes another source, as localPaths does. The functions that give data
sets take the original's arguments and give objects whose fields have the original's names; ids are 0-based,
positions (N, 2), features (N, D)."""

import os
from typing import Any

from deepibl.datasets.catalog import open_dataset
from deepibl.datasets.dbstruct import read_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.datasets.positions import ClosePosition
from deepibl.datasets.retrieval import RetrievalDataset, crop_queries, holidays, shrink_images, vgg_buildings
from deepibl.errors import DatasetError
from deepibl.runtime.paths import LocalPaths, localPaths, missing_paths
from matlab_compat.relja import relja_display, relja_progress, tic
from matlab_compat.rng import Generator


class dbBase(PlaceDataset):
    """Base of a data set of one's own, made as in MATLAB: set name, dbPath and qPath, then call dbLoad().

    >>> class dbMine(dbBase):
    ...     def __init__(self, paths=None):
    ...         self.name, self.dbPath, self.qPath = "mine", "/data/db/", "/data/queries/"
    ...         self.dbLoad(paths)

    Ported from: netvlad/datasets/dbBase.m
    """

    name = dbPath = qPath = ""

    def __init__(self) -> None:
        raise DatasetError("subclass dbBase and call dbLoad() in its __init__; or give lists to PlaceDataset")

    def dbLoad(self, paths: Any = None) -> None:
        """Reads <dsetSpecDir>/<name>.mat. Errors: DatasetError, MatFileError."""
        file = os.path.join(localPaths(paths).dsetSpecDir, f"{self.name}.mat")
        if not os.path.isfile(file):
            raise DatasetError(f"{file} is not there: download it, and set dsetSpecDir in localPaths")
        fields = {"dbPath": self.dbPath, "qPath": self.qPath, **read_dbstruct(file)}
        PlaceDataset.__init__(self, self.name, **fields)


def dbPitts(fullSize: bool, whichSet: str, paths: Any = None) -> PlaceDataset:
    """Pittsburgh 250k (fullSize) or 30k; whichSet: 'train', 'val' or 'test'.

    Errors: DatasetError for another set, or when its dbStruct is not there.
    Ported from: netvlad/datasets/dbPitts.m
    """
    _one_of(whichSet, ("train", "val", "test"))
    return open_dataset(f"pitts{'250k' if fullSize else '30k'}/{whichSet}", paths=localPaths(paths))


def dbTokyo247(paths: Any = None) -> PlaceDataset:
    """Tokyo 24/7, evaluated by its protocol. Ported from: netvlad/datasets/dbTokyo247.m"""
    return open_dataset("tokyo247", paths=localPaths(paths))


def dbTokyoTimeMachine(whichSet: str, paths: Any = None) -> PlaceDataset:
    """Tokyo Time Machine; whichSet: 'train' or 'val'. Ported from: netvlad/datasets/dbTokyoTimeMachine.m"""
    _one_of(whichSet, ("train", "val"))
    return open_dataset(f"tokyoTM/{whichSet}", paths=localPaths(paths))


def dbTiny(whichSet: str, paths: Any = None, generator: Generator | None = None) -> PlaceDataset:
    """A tiny part of Tokyo Time Machine; whichSet: 'train' or 'val'. It needs the whole set's dbStruct.

    generator: draws the places; by default MATLAB's after rng(43), which is left alone otherwise.
    Ported from: netvlad/datasets/dbTiny.m
    """
    _one_of(whichSet, ("train", "val"))
    return open_dataset(f"tokyoTinyTM/{whichSet}", paths=localPaths(paths), generator=generator)


def dbSf0(paths: Any = None) -> PlaceDataset:
    """San Francisco, with a list of positives for each query; not the original's. See deepibl.datasets.dbstruct."""
    return open_dataset("sf0", paths=localPaths(paths))


def dbVGG(dsetName: str = "ox5k", useROI: float = 0, paths: Any = None) -> RetrievalDataset:
    """Oxford ('ox5k') or Paris ('paris') buildings, for relja_retrievalMAP.

    useROI: below 0: whole query images; 0 and above: queries are cut to their regions, expanded by half of it
    on each side, and written to images_crop_<useROI>/.
    Errors: DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbVGG.m
    """
    found: LocalPaths = localPaths(paths)
    dataset = vgg_buildings(found.dsetRootParis if dsetName == "paris" else found.dsetRootOxford, dsetName)
    return crop_queries(dataset, useROI) if useROI >= 0 else dataset


def dbHolidays(doRot: bool = False, paths: Any = None) -> RetrievalDataset:
    """INRIA Holidays, or its upright version; images above 1024 x 768 pixels are shrunk once.

    Errors: DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbHolidays.m
    """
    started = tic()

    def progress(i: int, n: int) -> None:
        relja_progress(i, n, "check if resized exists, otherwise resize", started)

    return shrink_images(holidays(localPaths(paths).dsetRootHolidays, doRot), progress=progress)


def closePosition(utm: Any, posDistThr: float) -> ClosePosition:
    """Search of positions (N, 2) in metres by a distance limit; 0-based ids in the original's order of cells.

    Ported from: netvlad/datasets/closePosition.m
    """
    return ClosePosition(utm, posDistThr)


def setup(paths: Any = None) -> LocalPaths:
    """Checks localPaths and prints which folders are missing; gives the paths back.

    There is no search path to set up here: this stands for the original's setup.m in scripts.
    Ported from: netvlad/setup.m
    """
    found = localPaths(paths)
    relja_display("paths from %s", found.source)
    for line in missing_paths(found):
        relja_display("  %s", line)
    return found


def _one_of(whichSet: str, allowed: tuple[str, ...]) -> None:
    if whichSet not in allowed:
        raise DatasetError(f"whichSet must be one of {', '.join(allowed)}, not {whichSet!r}")
