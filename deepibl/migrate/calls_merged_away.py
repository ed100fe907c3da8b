"""Calls: the original's functions under their own names, and MATLAB's own functions as Python has them."""

import ast
import keyword
from typing import Any

from deepibl.migrate.functions import FUNCTIONS, starred
from deepibl.migrate.index import zero_based
from deepibl.migrate.names import (
    ALONG,
    COLUMNS,
    ELEMENTWISE,
    POSITIONS,
    REDUCTIONS,
    RESULTS,
    ROW_TO_ROW,
    ROWS,
    SCALARS,
    TRAINERS,
    Original,
    original,
)
from deepibl.migrate.scope import Scope, Typed, literal, require
from deepibl.migrate.tree import Node, Untranslatable, chain, text_of

_INTEGER_RESULTS = {"floor", "ceil", "fix", "round"}


def call(scope: Scope, name: str, arguments: list[Node], nargout: int = 1) -> Typed:
    """One call for its first output."""
    found = original(name)
    if found is not None:
        node, kinds = call_original(scope, found, arguments, nargout)
        if found.outputs is not None and found.outputs > 1 and not found.takes_nargout and nargout == 1:
            node = ast.Subscript(node, ast.Constant(0), ast.Load())
        return Typed(node, kinds[0], "column" if name in COLUMNS else "")
    if name in FUNCTIONS:
        return FUNCTIONS[name](scope, arguments)
    if name in ELEMENTWISE:
        return _elementwise(scope, name, arguments)
    if name in REDUCTIONS or name in ROW_TO_ROW:
        return _of_a_row(scope, name, arguments)
    raise Untranslatable(
        f"{name} is neither a variable of this script nor a function that deepibl has in Python"
    )


def call_original(
    scope: Scope, found: Original, arguments: list[Node], nargout: int
) -> tuple[ast.expr, tuple[str, ...]]:
    """A call of one of the original's functions, and the kinds of its outputs."""
    if found.name == "relja_display" and not arguments:
        raise Untranslatable("relja_display takes a text, which is not there")
    if found.name == "relja_display" and (len(arguments) > 1 or "\\" in text_of(arguments[0])):
        values = [FUNCTIONS["sprintf"](scope, arguments).node]  # whose rules Python's % does not have
    else:
        values = [_argument(scope, node) for node in arguments]
    for position in POSITIONS.get(found.name, ()):
        if position < len(arguments):
            values[position] = _position(scope, arguments[position])
    given, rest = values[: found.positional], values[found.positional :]
    keywords: dict[str, ast.expr] = {}
    if rest and found.takes_options:
        keywords = _options(rest)
        if not keywords:
            given = values
    elif rest:
        raise Untranslatable(f"{found.name} takes {found.positional} arguments here, not {len(values)}")
    if found.takes_nargout and nargout:
        keywords["nargout"] = ast.Constant(nargout)
    for (function, option), value in scope.overrides.items():
        if function == found.name:
            _override(scope, keywords, function, option, value)
    scope.need(f"{found.package}:{found.name}")
    positional: list[ast.expr] = list(given)
    node = ast.Call(
        ast.Name(found.name, ast.Load()),
        positional,
        [ast.keyword(key, value) for key, value in keywords.items()],
    )
    kinds = RESULTS.get(found.name)
    if kinds is None:
        kinds = ("text",) if found.name.startswith(TRAINERS) else ("any",)
    return node, (*kinds, *("any",) * nargout)


def _argument(scope: Scope, node: Node) -> ast.expr:
    """An argument of a library function: [] is None, c{:} is *c, a 1-based index is left as it is."""
    if node.type == "matrix" and not node.named_children:
        return ast.Constant(None)
    value = starred(scope, node)
    if isinstance(value, ast.Starred):
        return value
    given = scope.expr(node)
    require(
        given.kind != "matrix", "a matrix given to the library, whose features are (N, D), D x N in MATLAB"
    )
    first = chain(node)[0]
    if given.kind == "any" and first.kind == "name" and first.text in scope.loaded:
        return scope.python("no_matrix(X)", X=given.node)  # load gives MATLAB's orientation
    return given.node


def _position(scope: Scope, node: Node) -> ast.expr:
    """The number of a layer, from 1 in MATLAB; a name as it is."""
    value = scope.expr(node)
    require(value.kind != "any", "whether this layer is a name or a number cannot be known")
    return value.node if value.kind == "text" else zero_based(scope, value)


def _options(values: list[ast.expr]) -> dict[str, ast.expr]:
    """'name', value pairs as keywords; empty where a name is no literal that Python takes."""
    names = [literal(node) for node in values[::2]]
    fits = len(values) % 2 == 0 and not any(isinstance(value, ast.Starred) for value in values)
    fits = fits and len({str(name).lower() for name in names}) == len(names)
    if not fits or not all(isinstance(name, str) and name.isidentifier() for name in names):
        return {}
    if any(keyword.iskeyword(name) for name in names):
        return {}
    return dict(zip(names, values[1::2], strict=True))


def _override(scope: Scope, keywords: dict[str, ast.expr], function: str, option: str, value: Any) -> None:
    known = next((key for key in keywords if key.lower() == option.lower()), option)
    before = f"it was {ast.unparse(keywords[known])}" if known in keywords else "it was not given"
    scope.notes.append(f"{function}: {known} is {value!r} by --set; {before} in MATLAB's script")
    keywords[known] = ast.Constant(value)


def _elementwise(scope: Scope, name: str, arguments: list[Node]) -> Typed:
    if name == "round":
        require(len(arguments) == 1, "round to digits")
    require(len(arguments) == 1, f"{name} with {len(arguments)} arguments")
    value = scope.expr(arguments[0])
    require(
        value.kind not in {"text", "texts", "cell", "id", "ids"}, f"{name} of a value of kind {value.kind}"
    )
    template = ELEMENTWISE[name]
    if value.kind in SCALARS and name in _INTEGER_RESULTS:
        return Typed(scope.python(f"int({template}(X))", X=value.node), "int")
    kind = "number" if value.kind in SCALARS else ("vector" if value.kind in ("ints", "mask") else value.kind)
    if name in ("isnan", "isinf"):
        kind = "bool" if value.kind in SCALARS else ("mask" if value.kind in ROWS else value.kind)
    return Typed(scope.python(f"{template}(X)", X=value.node), kind, value.turn)


def _of_a_row(scope: Scope, name: str, arguments: list[Node]) -> Typed:
    values = [scope.expr(node) for node in arguments]
    if name in ("max", "min") and len(values) == 2:
        word = "np.fmax" if name == "max" else "np.fmin"  # these pass NaN by, as MATLAB
        require(all(value.kind in {*SCALARS, *ROWS} for value in values), f"{name} of these values")
        scalar = all(value.kind in SCALARS for value in values)
        integer = all(value.kind in ("int", "count") for value in values)
        node = scope.python(f"{name if integer else word}(X, Y)", X=values[0].node, Y=values[1].node)
        turns = {value.turn for value in values if value.kind in ROWS}
        require(len(turns) < 2, f"{name} of a row and a column")
        return Typed(
            node, ("int" if integer else "number") if scalar else "vector", turns.pop() if turns else ""
        )
    if len(values) == 2 and name in ALONG and values[0].kind == "matrix":
        axis = literal(values[1].node)
        require(axis in (1, 2), f"{name} along this dimension")
        node = scope.python(f"np.{name}(X, axis={axis - 1})", X=values[0].node)
        return Typed(node, "vector", "row" if axis == 1 else "column")
    require(len(values) == 1, f"{name} with {len(values)} arguments")
    value = values[0]
    require(value.kind in {*SCALARS, *ROWS}, f"{name} of something whose orientation or kind cannot be known")
    if name in ROW_TO_ROW:
        return value._replace(node=scope.python(f"{ROW_TO_ROW[name]}(X)", X=value.node))
    kind = "bool" if name in ("any", "all") else "number"
    return Typed(scope.python(f"{REDUCTIONS[name]}(X)", X=value.node), kind)
