"""Expressions of a script into Python: operators, indices, calls, [...] and {...}, functions without a
name."""

import ast
import keyword
from typing import Any

from deepibl.migrate.names import (
    BY_TEXT,
    CONSTANTS,
    ELEMENTWISE,
    NO_OUTPUT,
    RANDOM,
    RESULTS,
    function_name,
    language_name,
    library_names,
    takes_nargout,
    variable_name,
)
from deepibl.migrate.precedence import Operation, grouped
from deepibl.migrate.scope import NUMBERS, SCALARS, Function, Scope, Typed, is_field, literal, owned, require
from deepibl.migrate.tree import Access, Node, Untranslatable, chain, named, string_value, text_of

# kind of an output of the library's functions; what is not listed is 'any'
LIBRARY_KINDS = {
    "localPaths": "paths", "loadNet": "struct", "addLayers": "struct", "addPCA": "struct",
    "relja_cropToLayer": "struct",
    "netPrepareForTrain": "struct", "netPrepareForTest": "struct", "relja_simplenn_tidy": "struct",
    "vl_simplenn_tidy": "struct", "vl_argparse": "struct", "vl_imreadjpeg": "cell",
    "relja_layerNames": "cell",
    **dict.fromkeys(("rawNnSearch", "yael_nn", "relja_l2normalize_col", "computeRepresentation",
    "testFromFn", "testCore"), "num"),
    **dict.fromkeys(("relja_randomHex", "relja_expandUser", "relja_hrminsec"), "text"),
    "relja_netOutputDim": "int", "relja_whichLayer": "any", "setup": "any",
    **dict.fromkeys(("dbPitts", "dbTokyo247", "dbTokyoTimeMachine", "dbTiny", "dbVGG", "dbHolidays"),
    "object"),
}  # fmt: skip
FIELD_KINDS = {"outPrefix": "text", "dbPath": "text", "qPath": "text", "dbImageFns": "cell",
    "qImageFns": "cell",
               "layers": "cell", "numImages": "int", "numQueries": "int", "utmDb": "num", "utmQ": "num",
               "posDistThr": "num", "posDistSqThr": "num", "nonTrivPosDistSqThr": "num",
               "cp": "object"}  # fmt: skip
METHODS = {"getPosIDs", "getPosDbIDs", "isPos", "isPosQ", "isPosDb", "posDb", "nontrivialPosQ",
    "nontrivialPosDb",
           "sampleNegsQ", "sampleNegsDb", "sampleNegs", "nnSearchPostprocess", "dbLoad"}  # fmt: skip
_BINARY = {
    "+": ("plus", ast.Add()), "-": ("minus", ast.Sub()), ".*": ("times", ast.Mult()),
    "*": ("mtimes", ast.Mult()),
}  # fmt: skip
_COMPARE = {
    "==": ("eq", ast.Eq()), "~=": ("ne", ast.NotEq()), "<": ("lt", ast.Lt()), "<=": ("le", ast.LtE()),
    ">": ("gt", ast.Gt()), ">=": ("ge", ast.GtE()),
}  # fmt: skip


def expression(scope: Scope, node: Any) -> Typed:
    """The translation of an expression: a node of the tree, or an Operation. Raises Untranslatable with the
    reason."""
    if not isinstance(node, Operation):
        require(not node.has_error, "the grammar does not know this")
        node = grouped(node)
    if isinstance(node, Operation):
        return _OPERATIONS[node.kind](scope, node)
    if node.type in ("identifier", "function_call", "field_expression", "command_name"):
        return access(scope, node)
    if node.type == "end_keyword":
        return _end(scope)
    if node.type in _LEAVES:
        return _LEAVES[node.type](scope, node)
    raise Untranslatable(f"no translation for {node.type.replace('_', ' ')}")


def truth(scope: Scope, value: Typed) -> ast.expr:
    """A value as a condition: all of it is other than 0, and it is not empty."""
    return value.node if value.kind == "bool" else scope.call("istrue", value.node)


def _number(scope: Scope, node: Node) -> Typed:
    text = text_of(node)
    if text.isdigit():
        return Typed(ast.Constant(int(text)), "int")
    try:
        return Typed(ast.Constant(float(text)), "real")
    except ValueError:
        raise Untranslatable(f"the number {text}") from None


def _string(scope: Scope, node: Node) -> Typed:
    return Typed(ast.Constant(string_value(node)), "text")


def _end(scope: Scope) -> Typed:
    require(bool(scope.ends), "end outside of an index")
    value, place, count = scope.ends[-1]
    if count == 1:
        return Typed(scope.python("numel(X)", X=value), "int")
    if place == 1:
        return Typed(scope.python("size(X, 1)", X=value), "int")
    return Typed(scope.python(f"end_of(X, {place}, {count})", X=value), "int")


def _binary(scope: Scope, node: Operation) -> Typed:
    sign = node.sign
    if sign in ("&&", "||"):
        sides = [truth(scope, expression(scope, side)) for side in node.operands]
        return Typed(ast.BoolOp(ast.And() if sign == "&&" else ast.Or(), sides), "bool")
    double_quoted = [
        side
        for side in node.operands
        if not isinstance(side, Operation) and side.type == "string" and text_of(side)[0] == '"'
    ]
    require(
        not double_quoted or sign not in ("+", "==", "~="),
        f'{sign} of "…", which is no row of characters in MATLAB',
    )
    left, right = (expression(scope, side) for side in node.operands)
    kinds = {left.kind, right.kind}
    numeric, scalar, arrays = kinds <= NUMBERS, kinds <= SCALARS, "array" in kinds
    elementwise = "array" if arrays else "num" if numeric else "any"
    if sign in _COMPARE:
        function, operator = _COMPARE[sign]
        if numeric:
            return Typed(ast.Compare(left.node, [operator], [right.node]), "bool" if scalar else elementwise)
        return Typed(scope.call(function, left.node, right.node), "num")
    if sign in "&|":
        if kinds == {"bool"}:
            return Typed(ast.BoolOp(ast.And() if sign == "&" else ast.Or(), [left.node, right.node]), "bool")
        if arrays and numeric:
            return Typed(
                ast.BinOp(left.node, ast.BitAnd() if sign == "&" else ast.BitOr(), right.node), "array"
            )
        return Typed(
            scope.call("and_" if sign == "&" else "or_", left.node, right.node), "bool" if scalar else "num"
        )
    result = "int" if kinds <= {"int", "bool"} else "real" if "real" in kinds else "scalar"
    if sign in _BINARY:
        function, arithmetic = _BINARY[sign]
        exact = bool(kinds & {"real", "array"}) or any(_positive(side.node) for side in (left, right))
        if sign in ("*", ".*") and numeric and not exact:  # 0 * -1 is -0, and large products are rounded
            if not scalar:
                return Typed(
                    scope.call("times" if kinds & SCALARS else function, left.node, right.node), "num"
                )
            right, result = _double(right), "real"
        if numeric and (sign != "*" or kinds & SCALARS):
            return Typed(ast.BinOp(left.node, arithmetic, right.node), result if scalar else elementwise)
        if sign == "*" and kinds == {"array"}:
            return Typed(ast.BinOp(left.node, ast.MatMult(), right.node), "num")
        return Typed(scope.call(function, left.node, right.node), "num")
    if sign in ("/", "./"):
        if numeric and (literal(right.node) or (arrays and (sign == "./" or right.kind in SCALARS))):
            return Typed(ast.BinOp(left.node, ast.Div(), right.node), "real" if scalar else elementwise)
        function = "divide" if sign == "./" or right.kind in SCALARS else "mrdivide"
        return Typed(scope.call(function, left.node, right.node), "real" if scalar else "num")
    if sign in ("^", ".^"):
        if scalar and "bool" not in kinds and literal(right.node) in (2, 3):
            return Typed(ast.BinOp(left.node, ast.Pow(), right.node), result)
        if sign == ".^" and arrays and numeric:
            return Typed(ast.BinOp(left.node, ast.Pow(), right.node), "array")
        function = "power" if sign == ".^" or scalar else "mpower"
        return Typed(scope.call(function, left.node, right.node), "real" if scalar else "num")
    if sign in ("\\", ".\\"):
        if sign == ".\\":
            left, right = right, left
        return Typed(scope.call("mldivide" if sign == "\\" else "divide", left.node, right.node), "num")
    raise Untranslatable(f"the operator {sign}")


def _positive(node: ast.expr) -> bool:
    number = literal(node)
    return isinstance(number, int | float) and number > 0 and number is not True


def _double(value: Typed) -> Typed:
    number = literal(value.node)
    if isinstance(number, int | float):
        return Typed(ast.Constant(float(number)), "real")
    return Typed(ast.Call(ast.Name("float", ast.Load()), [value.node], []), "real")


def _unary(scope: Scope, node: Operation) -> Typed:
    value = expression(scope, node.operands[0])
    if node.sign == "~":
        if value.kind in SCALARS:
            return Typed(ast.UnaryOp(ast.Not(), truth(scope, value)), "bool")
        if value.kind == "array":
            return Typed(ast.UnaryOp(ast.Invert(), value.node), "array")
        return Typed(scope.call("not_", value.node), "num")
    if node.sign == "+":
        require(value.kind in NUMBERS, "the sign + of a string or of something unknown")
        return value
    if value.kind in ("int", "bool", "scalar") and not _positive(value.node):
        value = _double(value)  # -0 is a number of its own
    if value.kind in NUMBERS and value.kind != "num":
        return Typed(ast.UnaryOp(ast.USub(), value.node), value.kind)
    return Typed(scope.call("negative", value.node), "num")


def _postfix(scope: Scope, node: Operation) -> Typed:
    value = expression(scope, node.operands[0])
    if value.kind in SCALARS:
        return value
    if value.kind in ("array", "cell"):
        return Typed(ast.Attribute(value.node, "T", ast.Load()), value.kind)
    return Typed(scope.call("transposed", value.node), "num" if value.kind == "num" else "any")


def _range(scope: Scope, node: Operation) -> Typed:
    parts = [expression(scope, part).node for part in node.operands]
    return Typed(scope.call("colon", *parts), "array")


def _lambda(scope: Scope, node: Operation) -> Typed:
    source, body = node.operands
    names = [text_of(part) for child in source.children if child.type == "arguments" for part in named(child)]
    require("varargin" not in names, "a function without a name that takes varargin")
    kept = {name: scope.kinds.get(name) for name in names if name in scope.kinds}
    missing = [name for name in names if name not in scope.kinds]
    ends, scope.ends = scope.ends, []
    for name in names:
        scope.kinds[name] = "any"
    try:
        value = expression(scope, body)
    finally:
        scope.kinds.update(kept)
        for name in missing:
            del scope.kinds[name]
        scope.ends = ends
    parameters = [
        variable_name(name) if name.isidentifier() else f"_{place}" for place, name in enumerate(names)
    ]
    used = {part.id for part in ast.walk(value.node) if isinstance(part, ast.Name)} - set(parameters)
    held = [
        name
        for name in sorted(scope.many | scope.mutated)
        if name in scope.kinds and variable_name(name) in used
    ]
    captured = [owned(scope, scope.variable(name), name) for name in held]
    arguments = ast.arguments(
        [],
        [ast.arg(name) for name in parameters],
        None,
        [ast.arg(variable_name(name)) for name in held],
        list(captured),
        None,
        [],
    )
    return Typed(ast.Lambda(arguments, value.node), "function")


def _handle(scope: Scope, node: Node) -> Typed:
    name = text_of(named(node)[0])
    require(name not in scope.kinds, f"a handle of {name}, which is a variable")
    return Typed(_function(scope, name), "function")


def _function(scope: Scope, name: str) -> ast.expr:
    """The Python name of a function, imported."""
    if name in scope.functions:
        return _own(scope, name)
    if name in library_names():
        scope.need(name)
        return ast.Name(name, ast.Load())
    found = language_name(name)
    if name in RANDOM:
        raise Untranslatable(
            "random numbers: MATLAB's generator is one for all, here the library's functions draw from "
            "their own; see matlab_compat.rng"
        )
    if found is None:
        raise Untranslatable(
            f"{name} is neither a variable of this script nor a function that deepibl has in Python"
        )
    scope.need(found)
    return ast.Name(found, ast.Load())


def _own(scope: Scope, name: str) -> ast.expr:
    module = scope.functions[name].module
    if module:
        scope.need(f"{module}:{function_name(name)}")
    return ast.Name(function_name(name), ast.Load())


def _matrix(scope: Scope, node: Node) -> Typed:
    rows = [source_items(row) for row in named(node) if row.type == "row"]
    flat = [item for row in rows for item in row]
    quoted = [item for item in flat if item.type == "string" and text_of(item)[0] == '"']
    require(not quoted, "[…] of \"…\", which is an array of strings in MATLAB: write '…'")
    if not flat:
        return Typed(scope.call("Array"), "array")
    typed = [[_part(scope, item) for item in row] for row in rows]
    kinds = {item.kind for row in typed for item in row}
    nodes = [[item.node for item in row] for row in typed]
    if kinds <= SCALARS and len({len(row) for row in nodes}) == 1 and len(flat) > 1:
        rows_as_lists: list[ast.expr] = [ast.List(row, ast.Load()) for row in nodes]
        values = rows_as_lists[0] if len(nodes) == 1 else ast.List(rows_as_lists, ast.Load())
        return Typed(scope.call("Array", values), "array")
    if len(flat) == 1 and kinds <= {*NUMBERS, "text"}:
        return typed[0][0]
    if len(nodes) == 1 and kinds == {"text"}:
        joined = nodes[0][0]
        for part in nodes[0][1:]:
            joined = ast.BinOp(joined, ast.Add(), part)
        return Typed(joined, "text")
    lines = [  # one element can be a list of values (s.field of a struct array), which is a row
        row[0].node
        if len(row) == 1 and row[0].kind in {*NUMBERS, "text", "cell"}
        else scope.call("horzcat", *(part.node for part in row))
        for row in typed
    ]
    if len(nodes) == 1 and len(nodes[0]) == 1:
        lines = [scope.call("horzcat", *nodes[0])]
    joined = lines[0] if len(lines) == 1 else scope.call("vertcat", *lines)
    if "cell" in kinds:
        return Typed(joined, "cell")
    if "text" in kinds and kinds <= {"text", *NUMBERS}:
        return Typed(joined, "text")
    return Typed(joined, "num" if kinds <= NUMBERS else "any")


def source_items(row: Node) -> list[Node]:
    """The elements of a row."""
    return named(row)


def _part(scope: Scope, node: Node) -> Typed:
    """An element of [...], {...} or a call; c{:} is all of c."""
    if node.type == "function_call" and any(child.type == "{" for child in node.children):
        keys = next((named(child) for child in node.children if child.type == "arguments"), [])
        if any(_is_list(key) for key in keys):
            cells = expression(scope, node.child_by_field_name("name"))
            if len(keys) == 1 and keys[0].type == "spread_operator" and cells.kind == "cell":
                return Typed(ast.Starred(cells.node, ast.Load()), "any")
            index = index_keys(scope, cells.node, keys)
            return Typed(ast.Starred(scope.call("contents", cells.node, *index), ast.Load()), "any")
    return expression(scope, node)


def _is_list(key: Node) -> bool:
    return key.type in ("spread_operator", "range", "matrix")


def _cell(scope: Scope, node: Node) -> Typed:
    rows = [named(row) for row in named(node) if row.type == "row"]
    made = []
    for row in rows:
        parts = [owned(scope, _part(scope, item)) for item in row]
        made.append(scope.call("Cell", *parts))
    if not made:
        return Typed(scope.call("Cell"), "cell")
    return Typed(made[0] if len(made) == 1 else scope.call("vertcat", *made), "cell")


def index_keys(scope: Scope, value: ast.expr, nodes: list[Node]) -> list[ast.expr]:
    """The indices of value(…); `end` is its size, `:` all of it."""
    found: list[ast.expr] = []
    for place, node in enumerate(nodes):
        if node.type == "spread_operator":
            found.append(scope.python("ALL"))
            continue
        scope.ends.append((value, place + 1, len(nodes)))
        try:
            part = _part(scope, node)
        finally:
            scope.ends.pop()
        found.append(part.node)
    return found


def subscript(value: ast.expr, keys: list[ast.expr], context: Any = None) -> ast.expr:
    """value[keys], `:` as a slice."""
    plain = [ast.Slice() if isinstance(key, ast.Name) and key.id == "ALL" else key for key in keys]
    index = plain[0] if len(plain) == 1 else ast.Tuple(plain, ast.Load())
    return ast.Subscript(value, index, context or ast.Load())


def access(scope: Scope, node: Node) -> Typed:
    """A variable, a call or an index, followed by fields, indices and calls."""
    steps = chain(node) if node.type != "command_name" else [Access("name", text_of(node))]
    first, rest = steps[0], steps[1:]
    if first.kind == "value":
        value = expression(scope, first.nodes[0])
    elif first.text in scope.kinds:
        value = scope.variable(first.text)
    else:
        arguments = list(rest[0].nodes) if rest and rest[0].kind == "(" else None
        require(not (rest and rest[0].kind == "{"), f"{first.text} is not a variable of this script")
        value = call(scope, first.text, arguments)
        rest = rest[1:] if arguments is not None else rest
    while rest:
        step, *rest = rest
        value = next_step(scope, value, step, bool(rest) and rest[0].kind == "(")
    return value


def next_step(scope: Scope, value: Typed, step: Access, indexed: bool) -> Typed:
    if step.kind == "field":
        kind = (
            "text"
            if value.kind == "paths"
            else FIELD_KINDS.get(step.text, "any")
            if value.kind == "object"
            else "any"
        )
        if value.kind == "object" and step.text in METHODS and indexed:
            return Typed(ast.Attribute(value.node, step.text, ast.Load()), "method")
        require(
            value.kind in ("struct", "paths", "object", "any"), f"a field of a value that is {value.kind}"
        )
        if is_field(step.text):
            return Typed(ast.Attribute(value.node, step.text, ast.Load()), kind)
        return Typed(scope.call("field", value.node, ast.Constant(step.text)), "any")
    if step.kind == "dynamic":
        return Typed(scope.call("field", value.node, expression(scope, step.nodes[0]).node), "any")
    if step.kind == "{":
        require(len(step.nodes) > 0, "an index {} without anything in it")
        require(
            not any(node.type == "spread_operator" for node in step.nodes),
            "a list of values {:} where one is needed",
        )
        keys = index_keys(scope, value.node, list(step.nodes))
        if value.kind == "cell":
            return Typed(subscript(value.node, keys), "any")
        return Typed(scope.call("content", value.node, *keys), "any")
    if value.kind in ("function", "method"):
        return Typed(
            ast.Call(value.node, [owned(scope, part) for part in arguments_of(scope, list(step.nodes))], []),
            "num" if value.kind == "method" else "any",
        )
    keys = index_keys(scope, value.node, list(step.nodes))
    if value.kind == "array" and keys and not any(isinstance(key, ast.Starred) for key in keys):
        return Typed(subscript(value.node, keys), "num")
    kind = {"text": "text", "cell": "cell", "struct": "any"}.get(
        value.kind, "num" if value.kind in NUMBERS else "any"
    )
    return Typed(scope.call("at", value.node, *keys), kind)


def arguments_of(scope: Scope, nodes: list[Node]) -> list[Typed]:
    """The arguments of a call; ':' stands for itself."""
    return [
        Typed(ast.Constant(":"), "text") if node.type == "spread_operator" else _part(scope, node)
        for node in nodes
    ]


def call(scope: Scope, name: str, nodes: list[Node] | None, nargout: int = 1) -> Typed:
    """A call of a function, or a constant."""
    if name in CONSTANTS and not nodes:
        template, kind = CONSTANTS[name]
        return Typed(scope.python(template), kind)
    special = _SPECIAL.get(name)
    if special is not None and name not in scope.functions:
        return special(scope, nodes or [])
    if "@" in name:  # a method of the superclass
        method, _, base = name.partition("@")
        require(
            method.isidentifier() and base in {*library_names(), *scope.functions},
            f"{name} is neither a variable nor a method",
        )
        scope.need(base)
        values = [value.node for value in arguments_of(scope, nodes or [])]
        return Typed(
            _with_nargout(
                ast.Call(ast.Attribute(ast.Name(base, ast.Load()), method, ast.Load()), values, []), nargout
            ),
            "any",
        )
    typed = arguments_of(scope, nodes or [])
    known = name in scope.functions or name in library_names() or language_name(name) is not None
    if not known and typed and typed[0].kind == "object":  # method(object, …)
        method_of = ast.Attribute(typed[0].node, name, ast.Load())
        return Typed(
            _with_nargout(ast.Call(method_of, [value.node for value in typed[1:]], []), nargout), "any"
        )
    function = _function(scope, name)
    values = [owned(scope, value) if name in scope.functions else value.node for value in typed]
    node = ast.Call(function, values, [])
    if name in scope.functions:
        own: Function = scope.functions[name]
        require(own.outputs >= nargout or nargout == 1, f"{name} gives {own.outputs} outputs")
        return Typed(
            _with_nargout(node, nargout) if own.takes_nargout else node, "object" if own.is_class else "any"
        )
    if name in library_names():
        outputs = library_names()[name]
        require(nargout <= max(1, outputs) or outputs < 0, f"{name} gives {outputs} outputs")
        node = _overridden(scope, name, node)
        _require_names(name, node)
        return Typed(_with_nargout(node, nargout), LIBRARY_KINDS.get(name, "any"))
    python_name = function.id if isinstance(function, ast.Name) else ""
    require(nargout == 1 or takes_nargout(python_name), f"{name} with {nargout} outputs")
    return Typed(_with_nargout(node, nargout), _result(name, typed))


def _require_names(name: str, node: ast.Call) -> None:
    if name == "relja_display":
        require(bool(node.args), "relja_display takes a string, which is missing")


def _with_nargout(node: ast.Call, nargout: int) -> ast.Call:
    if nargout > 1:
        node.keywords.append(ast.keyword("nargout", ast.Constant(nargout)))
    return node


def _overridden(scope: Scope, name: str, node: ast.Call) -> ast.Call:
    """The call with the options that --set gives; its pairs of names and values as keywords where they are
    literals."""
    names = [literal(word) for word in node.args]
    start = next(
        (
            i
            for i in range(_POSITIONAL.get(name, 1), len(names))
            if (len(names) - i) % 2 == 0 and all(_is_option(word) for word in names[i::2])
        ),
        len(names),
    )
    plain = not any(isinstance(word, ast.Starred) for word in node.args[start:])
    words = {names[i]: node.args[i + 1] for i in range(start, len(names), 2)} if plain else {}
    fits = plain and 2 * len({word.lower() for word in words}) == len(names) - start
    for (function, option), value in scope.overrides.items():
        if function == name and fits:
            for word in [word for word in words if word.lower() == option.lower()]:
                del words[word]
            words[option] = (
                ast.Constant(value)
                if not isinstance(value, list)
                else ast.parse(repr(value), mode="eval").body
            )
            if not scope.finding:
                scope.notes.append(f"{name}.{option} = {value!r}, instead of what the script says")
    if not fits or not words:
        return node
    return ast.Call(node.func, node.args[:start], [ast.keyword(word, value) for word, value in words.items()])


_POSITIONAL = {"serialAllFeats": 4, "testFromFn": 3, "addPCA": 2, "computeRepresentation": 2,
    "testCore": 3, "vl_simplenn": 2,
               "vl_imreadjpeg": 1, "vl_argparse": 99, "relja_display": 99, "relja_progress": 99}  # fmt: skip


def _is_option(word: Any) -> bool:
    return isinstance(word, str) and word.isidentifier() and not keyword.iskeyword(word)


def _result(name: str, typed: list[Typed]) -> str:
    kinds = {value.kind for value in typed}
    if name in BY_TEXT:
        return "text" if typed and kinds == {"text"} else "any"
    if name in ("strcmp", "strcmpi", "strncmp", "strncmpi"):
        return "bool" if kinds <= {"text", "int"} else "num"
    if name == "size":
        return "int" if len(typed) == 2 else "array"
    if name == "isfield":
        return "bool" if len(typed) > 1 and typed[1].kind == "text" else "num"
    if name == "sort" and not kinds <= {*NUMBERS, "text"}:
        return "any"
    if name in ELEMENTWISE and kinds <= SCALARS:
        return "real"
    return RESULTS.get(name, "any")


def _exist(scope: Scope, nodes: list[Node]) -> Typed:
    values = [expression(scope, node) for node in nodes]
    what = literal(values[-1].node) if len(values) == 2 else None
    name = literal(values[0].node) if values else None
    if what == "var" or (len(values) == 1 and isinstance(name, str) and name in scope.kinds):
        require(isinstance(name, str), "exist of a variable whose name is computed")
        place = "locals()" if scope.local else "globals()"
        text = repr(variable_name(str(name)))
        return Typed(ast.parse(f"{place}.get({text}) is not None", mode="eval").body, "bool")
    require(len(values) == 1 or what in ("file", "dir"), "exist of other than a file, a folder or a variable")
    return Typed(scope.call("exist_", *(value.node for value in values)), "real")


def _struct(scope: Scope, nodes: list[Node]) -> Typed:
    values = [_part(scope, node) for node in nodes]
    names = [literal(value.node) for value in values[::2]]
    simple = (
        len(values) % 2 == 0
        and all(isinstance(n, str) and is_field(n) for n in names)
        and len(set(names)) == len(names)
    )
    kept = [owned(scope, value) for value in values[1::2]]
    if simple and all(
        value.kind in {*NUMBERS, "text", "struct", "function", "object"} for value in values[1::2]
    ):
        scope.need("Struct")
        words = [ast.keyword(str(name), value) for name, value in zip(names, kept, strict=True)]
        return Typed(ast.Call(ast.Name("Struct", ast.Load()), [], words), "struct")
    parts = [kept[i // 2] if i % 2 else value.node for i, value in enumerate(values)]
    return Typed(scope.call("struct", *parts), "any")


def _nargin(scope: Scope, nodes: list[Node]) -> Typed:
    require(scope.local and not nodes, "nargin outside of a function")
    return Typed(ast.Name("nargin", ast.Load()), "int")


def _nargout(scope: Scope, nodes: list[Node]) -> Typed:
    require(scope.local and not nodes, "nargout outside of a function")
    return Typed(ast.Name("nargout", ast.Load()), "int")


def _load(scope: Scope, nodes: list[Node]) -> Typed:
    values = [value.node for value in arguments_of(scope, nodes)]
    require(bool(values), "load without a file")
    scope.need("load")
    return Typed(ast.Call(ast.Name("load", ast.Load()), values, []), "struct")


def _refused(reason: str) -> Any:
    def handler(scope: Scope, nodes: list[Node]) -> Typed:
        raise Untranslatable(reason)

    return handler


_SPECIAL: dict[str, Any] = {
    "exist": _exist,
    "struct": _struct,
    "nargin": _nargin,
    "nargout": _nargout,
    "load": _load,
    **dict.fromkeys(
        ("eval", "evalc", "evalin", "assignin", "inputname"), _refused("code in strings is not translated")
    ),
    "input": _refused("input asks the user"),
    "i": _refused("the imaginary unit"),
    "j": _refused("the imaginary unit"),
}
_LEAVES = {
    "number": _number,
    "string": _string,
    "command_argument": lambda scope, node: Typed(ast.Constant(text_of(node)), "text"),
    "_expression": lambda scope, node: _parenthesis(scope, node),
    "parenthesis": lambda scope, node: _parenthesis(scope, node),
    "matrix": _matrix,
    "cell": _cell,
    "handle_operator": _handle,
    "boolean": lambda scope, node: Typed(ast.Constant(text_of(node) == "true"), "bool"),
}
_OPERATIONS = {"binary": _binary, "unary": _unary, "postfix": _postfix, "range": _range, "lambda": _lambda}


def _parenthesis(scope: Scope, node: Node) -> Typed:
    return expression(scope, named(node)[0])


def has_outputs(scope: Scope, name: str) -> bool:
    """Whether a call of this function can be shown where no semicolon follows."""
    if name in scope.functions:
        return scope.functions[name].outputs > 0
    if name in library_names():
        return library_names()[name] != 0
    return name not in NO_OUTPUT
