"""What the translator knows of functions and their values: all of it tables, and the façade's own signatures.

A kind says what a value is, as far as indexing and operators need it: count (an integer >= 1 or >= 0 that
counts), int, number, bool, text; vector, ints, mask (1-D arrays); matrix (MATLAB's orientation);
features and positions (one row an image here, one column in MATLAB); cell, texts; id, ids, idlists (the
library's 0-based ids); struct, paths, dataset, net, meta, layers, layer, images, image, function; none; any
(unknown).
"""

import ast
import importlib
import inspect
import typing
from dataclasses import dataclass
from typing import Any

INTEGERS = {"count", "int"}
SCALARS = {*INTEGERS, "number", "bool"}
ROWS = {"vector", "ints", "mask"}
LISTS = {"cell", "texts", "idlists", "images", "layers"}
SEQUENCES = {*ROWS, *LISTS, "ids", "text"}
TRANSPOSED = {"features", "positions"}
ELEMENT = {
    "vector": "number", "ints": "int", "mask": "bool", "ids": "id", "texts": "text",
    "idlists": "ids", "images": "image", "layers": "layer", "text": "text", "cell": "any",
}  # fmt: skip

# façade functions -> kinds of their outputs; what is not listed is 'any'
RESULTS: dict[str, tuple[str, ...]] = {
    "localPaths": ("paths",),
    "setup": ("none",),
    **dict.fromkeys(("dbPitts", "dbTokyo247", "dbTokyoTimeMachine", "dbTiny", "dbSf0"), ("dataset",)),
    **dict.fromkeys(("dbVGG", "dbHolidays"), ("dataset",)),
    **dict.fromkeys(("loadNet", "addLayers", "addPCA", "netPrepareForTrain", "netPrepareForTest"), ("net",)),
    **dict.fromkeys(("relja_simplenn_tidy", "vl_simplenn_tidy", "relja_cropToLayer"), ("net",)),
    **dict.fromkeys(("relja_swapLayers", "relja_swapLayersForEfficiency", "relja_simplenn_move"), ("net",)),
    "pickBestNet": ("any", "net"),
    "testFromFn": ("vector", "number", "matrix", "struct"),
    "testCore": ("vector", "matrix"),
    "recallAtN": ("number", "matrix"),
    "rawNnSearch": ("any", "any"),
    "getBestEpoch": ("int",),
    "computeRepresentation": ("features",),
    "vl_imreadjpeg": ("images",),
    "vl_simplenn_display": ("display", "text"),
    "relja_retrievalMAP": ("number", "vector"),
    "relja_l2normalize_col": ("features",),
    "relja_layerNames": ("texts",),
    "relja_layerTypes": ("texts",),
    "relja_whichLayer": ("id",),
    "relja_randomHex": ("text",),
    "relja_hrminsec": ("text",),
    "relja_expandUser": ("text",),
    "relja_dir": ("texts",),
}  # fmt: skip
COLUMNS = {"testFromFn", "testCore"}  # whose first output is a column in MATLAB
TRAINERS = ("train",)  # names that begin so give a session's name

# kind -> field -> kind; '*' is every other field
FIELDS: dict[str, dict[str, str]] = {
    "paths": {"*": "text"},
    "dataset": {
        **dict.fromkeys(("name", "dbPath", "qPath", "whichSet"), "text"),
        **dict.fromkeys(("dbImageFns", "qImageFns", "queryNames"), "texts"),
        **dict.fromkeys(("numImages", "numQueries"), "count"),
        **dict.fromkeys(("utmDb", "utmQ"), "positions"),
        **dict.fromkeys(("posDistThr", "posDistSqThr", "nonTrivPosDistSqThr"), "number"),
        **dict.fromkeys(("dbTimeStamp", "qTimeStamp"), "vector"),
        **dict.fromkeys(("posIDs", "ignoreIDs"), "idlists"),
        "queryIDs": "ids",
        "*": "any",
    },
    "net": {"meta": "meta", "layers": "layers", "*": "any"},
    "meta": {"sessionID": "text", "netID": "text", "*": "any"},
    "display": {
        **dict.fromkeys(("support", "stride", "pad", "receptiveFieldSize", "receptiveFieldOffset"), "matrix"),
        **dict.fromkeys(("receptiveFieldStride", "dataSize"), "matrix"),
        "*": "any",
    },
    "layer": {"name": "text", "type": "text", "*": "any"},
    "struct": {"recallNs": "vector", "*": "any"},
    "any": {"*": "any"},
}
BY_KEY = {"meta", "display"}  # kinds that are dicts in Python
# methods of data sets: which arguments are ids, and the kind of the result
METHODS: dict[str, tuple[tuple[int, ...], str]] = {
    "getPosIDs": ((0,), "ids"), "nontrivialPosQ": ((0,), "ids"), "nontrivialPosDb": ((0,), "ids"),
    "isPosQ": ((0, 1), "mask"), "isPosDb": ((0, 1), "mask"), "posDb": ((0,), "ids"),
}  # fmt: skip

# functions of networks: which arguments are numbers of layers, from 1 in MATLAB
POSITIONS = {"netPrepareForTrain": (1,)}

CONSTANTS = {
    "true": ("True", "bool"), "false": ("False", "bool"),
    "inf": ("np.inf", "number"), "Inf": ("np.inf", "number"),
    "nan": ("np.nan", "number"), "NaN": ("np.nan", "number"), "pi": ("np.pi", "number"),
    "eps": ("np.finfo(float).eps", "number"),
}  # fmt: skip
# one argument, element by element: MATLAB's name -> Python
ELEMENTWISE = {
    **{name: f"np.{name}" for name in ["abs", "sqrt", "exp", "log", "log2", "log10", "sin", "cos"]},
    **{name: f"np.{name}" for name in ["tan", "sign"]},
    "floor": "np.floor", "ceil": "np.ceil", "fix": "np.trunc", "round": "round_half_away",
    "isnan": "np.isnan", "isinf": "np.isinf", "single": "np.float32", "double": "np.float64",
    "gather": "np.asarray",
}  # fmt: skip
# one row or column to one number
REDUCTIONS = {
    **{name: f"np.{name}" for name in ("sum", "mean", "median", "prod", "any", "all")},
    "max": "np.nanmax",
    "min": "np.nanmin",
}
# one row to a row
ALONG = {"sum", "mean", "median", "prod"}  # that take a dimension, for a matrix
ROW_TO_ROW = {"sort": "np.sort", "cumsum": "np.cumsum", "unique": "np.unique", "diff": "np.diff"}
# where names of the emitted script come from
IMPORTS = {
    "np": "import numpy as np",
    "plt": "import matplotlib.pyplot as plt",
    "copy": "import copy",
    "os": "import os",
    "math": "import math",
    "time": "import time",
    "sys": "import sys",
    "load_network": "deepibl",
    "round_half_away": "matlab_compat.numeric",
    "rng": "matlab_compat.rng",
    **dict.fromkeys(
        [
            *("Struct", "at", "colon", "concat", "isempty", "isfield", "length", "load_variables"),
            *("no_column", "no_matrix", "not_migrated", "num2str", "numel", "sprintf", "which"),
        ],
        "matlab_compat.language",
    ),
}


@dataclass(frozen=True)
class Original:
    """One of the original's functions as Python has it: its module, arguments and outputs.

    outputs: how many values it returns, None where its annotation does not say.
    """

    name: str
    package: str
    positional: int
    takes_options: bool
    takes_nargout: bool
    outputs: int | None


def original(name: str) -> Original | None:
    """The function of this name in `deepibl` or `matlab_compat`, None where there is none."""
    for package in ("deepibl", "matlab_compat"):
        exported = importlib.import_module("deepibl.matlab" if package == "deepibl" else package).__all__
        if name in exported:
            found = getattr(importlib.import_module(package), name)
            return _described(name, package, found)
    return None


def _described(name: str, package: str, found: Any) -> Original:
    parameters = inspect.signature(found).parameters.values()
    kinds = [parameter.kind for parameter in parameters]
    positional = sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)
    options = inspect.Parameter.VAR_KEYWORD in kinds
    nargout = any(parameter.name == "nargout" for parameter in parameters)
    return Original(name, package, positional, options, nargout, _outputs(found))


def _outputs(found: Any) -> int | None:
    if inspect.isclass(found):
        return 1
    try:
        annotation = typing.get_type_hints(found).get("return", Any)
    except NameError:
        return None
    if annotation is type(None):
        return 0
    if typing.get_origin(annotation) is tuple:
        return len(typing.get_args(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
        return len(annotation._fields)
    return None if annotation is Any else 1


def python(template: str, **parts: ast.expr) -> ast.expr:
    """A Python expression with names replaced by nodes: python("len(X) - 1", X=node)."""

    class Fill(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.expr:
            return parts.get(node.id, node)

    return Fill().visit(ast.parse(template, mode="eval").body)


def join(one: str | None, other: str | None) -> str:
    """The kind of a value that is one or the other."""
    if one is None or other is None or one == other:
        return one or other or "any"
    pair = {one, other}
    for kinds in (INTEGERS, {*INTEGERS, "number"}, {"vector", "ints"}, {"texts", "cell"}):
        if pair <= kinds:
            return {2: "int", 3: "number"}[len(kinds)] if kinds <= SCALARS else max(pair, key=_WIDTH.index)
    return "any"


_WIDTH = ["ints", "vector", "texts", "cell"]
