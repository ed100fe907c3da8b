"""Assignments: to variables, elements, fields, several outputs."""

import ast
import keyword

from deepibl.migrate.calls import call_original
from deepibl.migrate.index import indexed, is_end, zero_based
from deepibl.migrate.names import BY_KEY, COLUMNS, INTEGERS, LISTS, ROWS, SCALARS, original
from deepibl.migrate.scope import Scope, Typed, keep_base, literal, load, owned, require, variable_name
from deepibl.migrate.tree import Access, Node, Untranslatable, chain, named, targets, text_of


def assignment(scope: Scope, node: Node) -> list[str]:
    """The lines of one assignment. Raises Untranslatable."""
    left = targets(node)
    right = node.child_by_field_name("right")
    if len(left) > 1 or left[0] is None:
        return _several(scope, left, right)
    target = left[0]
    if target.type == "identifier":
        value = _own(scope, text_of(target), _overridden(scope, text_of(target), scope.expr(right)))
        scope.set_kind(text_of(target), value.kind, value.turn)
        _remember_loaded(scope, text_of(target), right)
        return [f"{variable_name(text_of(target))} = {ast.unparse(value.node)}"]
    return _part(scope, chain(target), right)


def _remember_loaded(scope: Scope, name: str, right: Node) -> None:
    """Whether a variable holds what load() read, whose matrices have MATLAB's orientation."""
    source = chain(right)[0]
    loads = source.kind == "name" and (source.text in scope.loaded or source.text == "load")
    (scope.loaded.add if loads else scope.loaded.discard)(name)


def _overridden(scope: Scope, name: str, value: Typed) -> Typed:
    """The value that --set gives to a variable, else the script's own."""
    if ("", name) not in scope.overrides:
        return value
    given = scope.overrides["", name]
    scope.notes.append(f"{name} is {given!r} by --set; it was {ast.unparse(value.node)} in MATLAB's script")
    node = ast.parse(repr(given), mode="eval").body
    listed = isinstance(given, list) and value.kind in ROWS
    return Typed(scope.python("np.array(X)", X=node) if listed else node, value.kind)


def _own(scope: Scope, name: str, value: Typed) -> Typed:
    """The value as a variable may hold it: MATLAB copies what Python would share."""
    node, kind, _ = value
    if kind in ROWS and name in scope.mutated:
        template = "np.array(X)" if kind == "mask" else "np.array(X, dtype=float)"
        return Typed(scope.python(template, X=node), "vector" if kind == "ints" else kind, value.turn)
    return owned(scope, value, name)


def _several(scope: Scope, left: list[Node | None], right: Node) -> list[str]:
    steps = chain(right)
    name = steps[0].text
    given = list(steps[1].nodes) if len(steps) == 2 and steps[1].kind == "(" else []
    require(
        steps[0].kind == "name" and len(steps) <= 2 and name not in scope.kinds, "several outputs of this"
    )
    if name in ("max", "min", "sort") and len(left) == 2:
        return _with_positions(scope, name, left, given)
    found = original(name)
    require(found is not None, f"{name} is no function that deepibl has in Python")
    assert found is not None
    node, kinds = call_original(scope, found, given, nargout=len(left))
    there = len(left) if found.takes_nargout or found.outputs is None else found.outputs
    require(there >= len(left), f"{name} gives {there} outputs here, not {len(left)}")
    turns = ["column" if name in COLUMNS else "", *("" for _ in left)]
    words = [
        _output(scope, target, kind, turn) for target, kind, turn in zip(left, kinds, turns, strict=False)
    ]
    rest = ["_"] * (there - len(left)) if there - len(left) < 2 else ["*_"]
    if len(words) == 1:
        if there == 1:
            return [f"{words[0]} = {ast.unparse(node)}"]
        node = ast.Subscript(node, ast.Constant(0), ast.Load())
        return [f"{words[0]} = {ast.unparse(node)}"]
    return [f"{', '.join([*words, *rest])} = {ast.unparse(node)}"]


def _output(scope: Scope, target: Node | None, kind: str, turn: str = "") -> str:
    if target is None:
        return "_"
    require(target.type == "identifier", "an output assigned to an element or field")
    scope.set_kind(text_of(target), kind, turn)
    return variable_name(text_of(target))


def _with_positions(scope: Scope, name: str, left: list[Node | None], given: list[Node]) -> list[str]:
    """[m, i] = max(x), [s, i] = sort(x); positions count from 1."""
    require(len(given) == 1, f"{name} with options and two outputs")
    value = scope.expr(given[0])
    require(value.kind in ROWS, f"{name} of something whose orientation cannot be known")
    sorts = name == "sort"
    words = [
        _output(scope, target, kind, value.turn if sorts else "")
        for target, kind in zip(left, (value.kind, "ints") if sorts else ("number", "count"), strict=True)
    ]
    if sorts:
        positions = scope.python("np.argsort(X, kind='stable') + 1", X=value.node)
        values = scope.python("np.sort(X, kind='stable')", X=value.node)
    else:
        positions = scope.python(f"int(np.nanarg{name}(X)) + 1", X=value.node)
        values = scope.python(f"np.nan{name}(X)", X=value.node)
    return [f"{', '.join(words)} = {ast.unparse(values)}, {ast.unparse(positions)}"]


def _part(scope: Scope, steps: list[Access], right: Node) -> list[str]:
    """x(i) = v, x{i} = v, x(end+1) = v, a.b = v and longer chains."""
    name, last = steps[0].text, steps[-1]
    require(len(steps) > 1, f"{name} is no variable, or part of one")
    lines = _created(scope, name, steps[1].kind)
    owner = Typed(load(name), scope.kinds[name])
    for step in steps[1:-1]:
        owner = _step(scope, owner, step)
    if last.kind == "field":
        value = _own(scope, name, scope.expr(right))
        keep_base(value)
        if keyword.iskeyword(last.text):
            call = scope.python(f"setattr(X, {last.text!r}, V)", X=owner.node, V=value.node)
            return [*lines, ast.unparse(call)]
        place = f"[{last.text!r}]" if owner.kind in BY_KEY else f".{last.text}"
        return [*lines, f"{ast.unparse(owner.node)}{place} = {ast.unparse(value.node)}"]
    if last.kind == "dynamic":
        field, value = scope.expr(last.nodes[0]).node, scope.expr(right)
        call = scope.python("setattr(X, F, V)", X=owner.node, F=field, V=value.node)
        return [*lines, ast.unparse(call)]
    require(len(last.nodes) == 1, "an element of a matrix, whose orientation here cannot be known")
    return [*lines, *_element(scope, owner, last, right)]


def _created(scope: Scope, name: str, how: str) -> list[str]:
    """Lines that make a variable whose part is assigned before the whole."""
    if name in scope.kinds and name not in scope.maybe:
        return []
    start = {"field": ("Struct", "struct"), "{": ("list", "cell")}.get(how)
    if start is None:
        raise Untranslatable(f"an element of {name}, which is not assigned before")
    word, kind = start
    if word == "Struct":
        scope.need("Struct")
    variable = variable_name(name)
    maybe = name in scope.kinds
    if maybe:
        kind = scope.kinds[name]
    scope.set_kind(name, kind)
    made = f"{variable} = {word}()"
    return [f"if {variable!r} not in globals():", f"    {made}"] if maybe else [made]


def _step(scope: Scope, owner: Typed, step: Access) -> Typed:
    from deepibl.migrate.expressions import field_of

    if step.kind == "field":
        return field_of(scope, owner, step.text)
    require(step.kind in ("(", "{") and owner.kind in LISTS, "a struct array")
    return indexed(scope, owner, "{", list(step.nodes))


def _element(scope: Scope, owner: Typed, step: Access, right: Node) -> list[str]:
    position = step.nodes[0]
    text = ast.unparse(owner.node)
    listed = owner.kind in LISTS
    require(
        listed or owner.kind in {*ROWS, "ids"}, "an element of something whose orientation cannot be known"
    )
    if _is_next(position):
        value = scope.expr(right)
        if listed:
            require(step.kind == "{", "a cell array appended with ()")
            keep_base(value)
            return [f"{text}.append({ast.unparse(owned(scope, value).node)})"]
        require(value.kind in SCALARS and owner.kind != "ids", "more than one number appended")
        return [f"{text} = {ast.unparse(scope.python('np.append(X, V)', X=owner.node, V=value.node))}"]
    outer, scope.end_of = scope.end_of, owner
    index = scope.expr(position)
    scope.end_of = outer
    if right.type == "matrix" and not named(right):
        require(index.kind in {*INTEGERS, "ints"} and not listed, "deleted elements")
        where = zero_based(scope, index)
        return [f"{text} = {ast.unparse(scope.python('np.delete(X, I)', X=owner.node, I=where))}"]
    require(
        listed == (step.kind == "{") and (not listed or index.kind in {*INTEGERS, "number", "id"}), "this"
    )
    value = scope.expr(right)
    keep_base(value)
    require(listed or value.kind in {*SCALARS, *ROWS}, f"an element of kind {value.kind}")
    where = index.node if index.kind == "mask" else zero_based(scope, index)
    if literal(where) is None and is_end(position):
        where = ast.Constant(-1)
    return [f"{text}[{ast.unparse(where)}] = {ast.unparse(owned(scope, value).node)}"]


def _is_next(position: Node) -> bool:
    """Whether an index is end+1."""
    if position.type != "binary_operator":
        return False
    left, right = position.child_by_field_name("left"), position.child_by_field_name("right")
    return is_end(left) and text_of(position.children[1]) == "+" and text_of(right) == "1"
