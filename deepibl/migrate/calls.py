"""Chains like a.b{2}(3) and calls into Python: variables, indices, fields, functions, methods."""

import ast
from collections.abc import Sequence
from typing import Any

from deepibl.migrate import names
from deepibl.migrate.library import FUNCTIONS, output_kinds, words
from deepibl.migrate.scope import NUMBERS, SCALARS, Scope, Typed, is_field, literal, owned, require
from deepibl.migrate.tree import Access, Node, Untranslatable, chain, named, text_of

_FIELD_KINDS = {
    **dict.fromkeys(("outPrefix", "dbPath", "qPath"), "text"),
    "numImages": "int",
    "numQueries": "int",
    **dict.fromkeys(("dbImageFns", "qImageFns", "layers"), "cell"),
    "cp": "object",
    **dict.fromkeys(("utmDb", "utmQ", "posDistThr", "posDistSqThr", "nonTrivPosDistSqThr"), "num"),
}
_METHODS = words(
    "getPosIDs getPosDbIDs isPos isPosQ isPosDb posDb nontrivialPosQ nontrivialPosDb sampleNegsQ "
    "sampleNegsDb sampleNegs nnSearchPostprocess dbLoad"
)
# arguments before the options; of the last ones no option becomes a keyword
_POSITIONAL = {
    "serialAllFeats": 4, "testFromFn": 3, "addPCA": 2, "computeRepresentation": 2, "testCore": 3,
    "vl_simplenn": 2, "vl_imreadjpeg": 1, "vl_argparse": 99, "relja_display": 99, "relja_progress": 99,
}  # fmt: skip


def part(scope: Scope, node: Node) -> Typed:
    """An element of [...], {...} or a call; c{:} is all of c."""
    if node.type == "function_call" and any(child.type == "{" for child in node.children):
        keys = next((named(child) for child in node.children if child.type == "arguments"), [])
        if any(key.type in ("spread_operator", "range", "matrix") for key in keys):
            cells = scope.expression(node.child_by_field_name("name"))
            values = cells.node
            if len(keys) > 1 or keys[0].type != "spread_operator" or cells.kind != "cell":
                values = scope.call("contents", values, *index_keys(scope, values, keys))
            return Typed(ast.Starred(values, ast.Load()), "any")
    return scope.expression(node)


def index_keys(scope: Scope, value: ast.expr, nodes: Sequence[Node]) -> list[ast.expr]:
    """The indices of value(…); `end` is its size, `:` all of it."""
    found: list[ast.expr] = []
    for place, node in enumerate(nodes):
        if node.type == "spread_operator":
            found.append(scope.python("ALL"))
            continue
        scope.ends.append((value, place + 1, len(nodes)))
        try:
            found.append(part(scope, node).node)
        finally:
            scope.ends.pop()
    return found


def subscript(value: ast.expr, keys: list[ast.expr]) -> ast.expr:
    """value[keys], `:` as a slice."""
    plain = [ast.Slice() if isinstance(key, ast.Name) and key.id == "ALL" else key for key in keys]
    return ast.Subscript(value, plain[0] if len(plain) == 1 else ast.Tuple(plain, ast.Load()), ast.Load())


def access(scope: Scope, node: Node) -> Typed:
    """A variable, a call or an index, followed by fields, indices and calls."""
    steps = chain(node) if node.type != "command_name" else [Access("name", text_of(node))]
    first, rest = steps[0], steps[1:]
    if first.kind == "value":
        value = scope.expression(first.nodes[0])
    elif first.text in scope.kinds:
        value = scope.variable(first.text)
    else:
        name = first.text
        if name == "containers" and rest and rest[0].text == "Map":
            name, rest = "containers.Map", rest[1:]
        given = list(rest[0].nodes) if rest and rest[0].kind == "(" else None
        require(not (rest and rest[0].kind == "{"), f"{name} is not a variable of this script")
        value = call(scope, name, given)
        rest = rest[1:] if given is not None else rest
    while rest:
        step, *rest = rest
        value = next_step(scope, value, step, bool(rest) and rest[0].kind == "(")
    return value


def next_step(scope: Scope, value: Typed, step: Access, indexed: bool) -> Typed:
    """The value after one more step of a chain; indexed: (…) follows."""
    kind = value.kind
    if step.kind == "dynamic":
        return Typed(scope.call("field", value.node, scope.expression(step.nodes[0]).node), "any")
    if step.kind == "field":
        attribute = ast.Attribute(value.node, step.text, ast.Load())
        if kind == "object" and step.text in _METHODS and indexed:
            return Typed(attribute, "method")
        require(kind in ("struct", "paths", "object", "any"), f"a field of a value that is {kind}")
        if not is_field(step.text):
            return Typed(scope.call("field", value.node, ast.Constant(step.text)), "any")
        known = {"paths": "text", "object": _FIELD_KINDS.get(step.text, "any")}.get(kind, "any")
        return Typed(attribute, known)
    if step.kind == "{":
        require(len(step.nodes) > 0, "an index {} without anything in it")
        whole = any(node.type == "spread_operator" for node in step.nodes)
        require(not whole, "a list of values {:} where one is needed")
        keys = index_keys(scope, value.node, step.nodes)
        content = subscript(value.node, keys) if kind == "cell" else scope.call("content", value.node, *keys)
        return Typed(content, "any")
    if kind in ("function", "method"):
        given = [owned(scope, argument) for argument in arguments_of(scope, step.nodes)]
        return Typed(ast.Call(value.node, given, []), "num" if kind == "method" else "any")
    keys = index_keys(scope, value.node, step.nodes)
    if kind == "array" and keys and not any(isinstance(key, ast.Starred) for key in keys):
        return Typed(subscript(value.node, keys), "num")
    result = kind if kind in ("text", "cell") else "num" if kind in NUMBERS else "any"
    return Typed(scope.call("at", value.node, *keys), result)


def arguments_of(scope: Scope, nodes: Sequence[Node]) -> list[Typed]:
    """The arguments of a call; ':' stands for itself."""
    colon = Typed(ast.Constant(":"), "text")
    return [colon if node.type == "spread_operator" else part(scope, node) for node in nodes]


def call(scope: Scope, name: str, nodes: Sequence[Node] | None, nargout: int = 1) -> Typed:
    """A call of a function, or a constant."""
    own = scope.functions.get(name)
    if name in names.CONSTANTS and not nodes:
        template, kind = names.CONSTANTS[name]
        return Typed(scope.python(template), kind)
    if own is None and name in _SPECIAL:
        return _SPECIAL[name](scope, nodes or [])
    typed = arguments_of(scope, nodes or [])
    values = [value.node for value in typed]
    if "@" in name:  # a method of the superclass
        method, _, base = name.partition("@")
        known = base in FUNCTIONS or base in scope.functions
        require(method.isidentifier() and known, f"{name} is neither a variable nor a method")
        scope.need(base)
        function = ast.Attribute(ast.Name(base, ast.Load()), method, ast.Load())
        return Typed(_called(function, values, nargout), "any")
    unknown = own is None and name not in FUNCTIONS and names.language_name(name) is None
    if unknown and typed and typed[0].kind == "object":  # method(object, …)
        return Typed(_called(ast.Attribute(values[0], name, ast.Load()), values[1:], nargout), "any")
    called = function_of(scope, name)
    if own is not None:
        require(own.outputs >= nargout or nargout == 1, f"{name} gives {own.outputs} outputs")
        node = ast.Call(called, [owned(scope, value) for value in typed], [])
        return Typed(_asked(node, nargout if own.takes_nargout else 1), "object" if own.is_class else "any")
    if name in FUNCTIONS:
        kinds = output_kinds(name)
        require(nargout <= max(1, len(kinds)), f"{name} gives {len(kinds)} outputs")
        require(name != "relja_display" or bool(values), "relja_display takes a string, which is missing")
        return Typed(_asked(_with_options(scope, name, called, values), nargout), (kinds or ["any"])[0])
    python_name = called.id if isinstance(called, ast.Name) else ""
    require(nargout == 1 or names.takes_nargout(python_name), f"{name} with {nargout} outputs")
    return Typed(_called(called, values, nargout), _result(name, typed))


def _called(function: ast.expr, values: list[ast.expr], nargout: int) -> ast.Call:
    return _asked(ast.Call(function, values, []), nargout)


def _asked(node: ast.Call, nargout: int) -> ast.Call:
    if nargout > 1:
        node.keywords.append(ast.keyword("nargout", ast.Constant(nargout)))
    return node


def function_of(scope: Scope, name: str) -> ast.expr:
    """The Python name of a function, imported."""
    if name in scope.functions:
        module = scope.functions[name].module
        if module:
            scope.need(f"{module}:{names.function_name(name)}")
        return ast.Name(names.function_name(name), ast.Load())
    found = name if name in FUNCTIONS else names.language_name(name)
    if name in names.RANDOM:
        scope.note(
            "random numbers are MATLAB's, by its generator; training and clustering draw from their own and "
            "leave this one as it is"
        )
    if found is None:
        raise Untranslatable(f"{name} is neither a variable of this script nor a function that deepibl has")
    scope.need(found)
    return ast.Name(found, ast.Load())


def _with_options(scope: Scope, name: str, function: ast.expr, values: list[ast.expr]) -> ast.Call:
    """A library call with the options that --set gives; literal names and their values become keywords."""
    literals = [literal(word) for word in values]
    ends = (i for i in range(_POSITIONAL.get(name, 1), len(literals)) if (len(literals) - i) % 2 == 0)
    named = (i for i in ends if all(isinstance(word, str) and is_field(word) for word in literals[i::2]))
    start = next(named, len(literals))
    plain = not any(isinstance(word, ast.Starred) for word in values[start:])
    words = {literals[i]: values[i + 1] for i in range(start, len(literals), 2)} if plain else {}
    fits = plain and 2 * len({word.lower() for word in words}) == len(literals) - start
    for (owner, option), value in scope.overrides.items() if fits else ():
        if owner == name:
            words = {word: node for word, node in words.items() if word.lower() != option.lower()}
            numbers = isinstance(value, list)
            words[option] = ast.parse(repr(value), mode="eval").body if numbers else ast.Constant(value)
            scope.note(f"{name}.{option} = {value!r}, instead of what the script says")
    if not fits or not words:
        return ast.Call(function, values, [])
    return ast.Call(function, values[:start], [ast.keyword(word, value) for word, value in words.items()])


def _result(name: str, typed: list[Typed]) -> str:
    """The kind of what a function of matlab_compat.language gives."""
    kinds = {value.kind for value in typed}
    if name in names.BY_TEXT:
        return "text" if typed and kinds == {"text"} else "any"
    if name in ("strcmp", "strcmpi", "strncmp", "strncmpi"):
        return "bool" if kinds <= {"text", "int"} else "num"
    if name == "size":
        return "int" if len(typed) == 2 else "array"
    if name == "isfield":
        return "bool" if len(typed) > 1 and typed[1].kind == "text" else "num"
    if name == "sort" and not kinds <= {*NUMBERS, "text"}:
        return "any"
    return "real" if name in names.ELEMENTWISE and kinds <= SCALARS else names.RESULTS.get(name, "any")


def _exist(scope: Scope, nodes: Sequence[Node]) -> Typed:
    values = [scope.expression(node).node for node in nodes]
    what = literal(values[-1]) if len(values) == 2 else None
    name = literal(values[0]) if values else None
    if what == "var" or (len(values) == 1 and isinstance(name, str) and name in scope.kinds):
        require(isinstance(name, str), "exist of a variable whose name is computed")
        place = "locals()" if scope.local else "globals()"
        found = f"{place}.get({names.variable_name(str(name))!r}) is not None"
        return Typed(ast.parse(found, mode="eval").body, "bool")
    require(len(values) == 1 or what in ("file", "dir"), "exist of other than a file, a folder or a variable")
    return Typed(scope.call("exist_", *values), "real")


def _struct(scope: Scope, nodes: Sequence[Node]) -> Typed:
    typed = [part(scope, node) for node in nodes]
    fields = [literal(value.node) for value in typed[::2]]
    kept = [owned(scope, value) for value in typed[1::2]]
    plain = len(set(fields)) == len(fields) and all(isinstance(x, str) and is_field(x) for x in fields)
    known = {*NUMBERS, "text", "struct", "function", "object"}
    if len(typed) % 2 == 0 and plain and all(value.kind in known for value in typed[1::2]):
        made = scope.call("Struct")
        made.keywords = [ast.keyword(str(name), value) for name, value in zip(fields, kept, strict=True)]
        return Typed(made, "struct")
    given = (kept[i // 2] if i % 2 else value.node for i, value in enumerate(typed))
    return Typed(scope.call("struct", *given), "any")


def _call_of(name: str, kind: str, least: int = 0) -> Any:
    def handler(scope: Scope, nodes: Sequence[Node]) -> Typed:
        require(len(nodes) >= least, f"{name} without a file")
        return Typed(scope.call(name, *(value.node for value in arguments_of(scope, nodes))), kind)

    return handler


def _count(name: str) -> Any:
    def counted(scope: Scope, nodes: Sequence[Node]) -> Typed:
        require(scope.local and not nodes, f"{name} outside of a function")
        return Typed(ast.Name(name, ast.Load()), "int")

    return counted


def _refused(reason: str) -> Any:
    def handler(scope: Scope, nodes: Sequence[Node]) -> Typed:
        raise Untranslatable(reason)

    return handler


_CODE = _refused("code in strings is not translated")
_SPECIAL: dict[str, Any] = {
    "exist": _exist,
    "struct": _struct,
    "load": _call_of("load", "struct", 1),
    "containers.Map": _call_of("Map", "any"),
    "nargin": _count("nargin"),
    "nargout": _count("nargout"),
    **dict.fromkeys(("eval", "evalc", "evalin", "assignin", "inputname"), _CODE),
    "input": _refused("input asks the user"),
    **dict.fromkeys("ij", _refused("the imaginary unit")),
}


def gives_several(scope: Scope, node: ast.Call) -> bool:
    """Whether a call can be asked for several outputs."""
    if not isinstance(node.func, ast.Name):
        return isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS
    for name, own in scope.functions.items():
        if names.function_name(name) == node.func.id:
            return own.takes_nargout
    if node.func.id in FUNCTIONS:
        return len(FUNCTIONS[node.func.id][1]) > 1
    return node.func.id in names.language_names() and names.takes_nargout(node.func.id)


def has_outputs(scope: Scope, name: str) -> bool:
    """Whether a call of this function can be shown where no semicolon follows."""
    if name in scope.functions:
        return scope.functions[name].outputs > 0
    return bool(FUNCTIONS[name][1]) if name in FUNCTIONS else name not in names.NO_OUTPUT
