"""MATLAB expressions as Python expressions, each with the kind of its value."""

import ast
import keyword

from deepibl.migrate.calls import call
from deepibl.migrate.index import call_method, end_value, indexed
from deepibl.migrate.scope import (
    BY_KEY,
    CONSTANTS,
    FIELDS,
    INTEGERS,
    METHODS,
    ROWS,
    SCALARS,
    Scope,
    Typed,
    keep_base,
    literal,
    load,
    owned,
    require,
    variable_name,
)
from deepibl.migrate.tree import Node, Untranslatable, chain, named, string_value, text_of


def range_value(scope: Scope, node: Node) -> Typed:
    """a:b and a:s:b."""
    parts = [scope.expr(part) for part in named(node)]
    kinds = {part.kind for part in parts}
    require(kinds <= {*SCALARS, "any"}, "a range of ids or arrays")
    first, last = parts[0].node, parts[-1].node
    if len(parts) == 2 and kinds <= INTEGERS:
        end = literal(last)
        stop = ast.Constant(end + 1) if isinstance(end, int) else scope.python("N + 1", N=last)
        return Typed(scope.python("np.arange(A, B)", A=first, B=stop), "ints", "row")
    step = parts[1].node if len(parts) == 3 else ast.Constant(1)
    kind = "ints" if kinds <= INTEGERS else "vector"
    return Typed(scope.python("colon(A, S, B)", A=first, S=step, B=last), kind, "row")


def matrix_value(scope: Scope, node: Node) -> Typed:
    """[…]: a row, a column, a matrix of numbers, or things joined."""
    rows = [[scope.expr(item) for item in named(row)] for row in named(node) if row.type == "row"]
    if not rows:
        return Typed(scope.python("np.zeros(0)"), "vector", "empty")
    if len(rows) == 1:
        return _joined(scope, rows[0])
    kinds = {item.kind for row in rows for item in row}
    if not kinds <= SCALARS:
        return _stacked(scope, rows)
    lengths = {len(row) for row in rows}
    require(len(lengths) == 1, "rows of different lengths")
    if lengths == {1}:
        return Typed(scope.python("np.array(X)", X=_list([row[0].node for row in rows])), "vector", "column")
    stacked = _list([_list([item.node for item in row]) for row in rows])
    return Typed(scope.python("np.array(X)", X=stacked), "matrix")


def _joined(scope: Scope, items: list[Typed]) -> Typed:
    kinds = {item.kind for item in items}
    nodes = [item.node for item in items]
    if kinds <= SCALARS:
        kind = "ints" if kinds <= INTEGERS else ("mask" if kinds == {"bool"} else "vector")
        return Typed(scope.python("np.array(X)", X=_list(nodes)), kind, "row")
    if "text" in kinds:
        require(kinds <= {"text", "any"}, "texts joined with other values")
        joined = nodes[0]
        for node in nodes[1:]:
            joined = ast.BinOp(joined, ast.Add(), node)
        return Typed(joined, "text")
    if kinds <= {*ROWS, *SCALARS}:
        if all(item.orientation == "column" for item in items):
            return Typed(scope.python("np.column_stack(X)", X=_list(nodes)), "matrix")
        sure = [item.kind in SCALARS or item.orientation in ("row", "empty") for item in items]
        parts = [
            item.node if row else scope.python("no_column(X)", X=item.node)
            for item, row in zip(items, sure, strict=True)
        ]
        kind = "ints" if kinds <= {"ints", *INTEGERS} else "vector"
        return Typed(scope.python("np.hstack(X)", X=_list(parts)), kind, "row")
    whole = {"id", "ids", "matrix", "features", "positions", "net", "dataset"}
    require(not kinds & whole, "these values joined")
    return Typed(ast.Call(scope.python("concat"), nodes, []), "cell" if kinds & {"cell", "texts"} else "any")


def _stacked(scope: Scope, rows: list[list[Typed]]) -> Typed:
    """[a; b] of columns: a longer one; of rows: a matrix."""
    require(all(len(row) == 1 for row in rows), "[a, b; c, d] of anything but numbers")
    items = [row[0] for row in rows]
    require({item.kind for item in items} <= {*ROWS, *SCALARS}, "[a; b] of anything but numbers")
    orientations = {item.orientation for item in items if item.kind in ROWS}
    nodes = _list([item.node for item in items])
    if orientations <= {"column", "empty"}:
        return Typed(scope.python("np.hstack(X)", X=nodes), "vector", "column")
    rows_only = orientations == {"row"} and all(item.kind in ROWS for item in items)
    require(rows_only, "[a; b] of what may be rows or columns")
    return Typed(scope.python("np.vstack(X)", X=nodes), "matrix")


def cell_value(scope: Scope, node: Node) -> Typed:
    """{…}: a row or column of cells as a list."""
    rows = [named(row) for row in named(node) if row.type == "row"]
    require(len(rows) < 2 or all(len(row) == 1 for row in rows), "a cell array of rows and columns")
    items = [scope.expr(item) for row in rows for item in row]
    keep_base(*items)
    kind = "texts" if items and all(item.kind == "text" for item in items) else "cell"
    return Typed(_list([owned(scope, item).node for item in items]), kind)


def _list(nodes: list[ast.expr]) -> ast.expr:
    return ast.List(nodes, ast.Load())


_ARITHMETIC = {
    "+": ast.Add(), "-": ast.Sub(), "*": ast.Mult(), ".*": ast.Mult(), "/": ast.Div(), "./": ast.Div(),
    "^": ast.Pow(), ".^": ast.Pow(),
}  # fmt: skip

_COMPARISONS = {
    "==": ast.Eq(), "~=": ast.NotEq(), "<": ast.Lt(), "<=": ast.LtE(), ">": ast.Gt(), ">=": ast.GtE(),
}  # fmt: skip


def expression(scope: Scope, node: Node) -> Typed:
    """The translation of any expression node. Raises Untranslatable with the reason."""
    require(not node.has_error, "the grammar does not know this")
    translate = _BY_TYPE.get(node.type)
    if translate is None:
        raise Untranslatable(f"no translation for {node.type.replace('_', ' ')}")
    return translate(scope, node)


def _number(scope: Scope, node: Node) -> Typed:
    text = text_of(node)
    if text.isdigit():
        return Typed(ast.Constant(int(text)), "count")
    try:
        return Typed(ast.Constant(float(text)), "number")
    except ValueError:
        raise Untranslatable(f"the number {text}") from None


def _access(scope: Scope, node: Node) -> Typed:
    """A variable, a call or an index, followed by fields, indices and calls."""
    steps = chain(node)
    first, rest = steps[0], steps[1:]
    if first.kind == "value":
        value = scope.expr(first.nodes[0])
    elif first.text in scope.kinds:
        value = Typed(load(first.text), scope.kinds[first.text], scope.orientations.get(first.text, ""))
    elif first.text in CONSTANTS and not rest:
        template, kind = CONSTANTS[first.text]
        return Typed(scope.python(template), kind)
    else:
        arguments = rest[0].nodes if rest and rest[0].kind == "(" else ()
        require(not (rest and rest[0].kind == "{"), f"{first.text} is not a variable of this script")
        value = call(scope, first.text, list(arguments), nargout=1)
        rest = rest[1:] if rest and rest[0].kind == "(" else rest
    while rest:
        step, *rest = rest
        called = bool(rest) and rest[0].kind == "("
        if step.kind == "field" and step.text in METHODS and called:
            following, *rest = rest
            value = call_method(scope, value, step.text, list(following.nodes))
        elif step.kind == "field":
            method = called and value.kind in ("dataset", "net") and step.text not in FIELDS[value.kind]
            require(not method, f"the method {step.text}")
            value = field_of(scope, value, step.text)
        elif step.kind == "dynamic":
            name = scope.expr(step.nodes[0])
            value = Typed(scope.python("getattr(X, N)", X=value.node, N=name.node), "any")
        elif value.kind == "function":
            given = [scope.expr(node) for node in step.nodes]
            keep_base(*given)
            value = Typed(ast.Call(value.node, [item.node for item in given], []), "any")
        elif step.nodes:
            value = indexed(scope, value, step.kind, list(step.nodes))
    return value


def field_of(scope: Scope, value: Typed, name: str) -> Typed:
    """value.name."""
    fields = FIELDS.get(value.kind)
    require(fields is not None, f"a field of a value of kind {value.kind}")
    assert fields is not None
    kind = fields.get(name, fields.get("*", "any"))
    if value.kind in BY_KEY:
        return Typed(ast.Subscript(value.node, ast.Constant(name), ast.Load()), kind)
    if keyword.iskeyword(name):
        return Typed(scope.python(f"getattr(X, {name!r})", X=value.node), kind)
    found = ast.Attribute(value.node, name, ast.Load())
    listed = value.kind == "struct" and kind == "vector"  # the façade gives a list
    return Typed(scope.python("np.asarray(X)", X=found), kind, "row") if listed else Typed(found, kind)


def _array(scope: Scope, value: Typed) -> ast.expr:
    """A value of unknown kind may be a Python list, which + and == take differently from MATLAB."""
    return scope.python("np.asarray(X)", X=value.node) if value.kind == "any" else value.node


def _binary(scope: Scope, node: Node) -> Typed:
    left, right = (scope.expr(node.child_by_field_name(side)) for side in ("left", "right"))
    sign = text_of(node.children[1])
    if sign in ("&", "|"):
        return _elementwise_logic(scope, sign, left, right)
    require(sign in _ARITHMETIC, f"the operator {sign}")
    kinds = {left.kind, right.kind}
    require(not kinds & {"text", "texts", "cell", "dataset", "net"}, f"{sign} of texts, cells or objects")
    if sign == "*":
        require(bool(kinds & SCALARS), "whether this * is a matrix product cannot be known")
    if sign in ("/", "^"):
        require(right.kind in SCALARS, f"whether the right side of {sign} is one number cannot be known")
    if sign == "^":
        require(left.kind in SCALARS, "^ of something that may be a matrix")
    kind, orientation = _arithmetic_kind(sign, left.kind, right.kind), _orientation(sign, left, right)
    first, second = left.node, right.node
    if isinstance(literal(first), int) and isinstance(literal(second), int) and sign in "+-":
        signed = literal(second) if sign == "+" else -literal(second)
        return Typed(ast.Constant(literal(first) + signed), kind)
    first, second = (_array(scope, side) for side in (left, right))
    if sign in "+-" and kinds <= {"bool", "mask", "any"}:
        first = scope.python("1 * X", X=first)  # numpy's true + true is true
    return Typed(ast.BinOp(first, _ARITHMETIC[sign], second), kind, orientation)


def _orientation(sign: str, left: Typed, right: Typed) -> str:
    """Of an operation element by element. A row and a column make a matrix in MATLAB: refused."""
    arrays = [side for side in (left, right) if side.kind in ROWS]
    if len(arrays) < 2:
        other = right if left.kind in ROWS else left
        require(not arrays or other.kind != "any", f"{sign} of a row or column and something unknown")
        return arrays[0].orientation if arrays else ""
    same = ast.unparse(left.node) == ast.unparse(right.node)
    alike = left.orientation == right.orientation and (left.orientation != "" or same)
    require(alike, f"{sign} of two arrays of which one may be a row and one a column")
    return left.orientation


def _arithmetic_kind(sign: str, left: str, right: str) -> str:
    kinds = {left, right}
    if kinds & {"id", "ids"}:
        other = right if left in ("id", "ids") else left
        require(sign in "+-" and other in INTEGERS and left in ("id", "ids"), f"{sign} of ids of the library")
        return left
    if kinds <= INTEGERS and sign in ("+", "-", "*", ".*"):
        return "count" if sign in ("+", "*", ".*") and kinds == {"count"} else "int"
    if kinds <= SCALARS:
        return "number"
    arrays = kinds & {*ROWS, "matrix", "features", "positions"}
    if len(arrays) == 1 and not kinds - arrays - SCALARS:
        array = arrays.pop()
        integers = array == "ints" and kinds <= {"ints", *INTEGERS} and sign in ("+", "-", "*", ".*")
        return "ints" if integers else ("vector" if array in ("ints", "mask") else array)
    return "vector" if kinds <= ROWS else "any"


def _elementwise_logic(scope: Scope, sign: str, left: Typed, right: Typed) -> Typed:
    kinds, word = {left.kind, right.kind}, "and" if sign == "&" else "or"
    if kinds <= {"bool", "number", *INTEGERS}:
        return Typed(scope.python(f"X {word} Y", X=left.node, Y=right.node), "bool")
    orientation = _orientation(sign, left, right)
    node = scope.python(f"np.logical_{word}(X, Y)", X=left.node, Y=right.node)
    return Typed(node, "mask" if kinds <= {*ROWS, *SCALARS} else "any", orientation)


def _comparison(scope: Scope, node: Node) -> Typed:
    left, right = (scope.expr(part) for part in named(node))
    sign = text_of(node.children[1])
    kinds = {left.kind, right.kind}
    require("text" not in kinds, f"{sign} compares texts letter by letter: use strcmp")
    mixed = bool(kinds & {"id", "ids"}) and not kinds <= {"id", "ids"}
    require(not mixed, f"{sign} of ids of the library (from 0) and numbers")
    kind = "bool" if kinds <= {*SCALARS, "id"} else ("mask" if kinds <= {*SCALARS, *ROWS, "ids"} else "any")
    first, second = (_array(scope, side) for side in (left, right))
    return Typed(ast.Compare(first, [_COMPARISONS[sign]], [second]), kind, _orientation(sign, left, right))


def _boolean(scope: Scope, node: Node) -> Typed:
    left, right = (truth(scope, scope.expr(part)) for part in named(node))
    word = ast.And() if text_of(node.children[1]) == "&&" else ast.Or()
    return Typed(ast.BoolOp(word, [left, right]), "bool")


def _not(scope: Scope, node: Node) -> Typed:
    value = scope.expr(named(node)[0])
    if value.kind in SCALARS:
        return Typed(ast.UnaryOp(ast.Not(), value.node), "bool")
    kind = "mask" if value.kind in ROWS else "any"
    return Typed(scope.python("np.logical_not(X)", X=value.node), kind, value.orientation)


def _unary(scope: Scope, node: Node) -> Typed:
    value = scope.expr(node.child_by_field_name("operand"))
    require(value.kind not in ("text", "id", "ids"), "the sign of a text or id")
    if text_of(node.children[0]) == "+":
        return value
    kind = "int" if value.kind == "count" else value.kind
    return Typed(ast.UnaryOp(ast.USub(), _array(scope, value)), kind, value.orientation)


def _postfix(scope: Scope, node: Node) -> Typed:
    value = scope.expr(node.child_by_field_name("operand"))
    if value.kind in {*ROWS, "ids"}:  # both are 1-D arrays here
        turned = {"row": "column", "column": "row"}.get(value.orientation, value.orientation)
        return value._replace(orientation=turned)
    require(value.kind in {*SCALARS, "matrix"}, "a transposed value, whose orientation here cannot be known")
    return value if value.kind in SCALARS else Typed(ast.Attribute(value.node, "T", ast.Load()), "matrix")


def truth(scope: Scope, value: Typed) -> ast.expr:
    """A value as a condition: all of it is true and it is not empty."""
    if value.kind in ROWS:
        return scope.python("np.size(X) > 0 and bool(np.all(X))", X=value.node)
    require(value.kind not in {"text", "texts", "cell"}, f"a condition of kind {value.kind}")
    return value.node


def _lambda(scope: Scope, node: Node) -> Typed:
    inner = scope.branch()
    names = [text_of(part) for child in node.children if child.type == "arguments" for part in named(child)]
    for name in names:
        inner.set_kind(name, "any")
    body = inner.expr(node.child_by_field_name("expression"))
    arguments = ast.arguments([], [ast.arg(variable_name(name)) for name in names], None, [], [], None, [])
    return Typed(ast.Lambda(arguments, body.node), "function")


_BY_TYPE = {
    "number": _number,
    "string": lambda scope, node: Typed(ast.Constant(string_value(node)), "text"),
    "command_argument": lambda scope, node: Typed(ast.Constant(text_of(node)), "text"),
    "parenthesis": lambda scope, node: scope.expr(named(node)[0]),
    "identifier": _access,
    "function_call": _access,
    "field_expression": _access,
    "binary_operator": _binary,
    "comparison_operator": _comparison,
    "boolean_operator": _boolean,
    "not_operator": _not,
    "unary_operator": _unary,
    "postfix_operator": _postfix,
    "range": range_value,
    "matrix": matrix_value,
    "cell": cell_value,
    "lambda": _lambda,
    "boolean": lambda scope, node: Typed(ast.Constant(text_of(node) == "true"), "bool"),
    "end_keyword": lambda scope, node: end_value(scope),
}
