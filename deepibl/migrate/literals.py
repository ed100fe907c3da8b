"""Ranges, matrices and cell arrays written out in a script."""

import ast

from deepibl.migrate.names import INTEGERS, ROWS, SCALARS
from deepibl.migrate.scope import Scope, Typed, keep_base, literal, owned, require
from deepibl.migrate.tree import Node, named


def range_value(scope: Scope, node: Node) -> Typed:
    """a:b and a:s:b."""
    parts = [scope.expr(part) for part in named(node)]
    kinds = {part.kind for part in parts}
    require(kinds <= SCALARS or kinds <= {*SCALARS, "any"}, "a range of ids or arrays")
    if len(parts) == 2 and kinds <= INTEGERS:
        stop = _plus_one(scope, parts[1].node)
        return Typed(scope.python("np.arange(A, B)", A=parts[0].node, B=stop), "ints", "row")
    step = parts[1].node if len(parts) == 3 else ast.Constant(1)
    first, last = parts[0].node, parts[-1].node
    kind = "ints" if kinds <= INTEGERS else "vector"
    return Typed(scope.python("colon(A, S, B)", A=first, S=step, B=last), kind, "row")


def _plus_one(scope: Scope, node: ast.expr) -> ast.expr:
    value = literal(node)
    return ast.Constant(value + 1) if isinstance(value, int) else scope.python("N + 1", N=node)


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
    return Typed(
        scope.python("np.array(X)", X=_list([_list([i.node for i in row]) for row in rows])), "matrix"
    )


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
        if all(item.turn == "column" for item in items):
            return Typed(scope.python("np.column_stack(X)", X=_list(nodes)), "matrix")
        sure = [item.kind in SCALARS or item.turn in ("row", "empty") for item in items]
        parts = [
            item.node if row else scope.python("no_column(X)", X=item.node)
            for item, row in zip(items, sure, strict=True)
        ]
        kind = "ints" if kinds <= {"ints", *INTEGERS} else "vector"
        return Typed(scope.python("np.hstack(X)", X=_list(parts)), kind, "row")
    require(
        not kinds & {"id", "ids", "matrix", "features", "positions", "net", "dataset"}, "these values joined"
    )
    return Typed(ast.Call(scope.python("concat"), nodes, []), "cell" if kinds & {"cell", "texts"} else "any")


def _stacked(scope: Scope, rows: list[list[Typed]]) -> Typed:
    """[a; b] of columns: a longer one; of rows: a matrix."""
    require(all(len(row) == 1 for row in rows), "[a, b; c, d] of anything but numbers")
    items = [row[0] for row in rows]
    require({item.kind for item in items} <= {*ROWS, *SCALARS}, "[a; b] of anything but numbers")
    turns = {item.turn for item in items if item.kind in ROWS}
    nodes = _list([item.node for item in items])
    if turns <= {"column", "empty"}:
        return Typed(scope.python("np.hstack(X)", X=nodes), "vector", "column")
    rows_only = turns == {"row"} and all(item.kind in ROWS for item in items)
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
