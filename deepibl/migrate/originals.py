"""The original's functions as migrated scripts call them: MATLAB's orientation of arrays, ids from 1, nets
as structs.

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
import deepibl.networks.build
import matlab_compat
from matlab_compat import numeric
from matlab_compat.language import (
    Array,
    Cell,
    Several,
    Struct,
    as_np,
    from_plain,
    shape_of,
    sprintf,
    to_plain,
    trimmed,
    wrap,
)  # fmt: skip
from matlab_compat.simplenn.network import SimpleNN

# ---- values across the border


def _features_in(value: Any) -> np.ndarray:
    return np.ascontiguousarray(as_np(value).T)


def _features_out(value: Any) -> Any:
    array = np.asarray(value)
    return wrap(np.atleast_2d(array).T)


def _ids_in(value: Any) -> Any:
    data = as_np(value).ravel(order="F").astype(np.int64) - 1
    return int(data[0]) if np.size(data) == 1 and shape_of(value) == (1, 1) else data


def _found_out(value: Any) -> Any:
    """Ids of a search, k x queries, int32 as yael's."""
    return Array((np.atleast_2d(np.asarray(value)) + 1).T.astype(np.int32))


def _column(value: Any) -> Any:
    return wrap(np.asarray(value).reshape(-1, 1))


def _row(value: Any) -> Any:
    return wrap(np.asarray(value).reshape(1, -1))


def _ids_out(value: Any) -> Any:
    return _column(np.asarray(value, np.float64) + 1)


def _maps_in(value: Any) -> torch.Tensor:
    return numeric.maps_to_torch(as_np(value).astype(np.float32))


def _maps_out(value: Any) -> Any:
    return (
        Array()
        if value is None
        else wrap(
            trimmed(
                numeric.maps_to_matlab(
                    value
                    if value.ndim == 4
                    else value[None]
                    if value.ndim == 3
                    else value.reshape(*value.shape, *(1,) * (4 - value.ndim))
                )
            )
        )
    )


def net_in(value: Any) -> Any:
    """A net's struct as the library's network."""
    if not isinstance(value, Mapping):
        return value
    return SimpleNN.from_matlab(to_plain(value))


def net_out(value: Any) -> Any:
    """The library's network as a struct."""
    return from_plain(value.to_matlab()) if isinstance(value, SimpleNN) else value


def _plain(value: Any) -> Any:
    """An option, name or number as the library takes it."""
    if isinstance(value, Array):
        data = value.data
        if data.size == 0:
            return None
        return data.item() if data.size == 1 else data.ravel(order="F").tolist() if 1 in data.shape else data
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
        return net_out(value)
    if isinstance(value, SimpleNamespace):
        return Struct({name: _out(item) for name, item in vars(value).items()})
    if isinstance(value, torch.Tensor):
        return from_plain(value.detach().cpu().numpy())
    if isinstance(value, list | tuple) and value and all(isinstance(item, int | float) for item in value):
        return _row(np.array(value, np.float64))
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return from_plain(value)


# ---- data sets

# method -> kinds of its arguments, kinds of its outputs
_METHODS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "isPosQ": (("id", "ids"), ("mask",)), "isPosDb": (("id", "ids"), ("mask",)), "posDb": (("id",), ("ids",
    "row")),
    "nontrivialPosQ": (("id",), ("ids", "row")), "nontrivialPosDb": (("id",), ("ids", "row")),
    "getPosIDs": (("position",), ("ids", "row")), "getPosDbIDs": (("id",), ("ids", "row")),
    "isPos": (("position", "ids"), ("mask",)), "sampleNegsQ": (("id", "number"), ("ids",)),
    "sampleNegsDb": (("id", "number"), ("ids",)), "sampleNegs": (("position", "number"), ("ids",)),
    "nnSearchPostprocess": (("searcher", "id", "number"), ("ids", "column")),
}  # fmt: skip
_FIELDS = {"utmDb": "features", "utmQ": "features", "utm": "features", "limL": "column", "limU": "column",
           "dbTimeStamp": "row", "qTimeStamp": "row"}  # fmt: skip


def _searcher_in(function: Callable[..., Any]) -> Callable[..., Any]:
    """A script's searcher as the library calls it."""

    def search(query: int, count: int) -> Any:
        found = (
            function(float(query + 1), float(count), nargout=2)
            if _gives_several(function)
            else function(float(query + 1), float(count))
        )
        ids = found[0] if isinstance(found, tuple) else found
        return (
            (_to_library("ids", ids), _to_library("row", found[1]))
            if isinstance(found, tuple)
            else _to_library("ids", ids)
        )

    return search


def _searcher_out(function: Callable[..., Any]) -> Callable[..., Any]:
    """The library's searcher as a script calls it."""

    def search(query: Any, count: Any, nargout: int = 1) -> Any:
        found = function(int(query) - 1, int(count))
        both = tuple(found) if isinstance(found, tuple) else (found,)
        results = tuple(_to_script(kind, part) for kind, part in zip(("found", "column"), both, strict=False))
        return results[:nargout] if nargout > 1 else results[0]

    return search


def _gives_several(function: Any) -> bool:
    return "nargout" in inspect.signature(function).parameters


def _to_library(kind: str, value: Any) -> Any:
    if kind == "id":
        return int(float(value)) - 1
    if kind == "ids":
        return as_np(value).ravel(order="F").astype(np.int64) - 1
    if kind in ("row", "column", "mask", "position"):
        return as_np(value).ravel(order="F")
    if kind == "features":
        return _features_in(value)
    if kind == "number":
        return int(float(value))
    return _searcher_in(value) if kind == "searcher" else _plain(value)


def _to_script(kind: str, value: Any) -> Any:
    if kind == "id":
        return float(value) + 1
    if kind in ("ids", "found"):
        return _ids_out(value) if kind == "ids" else _found_out(value)
    if kind == "features":
        return wrap(np.atleast_2d(np.asarray(value)).T)
    if kind == "row":
        return _row(value)
    if kind in ("column", "position"):
        return _column(value)
    if kind == "mask":
        return wrap(np.asarray(value, bool).reshape(-1, 1))
    if kind == "number":
        return float(value)
    return _searcher_out(value) if kind == "searcher" else _out(value)


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
            return Cell(*(_ids_out(ids) for ids in found)).T
        if name == "queryIDs":
            return _ids_out(found)
        if name in _FIELDS and found is not None:
            return _to_script(_FIELDS[name], found)
        if name.endswith("ImageFns") or name == "queryNames":
            return Cell(*found).T
        return _out(found)

    def __setattr__(self, name: str, value: Any) -> None:
        inner = self.__dict__.get("inner")
        if inner is None or name == "inner" or not hasattr(inner, name):
            object.__setattr__(self, name, value)
        else:
            setattr(inner, name, _to_library(_FIELDS.get(name, "any"), value))


def _call_method(found: Callable[..., Any], name: str, arguments: tuple[Any, ...], nargout: int) -> Any:
    kinds, outputs = _METHODS[name]
    given = [_to_library(kind, value) for kind, value in zip(kinds, arguments, strict=False)]
    if (
        name == "getPosIDs" and len(arguments) == 1 and shape_of(arguments[0]) == (1, 1)
    ):  # db.getPosIDs(iQuery)
        given = [_to_library("id", arguments[0])]
    if "generator" in inspect.signature(found).parameters:
        given.append(_generator())
    result = found(*given)
    both = result if isinstance(result, tuple) else (result,)
    if len(both) < nargout:
        raise matlab_compat.errors.ArgumentError(
            f"{name} gives {len(both)} outputs here; {nargout} are asked for"
        )
    shaped = list(outputs)
    if name in ("isPosQ", "isPosDb", "isPos") and len(arguments) > 1:  # of the shape of the ids
        return wrap(np.asarray(result, bool).reshape(shape_of(arguments[1]), order="F"))
    results = tuple(_to_script(kind, part) for kind, part in zip(shaped, both, strict=False))
    return results[:nargout] if nargout > 1 else results[0]


_GENERATORS: list[Any] = []


def _generator() -> Any:
    """MATLAB's generator as after start-up, one for the script."""
    if not _GENERATORS:
        _GENERATORS.append(matlab_compat.rng.rng())
    return _GENERATORS[0]


def _wrapped(inner: Any, kind: type | None = None) -> Any:
    made: Any = object.__new__(kind or dbBase)
    made.__dict__["inner"] = inner
    return made


class closePosition(_Wrapped):
    """The original's closePosition; positions are 2 x N."""

    def __init__(self, utm: Any, posDistThr: Any) -> None:
        self.__dict__["inner"] = deepibl.closePosition(_features_in(utm), float(posDistThr))


class dbBase(_Wrapped):
    """Base of a script's data set: set name, dbPath and qPath, then call dbLoad(); methods may be
    overridden."""

    def dbLoad(self) -> None:
        """Reads <dsetSpecDir>/<name>.mat; the library then calls the methods that this class overrides."""
        outer, given = self, dict(self.__dict__)
        methods: dict[str, Any] = {}
        for name, (kinds, outputs) in _METHODS.items():
            own = next((vars(base)[name] for base in type(self).__mro__ if name in vars(base)), None)
            if own is not None:
                methods[name] = _library_method(outer, name, kinds, outputs)

        def __init__(inner: Any) -> None:
            for name in ("name", "dbPath", "qPath"):
                setattr(inner, name, getattr(outer, name, ""))
            inner.dbLoad()

        kind = type(type(self).__name__, (deepibl.dbBase,), {**methods, "__init__": __init__})
        self.__dict__["inner"] = kind()
        for name in given:  # fields of the file win, as in MATLAB
            if hasattr(self.inner, name):
                self.__dict__.pop(name, None)


def _library_method(
    outer: Any, name: str, kinds: tuple[str, ...], outputs: tuple[str, ...]
) -> Callable[..., Any]:
    """An overridden method of a script's class as the library calls it."""
    own = getattr(type(outer), name)
    several = name in ("nnSearchPostprocess",)

    def method(inner: Any, *arguments: Any, **options: Any) -> Any:
        given = [_to_script(kind, value) for kind, value in zip(kinds, arguments, strict=False)]
        if several:
            found = own(outer, *given, nargout=2)
            return _to_library("ids", found[0]), _to_library("row", found[1])
        return _to_library(outputs[0], own(outer, *given))

    return method


# ---- functions


def _library(name: str) -> Any:
    for package in (deepibl, matlab_compat):
        if hasattr(package, name):
            return getattr(package, name)
    raise AttributeError(name)


def _of_sets(name: str) -> Callable[..., Any]:
    def opened(*arguments: Any) -> dbBase:
        return _wrapped(_library(name)(*map(_plain, arguments)))

    return opened


def _wrapper(name: str, kinds: tuple[str, ...] = (), outputs: tuple[str, ...] = ()) -> Callable[..., Any]:
    """A function whose first arguments and outputs are of these kinds ('any': as they are)."""

    def wrapper(*arguments: Any, nargout: int = 1, **options: Any) -> Any:
        values = [item for value in arguments for item in (value if isinstance(value, Several) else (value,))]
        given = [_CONVERT_IN[kinds[i] if i < len(kinds) else "any"](value) for i, value in enumerate(values)]
        words = {word: _plain(value) for word, value in options.items()}
        result = _library(name)(*given, **words)
        both = result if isinstance(result, tuple) else (result,)
        converted = [
            _CONVERT_OUT[outputs[i] if i < len(outputs) else "any"](part) for i, part in enumerate(both)
        ]
        if nargout > len(converted):
            raise matlab_compat.errors.ArgumentError(
                f"{name} gives {len(converted)} outputs; {nargout} are asked for"
            )
        return tuple(converted[:nargout]) if nargout > 1 else converted[0]

    wrapper.__name__ = name
    wrapper.__doc__ = f"The original's {name}, in MATLAB's conventions."
    return wrapper


_CONVERT_IN: dict[str, Callable[[Any], Any]] = {
    "any": _plain, "features": _features_in, "ids": _ids_in, "net": net_in,
    "image": lambda v: _maps_in(v)[0], "maps": _maps_in,
    "layer": lambda v: v if isinstance(v, str) else int(v), "raw": lambda v: v,
}  # fmt: skip
_CONVERT_OUT: dict[str, Callable[[Any], Any]] = {
    "any": _out, "features": _features_out,
    "ids": _found_out, "net": net_out,
    "id": lambda v: int(v) + 1, "column": _column, "row": _row, "texts": lambda v: Cell(*v),
    "number": lambda v: Array() if v is None else float(v),
    "matrix": lambda v: wrap(np.atleast_2d(np.asarray(v))),
}  # fmt: skip


def localPaths(*arguments: Any) -> Struct:
    """The paths of localPaths, a struct of strings."""
    found = deepibl.localPaths(*arguments)
    names = getattr(found, "_fields", None) or list(getattr(found, "__dataclass_fields__", vars(found)))
    return Struct({name: getattr(found, name) for name in names if isinstance(getattr(found, name), str)})


def setup() -> None:
    """Prints which folders of localPaths are missing, to standard error."""
    with contextlib.redirect_stdout(sys.stderr):
        deepibl.setup()


def relja_display(form: str, *values: Any) -> None:
    """Prints sprintf(form, …) and a new line."""
    matlab_compat.relja_display("%s", sprintf(form, *values))


def relja_progress(*arguments: Any) -> None:
    """Prints the progress of a loop."""
    matlab_compat.relja_progress(*map(_plain, arguments))


def vl_imreadjpeg(files: Cell, *arguments: Any, **options: Any) -> Cell:
    """JPEG images as a row of cells, H x W x 3 or H x W single."""
    read = matlab_compat.vl_imreadjpeg(
        list(files), *map(_plain, arguments), **{k: _plain(v) for k, v in options.items()}
    )
    return Cell(*(_maps_out(image) for image in read))


def vl_simplenn(
    net: Struct, x: Any, dzdy: Any = None, res: Any = None, *arguments: Any, **options: Any
) -> Any:
    """Runs a net: a row of structs with x, dzdx, dzdw."""
    from matlab_compat.language.values import StructArray, objects

    network = net_in(net)
    given = None if isinstance(dzdy, Array) and not dzdy.data.size else dzdy
    before = getattr(res, "results", None) if res is not None else None
    found = matlab_compat.vl_simplenn(
        network, None if isinstance(x, Array) and not x.data.size else _maps_in(x),
        None if given is None else _maps_in(given), before, *map(_plain, arguments), **{k: _plain(v) for k,
        v in options.items()},
    )  # fmt: skip
    items = [
        Struct(
            x=_maps_out(each.x),
            dzdx=_maps_out(each.dzdx),
            dzdw=Cell(*(_maps_out(w) for w in each.dzdw or ())),
            aux=Array(),
        )
        for each in found
    ]
    made = StructArray(objects([items]))
    made.results = found  # type: ignore[attr-defined]
    return made


def vl_simplenn_display(net: Struct, *arguments: Any, nargout: int = 0, **options: Any) -> Any:
    """Prints the table of a net's layers."""
    words = {k: _plain(v) for k, v in options.items()}
    result = matlab_compat.vl_simplenn_display(net_in(net), *map(_plain, arguments), nargout=nargout, **words)
    return tuple(map(_out, result)) if isinstance(result, tuple) else result


def vl_argparse(opts: Struct, arguments: Any, *flags: Any, nargout: int = 1) -> Any:
    """A copy of opts, updated by names and values."""
    given = list(arguments) if isinstance(arguments, Cell) else [arguments]
    if len(given) == 1 and isinstance(given[0], Cell):
        given = list(given[0])
    result = matlab_compat.vl_argparse(dict(opts), given, *flags, nargout=nargout)
    if nargout > 1:
        return Struct(result[0]), Cell(*result[1])
    return Struct(result)


def computeRepresentation(net: Struct, im: Any, *arguments: Any, **options: Any) -> Any:
    """The descriptor of an image, a column."""
    found = deepibl.computeRepresentation(
        net_in(net), _maps_in(im)[0], *map(_plain, arguments), **{k: _plain(v) for k, v in options.items()}
    )
    return _column(found)


def relja_l2normalize_col(x: Any) -> Any:
    """Columns of unit length."""
    return _features_out(matlab_compat.relja_l2normalize_col(_features_in(x)))


def relja_netOutputDim(net: Struct, *arguments: Any, nargout: int = 1) -> Any:
    """The number of dimensions of a net's output."""
    found = matlab_compat.relja_netOutputDim(net_in(net), *map(_plain, arguments))
    return (int(found[0]), _row(found[1]))[:nargout] if nargout > 1 else int(found[0])


def recallAtN(
    searcher: Any, nQueries: Any, isPos: Any, ns: Any, printN: Any, nSample: Any = np.inf, nargout: int = 1
) -> Any:
    """Recall@printN, and every query's recall at ns."""

    def positive(query: int, ids: Any) -> np.ndarray:
        return as_np(isPos(float(query + 1), _row(np.asarray(ids, np.float64) + 1))).ravel() != 0

    res, found = deepibl.recallAtN(
        _searcher_in(searcher),
        int(nQueries),
        positive,
        [int(n) for n in as_np(ns).flat],
        int(printN),
        float(nSample),
    )
    return (float(res), wrap(found)) if nargout > 1 else float(res)


def relja_retrievalMAP(db: Any, searcher: Any, *arguments: Any, nargout: int = 1) -> Any:
    """The mean average precision, and every query's; searcher: a function, or a struct of db and qs."""
    if isinstance(searcher, Struct):
        given: Any = {"db": _features_in(searcher.db), "qs": _features_in(searcher.qs)}
    else:

        def given(query: int) -> Any:
            return _to_library("ids", searcher(float(query + 1)))

    mean, each = matlab_compat.relja_retrievalMAP(_plain(db), given, *map(_plain, arguments))
    return (float(mean), _column(each)) if nargout > 1 else float(mean)


def relja_makeBuffer(column: Any, megabytes: Any, nargout: int = 1) -> Any:
    """Zeros of the class and height of a column, of about this size, and the number of columns."""
    data = as_np(column)
    count = max(1, int(float(megabytes) * 2**20 // max(1, data.nbytes)))
    buffer = Array(np.zeros((data.size, count), data.dtype))
    return (buffer, count) if nargout > 1 else buffer


def smooth(y: Any, window: Any = 5) -> Any:
    """A moving average, a column."""
    return _column(numeric.smooth(as_np(y), int(window)))


def plotResults(obj: Struct, opts: Struct, *more: Any) -> None:
    """Draws the curves of a training as PNG."""
    deepibl.plotResults(to_plain(obj), to_plain(opts), *map(to_plain, more))


def tidy(net: Any) -> Struct:
    """A net in its newest form."""
    return net_out(net_in(net))


relja_simplenn_tidy = vl_simplenn_tidy = tidy
dbPitts, dbTokyo247, dbTokyoTimeMachine, dbTiny, dbSf0 = map(
    _of_sets, ("dbPitts", "dbTokyo247", "dbTokyoTimeMachine", "dbTiny", "dbSf0")
)
dbVGG, dbHolidays = map(_of_sets, ("dbVGG", "dbHolidays"))

_WRAPPED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "loadNet": ((), ("net",)), "addLayers": (("net",), ("net",)), "addPCA": (("net",), ("net",)),
    "netPrepareForTrain": (("net", "layer"), ("net",)), "netPrepareForTest": (("net",), ("net",)),
    "serialAllFeats": (("net",), ()), "convertPngtoJPG": ((), ()), "cleanup": ((), ("texts",)),
    "testFromFn": ((), ("column", "number", "matrix", "any")), "testCore": (("any", "features",
    "features"), ("column", "matrix")),
    "testCoreRank": (("any", "features", "features"), ("number", "matrix")),
    "rawNnSearch": (("features", "features"), ("ids", "features")), "yael_nn": (("features", "features"),
    ("ids", "features")),
    "yael_kmeans": (("features",), ("features",)), "getBestEpoch": (("matrix",),
    ("any",)),
    "pickBestNet": ((), ("any", "net")),
    "relja_PCA": (("features",), ("matrix", "column", "column", "column")),
    "relja_cropToLayer": (("net",), ("net",)),
    "relja_whichLayer": (("net",), ("id",)),
    "relja_layerNames": (("net",), ("texts",)), "relja_layerTypes": (("net",), ("texts",)),
    "relja_simplenn_move": (("net",), ("net",)),
    "vl_simplenn_move": (("net",), ("net",)), "relja_swapLayersForEfficiency": (("net",), ("net",)),
    "relja_netSave": (("net",), ()),
    "relja_randomHex": ((), ()), "relja_dir": ((), ("texts",)), "relja_expandUser": ((), ()),
    "relja_startsWith": ((), ()),
    "relja_endsWith": ((), ()), "relja_hrminsec": ((), ()), "relja_displayDateTime": ((), ()),
    "saveNet": (("net", "plain", "plain", "plain"), ()),
    **{f"train{name}": ((), ()) for name in ("GaussKernalInd", "GaussKernalJoint", "CauchyKernelInd",
    "CauchyKernelJoint", "ExpKernalInd", "ExpKernalJoint", "Weakly")},
}  # fmt: skip
_CONVERT_IN |= {"plain": to_plain, "matrix": as_np}
for _name in _WRAPPED:
    globals()[_name] = _wrapper(_name, *_WRAPPED[_name])
