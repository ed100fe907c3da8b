"""Functions and classes of a file into Python lines."""

import ast
from typing import Any

from deepibl.migrate import tree
from deepibl.migrate.library import FUNCTIONS
from deepibl.migrate.names import function_name, variable_name
from deepibl.migrate.scope import Function, Scope, require
from deepibl.migrate.tree import Node, Untranslatable, named, text_of

Script = Any  # the ScriptTranslator, whose module calls these functions
INDENT = "    "
MANY = 99  # outputs of a function with varargout


def name_of(node: Node) -> Node:
    """The node of a definition's name."""
    return node.child_by_field_name("name") or next(c for c in node.children if c.type == "identifier")


def declared(node: Node, module: str = "") -> Function:
    """What callers need to know of a function or class; module: the one that defines it."""
    if node.type == "class_definition":
        return Function(1, False, module, is_class=True)
    outputs = _outputs(node)
    uncertain = len(outputs) == 1 and not _certain(node, outputs[0])
    takes_nargout = len(outputs) > 1 or uncertain or "nargout" in _words(node)
    return Function(MANY if "varargout" in outputs else len(outputs), takes_nargout, module)


def _words(node: Node) -> set[str]:
    return {text_of(part) for part in tree.walk(node) if part.type in ("identifier", "command_name")}


def _parameters(node: Node) -> list[str]:
    found = next((child for child in node.children if child.type == "function_arguments"), None)
    return [text_of(part) for part in named(found)] if found else []


def _outputs(node: Node) -> list[str]:
    found = next((child for child in node.children if child.type == "function_output"), None)
    inner = named(found)[0] if found is not None else None
    if inner is None:
        return []
    return [text_of(part) for part in (named(inner) if inner.type == "multioutput_variable" else [inner])]


def _certain(node: Node, output: str) -> bool:
    """Whether the function assigns its output in any case."""
    if output in _parameters(node):
        return True
    if output == "varargout" or any(part.type == "return_statement" for part in tree.walk(node)):
        return False
    body = next((child for child in node.children if child.type == "block"), None)
    found = [part for part in (body.children if body else []) if part.type == "assignment"]
    return any(
        goal is not None and tree.chain(goal)[0].text == output
        for part in found
        for goal in tree.targets(part)
    )


def indented(lines: list[str]) -> list[str]:
    """The lines one level deeper."""
    return [f"{INDENT}{line}" if line else "" for line in lines]


def function_lines(script: Script, outer: Scope, node: Node, owner: str = "") -> list[str]:
    """A function, or a method of the class `owner`."""
    name, parameters, outputs = text_of(name_of(node)), _parameters(node), _outputs(node)
    words = _words(node)
    body = tree.body_of(node)
    constructor = bool(owner) and name == owner
    objects = (outputs[0],) if constructor else tuple(parameters[:1]) if owner else ()
    try:
        require(not any(part.type in tree.DEFINITIONS for part in body), "a function inside a function")
        scope = script.scope(body, tuple(parameters), objects)
    except Untranslatable as reason:
        marked = script.mark(outer, node, str(reason))
        return [f"def {function_name(name)}(*arguments):", *indented(marked)]
    scope.local = True
    scope.parameters = (*parameters, "varargout")
    scope.kinds |= {output: scope.kinds.get(output) or "any" for output in outputs}
    ending = "return" if constructor else _return(scope, outputs, declared(node).takes_nargout)
    script.ends.append(ending or "return")
    script.depth += 1
    lines = script.body(scope, body)
    script.depth -= 1
    script.ends.pop()
    names = [variable_name(p) if p.isidentifier() else f"_{i}" for i, p in enumerate(parameters)]
    rest = bool(parameters) and parameters[-1] == "varargin"
    plain = names[:-1] if rest else names
    optional = plain[1:] if owner and not constructor else plain
    listed = plain
    if {"nargin", "exist", "narginchk"} & words:
        listed = [f"{p}=None" if p in optional else p for p in plain]
    listed = [*(objects if constructor else ()), *listed, *(["*varargin"] if rest else [])]
    listed += ["nargout=1"] if declared(node).takes_nargout and not constructor else []
    start, lines = _documented(lines)
    if "nargin" in words:
        scope.need("given")
        start.append(f"nargin = given({', '.join([*optional, *['*varargin'] * rest])})")
    for kind, given in (("varargin", rest), ("varargout", "varargout" in outputs)):
        scope.used.update(["Cell"] if given else [])
        start += [f"{kind} = Cell({'*varargin' if kind == 'varargin' else ''})"] if given else []
    for parameter in parameters:
        if parameter in scope.mutated and parameter not in objects and parameter != "varargin":
            scope.need("copied")
            start.append(f"{variable_name(parameter)} = copied({variable_name(parameter)})")
    end = [ending] if ending and not constructor and lines[-1:] != [ending] else []
    outer.used |= scope.used
    outer.notes += scope.notes
    whole = [*start, *lines, *end]
    if not any(line and not line.startswith("#") for line in whole):
        whole.append("pass")
    python_name = "__init__" if constructor else name if owner else function_name(name)
    return [f"def {python_name}({', '.join(listed)}):", *indented(whole)]


def _documented(lines: list[str]) -> tuple[list[str], list[str]]:
    """A function's first comments as its docstring, and the lines after them."""
    count = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    head = lines[:count]
    if not head or '"""' in "".join(head) or "\\" in "".join(head):
        return head, lines[count:]
    return [f'"""{" ".join(line.lstrip("# ") for line in head).strip()}"""'], lines[count:]


def _return(scope: Scope, outputs: list[str], takes_nargout: bool) -> str:
    if not outputs or not takes_nargout:
        return f"return {variable_name(outputs[0])}" if outputs else ""
    scope.need("returned")
    return f"return returned(locals(), nargout, {', '.join(repr(variable_name(each)) for each in outputs)})"


def class_lines(script: Script, outer: Scope, node: Node) -> list[str]:
    """A handle class; its properties as attributes of the class, its methods."""
    name, functions = text_of(name_of(node)), script.functions
    supers = (child for child in node.children if child.type == "superclasses")
    found = [text_of(part) for child in supers for part in named(child)]
    try:
        known = bool(found) and set(found) <= {"handle", *FUNCTIONS, *functions}
        require(known, "a class that is not a handle class (< handle, < dbBase)")
        kinds = {child.type for child in node.children if child.is_named}
        plain = kinds <= {"identifier", "superclasses", "properties", "methods", "comment"}
        require(plain, "events, enumerations and attributes of a class")
        require(not node.has_error, "the grammar does not know this")
    except Untranslatable as reason:
        return [f"class {name}:", *indented(script.mark(outer, node, str(reason)))]
    bases = [base for base in found if base != "handle"]
    for base in bases:
        outer.need(f"{functions[base].module}:{base}" if base in functions else base)
    head: list[str] = []
    lines: list[str] = []
    for child in node.children:
        head += tree.comment_lines(child) if child.type == "comment" else []
        for prop in named(child) if child.type == "properties" else []:
            value = next((part for part in named(prop) if part.type == "default_value"), None)
            outer.need("Array")
            default = ast.unparse(outer.expression(named(value)[0]).node) if value else "Array()"
            lines.append(f"{text_of(named(prop)[0])} = {default}")
        for method in named(child) if child.type == "methods" else []:
            if method.type == "function_definition":
                lines += ["", *function_lines(script, outer, method, name)]
    listed = f"({', '.join(bases)})" if bases else ""
    return [f"class {name}{listed}:", *indented([*head, *(lines or ["pass"])])]
