"""The original's data sets, closePosition, localPaths and setup, under their own names.

`paths` is what localPaths takes, by default localPaths() itself. The data sets have the original's fields and
methods beside Python's names; ids are 0-based, positions (N, 2), features (N, D).
"""

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.catalog import name_as_files, open_dataset
from deepibl.datasets.dbstruct import FIELDS, python_names, read_dbstruct
from deepibl.datasets.pitts_tokyo import TinyTokyo, Tokyo247, TokyoTimeMachine
from deepibl.datasets.place import DRAWING, ListedPositives, Neighbours, PlaceDataset
from deepibl.datasets.positions import ClosePosition
from deepibl.datasets.retrieval import RetrievalDataset, crop_queries, holidays, shrink_images, vgg_buildings
from deepibl.errors import DatasetError
from deepibl.runtime.paths import LocalPaths, localPaths, missing_paths
from matlab_compat.files import StrPath
from matlab_compat.relja import relja_display, relja_progress, tic
from matlab_compat.rng import Generator


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


# MATLAB's name -> Python's, of the fields and methods of each class
_SIZES = _pairs("numImages=database_size numQueries=query_count")
_LISTED = ("dbImageFns", "qImageFns", "dbPath", "qPath", "posIDs")
MATLAB_NAMES: dict[type, dict[str, str]] = {
    PlaceDataset: {matlab: python for matlab, python in FIELDS.items() if matlab != "ignoreIDs"}
    | _SIZES
    | _pairs("""
        posDistSqThr=positive_distance_squared cp=close_positions getPosIDs=positives isPosQ=is_positive
        isPosDb=is_neighbour posDb=neighbours nontrivialPosQ=nontrivial_positives
        nontrivialPosDb=nontrivial_neighbours sampleNegsQ=sample_negatives sampleNegsDb=sample_non_neighbours
        sampleNegs=sample_negatives_at nnSearchPostprocess=rank_matches"""),
    ClosePosition: _pairs("""
        utm=positions posDistThr=positive_distance posDistSqThr=positive_distance_squared limL=lower_limit
        limU=upper_limit hashSz=grid_size hashTab=grid getInds=cells_of getPosIDs=positives
        getPosDbIDs=positives_of_image isPos=near"""),
    RetrievalDataset: {name: FIELDS[name] for name in _LISTED}
    | _SIZES
    | _pairs("ignoreIDs=ignored_ids queryIDs=query_ids queryNames=query_labels ROIs=regions"),
}

_RULES = {"database_times", "query_times", "positive_ids", "ignored_ids"}  # arguments of some classes alone
Paths = LocalPaths | Mapping[str, str] | StrPath | None  # what localPaths takes


class MatlabNames:
    """A mixin that adds MATLAB's names to a class of `MATLAB_NAMES`.

    A field has both names: reading or setting one reads or sets the other. A method has both names, too, and
    a subclass that overrides one of them overrides both.
    """

    _added: ClassVar[set[str]] = set()  # names that this class, not the author of a subclass, gave to it

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._added = set()
        for core, names in MATLAB_NAMES.items():
            for pair in names.items() if issubclass(cls, core) else ():
                _join(cls, *pair)


def _join(cls: Any, matlab: str, python: str) -> None:
    """Makes both names of a field or method mean what the class, or else its nearest base, defines."""
    defined = (
        vars(base)[name]
        for base in cls.__mro__
        for name in (matlab, python)
        if name in vars(base) and name not in vars(base).get("_added", ())
    )
    found = next(defined, None)
    own = vars(cls).get(matlab)
    if callable(found):
        if matlab.startswith("sampleNegs") and any(found is each for each in vars(cls).values()):
            found = _drawing(found)
            for name in {matlab, python} & vars(cls).keys():
                setattr(cls, name, found)
        for name in {matlab, python} - vars(cls).keys():
            setattr(cls, name, found)
            cls._added.add(name)
    elif isinstance(own, property):
        setattr(cls, python, own)
        cls._added.add(python)
    else:
        if matlab in vars(cls):  # a value for all objects of the class
            delattr(cls, matlab)
            setattr(cls, python, own)
        both = property(lambda self: getattr(self, python), lambda self, v: setattr(self, python, v))
        setattr(cls, matlab, both)
        cls._added.add(matlab)


def _drawing(method: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """An override of sampling that training can call: with the original's arguments, or a generator, too."""
    if len(inspect.signature(method).parameters) > 3:
        return method

    @functools.wraps(method)
    def call(self: Any, of: Any, n: int, generator: Generator | None = None) -> np.ndarray:
        token = DRAWING.set(generator or DRAWING.get())
        try:
            return method(self, of, n)
        finally:
            DRAWING.reset(token)

    return call


def _become(self: Any, made: Any) -> None:
    """Gives an object of a class with MATLAB's names the state, and the base class, of an opened set."""
    if not isinstance(self, type(made)):
        object.__setattr__(self, "__class__", _derived(type(self), type(made)))  # type: ignore[arg-type]
    vars(self).update(vars(made))
    if isinstance(made, PlaceDataset):
        _named(self.close_positions)


@functools.cache
def _derived(cls: type, core: type) -> type:
    return type(cls.__name__, (cls, core), {"__doc__": cls.__doc__, "__module__": cls.__module__})


def _named(made: Any) -> Any:
    """The same object, of a class that has MATLAB's names as well."""
    object.__setattr__(made, "__class__", _class_with_names(type(made)))  # type: ignore[arg-type]
    if isinstance(made, PlaceDataset):
        _named(made.close_positions)
    return made


@functools.cache
def _class_with_names(core: type) -> type:
    if core is ClosePosition:
        return closePosition
    bases = (dbBase, core) if issubclass(core, PlaceDataset) else (MatlabNames, core)
    return type(core.__name__, bases, {"__doc__": core.__doc__, "__module__": __name__})


class dbBase(MatlabNames, PlaceDataset):
    """Base of a user's data set, made as in MATLAB: set name, dbPath and qPath, then call dbLoad().

    >>> class dbMine(dbBase):
    ...     def __init__(self, paths=None):
    ...         self.name, self.dbPath, self.qPath = "mine", "/data/db/", "/data/queries/"
    ...         self.dbLoad(paths)

    Methods may be overridden under MATLAB's or Python's names, with the original's arguments. The original's
    sets may be derived in the same way: `class dbMine(dbTokyo247)`. A file's dbTimeStamp and posIDs are
    attributes, as in MATLAB; only dbTokyoTimeMachine, dbSf0 and your overrides go by them.

    Ported from: netvlad/datasets/dbBase.m
    """

    name = dbPath = qPath = ""
    if TYPE_CHECKING:  # MatlabNames adds them
        whichSet: str
        cp: "closePosition"
        dbImageFns = qImageFns = list[str]()
        utmDb = utmQ = np.empty(0)
        numImages = numQueries = 0
        posDistThr = posDistSqThr = nonTrivPosDistSqThr = 0.0

        def getPosIDs(self, iQuery: int) -> np.ndarray: ...
        def isPosQ(self, iQuery: int, iDb: ArrayLike) -> np.ndarray: ...
        def isPosDb(self, iDbQuery: int, iDb: ArrayLike) -> np.ndarray: ...
        def posDb(self, iDb: int) -> np.ndarray: ...
        def nontrivialPosQ(self, iQuery: int) -> np.ndarray: ...
        def nontrivialPosDb(self, iDb: int) -> np.ndarray: ...
        def sampleNegsQ(self, iQuery: int, n: int, generator: Generator | None = None) -> np.ndarray: ...
        def sampleNegsDb(self, iDb: int, n: int, generator: Generator | None = None) -> np.ndarray: ...
        def sampleNegs(self, utm: ArrayLike, n: int, generator: Generator | None = None) -> np.ndarray: ...
        def nnSearchPostprocess(
            self, searcher: Callable[[int, int], Neighbours], iQuery: int, nTop: int
        ) -> Neighbours: ...

    def __init__(self) -> None:
        raise DatasetError("subclass dbBase and call dbLoad() in its __init__; or give lists to PlaceDataset")

    def dbLoad(self, paths: Paths = None) -> None:
        """Reads <dsetSpecDir>/<name>.mat. Raises DatasetError, MatFileError."""
        file = os.path.join(localPaths(paths).dsetSpecDir, f"{self.name}.mat")
        if not os.path.isfile(file):
            raise DatasetError(f"{file} does not exist: download it, and set dsetSpecDir in localPaths")
        given = python_names({"dbPath": self.dbPath, "qPath": self.qPath, **read_dbstruct(file)})
        plain = (each for each in type(self).__mro__ if not issubclass(each, MatlabNames))
        core: Any = next(each for each in plain if issubclass(each, PlaceDataset))
        unused = (_RULES & given.keys()).difference(inspect.signature(core).parameters)
        beside = {name: given.pop(name) for name in unused}
        if "positive_ids" in beside and np.isnan(given["database_positions"]).all():
            raise DatasetError(f"{file} lists its matches: derive the class from dbSf0, which goes by them")
        core.__init__(self, self.name, **given)
        for name, value in beside.items():
            setattr(self, name, value)
        name_as_files(self)
        _named(self.close_positions)


class closePosition(MatlabNames, ClosePosition):
    """Search of positions (N, 2) in metres by a distance limit; 0-based ids in the original's order of cells.

    >>> closePosition([[0, 0], [3, 4]], 5).getPosIDs([0, 0])
    (array([0, 1]), array([ 0., 25.]))

    Ported from: netvlad/datasets/closePosition.m
    """


def _open(name: str, whichSet: str, allowed: tuple[str, ...], paths: Paths, **options: Any) -> PlaceDataset:
    """A set of the catalogue, or its part; DatasetError for a whichSet that is not allowed."""
    if whichSet not in allowed:
        raise DatasetError(f"whichSet must be one of {', '.join(allowed)}; got {whichSet!r}")
    return open_dataset(f"{name}/{whichSet}", paths=localPaths(paths), **options)


class dbPitts(dbBase):
    """Pittsburgh 250k (fullSize) or 30k; whichSet: 'train', 'val' or 'test'.

    Raises DatasetError for another set, or where its dbStruct does not exist.
    Ported from: netvlad/datasets/dbPitts.m
    """

    def __init__(self, fullSize: bool, whichSet: str, paths: Paths = None) -> None:
        name = "pitts250k" if fullSize else "pitts30k"
        _become(self, _open(name, whichSet, ("train", "val", "test"), paths))


class dbTokyo247(dbBase, Tokyo247):
    """Tokyo 24/7, evaluated by its protocol. Ported from: netvlad/datasets/dbTokyo247.m"""

    def __init__(self, paths: Paths = None) -> None:
        _become(self, open_dataset("tokyo247", paths=localPaths(paths)))


class dbTokyoTimeMachine(dbBase, TokyoTimeMachine):
    """Tokyo Time Machine; whichSet: 'train' or 'val'. Ported from: netvlad/datasets/dbTokyoTimeMachine.m"""

    def __init__(self, whichSet: str, paths: Paths = None) -> None:
        _become(self, _open("tokyoTM", whichSet, ("train", "val"), paths))


class dbTiny(dbBase, TinyTokyo):
    """A tiny part of Tokyo Time Machine; whichSet: 'train' or 'val'. It needs the whole set's dbStruct.

    generator: draws the places; by default a new one, seeded as MATLAB's rng(43).
    Ported from: netvlad/datasets/dbTiny.m
    """

    def __init__(self, whichSet: str, paths: Paths = None, generator: Generator | None = None) -> None:
        _become(self, _open("tokyoTinyTM", whichSet, ("train", "val"), paths, generator=generator))


class dbSf0(dbBase, ListedPositives):
    """San Francisco, with a list of positives for each query (see `deepibl.datasets.dbstruct`).

    The original has no such data set.
    """

    def __init__(self, paths: Paths = None) -> None:
        _become(self, open_dataset("sf0", paths=localPaths(paths)))


class dbVGG(MatlabNames, RetrievalDataset):
    """Oxford ('ox5k') or Paris ('paris') buildings, for relja_retrievalMAP.

    useROI: negative: whole query images; else queries are cropped to their regions, expanded by half of it on
    each side, and written to images_crop_<useROI>/.
    Raises DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbVGG.m
    """

    def __init__(self, dsetName: str = "ox5k", useROI: float = 0, paths: Paths = None) -> None:
        found: LocalPaths = localPaths(paths)
        root = found.dsetRootParis if dsetName == "paris" else found.dsetRootOxford
        dataset = vgg_buildings(root, dsetName)
        _become(self, crop_queries(dataset, useROI) if useROI >= 0 else dataset)


class dbHolidays(MatlabNames, RetrievalDataset):
    """INRIA Holidays, or its upright version; images of more than 1024 x 768 pixels are shrunk once.

    Raises DatasetError, MissingImageError.
    Ported from: netvlad/datasets/dbHolidays.m
    """

    def __init__(self, doRot: bool = False, paths: Paths = None) -> None:
        started = tic()

        def progress(i: int, n: int) -> None:
            relja_progress(i, n, "check if resized exists, otherwise resize", started)

        _become(self, shrink_images(holidays(localPaths(paths).dsetRootHolidays, doRot), progress=progress))


def setup(paths: Paths = None) -> LocalPaths:
    """Prints which folders of localPaths are missing, and returns the paths.

    Python needs no search path: this replaces the original's setup.m in scripts.
    Ported from: netvlad/setup.m
    """
    found = localPaths(paths)
    relja_display("paths from %s", found.source)
    for line in missing_paths(found):
        relja_display("  %s", line)
    return found
