"""Statements of a script: assignments, and calls or commands.

Assignments are to variables, elements, fields, and several outputs; calls and commands print, load, stop, or
do what only MATLAB needs.
"""

import ast
import keyword
import re
from collections.abc import Callable

from deepibl.migrate.calls import call, call_original, starred
from deepibl.migrate.expressions import field_of, truth
from deepibl.migrate.index import indexed, is_end, zero_based
from deepibl.migrate.plots import NAMES as PLOTS, plot_call
from deepibl.migrate.scope import (
    BY_KEY,
    COLUMNS,
    INTEGERS,
    LISTS,
    ROWS,
    SCALARS,
    Scope,
    Typed,
    keep_base,
    literal,
    load,
    original,
    owned,
    printed,
    require,
    variable_name,
)
from deepibl.migrate.tree import Access, Node, Untranslatable, chain, named, targets, text_of

Lines = list[str]
_SINGLE = {*SCALARS, "text", "id"}

# what MATLAB needs and Python does not: left as a comment
NOT_NEEDED = {"addpath", "rmpath", "clc", "format", "more", "dbstop", "beep", "gpuDevice", "vl_setupnn"}


def call_statement(scope: Scope, node: Node, echo: bool) -> Lines:
    """A statement that is an expression or a command. Raises Untranslatable."""
    name, arguments = _called(scope, node)
    if name in PLOTS and original(name) is None:
        return plot_call(scope, name, arguments)
    if name in _STATEMENTS:
        return _STATEMENTS[name](scope, arguments, node)
    if name in NOT_NEEDED:
        return [f"# (only MATLAB needs this) {' '.join(text_of(node).split())}"]
    require(node.type != "command" or bool(name and not arguments), f"the command {text_of(node)}")
    if not name:
        shown = ast.unparse(scope.expr(node).node)
        return [f"print({shown})" if echo else shown]
    shown = ast.unparse(call(scope, name, arguments, nargout=0).node)
    found = original(name)
    prints = echo and (found is None or found.outputs not in (0, None))
    return [f"print('ans =', {shown})" if prints else shown]


def show(scope: Scope, name: str) -> str:
    """What MATLAB prints of a variable where the semicolon is left out."""
    value = printed(scope, Typed(load(name), scope.kinds[name]))
    return f"print('{name} =', {ast.unparse(value)})"


def variable_shown(scope: Scope, node: Node) -> str | None:
    """The variable that a statement only displays, as `x` on a line of its own does; None for others."""
    if node.type == "command" and len(named(node)) == 1 and text_of(node) in scope.kinds:
        return text_of(node)
    return text_of(node) if node.type == "identifier" and text_of(node) in scope.kinds else None


def _called(scope: Scope, node: Node) -> tuple[str, list[Node]]:
    """The function that a statement calls, and its arguments; '' where it is another expression."""
    if node.type == "command":
        return text_of(named(node)[0]), list(named(node)[1:])
    if node.type == "identifier" and text_of(node) not in scope.kinds:
        return text_of(node), []
    if node.type == "function_call":
        steps = chain(node)
        is_call = len(steps) == 2 and steps[0].kind == "name" and steps[1].kind == "("
        if is_call and steps[0].text not in scope.kinds:
            return steps[0].text, list(steps[1].nodes)
    return "", []


def _words(arguments: list[Node]) -> list[str]:
    """The literal words of a command, or of a call with string literals."""
    words = []
    for node in arguments:
        text = text_of(node)
        require(node.type in ("command_argument", "string"), "a name that is computed")
        words.append(text.strip("'\""))
    return words


def _clear(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    words = [word for word in _words(arguments) if not word.startswith("-")]
    names = [word for word in words if word not in ("all", "variables", "close")]
    require(not any("*" in name for name in names), "clear with a pattern")
    for name in names or list(scope.kinds):
        scope.kinds.pop(name, None)
        scope.maybe.discard(name)
    if not names:
        return [f"# (only MATLAB needs this) {text_of(node)}"]
    return [f"globals().pop({variable_name(name)!r}, None)  # clear {name}" for name in names]


def _load(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    """load(file, 'a', 'b') makes variables."""
    require(len(arguments) >= 1, "load without a file")
    first, rest = arguments[0], _words(arguments[1:])
    command = first.type == "command_argument"
    path = ast.Constant(text_of(first)) if command else scope.expr(first).node
    require(bool(rest), "load without the names of the variables: which ones it makes cannot be known")
    lines = []
    for name in rest:
        require(name.isidentifier(), f"load with {name}")
        if name != "net":
            scope.loaded.add(name)
        template = "load_network(F)" if name == "net" else f"load_variables(F).{name}"
        value = scope.python(template, F=path)
        scope.set_kind(name, "net" if name == "net" else "any")
        lines.append(f"{variable_name(name)} = {ast.unparse(value)}")
    return lines


def _disp(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    require(len(arguments) == 1, "disp of other than one value")
    if arguments[0].type == "command_argument":
        return [f"print({text_of(arguments[0])!r})"]
    return [f"print({ast.unparse(printed(scope, scope.expr(arguments[0])))})"]


def _fprintf(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    require(bool(arguments) and scope.expr(arguments[0]).kind == "text", "fprintf into a file")
    nodes = [starred(scope, argument) for argument in arguments]
    form = literal(nodes[0])
    single = all(
        not isinstance(node, ast.Starred) and scope.expr(argument).kind in _SINGLE
        for node, argument in zip(nodes[1:], arguments[1:], strict=True)
    )
    end = ", end=''"
    if isinstance(form, str) and form.endswith("\\n") and single:  # print ends the line itself
        nodes[0], end = ast.Constant(form[:-2]), ""
        if not re.search(r"[%\\]", form[:-2]):
            return [f"print({ast.unparse(nodes[0])})"]
    return [f"print({ast.unparse(ast.Call(scope.python('sprintf'), nodes, []))}{end})"]


def _message(scope: Scope, arguments: list[Node]) -> str:
    require(bool(arguments), "no message")
    values = [scope.expr(argument) for argument in arguments]
    require(all(value.kind != "struct" for value in values), "a message from a struct")
    first = literal(values[0].node)
    if isinstance(first, str) and ":" in first and " " not in first and len(values) > 1:
        values = values[1:]  # an identifier goes before the message
    if len(values) == 1:
        return ast.unparse(values[0].node)
    return ast.unparse(ast.Call(scope.python("sprintf"), [printed(scope, value) for value in values], []))


def _error(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    return [f"raise RuntimeError({_message(scope, arguments)})"]


def _random(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    scope.notes.append(
        f"{text_of(node)} is left out: the library's functions draw from generators of their own, "
        "made from the original's fixed seeds (matlab_compat.rng)"
    )
    return [f"# MIGRATE: left out, see above: {text_of(node)}"]


def _warning(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    if node.type == "command" or (arguments and text_of(arguments[0]).strip("'\"") in ("on", "off")):
        return [f"# (only MATLAB needs this) {text_of(node)}"]
    scope.need("sys")
    return [f"print('Warning:', {_message(scope, arguments)}, file=sys.stderr)"]


def _assert(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    require(bool(arguments), "assert of nothing")
    condition = ast.unparse(truth(scope, scope.expr(arguments[0])))
    message = _message(scope, arguments[1:]) if len(arguments) > 1 else repr(text_of(node))
    return [f"if not ({condition}):", f"    raise AssertionError({message})"]


def _run(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    """run('…/setup.m') sets MATLAB's paths; any other script would have to be translated too."""
    name = _words(arguments)[0] if arguments else ""
    known = re.fullmatch(r"(.*[/\\])?(setup|vl_setup|vl_setupnn|startup)(\.m)?", name, re.DOTALL)
    require(known is not None, f"run of {name}: translate that script too")
    return [f"# (only MATLAB needs this) {text_of(node)}"]


_STATEMENTS: dict[str, Callable[[Scope, list[Node], Node], Lines]] = {
    "clear": _clear,
    "clearvars": _clear,
    "load": _load,
    "disp": _disp,
    "display": _disp,
    "fprintf": _fprintf,
    "error": _error,
    "warning": _warning,
    "assert": _assert,
    "rng": _random,
    "run": _run,
}


def assignment(scope: Scope, node: Node) -> list[str]:
    """The lines of one assignment. Raises Untranslatable."""
    left = targets(node)
    right = node.child_by_field_name("right")
    if len(left) > 1 or left[0] is None:
        return _several(scope, left, right)
    target = left[0]
    if target.type == "identifier":
        name, value = text_of(target), scope.expr(right)
        if ("", name) in scope.overrides:  # the value that --set gives
            given, was = scope.overrides["", name], ast.unparse(value.node)
            scope.notes.append(f"{name} is {given!r} by --set; it was {was} in MATLAB's script")
            node = ast.parse(repr(given), mode="eval").body
            listed = isinstance(given, list) and value.kind in ROWS
            value = Typed(scope.python("np.array(X)", X=node) if listed else node, value.kind)
        value = _own(scope, name, value)
        scope.set_kind(name, value.kind, value.orientation)
        # what load() reads holds matrices in MATLAB's orientation
        source = chain(right)[0]
        loads = source.kind == "name" and (source.text in scope.loaded or source.text == "load")
        (scope.loaded.add if loads else scope.loaded.discard)(name)
        return [f"{variable_name(name)} = {ast.unparse(value.node)}"]
    return _part(scope, chain(target), right)


def _own(scope: Scope, name: str, value: Typed) -> Typed:
    """The value as a variable may hold it: MATLAB copies what Python would share."""
    if value.kind not in ROWS or name not in scope.mutated:
        return owned(scope, value, name)
    template = "np.array(X)" if value.kind == "mask" else "np.array(X, dtype=float)"
    kind = "vector" if value.kind == "ints" else value.kind
    return Typed(scope.python(template, X=value.node), kind, value.orientation)


def _several(scope: Scope, left: list[Node | None], right: Node) -> list[str]:
    steps = chain(right)
    name = steps[0].text
    given = list(steps[1].nodes) if len(steps) == 2 and steps[1].kind == "(" else []
    is_call = steps[0].kind == "name" and len(steps) <= 2 and name not in scope.kinds
    require(is_call, "several outputs of this")
    if name in ("max", "min", "sort") and len(left) == 2:
        return _with_positions(scope, name, left, given)
    found = original(name)
    require(found is not None, f"{name} is not a function that deepibl has in Python")
    assert found is not None
    node, kinds = call_original(scope, found, given, nargout=len(left))
    there = len(left) if found.takes_nargout or found.outputs is None else found.outputs
    require(there >= len(left), f"{name} gives {there} outputs here, not {len(left)}")
    orientations = ["column" if name in COLUMNS else "", *("" for _ in left)]
    words = [
        _output(scope, target, kind, orientation)
        for target, kind, orientation in zip(left, kinds, orientations, strict=False)
    ]
    rest = ["_"] * (there - len(left)) if there - len(left) < 2 else ["*_"]
    if len(words) == 1:
        if there == 1:
            return [f"{words[0]} = {ast.unparse(node)}"]
        node = ast.Subscript(node, ast.Constant(0), ast.Load())
        return [f"{words[0]} = {ast.unparse(node)}"]
    return [f"{', '.join([*words, *rest])} = {ast.unparse(node)}"]


def _output(scope: Scope, target: Node | None, kind: str, orientation: str = "") -> str:
    if target is None:
        return "_"
    require(target.type == "identifier", "an output assigned to an element or field")
    scope.set_kind(text_of(target), kind, orientation)
    return variable_name(text_of(target))


def _with_positions(scope: Scope, name: str, left: list[Node | None], given: list[Node]) -> list[str]:
    """[m, i] = max(x), [s, i] = sort(x); positions count from 1."""
    require(len(given) == 1, f"{name} with options and two outputs")
    value = scope.expr(given[0])
    require(value.kind in ROWS, f"{name} of something whose orientation cannot be known")
    sorts = name == "sort"
    words = [
        _output(scope, target, kind, value.orientation if sorts else "")
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
    require(len(steps) > 1, f"{name} is not a variable, or part of one")
    lines = _created(scope, name, steps[1].kind)
    owner = Typed(load(name), scope.kinds[name])
    for step in steps[1:-1]:
        if step.kind == "field":
            owner = field_of(scope, owner, step.text)
        else:
            require(step.kind in ("(", "{") and owner.kind in LISTS, "a struct array")
            owner = indexed(scope, owner, "{", list(step.nodes))
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
    """Lines that make a variable of which a part is assigned before the whole."""
    if name in scope.kinds and name not in scope.maybe:
        return []
    start = {"field": ("Struct", "struct"), "{": ("list", "cell")}.get(how)
    if start is None:
        raise Untranslatable(f"an element of {name}, which is not assigned before")
    word, kind = start
    scope.need(*(["Struct"] if word == "Struct" else []))
    variable = variable_name(name)
    maybe = name in scope.kinds
    scope.set_kind(name, scope.kinds[name] if maybe else kind)
    made = f"{variable} = {word}()"
    return [f"if {variable!r} not in globals():", f"    {made}"] if maybe else [made]


def _element(scope: Scope, owner: Typed, step: Access, right: Node) -> list[str]:
    position = step.nodes[0]
    text = ast.unparse(owner.node)
    listed = owner.kind in LISTS
    known = listed or owner.kind in {*ROWS, "ids"}
    require(known, "an element of something whose orientation cannot be known")
    sides = [position.child_by_field_name(side) for side in ("left", "right")]
    adds = position.type == "binary_operator" and text_of(position.children[1]) == "+"
    if adds and is_end(sides[0]) and text_of(sides[1]) == "1":  # x(end+1)
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
    require(listed == (step.kind == "{"), "this")
    require(not listed or index.kind in {*INTEGERS, "number", "id"}, "this")
    value = scope.expr(right)
    keep_base(value)
    require(listed or value.kind in {*SCALARS, *ROWS}, f"an element of kind {value.kind}")
    where = index.node if index.kind == "mask" else zero_based(scope, index)
    if literal(where) is None and is_end(position):
        where = ast.Constant(-1)
    return [f"{text}[{ast.unparse(where)}] = {ast.unparse(owned(scope, value).node)}"]
