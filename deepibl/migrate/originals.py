"""The original's functions as migrated scripts call them: arrays as in MATLAB, ids from 1, nets as structs.

Every function here calls the one of the same name in `deepibl` or `matlab_compat` and converts at the border:

===========  ==============================================  =====================================
kind         in scripts                                      in the library
===========  ==============================================  =====================================
features     D x N, one column an image                      (N, D)
ids          from 1                                          from 0
image        H x W x C single                                (C, H, W) tensor
maps         H x W x C x N                                   (N, C, H, W) tensor
net          struct with layers and meta                     SimpleNN
data set     an object of `dbBase` (positions 2 x N)         PlaceDataset (positions (N, 2))
===========  ==============================================  =====================================

`deepibl.migrate.library` lists the kinds of each function.
"""

import contextlib
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import deepibl
import deepibl.networks.build  # the classes of NetVLAD's layers
import matlab_compat
from deepibl.migrate.library import FUNCTIONS
from matlab_compat import numeric
from matlab_compat.errors import ArgumentError
from matlab_compat.language.classes import objects
from matlab_compat.language.drawing import GENERATOR
from matlab_compat.language.files import from_plain, to_plain
from matlab_compat.language.functions import takes_nargout
from matlab_compat.language.indexing import trimmed
from matlab_compat.language.text import sprintf
from matlab_compat.language.values import Array, Cell, Struct, StructArray, as_np, shape_of, spread, wrap
from matlab_compat.simplenn.network import SimpleNN

# ---- values across the border


def _flat(value: Any) -> np.ndarray:
    return as_np(value).ravel(order="F")


def _column(value: Any) -> Any:
    return wrap(np.asarray(value).reshape(-1, 1))


def _row(value: Any) -> Any:
    return wrap(np.asarray(value).reshape(1, -1))


def _maps_in(value: Any) -> torch.Tensor:
    return numeric.maps_to_torch(as_np(value).astype(np.float32))


def _maps_out(value: Any) -> Any:
    if value is None:
        return Array()
    value = value[None] if value.ndim == 3 else value.reshape(*value.shape, *(1,) * (4 - value.ndim))
    return wrap(trimmed(numeric.maps_to_matlab(value)))


def net_in(value: Any) -> Any:
    """A net's struct as the library's network."""
    return SimpleNN.from_matlab(to_plain(value)) if isinstance(value, Mapping) else value


def _plain(value: Any) -> Any:
    """An option, name or number as the library takes it."""
    if isinstance(value, Array):
        data = value.data
        if data.size < 2:
            return data.item() if data.size else None
        return data.ravel(order="F").tolist() if 1 in data.shape else data
    if isinstance(value, Cell):
        return [_plain(item) for item in value]
    if isinstance(value, Struct):
        return net_in(value) if "layers" in value else {name: _plain(item) for name, item in value.items()}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value.inner if isinstance(value, _Wrapped) else value


def _out(value: Any) -> Any:
    """A result of the library as scripts hold it."""
    if isinstance(value, SimpleNN):
        return from_plain(value.to_matlab())
    if isinstance(value, SimpleNamespace):
        return Struct({name: _out(item) for name, item in vars(value).items()})
    if isinstance(value, torch.Tensor):
        return from_plain(value.detach().cpu().numpy())
    if isinstance(value, list | tuple) and value and all(isinstance(item, int | float) for item in value):
        return _row(np.array(value, np.float64))
    return os.fspath(value) if isinstance(value, os.PathLike) else from_plain(value)


_TO_LIBRARY: dict[str, Callable[[Any], Any]] = {
    "id": lambda v: int(float(v)) - 1,
    "ids": lambda v: _flat(v).astype(np.int64) - 1,
    "features": lambda v: np.ascontiguousarray(as_np(v).T),
    "net": net_in,
    "number": lambda v: int(float(v)),
    "image": lambda v: _maps_in(v)[0],
    "layer": lambda v: v if isinstance(v, str) else int(v),
    "plain": to_plain,
    "matrix": as_np,
    "searcher": lambda v: _searcher_in(v),
    **dict.fromkeys(("row", "column", "mask", "position"), _flat),
}
_TO_SCRIPT: dict[str, Callable[[Any], Any]] = {
    "id": lambda v: float(v) + 1,
    "ids": lambda v: _column(np.asarray(v, float) + 1),
    "found": lambda v: Array((np.atleast_2d(np.asarray(v)) + 1).T.astype(np.int32)),  # k x queries, as yael's
    "features": lambda v: wrap(np.atleast_2d(np.asarray(v)).T),
    "row": _row,
    "column": _column,
    "position": _column,
    "texts": lambda v: Cell(*v),
    "mask": lambda v: _column(np.asarray(v, bool)),
    "matrix": lambda v: wrap(np.atleast_2d(np.asarray(v))),
    "number": lambda v: Array() if v is None else float(v),
    "searcher": lambda v: _searcher_out(v),
    "object": lambda v: _wrapped(v),
    "int": int,
}


def _to_library(kind: str, value: Any) -> Any:
    return _TO_LIBRARY.get(kind, _plain)(value)


def _to_script(kind: str, value: Any) -> Any:
    return _TO_SCRIPT.get(kind, _out)(value)


def _results(name: str, kinds: list[str], found: Any, nargout: int) -> Any:
    """The outputs of a call for a script."""
    both = found if isinstance(found, tuple) else (found,)
    if nargout > len(both):
        raise ArgumentError(f"{name} gives {len(both)} outputs here; {nargout} are asked for")
    kinds = [*kinds, *["any"] * len(both)]
    made = tuple(_to_script(kind, part) for kind, part in zip(kinds, both, strict=False))
    return made[:nargout] if nargout > 1 else made[0]


# ---- data sets

# method -> kinds of its arguments, kinds of its outputs
_METHODS: dict[str, tuple[list[str], list[str]]] = {
    name: (given.split(), found.split())
    for names, given, found in (
        ("isPosQ isPosDb", "id ids", "mask"),
        ("isPos", "position ids", "mask"),
        ("posDb nontrivialPosQ nontrivialPosDb getPosDbIDs", "id", "ids row"),
        ("getPosIDs", "position", "ids row"),
        ("sampleNegsQ sampleNegsDb", "id number", "ids"),
        ("sampleNegs", "position number", "ids"),
        ("nnSearchPostprocess", "searcher id number", "ids column"),
    )
    for name in names.split()
}
_FIELDS = {
    **dict.fromkeys(("utmDb", "utmQ", "utm"), "features"),
    **dict.fromkeys(("limL", "limU"), "column"),
    **dict.fromkeys(("dbTimeStamp", "qTimeStamp"), "row"),
    "queryIDs": "ids",
}


def _searcher_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """A script's searcher as the library calls it."""

    def search(query: int, count: int) -> Any:
        words = {"nargout": 2} if takes_nargout(function) else {}
        found = function(float(query + 1), float(count), **words)
        if isinstance(found, tuple):
            return _to_library("ids", found[0]), _flat(found[1])
        return _to_library("ids", found)

    return search


def _searcher_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """The library's searcher as a script calls it."""

    def search(query: Any, count: Any, nargout: int = 1) -> Any:
        return _results("the searcher", ["found", "column"], function(int(query) - 1, int(count)), nargout)

    return search


class _Wrapped:
    """An object of the library with MATLAB's conventions; `inner` is the library's."""

    inner: Any = None

    def __getattr__(self, name: str) -> Any:
        inner = self.__dict__.get("inner")
        if inner is None or name.startswith("__"):
            raise AttributeError(f"{type(self).__name__} has no property {name!r}; has dbLoad() been called?")
        if name == "cp":
            return _wrapped(inner.cp, closePosition)
        found = getattr(inner, name)
        if name in _METHODS and callable(found):
            return lambda *arguments, nargout=1: _call_method(found, name, arguments, nargout)
        if name in ("posIDs", "ignoreIDs"):
            return Cell(*(_to_script("ids", ids) for ids in found)).T
        if name.endswith("ImageFns") or name == "queryNames":
            return Cell(*found).T
        return _to_script(_FIELDS.get(name, "any") if found is not None else "any", found)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = self.__dict__.get("inner")
        if inner is None or name == "inner" or not hasattr(inner, name):
            object.__setattr__(self, name, value)
        else:
            setattr(inner, name, _to_library(_FIELDS.get(name, "any"), value))
            if name in self.__dict__:
                self.__dict__[name] = value


def _call_method(found: Callable[..., Any], name: str, arguments: tuple[Any, ...], nargout: int) -> Any:
    kinds, outputs = _METHODS[name]
    if name == "getPosIDs" and len(arguments) == 1 and shape_of(arguments[0]) == (1, 1):
        kinds = ["id"]  # db.getPosIDs(iQuery)
    given = [_to_library(kind, value) for kind, value in zip(kinds, arguments, strict=False)]
    if "generator" in inspect.signature(found).parameters:
        given.append(GENERATOR)
    result = found(*given)
    if outputs == ["mask"] and len(arguments) > 1:  # of the shape of the ids
        return wrap(np.asarray(result, bool).reshape(shape_of(arguments[1]), order="F"))
    return _results(name, outputs, result, nargout)


def _wrapped(inner: Any, kind: type | None = None) -> Any:
    made: Any = object.__new__(kind or dbBase)
    made.__dict__["inner"] = inner
    return made


class closePosition(_Wrapped):
    """The original's closePosition; positions are 2 x N."""

    def __init__(self, utm: Any, posDistThr: Any) -> None:
        self.__dict__["inner"] = deepibl.closePosition(_to_library("features", utm), float(posDistThr))


class dbBase(_Wrapped):
    """Base of a script's data set: set name, dbPath, qPath, call dbLoad(); methods may be overridden."""

    def dbLoad(self) -> None:
        """Reads <dsetSpecDir>/<name>.mat; the library then calls the methods that this class overrides."""
        outer, given = self, dict(self.__dict__)

        def __init__(inner: Any) -> None:
            for name in ("name", "dbPath", "qPath"):
                setattr(inner, name, getattr(outer, name, ""))
            inner.dbLoad()

        own = {name for base in type(self).__mro__ for name in vars(base)}
        methods = {name: _library_method(outer, name) for name in _METHODS if name in own}
        kind = type(type(self).__name__, (deepibl.dbBase,), {**methods, "__init__": __init__})
        self.__dict__["inner"] = kind()
        plain = {name for name in own if not callable(getattr(type(self), name))} - {"inner"}
        for name in {*given, *plain}:  # fields of the file win, as in MATLAB
            if hasattr(self.inner, name) and not name.startswith("__"):
                self.__dict__.pop(name, None)
                if name in plain:  # which would hide it
                    self.__dict__[name] = self.__getattr__(name)


def _library_method(outer: Any, name: str) -> Callable[..., Any]:
    """An overridden method of a script's class as the library calls it."""
    own, (kinds, outputs) = getattr(type(outer), name), _METHODS[name]

    def method(inner: Any, *arguments: Any, **options: Any) -> Any:
        given = [_to_script(kind, value) for kind, value in zip(kinds, arguments, strict=False)]
        if name == "nnSearchPostprocess":
            ids, distances = own(outer, *given, nargout=2)
            return _to_library("ids", ids), _flat(distances)
        return _to_library(outputs[0], own(outer, *given))

    return method


# ---- functions


def _words(options: dict[str, Any]) -> dict[str, Any]:
    return {word: _plain(value) for word, value in options.items()}


def _wrapper(name: str) -> Callable[..., Any]:
    """A function of the library with its arguments and outputs converted."""
    kinds, outputs = FUNCTIONS[name]
    outputs = ["found", *outputs[1:]] if outputs[:1] == ["ids"] else outputs

    def wrapper(*arguments: Any, nargout: int = 1, **options: Any) -> Any:
        spread_out = list(spread(arguments))
        every = [*kinds, *["any"] * len(spread_out)]
        given = [_to_library(kind, value) for kind, value in zip(every, spread_out, strict=False)]
        function: Any = getattr(deepibl if hasattr(deepibl, name) else matlab_compat, name)
        words = _words(options)
        words |= {"nargout": nargout} if nargout > 1 and takes_nargout(function) else {}
        return _results(name, outputs, function(*given, **words), nargout)

    wrapper.__name__ = name
    wrapper.__doc__ = f"The original's {name}, in MATLAB's conventions."
    return wrapper


for _name in FUNCTIONS:  # those below, and the classes above, have more to do
    if _name not in globals():
        globals()[_name] = _wrapper(_name)


def tidy(net: Any) -> Any:
    """A net in its newest form."""
    return _out(net_in(net))


relja_simplenn_tidy = vl_simplenn_tidy = tidy


def localPaths(*arguments: Any) -> Struct:
    """The paths of localPaths, a struct of strings."""
    return Struct(deepibl.localPaths(*arguments).as_dict())


def setup() -> None:
    """Prints which folders of localPaths are missing, to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        deepibl.setup()


def relja_display(form: str, *values: Any) -> None:
    """Prints sprintf(form, …) and a new line."""
    matlab_compat.relja_display("%s", sprintf(form, *values))


def vl_imreadjpeg(files: Cell, *arguments: Any, **options: Any) -> Cell:
    """JPEG images as a row of cells, H x W x 3 or H x W single."""
    read = matlab_compat.vl_imreadjpeg(list(files), *map(_plain, arguments), **_words(options))
    return Cell(*map(_maps_out, read))


def _layer_out(result: Any) -> Struct:
    x, dzdx, *dzdw = map(_maps_out, (result.x, result.dzdx, *(result.dzdw or ())))
    return Struct(x=x, dzdx=dzdx, dzdw=Cell(*dzdw), aux=Array())


def vl_simplenn(
    net: Struct, x: Any, dzdy: Any = None, res: Any = None, *arguments: Any, **options: Any
) -> Any:
    """Runs a net: a row of structs with x, dzdx, dzdw."""
    maps: Any = [_maps_in(value) if value is not None and as_np(value).size else None for value in (x, dzdy)]
    before = getattr(res, "results", None)
    found = matlab_compat.vl_simplenn(net_in(net), *maps, before, *map(_plain, arguments), **_words(options))
    made = StructArray(objects([[_layer_out(each) for each in found]]))
    made.results = found  # type: ignore[attr-defined]
    return made


def vl_argparse(opts: Struct, arguments: Any, *flags: Any, nargout: int = 1) -> Any:
    """A copy of opts, updated by names and values."""
    given = list(arguments) if isinstance(arguments, Cell) else [arguments]
    if len(given) == 1 and isinstance(given[0], Cell):
        given = list(given[0])
    result = matlab_compat.vl_argparse(dict(opts), given, *flags, nargout=nargout)
    return (Struct(result[0]), Cell(*result[1])) if nargout > 1 else Struct(result)


def recallAtN(
    searcher: Any, nQueries: Any, isPos: Any, ns: Any, printN: Any, nSample: Any = np.inf, nargout: int = 1
) -> Any:
    """Recall@printN, and every query's recall at ns."""

    def positive(query: int, ids: Any) -> np.ndarray:
        return _flat(isPos(float(query + 1), _row(np.asarray(ids, np.float64) + 1))) != 0

    numbers = [int(n) for n in as_np(ns).flat]
    given = _searcher_in(searcher), int(nQueries), positive, numbers, int(printN), float(nSample)
    found = deepibl.recallAtN(*given)
    return _results("recallAtN", ["number"], found, nargout)


def relja_retrievalMAP(db: Any, searcher: Any, *arguments: Any, nargout: int = 1) -> Any:
    """The mean average precision, and every query's; searcher: a function, or a struct of db and qs."""
    if isinstance(searcher, Struct):
        given: Any = {name: _to_library("features", searcher[name]) for name in ("db", "qs")}
    else:

        def given(query: int) -> Any:
            return _to_library("ids", searcher(float(query + 1)))

    found = matlab_compat.relja_retrievalMAP(_plain(db), given, *map(_plain, arguments))
    return _results("relja_retrievalMAP", ["number", "column"], found, nargout)


def relja_makeBuffer(column: Any, megabytes: Any, nargout: int = 1) -> Any:
    """Zeros of the class and height of a column, of about this size, and the number of columns."""
    data = as_np(column)
    count = max(1, int(float(megabytes) * 2**20 // max(1, data.nbytes)))
    buffer = Array(np.zeros((data.size, count), data.dtype))
    return (buffer, count) if nargout > 1 else buffer


def smooth(y: Any, window: Any = 5) -> Any:
    """A moving average, a column."""
    return _column(numeric.smooth(as_np(y), int(window)))
