"""The known data sets by name, with the way to get them, and opening any data set or source of images.

A `CatalogEntry` has a known set's dbStruct file and folders. `open_dataset` opens a set by its name; the
sources of images on the command line are a folder, a CSV, a dbStruct file, or a known data set's name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.datasets.dbstruct import TIMESTAMPS, python_names, read_dbstruct
from deepibl.datasets.folder import Places, dataset_from_places, find_layout, make_dataset, read_places
from deepibl.datasets.pitts_tokyo import Tokyo247, TokyoTimeMachine, tiny_tokyo
from deepibl.datasets.place import ListedPositives, PlaceDataset
from deepibl.errors import DatasetError
from deepibl.runtime.paths import LocalPaths, localPaths
from deepibl.runtime.text_files import find_file
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.rng import Generator

NETVLAD_PAGE = "http://www.di.ens.fr/willow/research/netvlad/"

_PITTS = (
    "Pittsburgh: ask the authors of the Pittsburgh 250k images (Torii et al., 'Visual place recognition with "
    f"repetitive structures'; the NetVLAD page {NETVLAD_PAGE} says how), unpack them so that "
    "images/000/… and queries/000/… are in the root."
)

_TOKYO247 = (
    "Tokyo 24/7: ask its authors (Torii et al., '24/7 place recognition by view synthesis'), unpack the "
    "database under images/ and version 2 of the queries under query/ of the root, and convert the "
    "database's .png files with `deepibl convert-png`."
)

_TOKYO_TM = (
    f"Tokyo Time Machine: ask the authors of NetVLAD ({NETVLAD_PAGE}), "
    "unpack it so that images/ is in the root."
)

_SF = (
    "San Francisco (Sf-0): ask the authors of the San Francisco landmark data set (Chen et al., 'City-scale "
    "landmark identification on mobile devices'), put database images under images/ and queries under "
    "queries/ of the root, and make sf0.mat as help(deepibl.datasets.dbstruct) says."
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


_OF_PITTS = ("dsetRootPitts", "images/", "queries/", "17N", _PITTS)
_OF_TOKYO_TM = ("dsetRootTokyoTM", "images/", "images/", "54N", _TOKYO_TM)
CATALOG: dict[str, CatalogEntry] = {
    **{
        f"pitts{size}/{part}": CatalogEntry(f"pitts{size}_{part}", *_OF_PITTS)
        for size in ("30k", "250k")
        for part in ("train", "val", "test")
    },
    "tokyo247": CatalogEntry("tokyo247", "dsetRootTokyo247", "images/", "query/", "54N", _TOKYO247),
    **{
        f"{name}/{part}": CatalogEntry(f"tokyoTM_{part}", *_OF_TOKYO_TM)
        for name in ("tokyoTM", "tokyoTinyTM")
        for part in ("train", "val")
    },
    "sf0": CatalogEntry("sf0", "dsetRootSf0", "images/", "queries/", "10N", _SF),
}


def dataset_class(name: str, fields: Mapping[str, Any]) -> type[PlaceDataset]:
    """The class that a dbStruct's fields (under the file's names) and name determine, or DatasetError."""
    stamps = [field for field in TIMESTAMPS if field in fields]
    if "posIDs" in fields:  # also made of gtHard and gtSoft
        if stamps:
            raise DatasetError(f"{name} has {stamps[0]} beside a list of matches: leave out one of them")
        return ListedPositives
    if stamps:
        return TokyoTimeMachine
    return Tokyo247 if name.lower() == "tokyo247" else PlaceDataset


def open_dataset(
    name: str,
    *,
    root: StrPath | None = None,
    spec: StrPath | None = None,
    paths: LocalPaths | None = None,
    generator: Generator | None = None,
) -> PlaceDataset:
    """A known data set by its name, e.g. 'pitts30k/test', 'tokyo247', 'tokyoTM/val'.

    root: the folder of its images/ and queries/; spec: its dbStruct file, or the folder of that file. The
    default of both is in `paths`, itself localPaths() by default. generator: for the tiny set's draws.
    Raises DatasetError for an unknown name, and for a dbStruct file that does not exist.
    """
    key = next((known for known in CATALOG if known.lower() == name.lower().replace("_", "/")), None)
    if key is None:
        raise DatasetError(f"unknown data set {name!r}; known are {', '.join(CATALOG)}")
    entry = CATALOG[key]
    paths = paths or localPaths()
    folder = Path(os.path.expanduser(root if root is not None else getattr(paths, entry.root_key)))
    file = _find_spec(entry.spec, spec, folder, Path(paths.dsetSpecDir), entry.advice)
    database, queries = (os.path.join(folder, below) for below in (entry.db_folder, entry.q_folder))
    dataset = load_dbstruct(file, database_root=database, query_root=queries, name=entry.spec)
    dataset.advice = entry.advice
    dataset.frame = dataset.frame or entry.utm_zone
    if key.startswith("tokyoTinyTM"):
        return tiny_tokyo(dataset, key.replace("/", "_"), generator)
    return dataset


def _find_spec(name: str, given: StrPath | None, root: Path, spec_dir: Path, advice: str) -> Path:
    file = f"{name}.mat"
    tried = [spec_dir / file, root / file, root / "datasets" / file]
    if given is not None:
        spec = Path(os.path.expanduser(given))
        tried = [spec / file if spec.is_dir() else spec]
    if found := next((path for path in tried if path.is_file()), None):
        return found
    places = "\n".join(f"  {place}" for place in tried)
    raise DatasetError(
        f"the dbStruct file {file} is in none of these places:\n{places}\n"
        f"Download it with the data set specifications from {NETVLAD_PAGE} and set "
        f"dsetSpecDir in localPaths, or name the file. {advice}"
    )


def load_dbstruct(
    path: StrPath,
    *,
    root: StrPath | None = None,
    database_root: StrPath | None = None,
    query_root: StrPath | None = None,
    name: str | None = None,
    positive_distance: float | None = None,
) -> PlaceDataset:
    """The data set of a dbStruct .mat file.

    root: the folder of all images; database_root, query_root: the folders of database and query images,
    where they differ. By default the file's own, if it has any. name: default the file's. positive_distance:
    default the file's posDistThr, metres. The class (time stamps, lists of positives, Tokyo 24/7) follows
    from the fields and the name. Raises what read_dbstruct raises.
    """
    fields = read_dbstruct(path)
    fields |= {} if positive_distance is None else {"posDistThr": positive_distance}
    name = name or Path(path).stem
    dataset = dataset_class(name, fields)(name, **python_names(fields))
    database, queries = (root if given is None else given for given in (database_root, query_root))
    if database is not None:
        dataset.database_root = os.path.expanduser(os.fspath(database))
    if queries is not None:
        dataset.query_root = os.path.expanduser(os.fspath(queries))
    name_as_files(dataset)
    return dataset


def name_as_files(dataset: PlaceDataset) -> None:
    """Renames images whose names were joined on another system as the files below the roots."""
    dataset.database_names = [find_file(dataset.database_root, name) for name in dataset.database_names]
    dataset.query_names = [find_file(dataset.query_root, name) for name in dataset.query_names]


def database_places(source: StrPath, root: StrPath | None = None) -> Places:
    """The database images of a folder, a CSV or a dbStruct .mat file; raises what reading those raises."""
    return _places(source, root, "database")


def query_places(source: StrPath, root: StrPath | None = None) -> Places:
    """As `database_places`, for query images."""
    return _places(source, root, "query")


def _places(source: StrPath, root: StrPath | None, kind: str) -> Places:
    if not _is_mat(source):
        return read_places(source, root=root)
    dataset = load_dbstruct(source, root=root)
    folder, names, places = (getattr(dataset, f"{kind}_{each}") for each in ("root", "names", "positions"))
    return Places(folder, names, places, dataset.frame, as_stored=True)


def check_root(root: StrPath | None, *sources: StrPath | None) -> None:
    """Raises ArgumentError where a root is given and all sources (None: no source) are folders."""
    if root is not None and all(os.path.isdir(source) for source in sources if source is not None):
        raise ArgumentError("--root is of the names in a CSV or dbStruct; a folder's are below the folder")


def evaluation_dataset(
    dataset: str,
    root: StrPath | None,
    db: StrPath | None,
    queries: StrPath | None = None,
    threshold: float | None = None,
    protocol: str = "",
    skip_unknown: bool = False,
) -> PlaceDataset:
    """The data set to evaluate on: a known one by its name, that of a dbStruct, or one made of two sources.

    db alone, or the same file as queries, is a dbStruct, which keeps its rules (time stamps, listed matches).
    threshold: metres within which a match is correct; default the dbStruct's, else 25. skip_unknown: whether
    to leave out photos without a position. protocol: of Tokyo 24/7, 'deepibl' (the default) or 'netvlad'.
    Raises ArgumentError for what does not go together.
    """
    if dataset and db is None and queries is None:
        opened = open_dataset(dataset, root=root)
        if protocol and not isinstance(opened, Tokyo247):
            raise ArgumentError(f"--protocol is of tokyo247; {dataset} has one protocol only")
        if isinstance(opened, Tokyo247) and protocol:
            opened.follow(protocol)
        return opened
    if protocol:
        raise ArgumentError("--protocol goes with --dataset tokyo247")
    alone = db is not None and _is_mat(db) and (queries is None or _same_file(db, queries))
    if dataset or db is None or (queries is None and not alone):
        raise ArgumentError("give --dataset NAME (with --root DIR), --db and --queries, or --db dbStruct.mat")
    check_root(root, db, queries)
    if alone:
        whole = load_dbstruct(db, root=root, positive_distance=threshold)
        if type(whole) is not PlaceDataset:
            if skip_unknown or (threshold is not None and isinstance(whole, ListedPositives)):
                raise ArgumentError(f"{db} has rules of its own: leave out --threshold and --skip-unknown")
            return whole
    queries = db if queries is None else queries
    how: Any = {"positive_distance": threshold_of(threshold, db, queries), "skip_unknown": skip_unknown}
    return dataset_from_places(Path(db).stem, database_places(db, root), asked_places(queries, root), **how)


def asked_places(source: StrPath, root: StrPath | None = None) -> Places:
    """As `query_places`, for queries that are evaluated by positions alone, in other images than their own.

    Raises ArgumentError for a dbStruct whose time stamps or lists of matches would then do nothing.
    """
    if _is_mat(source) and type(load_dbstruct(source, root=root)) is not PlaceDataset:
        raise ArgumentError(f"{source} has rules of its own: evaluate it whole, as --db without --queries")
    return query_places(source, root)


def threshold_of(given: float | None, *sources: StrPath) -> float:
    """Metres within which a match is right: those given, else the dbStructs' posDistThr, else 25.

    Raises ArgumentError for dbStructs whose posDistThr differ.
    """
    if given is not None:
        return given
    found = {load_dbstruct(source).positive_distance for source in sources if _is_mat(source)} or {25.0}
    if len(found) > 1:
        listed = " or ".join(f"{metres:g}" for metres in sorted(found))
        raise ArgumentError(f"{' and '.join(map(str, sources))}: posDistThr {listed}: give --threshold")
    return found.pop()


def training_datasets(
    dataset: str,
    root: StrPath | None,
    train: StrPath | None,
    val: StrPath | None,
    queries: tuple[StrPath | None, StrPath | None] = (None, None),
    **thresholds: Any,
) -> tuple[PlaceDataset, PlaceDataset]:
    """The training and the validation set: of a known data set by its name ('pitts30k'), or of two sources.

    train, val: a dbStruct .mat file; a folder or CSV, whose query images are in `queries`; or a folder with
    database/ and queries/ in it, or in its images/train and images/val. root: the folder of the images that
    dbStructs and CSVs name. thresholds: positive_distance, nontrivial_distance_squared of folders and CSVs.
    Raises ArgumentError unless exactly one of the two is given, and for what does nothing with the sources.
    """
    if dataset and train is None and val is None:
        name = dataset.removesuffix("/train")
        return open_dataset(f"{name}/train", root=root), open_dataset(f"{name}/val", root=root)
    if dataset or train is None or val is None:
        raise ArgumentError("give either --dataset NAME (with --root DIR), or both --train and --val")
    check_root(root, train, val, *queries)
    made = []
    twins = Path(train).name == Path(val).name and not _same_file(train, val)
    for split, source, asked in zip(("train", "val"), (train, val), queries, strict=True):
        if _is_mat(source):
            if asked is not None:
                raise ArgumentError(f"{source} has queries of its own: leave out --{split}-queries")
            own = f"{Path(source).stem}_{split}" if twins else None  # it names the files of features
            made.append(load_dbstruct(source, root=root, name=own))
            continue
        if asked is None and not find_layout(source, split):
            raise ArgumentError(
                f"--{split} {source}: expected a dbStruct .mat file, or a folder with database/ and "
                f"queries/ in it; --{split}-queries gives the queries of a folder or CSV of the database"
            )
        name = f"{Path(source).resolve().stem}_{split}"
        made.append(make_dataset(source, asked, name=name, split=split, csv_root=root, **thresholds))
    return made[0], made[1]


def _same_file(first: StrPath, second: StrPath) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


def _is_mat(source: StrPath) -> bool:
    return Path(source).suffix.lower() == ".mat"
