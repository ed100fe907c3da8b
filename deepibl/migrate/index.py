"""Indexing: MATLAB's positions count from 1, Python's from 0; the library's ids do already."""

import ast

from deepibl.migrate.scope import (
    ELEMENT,
    INTEGERS,
    LISTS,
    METHODS,
    SEQUENCES,
    TRANSPOSED,
    Scope,
    Typed,
    literal,
    require,
)
from deepibl.migrate.tree import Node, Untranslatable

_POSITIONS = {*INTEGERS, "number", "id", "ids", "ints", "mask", "vector"}

_UNKNOWN = (
    "whether this index counts from 1 (a MATLAB number) or from 0 (an id of the library) cannot be known"
)


def indexed(scope: Scope, container: Typed, bracket: str, arguments: list[Node]) -> Typed:
    """container(arguments) or container{arguments}."""
    outer, scope.end_of = scope.end_of, container
    try:
        if len(arguments) == 1:
            return _one(scope, container, bracket, arguments[0])
        require(len(arguments) == 2, f"indexing with {len(arguments)} subscripts")
        return _two(scope, container, bracket, arguments)
    finally:
        scope.end_of = outer


def zero_based(scope: Scope, position: Typed) -> ast.expr:
    """A position as Python counts it."""
    node, kind, _ = position
    if kind in ("id", "ids"):
        return node
    require(kind in {*INTEGERS, "number", "ints", "vector"}, _UNKNOWN)
    return minus_one(scope, node)


def minus_one(scope: Scope, node: ast.expr) -> ast.expr:
    """node - 1, put simply: 5 becomes 4, n + 1 becomes n, len(x) becomes -1 in an index."""
    value = literal(node)
    if isinstance(value, int):
        return ast.Constant(value - 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and literal(node.right) == 1:
        return node.left
    return scope.python("N - 1", N=node)


def end_value(scope: Scope) -> Typed:
    """`end` inside an index: the length of what is indexed."""
    container = scope.end_of
    require(container is not None, "`end` outside an index")
    assert container is not None
    require(container.kind in SEQUENCES, "`end` of something whose size and orientation cannot be known")
    return Typed(scope.python("len(X)", X=container.node), "count")


def is_end(node: Node) -> bool:
    """Whether an argument is the bare word `end`."""
    return node.type == "end_keyword"


def call_method(scope: Scope, owner: Typed, name: str, arguments: list[Node]) -> Typed:
    """A method of a data set: ids among its arguments are given as Python counts them."""
    ids, kind = METHODS[name]
    values = [scope.expr(node) for node in arguments]
    nodes = [zero_based(scope, value) if k in ids else value.node for k, value in enumerate(values)]
    orientation = "column" if kind == "ids" else ""  # as closePosition gives them
    return Typed(ast.Call(ast.Attribute(owner.node, name, ast.Load()), nodes, []), kind, orientation)


def _one(scope: Scope, container: Typed, bracket: str, argument: Node) -> Typed:
    if argument.type == "spread_operator":
        require(bracket == "(", "{:}, all cells as a list of values, outside a call")
        require(container.kind in SEQUENCES, "(:) of something whose orientation cannot be known")
        return container._replace(orientation="column" if container.kind not in LISTS else "")
    if argument.type == "range" and container.kind in SEQUENCES:
        part = _slice(scope, container, argument)
        if part is not None:
            return container._replace(node=ast.Subscript(container.node, part, ast.Load()))
    position = scope.expr(argument)
    require(position.kind in _POSITIONS, _UNKNOWN)
    several = position.kind in ("ids", "ints", "mask", "vector")
    if container.kind not in SEQUENCES:
        require(container.kind == "any", f"indexing a value of kind {container.kind}")
        index = scope.python("I + 1", I=position.node) if position.kind in ("id", "ids") else position.node
        return Typed(scope.python("at(X, I)", X=container.node, I=index), "any")
    if several and (container.kind in LISTS or position.kind == "vector" or container.kind == "text"):
        require(bracket == "(", "several cells at once ({…} with several positions)")
        index = scope.python("I + 1", I=position.node) if position.kind == "ids" else position.node
        return container._replace(node=scope.python("at(X, I)", X=container.node, I=index))
    index = position.node if position.kind == "mask" else _wrapped(zero_based(scope, position), container)
    found = ast.Subscript(container.node, index, ast.Load())
    if several:
        return container._replace(node=found)
    if bracket == "(" and container.kind in LISTS - {"layers"}:
        return Typed(ast.List([found], ast.Load()), container.kind)  # c(i) is a cell array of one
    return Typed(found, ELEMENT[container.kind])


def _wrapped(index: ast.expr, container: Typed) -> ast.expr:
    """len(x) - 1 as -1, len(x) - 2 - 1 as -3, where x is what is indexed."""
    total = 0
    node = index
    while (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and isinstance(literal(node.right), int)
    ):
        total += literal(node.right)
        node = node.left
    is_length = isinstance(node, ast.Call) and ast.unparse(node) == f"len({ast.unparse(container.node)})"
    return ast.Constant(-total) if is_length and total else index


def _slice(scope: Scope, container: Typed, argument: Node) -> ast.expr | None:
    """a:b as a Python slice; None for a range with a step."""
    ends = argument.named_children
    if len(ends) != 2:
        return None
    first, last = (scope.expr(node) for node in ends)
    for end in (first, last):
        require(end.kind in {*INTEGERS, "number", "id"}, _UNKNOWN)
    start = zero_based(scope, first)
    lower = None if literal(start) == 0 else start
    if is_end(ends[1]):
        return ast.Slice(lower, None)
    upper = scope.python("I + 1", I=last.node) if last.kind == "id" else last.node
    from_end = _wrapped(upper, container)
    if from_end is not upper:
        return ast.Slice(lower, from_end)
    if last.kind in ("int", "number") and literal(upper) is None:
        upper = scope.python("max(N, 0)", N=upper)  # below 0 is empty, not counted from the end
    return ast.Slice(lower, upper)


def _two(scope: Scope, container: Typed, bracket: str, arguments: list[Node]) -> Typed:
    require(
        bracket == "(" and container.kind in {*TRANSPOSED, "matrix"},
        "two subscripts of a value whose orientation here (features are (N, D), D x N in MATLAB) "
        "cannot be known",
    )
    transposed = container.kind in TRANSPOSED
    sides: list[ast.expr] = []
    scalars = 0
    for axis, node in enumerate(arguments):
        if node.type == "spread_operator":
            sides.append(ast.Slice())
            continue
        # what `end` counts: rows here are the second subscript of features, which are transposed
        rows = axis == (1 if transposed else 0)
        along = container.node if rows else ast.Attribute(container.node, "T", ast.Load())
        side = scope.end_of = Typed(along, "vector")
        part = _slice(scope, side, node) if node.type == "range" else None
        if part is not None:
            sides.append(part)
            continue
        position = scope.expr(node)
        require(position.kind in _POSITIONS and position.kind != "vector", _UNKNOWN)
        scalars += position.kind in {*INTEGERS, "number", "id"}
        mask = position.kind == "mask"
        sides.append(position.node if mask else _wrapped(zero_based(scope, position), side))
    kind, orientation = container.kind, ""
    if scalars == 2:
        kind = "number"
    elif scalars == 1:
        kind, orientation = "vector", "column" if isinstance(sides[0], ast.Slice) else "row"
    elif not any(isinstance(side, ast.Slice) for side in sides):
        raise Untranslatable("two lists of positions at once: write it with np.ix_")
    if transposed:
        sides.reverse()
    # X[:3, :] is X[:3]
    whole = isinstance(sides[1], ast.Slice) and ast.unparse(sides[1]) == ":"
    index = sides[0] if whole else ast.Tuple(sides, ast.Load())
    return Typed(ast.Subscript(container.node, index, ast.Load()), kind, orientation)
