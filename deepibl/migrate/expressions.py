"""Expressions of a script into Python: operators, literals, [...] and {...}, functions without a name."""

import ast
from typing import Any

from deepibl.migrate.calls import access, function_of, gives_several, part
from deepibl.migrate.names import variable_name
from deepibl.migrate.precedence import Operation, grouped
from deepibl.migrate.scope import NUMBERS, SCALARS, Scope, Typed, literal, owned, require
from deepibl.migrate.tree import Node, Untranslatable, named, string_value, text_of

_ARITHMETIC = {
    "+": ("plus", ast.Add()),
    "-": ("minus", ast.Sub()),
    ".*": ("times", ast.Mult()),
    "*": ("mtimes", ast.Mult()),
}
_COMPARE = {
    "==": ("eq", ast.Eq()),
    "~=": ("ne", ast.NotEq()),
    "<": ("lt", ast.Lt()),
    "<=": ("le", ast.LtE()),
    ">": ("gt", ast.Gt()),
    ">=": ("ge", ast.GtE()),
}
_LOGIC = {"&": ("and_", ast.And(), ast.BitAnd()), "|": ("or_", ast.Or(), ast.BitOr())}


def expression(scope: Scope, node: Any) -> Typed:
    """The translation of an expression: a node of the tree, or an Operation. Raises Untranslatable."""
    if not isinstance(node, Operation):
        require(not node.has_error, "the grammar does not know this")
        node = grouped(node)
    if isinstance(node, Operation):
        return _OPERATIONS[node.kind](scope, node)
    if node.type in ("identifier", "function_call", "field_expression", "command_name"):
        return access(scope, node)
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


def _end(scope: Scope, node: Node) -> Typed:
    require(bool(scope.ends), "end outside of an index")
    value, place, count = scope.ends[-1]
    form = "numel(X)" if count == 1 else "size(X, 1)" if place == 1 else f"end_of(X, {place}, {count})"
    return Typed(scope.python(form, X=value), "int")


def _binary(scope: Scope, node: Operation) -> Typed:
    sign = node.sign
    if sign in ("&&", "||"):
        sides = [truth(scope, expression(scope, side)) for side in node.operands]
        return Typed(ast.BoolOp(ast.And() if sign == "&&" else ast.Or(), sides), "bool")
    quoted = any(not isinstance(side, Operation) and text_of(side)[0] == '"' for side in node.operands)
    what = f'{sign} of "…", which is no row of characters in MATLAB'
    require(not quoted or sign not in ("+", "==", "~="), what)
    left, right = (expression(scope, side) for side in node.operands)
    kinds = {left.kind, right.kind}
    scalar, numeric, array = kinds <= SCALARS, kinds <= NUMBERS, "array" in kinds and kinds <= NUMBERS
    elementwise = "array" if array else "num" if numeric else "any"

    def plain(operator: ast.operator, kind: str) -> Typed:
        return Typed(ast.BinOp(left.node, operator, right.node), kind)

    def called(name: str, kind: str = "num") -> Typed:
        return Typed(scope.call(name, left.node, right.node), kind)

    if sign in _COMPARE:
        name, comparison = _COMPARE[sign]
        if not numeric:
            return called(name)
        return Typed(ast.Compare(left.node, [comparison], [right.node]), "bool" if scalar else elementwise)
    if sign in _LOGIC:
        name, word, bits = _LOGIC[sign]
        if kinds == {"bool"}:
            return Typed(ast.BoolOp(word, [left.node, right.node]), "bool")
        return plain(bits, "array") if array else called(name, "bool" if scalar else "num")
    result = "int" if kinds <= {"int", "bool"} else "real" if "real" in kinds else "scalar"
    if sign in _ARITHMETIC:
        name, operator = _ARITHMETIC[sign]
        exact = bool(kinds & {"real", "array"}) or any(_positive(side.node) for side in (left, right))
        if sign in ("*", ".*") and numeric and not exact:  # 0 * -1 is -0, and large products are rounded
            if not scalar:
                return called("times" if kinds & SCALARS else name)
            right, result = _double(right), "real"
        if numeric and (sign != "*" or kinds & SCALARS):
            return plain(operator, result if scalar else elementwise)
        return plain(ast.MatMult(), "num") if kinds == {"array"} else called(name)
    if sign in ("/", "./"):
        if numeric and (literal(right.node) or (array and (sign == "./" or right.kind in SCALARS))):
            return plain(ast.Div(), "real" if scalar else elementwise)
        by_element = sign == "./" or right.kind in SCALARS
        return called("divide" if by_element else "mrdivide", "real" if scalar else "num")
    if sign in ("^", ".^"):
        if scalar and "bool" not in kinds and literal(right.node) in (2, 3):
            return plain(ast.Pow(), result)
        if sign == ".^" and array:
            return plain(ast.Pow(), "array")
        return called("power" if sign == ".^" or scalar else "mpower", "real" if scalar else "num")
    if sign == ".\\":
        left, right = right, left
    require(sign in ("\\", ".\\"), f"the operator {sign}")
    return called("mldivide" if sign == "\\" else "divide")


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
    parts = [expression(scope, part) for part in node.operands]
    numbers = any(part.kind in NUMBERS for part in parts)  # 'a':'e' is a string
    return Typed(scope.call("colon", *(part.node for part in parts)), "array" if numbers else "any")


def _lambda(scope: Scope, node: Operation) -> Typed:
    source, body = node.operands
    names = [text_of(part) for child in source.children if child.type == "arguments" for part in named(child)]
    require("varargin" not in names, "a function without a name that takes varargin")
    outer, ends = dict(scope.kinds), scope.ends
    scope.kinds.update(dict.fromkeys(names, "any"))
    scope.ends = []
    try:
        value = expression(scope, body)
    finally:
        scope.kinds, scope.ends = outer, ends
    parameters = [variable_name(name) if name.isidentifier() else f"_{i}" for i, name in enumerate(names)]
    used = {part.id for part in ast.walk(value.node) if isinstance(part, ast.Name)} - set(parameters)
    changing = sorted(name for name in scope.many | scope.mutated if name in scope.kinds)
    held = [name for name in changing if variable_name(name) in used]  # as they are now
    words = {variable_name(name): owned(scope, scope.variable(name), name) for name in held}
    if isinstance(value.node, ast.Call) and gives_several(scope, value.node):  # [a, b]= f(…) asks for both
        value.node.keywords.append(ast.keyword("nargout", ast.Name("nargout", ast.Load())))
        words["nargout"] = ast.Constant(1)
    arguments = ast.arguments(
        [], [*map(ast.arg, parameters)], None, [*map(ast.arg, words)], [*words.values()], None, []
    )
    return Typed(ast.Lambda(arguments, value.node), "function")


def _handle(scope: Scope, node: Node) -> Typed:
    name = text_of(named(node)[0])
    require(name not in scope.kinds, f"a handle of {name}, which is a variable")
    return Typed(function_of(scope, name), "function")


def _matrix(scope: Scope, node: Node) -> Typed:
    rows = [named(row) for row in named(node) if row.type == "row"]
    quoted = any(item.type == "string" and text_of(item)[0] == '"' for row in rows for item in row)
    require(not quoted, "[…] of \"…\", which is an array of strings in MATLAB: write '…'")
    if not any(rows):
        return Typed(scope.call("Array"), "array")
    typed = [[part(scope, item) for item in row] for row in rows]
    nodes = [[item.node for item in row] for row in typed]
    kinds = {item.kind for row in typed for item in row}
    single = len(rows) == 1 and len(rows[0]) == 1
    if kinds <= SCALARS and len({len(row) for row in nodes}) == 1 and not single:
        lists: list[ast.expr] = [ast.List(row, ast.Load()) for row in nodes]
        values = lists[0] if len(lists) == 1 else ast.List(lists, ast.Load())
        return Typed(scope.call("Array", values), "array")
    if single and kinds <= {*NUMBERS, "text"}:
        return typed[0][0]
    if len(nodes) == 1 and kinds == {"text"}:
        joined = nodes[0][0]
        for right in nodes[0][1:]:
            joined = ast.BinOp(joined, ast.Add(), right)
        return Typed(joined, "text")
    lines = [  # one element can be a list of values (s.field of a struct array), which is a row
        row[0].node
        if len(row) == 1 and not single and row[0].kind in {*NUMBERS, "text", "cell"}
        else scope.call("horzcat", *(item.node for item in row))
        for row in typed
    ]
    whole = lines[0] if len(lines) == 1 else scope.call("vertcat", *lines)
    text = "text" in kinds and kinds <= {"text", *NUMBERS}
    kind = "cell" if "cell" in kinds else "text" if text else "num" if kinds <= NUMBERS else "any"
    return Typed(whole, kind)


def _cell(scope: Scope, node: Node) -> Typed:
    rows = [named(row) for row in named(node) if row.type == "row"] or [[]]
    made = [scope.call("Cell", *(owned(scope, part(scope, item)) for item in row)) for row in rows]
    return Typed(made[0] if len(made) == 1 else scope.call("vertcat", *made), "cell")


_LEAVES = {
    "number": _number,
    "string": lambda scope, node: Typed(ast.Constant(string_value(node)), "text"),
    "command_argument": lambda scope, node: Typed(ast.Constant(text_of(node)), "text"),
    "boolean": lambda scope, node: Typed(ast.Constant(text_of(node) == "true"), "bool"),
    **dict.fromkeys(("_expression", "parenthesis"), lambda scope, node: expression(scope, named(node)[0])),
    "matrix": _matrix,
    "cell": _cell,
    "handle_operator": _handle,
    "end_keyword": _end,
}
_OPERATIONS = {"binary": _binary, "unary": _unary, "postfix": _postfix, "range": _range, "lambda": _lambda}
