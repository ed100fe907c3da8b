"""Statements that are calls or commands: printing, loading, stopping, what only MATLAB needs."""

import ast
import re
from collections.abc import Callable

from deepibl.migrate.calls import call
from deepibl.migrate.functions import starred
from deepibl.migrate.names import SCALARS, original
from deepibl.migrate.plots import NAMES as PLOTS
from deepibl.migrate.plots import plot_call
from deepibl.migrate.scope import Scope, Typed, literal, load, printed, require, variable_name
from deepibl.migrate.tree import Node, chain, named, text_of

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
    if name and node.type == "command":
        require(not arguments, f"the command {text_of(node)}")
        value = call(scope, name, [], nargout=0)
    elif name:
        value = call(scope, name, arguments, nargout=0)
    else:
        value = scope.expr(_as_expression(node))
        if not echo:
            return [ast.unparse(value.node)]
        return [f"print({ast.unparse(value.node)})"]
    found = original(name)
    prints = echo and (found is None or found.outputs not in (0, None))
    return [f"print('ans =', {ast.unparse(value.node)})" if prints else ast.unparse(value.node)]


def show(scope: Scope, name: str) -> str:
    """What MATLAB prints of a variable where the semicolon is left out."""
    value = printed(scope, Typed(load(name), scope.kinds[name]))
    return f"print('{name} =', {ast.unparse(value)})"


def variable_shown(scope: Scope, node: Node) -> str | None:
    """The name of the variable that a statement just shows, as `x` on a line of its own."""
    if node.type == "command" and len(named(node)) == 1 and text_of(node) in scope.kinds:
        return text_of(node)
    return text_of(node) if node.type == "identifier" and text_of(node) in scope.kinds else None


def _called(scope: Scope, node: Node) -> tuple[str, list[Node]]:
    """The function a statement calls and its arguments; no name where it is another expression."""
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


def _as_expression(node: Node) -> Node:
    require(node.type != "command", f"the command {text_of(node)}")
    return node


def _words(arguments: list[Node]) -> list[str]:
    """Literal words of a command, or of a call with literal texts."""
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
    gone = names if names else list(scope.kinds)
    for name in gone:
        scope.kinds.pop(name, None)
        scope.maybe.discard(name)
    if not names:
        return [f"# (only MATLAB needs this) {text_of(node)}"]
    return [f"globals().pop({variable_name(name)!r}, None)  # clear {name}" for name in names]


def _load(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    """load(file, 'a', 'b') makes variables."""
    require(len(arguments) >= 1, "load without a file")
    first, rest = arguments[0], _words(arguments[1:])
    path = _path(scope, first)
    require(bool(rest), "load without the names of the variables: which ones it makes cannot be known")
    lines = []
    for name in rest:
        require(name.isidentifier(), f"load with {name}")
        if name == "net":
            value = Typed(scope.python("load_network(F)", F=path), "net")
        else:
            value = Typed(scope.python(f"load_variables(F).{name}", F=path), "any")
            scope.loaded.add(name)
        scope.set_kind(name, value.kind)
        lines.append(f"{variable_name(name)} = {ast.unparse(value.node)}")
    return lines


def _path(scope: Scope, node: Node) -> ast.expr:
    return ast.Constant(text_of(node)) if node.type == "command_argument" else scope.expr(node).node


def _disp(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    require(len(arguments) == 1, "disp of other than one value")
    command = arguments[0].type == "command_argument"
    shown = _path(scope, arguments[0]) if command else printed(scope, scope.expr(arguments[0]))
    return [f"print({ast.unparse(shown)})"]


def _fprintf(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    require(bool(arguments) and scope.expr(arguments[0]).kind == "text", "fprintf into a file")
    nodes = [starred(scope, argument) for argument in arguments]
    form = literal(nodes[0])
    single = all(
        not isinstance(node, ast.Starred) and scope.expr(argument).kind in _SINGLE
        for node, argument in zip(nodes[1:], arguments[1:], strict=True)
    )
    once = isinstance(form, str) and form.endswith("\\n") and single
    if once and form is not None:  # print ends the line itself
        nodes[0] = ast.Constant(form[:-2])
        if not re.search(r"[%\\]", form[:-2]):
            return [f"print({ast.unparse(nodes[0])})"]
        return [f"print({ast.unparse(ast.Call(scope.python('sprintf'), nodes, []))})"]
    return [f"print({ast.unparse(ast.Call(scope.python('sprintf'), nodes, []))}, end='')"]


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


def _warning(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    if node.type == "command" or (arguments and text_of(arguments[0]).strip("'\"") in ("on", "off")):
        return [f"# (only MATLAB needs this) {text_of(node)}"]
    scope.need("sys")
    return [f"print('Warning:', {_message(scope, arguments)}, file=sys.stderr)"]


def _assert(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    from deepibl.migrate.expressions import truth

    require(bool(arguments), "assert of nothing")
    condition = ast.unparse(truth(scope, scope.expr(arguments[0])))
    message = _message(scope, arguments[1:]) if len(arguments) > 1 else repr(text_of(node))
    return [f"if not ({condition}):", f"    raise AssertionError({message})"]


def _random(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    scope.notes.append(
        f"{text_of(node)} is left out: the library's functions draw from generators of their own, "
        "made from the original's fixed seeds (matlab_compat.rng)"
    )
    return [f"# MIGRATE: left out, see above: {text_of(node)}"]


def _run(scope: Scope, arguments: list[Node], node: Node) -> Lines:
    """run('…/setup.m') and the like set MATLAB's paths; another script would have to be translated too."""
    name = _words(arguments)[0] if arguments else ""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix(".m")
    require(
        stem in ("setup", "vl_setup", "vl_setupnn", "startup"), f"run of {name}: translate that script too"
    )
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
