"""Assignments, calls and commands of a script into Python lines."""

import ast
from collections.abc import Sequence

from deepibl.migrate.calls import access, arguments_of, call, has_outputs, index_keys, next_step, subscript
from deepibl.migrate.library import FUNCTIONS, output_kinds
from deepibl.migrate.names import IGNORED, variable_name
from deepibl.migrate.scope import NUMBERS, Scope, Typed, is_field, literal, owned, require
from deepibl.migrate.tree import Access, Node, chain, named, targets, text_of

_CONTRIBUTES = {"text": "text", "cell": "cell", **dict.fromkeys(NUMBERS, "array")}


def assignment(scope: Scope, node: Node) -> list[str]:
    """The lines of an assignment; the kinds of its variables are noted."""
    goals = targets(node)
    right = node.child_by_field_name("right")
    if len(goals) > 1 or goals[0] is None:
        return _several(scope, goals, right)
    steps = chain(goals[0])
    if right.type == "matrix" and not named(right) and len(steps) > 1 and steps[-1].kind == "(":
        return _removal(scope, steps)
    value = scope.expression(right)
    if right.type in ("function_call", "identifier"):
        first, *rest = chain(right)
        silent = first.text not in scope.kinds and len(rest) < 2 and not has_outputs(scope, first.text)
        allowed = not silent or first.text in ("tic", "fclose", "fwrite", "mkdir", "rng")
        require(allowed, f"{first.text} gives 0 outputs")
    override = ("", steps[0].text)
    if len(steps) == 1 and override in scope.overrides:
        given = scope.overrides[override]
        value = Typed(ast.Constant(given), "text" if isinstance(given, str) else "any")
        if isinstance(given, list):
            value = Typed(scope.call("Array", ast.parse(repr(given), mode="eval").body), "array")
        scope.note(f"{steps[0].text} = {given!r}, instead of what the script says")
    return [_assigned(scope, steps, value)]


def _assigned(scope: Scope, steps: list[Access], value: Typed) -> str:
    """The line that assigns a value to a variable or a part of it."""
    name = steps[0].text
    require(name.isidentifier(), f"{name} is not a variable")
    source = ast.unparse(owned(scope, _one(scope, value), name))
    python_name = variable_name(name)
    if len(steps) == 1:
        scope.join(name, value.kind)
        return f"{python_name} = {source}"
    step, variable = steps[1], ast.Name(python_name, ast.Load())
    kind = {"(": _CONTRIBUTES.get(value.kind, "any"), "{": "cell"}.get(step.kind, "struct")
    if len(steps) > 2 and step.kind == "(":
        kind = "any"
    if scope.kinds.get(name) == "object" and step.kind in ("field", "dynamic"):
        kind = "object"
    scope.join(name, kind)
    known = scope.kinds[name]
    if len(steps) == 2:
        array = step.kind == "(" and known == "array" and value.kind in NUMBERS
        if step.nodes and (array or (step.kind == "{" and known == "cell")):
            return f"{ast.unparse(subscript(variable, index_keys(scope, variable, step.nodes)))} = {source}"
        if step.kind == "field" and known in ("struct", "object") and is_field(step.text):
            return f"{python_name}.{step.text} = {source}"
    path = ", ".join(map(ast.unparse, _path(scope, variable, steps[1:])))
    scope.need("put")
    return f"{python_name} = put({python_name}, {source}, {path})"


def _one(scope: Scope, value: Typed) -> Typed:
    """The value, checked when the script runs where it may be a list: a field of a struct array."""
    node = value.node
    if not isinstance(node, ast.Attribute) or value.kind != "any":
        return value
    kinds = ("struct", "paths", "object")
    certain = {variable_name(name) for name, kind in scope.kinds.items() if kind in kinds}
    if isinstance(node.value, ast.Name) and node.value.id in certain:
        return value
    return Typed(scope.call("one", node), "any")


def _path(scope: Scope, value: ast.expr, steps: Sequence[Access]) -> list[ast.expr]:
    """The levels of an assignment to a part, as `put` takes them."""
    found: list[ast.expr] = []
    for step in steps:
        if step.kind == "field":
            found.append(ast.Constant(step.text))
            plain = ast.Attribute(value, step.text, ast.Load())
            value = plain if is_field(step.text) else scope.call("field", value, found[-1])
        elif step.kind == "dynamic":
            found.append(scope.expression(step.nodes[0]).node)
            value = scope.call("field", value, found[-1])
        else:
            require(bool(step.nodes), "an assignment to all of it by () or {}")
            keys = index_keys(scope, value, step.nodes)
            found.append(ast.Tuple(keys, ast.Load()) if step.kind == "(" else ast.List(keys, ast.Load()))
            value = scope.call("at" if step.kind == "(" else "content", value, *keys)
    return found


def _removal(scope: Scope, steps: list[Access]) -> list[str]:
    """x(3)= []: without that element."""
    name, fields, nodes = steps[0].text, steps[1:-1], steps[-1].nodes
    require(all(step.kind == "field" and is_field(step.text) for step in fields), "= [] at this depth")
    require(name in scope.kinds, f"{name} is not a variable of this script")
    variable = scope.variable(name)
    value = variable.node
    for step in fields:
        value = ast.Attribute(value, step.text, ast.Load())
    keys = index_keys(scope, value, nodes)
    if not fields and variable.kind in ("array", "cell"):
        return [f"del {ast.unparse(subscript(value, keys))}"]
    left = scope.call("without", scope.call("copied", value) if fields else value, *keys)
    if fields:
        left = scope.call("put", variable.node, left, *(ast.Constant(step.text) for step in fields))
    else:
        scope.join(name, "array" if variable.kind in NUMBERS else variable.kind)
    return [f"{ast.unparse(variable.node)} = {ast.unparse(left)}"]


def _several(scope: Scope, goals: list[Node | None], right: Node) -> list[str]:
    """[a, b.c, ~]= f(…)."""
    steps = chain(right) if right.type in ("identifier", "function_call", "field_expression") else []
    require(bool(steps), "several outputs of what is no call")
    first = steps[0].text
    value = _outputs(scope, steps, len(goals))
    if len(goals) == 1:  # [~]= f(…)
        return [ast.unparse(value)]
    lines, names, kinds = [], [], _output_kinds(scope, first, len(goals))
    for place, goal in enumerate(goals):
        parts = chain(goal) if goal is not None else []
        if len(parts) == 1:
            names.append(variable_name(parts[0].text))
            scope.join(parts[0].text, kinds[place])
        elif parts:
            names.append(f"output_{place + 1}")
            lines.append(_assigned(scope, parts, Typed(ast.Name(names[-1], ast.Load()), kinds[place])))
        else:
            names.append("_")
    if first in scope.kinds or first in scope.functions or first == "deal":
        value = scope.call("map", ast.Name("copied", ast.Load()), value)  # it may be what a variable holds
        scope.need("copied")
    return [f"{', '.join(names)} = {ast.unparse(value)}", *lines]


def _output_kinds(scope: Scope, name: str, count: int) -> list[str]:
    if name in scope.functions or name in scope.kinds:
        return ["any"] * count
    if name in FUNCTIONS:
        return output_kinds(name)
    by_name = {"size": "int", "fileparts": "text"}
    by_name |= dict.fromkeys(("max", "min", "find", "ismember", "ind2sub"), "num")
    return [by_name.get(name, "any")] * count


def _outputs(scope: Scope, steps: list[Access], count: int) -> ast.expr:
    """A call for several outputs."""
    first, last = steps[0], steps[-1]
    if first.text not in scope.kinds:
        require(len(steps) == 1 or (len(steps) == 2 and last.kind == "("), "several outputs of this call")
        value = call(scope, first.text, last.nodes if len(steps) == 2 else None, nargout=count).node
        require(isinstance(value, ast.Call), f"{first.text} gives no several outputs")
        return value
    what = "several values of a field" if len(steps) > 1 else "several outputs of what is no call"
    require(last.kind in "({", what)
    before = scope.variable(first.text)
    for step in steps[1:-1]:
        before = next_step(scope, before, step, step is steps[-2])
    if last.kind == "{":  # [a, b]= c{:}
        listed = scope.call("contents", before.node, *index_keys(scope, before.node, last.nodes))
        return ast.Subscript(listed, ast.Slice(None, ast.Constant(count)), ast.Load())
    arguments = [value.node for value in arguments_of(scope, last.nodes)]
    if len(steps) == 2:  # a function handle, or a method of the object by its handle
        return scope.call("several", before.node, ast.Constant(count), *arguments)
    return ast.Call(before.node, arguments, [ast.keyword("nargout", ast.Constant(count))])


def call_statement(scope: Scope, node: Node, echo: bool) -> list[str]:
    """The lines of a statement that is one expression: a call, a command, or a value to show."""
    if node.type == "command":
        words = [text_of(child) for child in named(node)]
        name, arguments = words[0], list(named(node)[1:])
        operator = any(word[:1] in "=+-*/<>&|~" and word != "-append" for word in words[1:2])
        require(not operator or name in IGNORED, "the grammar does not know this")
    else:
        steps = chain(node) if node.type in ("identifier", "function_call") else []
        name = steps[0].text if steps and steps[0].kind == "name" and len(steps) <= 2 else ""
        arguments = list(steps[1].nodes) if len(steps) == 2 and steps[1].kind == "(" else []
        words = [name, *(text_of(child).strip("'\"") for child in arguments)]
    if name and name not in scope.kinds and name not in scope.functions:
        lines = _special_call(scope, node, name, words, arguments)
        if lines is not None:
            return lines
        if node.type == "command" and arguments:
            return [ast.unparse(call(scope, name, arguments).node)]
    target = named(node)[0] if node.type == "command" and not arguments else node
    if name in scope.kinds and not arguments and target.type in ("identifier", "command_name"):
        scope.used.update(["show"] if echo else [])
        return [f"show({name!r}, {variable_name(name)})"] if echo else []
    value = (access(scope, target) if target.type == "command_name" else scope.expression(target)).node
    if echo and (not name or name in scope.kinds or has_outputs(scope, name)):
        scope.need("show")
        return [f"show('ans', {ast.unparse(value)})"]
    if name in scope.functions and scope.functions[name].takes_nargout and isinstance(value, ast.Call):
        value.keywords.append(ast.keyword("nargout", ast.Constant(0)))
    return [ast.unparse(value)]


def _special_call(
    scope: Scope, node: Node, name: str, words: list[str], arguments: list[Node]
) -> list[str] | None:
    """Statements that are no plain calls: load, save, clear, what only MATLAB needs."""
    source = " ".join(text_of(node).split())
    if name in ("load", "save"):
        return (_load if name == "load" else _save)(scope, words, arguments)
    if name in ("error", "rethrow"):
        return [ast.unparse(scope.call(name, *(scope.expression(child).node for child in arguments)))]
    if name == "toc" and not arguments:
        return [ast.unparse(scope.python("fprintf('Elapsed time is %f seconds.\\n', toc())"))]
    if name in ("clear", "clearvars") and len(words) > 1 and all(word in scope.kinds for word in words[1:]):
        return [f"{variable_name(word)} = None  # clear {word}" for word in words[1:]]
    require(name != "close" or words[1:] == ["all"] or not arguments, "close of a figure by its handle")
    setup = len(words) > 1 and words[1].endswith(("setup", "setup.m", "vl_setupnn", "vl_setupnn.m"))
    require(name != "run" or setup, f"run of {words[-1]}: translate that script too")
    long = set(words[1:]) - {"short", "compact", "loose"}
    require(name != "format" or not long, f"format {words[-1]}: numbers are shown with five digits")
    pattern = name == "clear" and any("*" in word for word in words[1:])
    require(not pattern, "clear of a pattern of names")
    if name in {*IGNORED, "vl_setupnn", "run"} or (name == "warning" and words[1:2] in (["off"], ["on"])):
        return [f"# (only MATLAB needs this) {source}"]
    if name in ("exit", "quit"):
        return ["raise SystemExit"]
    return [f"# (left out: waits for the user) {source}"] if name in ("pause", "keyboard", "dbstop") else None


def _file_words(scope: Scope, words: list[str], arguments: list[Node]) -> tuple[str, list[str], list[str]]:
    """A file, the names of variables, and the flags."""
    require(bool(arguments), f"{words[0]} without a file")
    path, *rest = (scope.expression(child).node for child in arguments)
    names = [literal(word) for word in rest]
    require(all(isinstance(word, str) for word in names), f"{words[0]} of variables whose names are computed")
    flags = [name for name in names if name.startswith("-")]
    return ast.unparse(path), [name for name in names if name not in flags], flags


def _load(scope: Scope, words: list[str], arguments: list[Node]) -> list[str]:
    path, wanted, _ = _file_words(scope, words, arguments)
    require(not any("*" in name for name in wanted), "load of a pattern of names")
    scope.need("load")
    if not wanted:
        require(not scope.local, "load of all variables of a file inside a function: name them")
        return [f"globals().update(load({path}))"]
    for name in wanted:
        scope.join(name, "any" if name != "net" else "struct")
    source = f"load({', '.join([path, *map(repr, wanted)])})"
    if len(wanted) == 1:
        return [f"{variable_name(wanted[0])} = {source}[{wanted[0]!r}]"]
    return [f"{', '.join(map(variable_name, wanted))} = {source}.values()"]


def _save(scope: Scope, words: list[str], arguments: list[Node]) -> list[str]:
    path, names, flags = _file_words(scope, words, arguments)
    require(set(flags) <= {"-v7.3", "-v7", "-v6", "-mat", "-append"}, f"save {' '.join(flags)}")
    wanted = names or [name for name in scope.kinds if not scope.local]
    known = bool(wanted) and all(name in scope.kinds for name in wanted)
    require(known, "save of variables that are not in the script")
    scope.need("save")
    variables = ", ".join(f"{name!r}: {variable_name(name)}" for name in wanted)
    more = ", append=True" if "-append" in flags else ""
    return [f"save({path}, {{{variables}}}{more})"]
