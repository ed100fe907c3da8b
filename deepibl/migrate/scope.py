"""What the translator knows: the variables at a place of the script, the original's functions, the library.

A `Scope` has the variables with their kinds, the imports in use and the state of `hold`. Tables describe the
functions and their values; the library gives its signatures.

A kind says what a value is, as far as indexing and operators need it: count (an integer >= 1 or >= 0 that
counts), int, number, bool, text; vector, ints, mask (1-D arrays); matrix (MATLAB's orientation);
features and positions (one row an image here, one column in MATLAB); cell, texts; id, ids, idlists (the
library's 0-based ids); struct, paths, dataset, net, meta, layers, layer, images, image, function; none; any
(unknown).
"""

import ast
import builtins
import copy
import importlib
import inspect
import keyword
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deepibl.migrate.tree import Node, Untranslatable

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
    "relja_whichLayer": ("id",),
    **dict.fromkeys(("relja_layerNames", "relja_layerTypes", "relja_dir"), ("texts",)),
    **dict.fromkeys(("relja_randomHex", "relja_hrminsec", "relja_expandUser"), ("text",)),
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
    **{name: f"np.nan{name}" for name in ("max", "min")},
}

ALONG = {"sum", "mean", "median", "prod"}  # that take a dimension, for a matrix

# one row to a row
ROW_TO_ROW = {"sort": "np.sort", "cumsum": "np.cumsum", "unique": "np.unique", "diff": "np.diff"}

# where names of the emitted script come from
IMPORTS = {
    "np": "import numpy as np",
    "plt": "import matplotlib.pyplot as plt",
    **{name: f"import {name}" for name in ("copy", "os", "math", "time", "sys")},
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

    outputs: the number of values it returns, None where its annotation does not declare it.
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
    nargout = any(parameter.name == "nargout" for parameter in parameters)
    takes_pairs = inspect.Parameter.VAR_POSITIONAL in kinds or hasattr(found, "__wrapped__")  # name_value
    named = kinds.count(inspect.Parameter.KEYWORD_ONLY) > nargout and takes_pairs
    options = inspect.Parameter.VAR_KEYWORD in kinds or named
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
    """The kind of a value that is of one kind or the other."""
    if one is None or other is None or one == other:
        return one or other or "any"
    pair = {one, other}
    for kinds in (INTEGERS, {*INTEGERS, "number"}, {"vector", "ints"}, {"texts", "cell"}):
        if pair <= kinds:
            return {2: "int", 3: "number"}[len(kinds)] if kinds <= SCALARS else max(pair, key=_WIDTH.index)
    return "any"


_WIDTH = ["ints", "vector", "texts", "cell"]
VALUES = {*SCALARS, "text", "id", "function", "image", "none"}  # kinds that nothing changes in place


class Typed(NamedTuple):
    """A Python expression and the kind of its value (see `names`).

    orientation: of a 1-D array, its shape in MATLAB: 'row', 'column', 'empty' ([]), or '' where unknown.
    """

    node: ast.expr
    kind: str
    orientation: str = ""


@dataclass
class Scope:
    """The state of the translation of one script.

    kinds: of the variables assigned so far. maybe: those assigned on some branches only. mutated: variables
    of which an element or a field is assigned somewhere, so that copies must be real. hold: whether a plot
    draws into the axes as they are. overrides: option values by (function, option). used: names to import.
    """

    translate: Callable[["Scope", Node], Typed]
    mutated: set[str]
    overrides: Mapping[tuple[str, str], Any]
    kinds: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    orientations: dict[str, str] = field(default_factory=dict)
    hold: str = "off"
    end_of: Typed | None = None
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    depth: int = 0
    loaded: set[str] = field(default_factory=set)
    jumps: list["Scope"] = field(default_factory=list)

    def expr(self, node: Node) -> Typed:
        """The translation of an expression node; raises Untranslatable."""
        return self.translate(self, node)

    def python(self, template: str, **parts: ast.expr) -> ast.expr:
        """`names.python`, and the imports that the template needs."""
        names = {n.id for n in ast.walk(ast.parse(template, mode="eval")) if isinstance(n, ast.Name)}
        self.need(*(name for name in IMPORTS if name in names and name not in parts))
        return python(template, **parts)

    def need(self, *names: str) -> None:
        """Adds names to the script's imports."""
        self.used.update(names)

    def branch(self) -> "Scope":
        """A copy for one branch of the script; imports and notes are shared."""
        twin = copy.copy(self)
        twin.kinds, twin.maybe, twin.orientations = dict(self.kinds), set(self.maybe), dict(self.orientations)
        return twin

    def merge(self, *ways: "Scope") -> None:
        """What is known after one of these branches was taken."""
        self.kinds, self.maybe, self.orientations = {}, set(), {}
        for name in {name for way in ways for name in way.kinds}:
            having = [way for way in ways if name in way.kinds]
            if len(having) < len(ways) or any(name in way.maybe for way in having):
                self.maybe.add(name)
            for way in having:
                self.kinds[name] = join(self.kinds.get(name), way.kinds[name])
            # an empty array goes with rows and with columns
            found = {way.orientations.get(name, "") for way in having} - {"empty"}
            self.orientations[name] = "empty" if not found else (found.pop() if len(found) == 1 else "")
        holds = {way.hold for way in ways}
        self.hold = holds.pop() if len(holds) == 1 else "any"

    @property
    def known(self) -> tuple[Any, ...]:
        """What is known of the variables and plots here, for comparison."""
        return dict(self.kinds), set(self.maybe), dict(self.orientations), self.hold

    def set_kind(self, name: str, kind: str, orientation: str = "") -> None:
        """Records an assignment to a variable."""
        self.kinds[name] = kind
        self.orientations[name] = orientation
        self.maybe.discard(name)


def variable_name(name: str) -> str:
    """The Python name of a MATLAB variable: with a _ appended where Python or the script's imports use it."""
    base = name.rstrip("_")  # so that id and id_ stay two variables
    taken = keyword.iskeyword(base) or base in IMPORTS or hasattr(builtins, base)
    return f"{name}_" if taken or original(base) is not None else name


def load(name: str) -> ast.expr:
    """A variable's value."""
    return ast.Name(variable_name(name), ast.Load())


def printed(scope: Scope, value: Typed) -> ast.expr:
    """A value as it is printed: ids of the library are printed from 1, as MATLAB counts them."""
    return scope.python("X + 1", X=value.node) if value.kind in ("id", "ids") else value.node


def owned(scope: Scope, value: Typed, name: str = "") -> Typed:
    """The value as a variable, cell or field may hold it: MATLAB copies what Python would share."""
    root = value.node
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    changed = name in scope.mutated
    if isinstance(root, ast.Name):
        changed = changed or root.id in {variable_name(name) for name in scope.mutated}
    shared = isinstance(value.node, ast.Name | ast.Attribute | ast.Subscript) and value.kind not in VALUES
    return (
        value._replace(node=scope.python("copy.deepcopy(X)", X=value.node)) if changed and shared else value
    )


def keep_base(*values: Typed) -> None:
    """Refuses ids of the library where it would be forgotten that they count from 0."""
    kinds = {value.kind for value in values}
    require(not kinds & {"id", "ids", "idlists"}, "ids of the library kept elsewhere")


def require(kind_is_right: bool, reason: str) -> None:
    """Raises Untranslatable with the reason unless the condition holds."""
    if not kind_is_right:
        raise Untranslatable(reason)


def literal(node: ast.expr) -> Any:
    """The value of a number or string literal (also negative ones), else None."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None
