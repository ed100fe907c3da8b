"""Assignments, calls and commands of a script into Python lines."""

import ast

from deepibl.migrate.expressions import (
    access,
    arguments_of,
    call,
    expression,
    has_outputs,
    index_keys,
    next_step,
    subscript,
)
from deepibl.migrate.names import IGNORED, variable_name
from deepibl.migrate.scope import NUMBERS, Scope, Typed, is_field, literal, owned, require
from deepibl.migrate.tree import Access, Node, Untranslatable, chain, named, targets, text_of

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
    value = expression(scope, right)
    if right.type in ("function_call", "identifier") and _is_void(scope, right):
        raise Untranslatable(f"{text_of(right.children[0] if right.children else right)} gives 0 outputs")
    override = ("", steps[0].text)
    if len(steps) == 1 and override in scope.overrides:
        given = scope.overrides[override]
        numbers = isinstance(given, list)
        node_ = (
            scope.call("Array", ast.parse(repr(given), mode="eval").body) if numbers else ast.Constant(given)
        )
        value = Typed(node_, "array" if numbers else "text" if isinstance(given, str) else "any")
        if not scope.finding:
            scope.notes.append(f"{steps[0].text} = {given!r}, instead of what the script says")
    return [_assigned(scope, steps, value)]


def _is_void(scope: Scope, node: Node) -> bool:
    name = chain(node)[0].text
    if name in ("tic", "fclose", "fwrite", "mkdir"):
        return False
    return name not in scope.kinds and len(chain(node)) <= 2 and not has_outputs(scope, name)


def _assigned(scope: Scope, steps: list[Access], value: Typed) -> str:
    """The line that assigns a value to a variable or a part of it."""
    name = steps[0].text
    require(name.isidentifier(), f"{name} is not a variable")
    source = owned(scope, _one(scope, value), name)
    python_name = variable_name(name)
    if len(steps) == 1:
        scope.join(name, value.kind)
        return f"{python_name} = {ast.unparse(source)}"
    step, variable = steps[1], ast.Name(python_name, ast.Load())
    kind = {"(": _CONTRIBUTES.get(value.kind, "any"), "{": "cell"}.get(step.kind, "struct")
    if len(steps) > 2 and step.kind == "(":
        kind = "any"
    if scope.kinds.get(name) == "object" and step.kind in ("field", "dynamic"):
        kind = "object"
    scope.join(name, kind)
    known = scope.kinds[name]
    if len(steps) == 2:
        if step.kind == "(" and known == "array" and value.kind in NUMBERS and step.nodes:
            keys = index_keys(scope, variable, list(step.nodes))
            return f"{ast.unparse(subscript(variable, keys))} = {ast.unparse(source)}"
        if step.kind == "{" and known == "cell" and step.nodes:
            keys = index_keys(scope, variable, list(step.nodes))
            return f"{ast.unparse(subscript(variable, keys))} = {ast.unparse(source)}"
        if step.kind == "field" and known in ("struct", "object") and is_field(step.text):
            return f"{python_name}.{step.text} = {ast.unparse(source)}"
    path = _path(scope, variable, steps[1:])
    return f"{python_name} = {ast.unparse(scope.call('put', variable, source, *path))}"


def _one(scope: Scope, value: Typed) -> Typed:
    """The value, checked when the script runs where it may be a list: a field of a struct array."""
    node = value.node
    if not isinstance(node, ast.Attribute) or value.kind != "any":
        return value
    certain = {
        variable_name(name) for name, kind in scope.kinds.items() if kind in ("struct", "paths", "object")
    }
    if isinstance(node.value, ast.Name) and node.value.id in certain:
        return value
    return Typed(scope.call("one", node), "any")


def _path(scope: Scope, value: ast.expr, steps: list[Access]) -> list[ast.expr]:
    """The levels of an assignment to a part, as `put` takes them."""
    found: list[ast.expr] = []
    for step in steps:
        if step.kind == "field":
            found.append(ast.Constant(step.text))
            value = (
                ast.Attribute(value, step.text, ast.Load())
                if is_field(step.text)
                else scope.call("field", value, found[-1])
            )
        elif step.kind == "dynamic":
            found.append(expression(scope, step.nodes[0]).node)
            value = scope.call("field", value, found[-1])
        else:
            require(bool(step.nodes), "an assignment to all of it by () or {}")
            keys = index_keys(scope, value, list(step.nodes))
            found.append(ast.Tuple(keys, ast.Load()) if step.kind == "(" else ast.List(keys, ast.Load()))
            value = scope.call("at" if step.kind == "(" else "content", value, *keys)
    return found


def _removal(scope: Scope, steps: list[Access]) -> list[str]:
    """x(3)= []: without that element."""
    name, step = steps[0].text, steps[-1]
    require(
        len(steps) == 2 or all(s.kind == "field" and is_field(s.text) for s in steps[1:-1]),
        "= [] at this depth",
    )
    require(name in scope.kinds, f"{name} is not a variable of this script")
    variable = scope.variable(name)
    if len(steps) == 2:
        keys = index_keys(scope, variable.node, list(step.nodes))
        if variable.kind in ("array", "cell"):
            return [f"del {ast.unparse(subscript(variable.node, keys))}"]
        scope.join(name, "array" if variable.kind in NUMBERS else variable.kind)
        return [f"{ast.unparse(variable.node)} = {ast.unparse(scope.call('without', variable.node, *keys))}"]
    value = variable.node
    for part in steps[1:-1]:
        value = ast.Attribute(value, part.text, ast.Load())
    keys = index_keys(scope, value, list(step.nodes))
    left = scope.call("without", scope.call("copied", value), *keys)
    path = [ast.Constant(part.text) for part in steps[1:-1]]
    return [f"{ast.unparse(variable.node)} = {ast.unparse(scope.call('put', variable.node, left, *path))}"]


def _several(scope: Scope, goals: list[Node | None], right: Node) -> list[str]:
    """[a, b.c, ~]= f(…)."""
    steps = chain(right) if right.type in ("identifier", "function_call", "field_expression") else []
    require(bool(steps), "several outputs of what is no call")
    value = _outputs(scope, right, steps, len(goals))
    lines, names, kinds = [], [], _output_kinds(steps[0].text, len(goals))
    for place, goal in enumerate(goals):
        if goal is None:
            names.append("_")
            continue
        parts = chain(goal)
        if len(parts) == 1:
            names.append(variable_name(parts[0].text))
            scope.join(parts[0].text, kinds[place])
            continue
        temporary = f"output_{place + 1}"
        names.append(temporary)
        lines.append(_assigned(scope, parts, Typed(ast.Name(temporary, ast.Load()), kinds[place])))
    first = steps[0].text
    if len(goals) == 1:  # [~]= f(…)
        return [ast.unparse(value)]
    if (
        first in scope.kinds or first in scope.functions or first == "deal"
    ):  # may give what another variable holds
        scope.need("copied")
        value = ast.Call(ast.Name("map", ast.Load()), [ast.Name("copied", ast.Load()), value], [])
    return [f"{', '.join(names)} = {ast.unparse(value)}", *lines]


def _output_kinds(name: str, count: int) -> list[str]:
    if name == "size":
        return ["int"] * count
    if name in ("max", "min", "find", "ismember", "meshgrid", "ind2sub"):
        return ["num"] * count
    if name in ("pickBestNet",):
        return ["int", "struct"][:count]
    if name in ("rawNnSearch", "yael_nn", "testCore"):
        return ["num"] * count
    if name == "testFromFn":
        return ["num", "num", "num", "struct"][:count]
    return ["text"] * count if name == "fileparts" else ["any"] * count


def _outputs(scope: Scope, right: Node, steps: list[Access], count: int) -> ast.expr:
    """A call for several outputs."""
    first, last = steps[0], steps[-1]
    if first.text not in scope.kinds:
        require(len(steps) == 1 or (len(steps) == 2 and last.kind == "("), "several outputs of this call")
        value = call(scope, first.text, list(last.nodes) if len(steps) == 2 else None, nargout=count).node
        require(isinstance(value, ast.Call), f"{first.text} gives no several outputs")
        return value
    if last.kind == "{" or (last.kind == "field" and len(steps) > 1):  # [a, b]= c{:}
        keys = index_keys(scope, _before(scope, steps).node, list(last.nodes)) if last.kind == "{" else []
        require(last.kind == "{", "several values of a field")
        listed = scope.call("contents", _before(scope, steps).node, *keys)
        return ast.Subscript(listed, ast.Slice(None, ast.Constant(count)), ast.Load())
    require(last.kind == "(", "several outputs of what is no call")
    function = _before(scope, steps)
    arguments = [value.node for value in arguments_of(scope, list(last.nodes))]
    if len(steps) == 2:  # a function handle, or a method of the object by its handle
        return scope.call("several", function.node, ast.Constant(count), *arguments)
    words = [ast.keyword("nargout", ast.Constant(count))]
    return ast.Call(function.node, arguments, words)


def _before(scope: Scope, steps: list[Access]) -> Typed:
    """The value of a chain without its last step."""
    value = scope.variable(steps[0].text)
    for step in steps[1:-1]:
        value = next_step(scope, value, step, step is steps[-2])
    return value


def call_statement(scope: Scope, node: Node, echo: bool) -> list[str]:
    """The lines of a statement that is one expression: a call, a command, or a value to show."""
    if node.type == "command":
        words = [text_of(child) for child in named(node)]
        name, arguments = words[0], list(named(node)[1:])
        require(
            not any(word[:1] in "=+-*/<>&|~" and word not in ("-append",) for word in words[1:2])
            or name in IGNORED,
            "the grammar does not know this",
        )
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
            typed = call(scope, name, arguments, 1)
            return [ast.unparse(typed.node)]
    target = named(node)[0] if node.type == "command" and not arguments else node
    if name in scope.kinds and not arguments and target.type in ("identifier", "command_name"):
        scope.used.update(["show"] if echo else [])
        return [f"show({name!r}, {variable_name(name)})"] if echo else []
    value = access(scope, target) if target.type == "command_name" else expression(scope, target)
    if echo and not (name and name not in scope.kinds and not has_outputs(scope, name)):
        scope.need("show")
        return [f"show('ans', {ast.unparse(value.node)})"]
    if name in scope.functions and scope.functions[name].takes_nargout and isinstance(value.node, ast.Call):
        value.node.keywords.append(ast.keyword("nargout", ast.Constant(0)))
    return [ast.unparse(value.node)]


def _special_call(
    scope: Scope, node: Node, name: str, words: list[str], arguments: list[Node]
) -> list[str] | None:
    """Statements that are no plain calls: load, save, clear, what only MATLAB needs."""
    if name == "load":
        return _load(scope, words, arguments)
    if name == "save":
        return _save(scope, words, arguments)
    if name in ("error", "rethrow"):
        values = [expression(scope, child) for child in arguments]
        return [ast.unparse(scope.call(name, *(value.node for value in values)))]
    if name == "toc" and not arguments:
        return [ast.unparse(scope.python("fprintf('Elapsed time is %f seconds.\\n', toc())"))]
    if name in ("clear", "clearvars") and len(words) > 1 and all(word in scope.kinds for word in words[1:]):
        return [f"{variable_name(word)} = None  # clear {word}" for word in words[1:]]
    if name == "close" and words[1:] != ["all"] and arguments:
        raise Untranslatable("close of a figure by its handle")
    if name == "run":
        script = words[1] if len(words) > 1 else ""
        require(
            script.endswith(("setup", "setup.m", "vl_setupnn", "vl_setupnn.m")),
            f"run of {script}: translate that script too",
        )
        return [f"# (only MATLAB needs this) {' '.join(text_of(node).split())}"]
    if name == "format" and set(words[1:]) - {"short", "compact", "loose"}:
        raise Untranslatable(f"format {words[1]}: numbers are shown with five digits")
    if name == "clear" and any("*" in word for word in words[1:]):
        raise Untranslatable("clear of a pattern of names")
    if name in IGNORED or name == "vl_setupnn" or (name == "warning" and words[1:2] in (["off"], ["on"])):
        return [f"# (only MATLAB needs this) {' '.join(text_of(node).split())}"]
    if name in ("exit", "quit"):
        return ["raise SystemExit"]
    if name in ("pause", "keyboard", "dbstop"):
        return [f"# (left out: waits for the user) {' '.join(text_of(node).split())}"]
    return None


def _file_words(scope: Scope, words: list[str], arguments: list[Node]) -> tuple[ast.expr, list[str]]:
    require(bool(arguments), f"{words[0]} without a file")
    typed = [expression(scope, child) for child in arguments]
    rest = [literal(value.node) for value in typed[1:]]
    require(all(isinstance(word, str) for word in rest), f"{words[0]} of variables whose names are computed")
    return typed[0].node, [str(word) for word in rest]


def _load(scope: Scope, words: list[str], arguments: list[Node]) -> list[str]:
    path, names = _file_words(scope, words, arguments)
    wanted = [name for name in names if not name.startswith("-")]
    require(not any("*" in name for name in wanted), "load of a pattern of names")
    scope.need("load")
    if not wanted:
        require(not scope.local, "load of all variables of a file inside a function: name them")
        return [f"globals().update(load({ast.unparse(path)}))"]
    for name in wanted:
        scope.join(name, "any" if name != "net" else "struct")
    source = ast.unparse(
        ast.Call(ast.Name("load", ast.Load()), [path, *(ast.Constant(name) for name in wanted)], [])
    )
    if len(wanted) == 1:
        return [f"{variable_name(wanted[0])} = {source}[{wanted[0]!r}]"]
    return [f"{', '.join(map(variable_name, wanted))} = {source}.values()"]


def _save(scope: Scope, words: list[str], arguments: list[Node]) -> list[str]:
    path, names = _file_words(scope, words, arguments)
    flags = [name for name in names if name.startswith("-")]
    require(set(flags) <= {"-v7.3", "-v7", "-v6", "-mat", "-append"}, f"save {' '.join(flags)}")
    wanted = [name for name in names if not name.startswith("-")] or [
        name for name in scope.kinds if not scope.local
    ]
    require(
        bool(wanted) and all(name in scope.kinds for name in wanted),
        "save of variables that are not in the script",
    )
    scope.need("save")
    variables = ast.Dict(
        [ast.Constant(name) for name in wanted], [scope.variable(name).node for name in wanted]
    )
    more = ", append=True" if "-append" in flags else ""
    return [f"save({ast.unparse(path)}, {ast.unparse(variables)}{more})"]
