"""What the translator knows at a place of a script: variables, functions, their kinds, names to import.

A kind says what a value certainly is: int, real, bool (a Python int, float, bool), scalar (any of these),
text, array (an Array), num (an Array or a number), cell, struct, paths (localPaths'), function, object (the
library's and handle classes), any (unknown). Kinds hold for the whole script or function: they are found by
translating its assignments until they stay the same.
"""

import ast
import keyword
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deepibl.migrate.library import words
from deepibl.migrate.names import language_name, variable_name
from deepibl.migrate.tree import Node, Untranslatable

SCALARS = {"int", "real", "bool", "scalar"}
NUMBERS = {*SCALARS, "array", "num"}
IMMUTABLE = {*SCALARS, "text", "function", "object"}
# functions that may return an argument itself, or a part of it
_ALIASES = words(
    "at one content contents field deal gather getfield feval gpuArray horzcat vertcat cat cellstr repmat "
    "several num2cell struct keys values_"
)
_NEW = {"Array", "Cell", "Struct", "copied", "put", "load", "without"}


class Typed(NamedTuple):
    """A Python expression and the kind of its value."""

    node: ast.expr
    kind: str


class Undetermined(Exception):
    """A variable of which no assignment has been understood yet; only while kinds are found."""


@dataclass
class Function:
    """A function of the script: its outputs, whether it takes `nargout`, and the module that defines it."""

    outputs: int
    takes_nargout: bool
    module: str = ""
    is_class: bool = False


@dataclass
class Scope:
    """The state of translating one script or function.

    translate: `expressions.expression`. functions: the script's own. mutated: variables of which a part is
    assigned somewhere. kinds: of the variables; None where not known yet. many: variables that are assigned
    more than once. used: names to import.
    """

    translate: Callable[["Scope", Any], "Typed"]
    functions: dict[str, Function]
    mutated: set[str]
    overrides: Mapping[tuple[str, str], Any]
    kinds: dict[str, str | None] = field(default_factory=dict)
    many: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    ends: list[tuple[ast.expr, int, int]] = field(default_factory=list)
    open: bool = False  # variables may come from a file whose names are not in the script
    local: bool = False  # inside a function
    finding: bool = False  # while kinds are found
    parameters: tuple[str, ...] = ()

    def expression(self, node: Node) -> "Typed":
        """The translation of an expression. Raises Untranslatable."""
        return self.translate(self, node)

    def note(self, what: str) -> None:
        """Notes something to say at the top of the translation."""
        if not self.finding:
            self.notes.append(what)

    def python(self, template: str, **parts: ast.expr) -> ast.expr:
        """An expression with names replaced by nodes: python("numel(X)", X=node); imports are noted."""
        tree = ast.parse(template, mode="eval").body
        for name in {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - set(parts):
            self.need(name)

        class Fill(ast.NodeTransformer):
            def visit_Name(self, node: ast.Name) -> ast.expr:
                return parts.get(node.id, node)

        return Fill().visit(tree)

    def call(self, name: str, *arguments: ast.expr) -> ast.Call:
        """A call of a function by its Python name."""
        self.need(name)
        return ast.Call(ast.Name(name, ast.Load()), list(arguments), [])

    def need(self, name: str) -> None:
        """Notes an import, where the name is one."""
        self.used.add(name)

    def variable(self, name: str) -> Typed:
        """A variable's value."""
        kind = self.kinds[name]
        if kind is None:
            if self.finding:
                raise Undetermined(name)
            kind = "any"
        return Typed(ast.Name(variable_name(name), ast.Load()), kind)

    def join(self, name: str, kind: str) -> None:
        """A variable is also of this kind."""
        known = self.kinds.get(name)
        self.kinds[name] = kind if known is None else joined_kind(known, kind)


def joined_kind(one: str, other: str) -> str:
    """The kind of a value that is of one kind or the other."""
    if one == other:
        return one
    pair = {one, other}
    if pair == {"struct", "paths"}:
        return "struct"
    if pair <= SCALARS:
        return "scalar"
    return "num" if pair <= NUMBERS else "any"


def literal(node: ast.expr) -> Any:
    """The value of a number or string literal (also negative ones), else None."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None


def require(condition: bool, reason: str) -> None:
    """Raises Untranslatable with the reason unless the condition holds."""
    if not condition:
        raise Untranslatable(reason)


def owned(scope: Scope, value: Typed, target: str = "") -> ast.expr:
    """The value as a variable, cell or field may hold it: MATLAB copies what Python would share."""
    node = value.node
    if isinstance(node, ast.Starred) or value.kind in IMMUTABLE:
        return node
    part = isinstance(node, ast.Subscript) and value.kind not in NUMBERS
    shares = part or isinstance(node, ast.Name | ast.Attribute)
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        made = name in _NEW or language_name(name.rstrip("_"))
        shares = value.kind not in NUMBERS if name in _ALIASES else not made
    changed = {variable_name(name) for name in scope.mutated}
    roots = {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    if shares and (target in scope.mutated or roots & changed):
        return scope.call("copied", node)
    return node


def is_field(name: str) -> bool:
    """Whether a field can be written as an attribute."""
    return name.isidentifier() and not keyword.iskeyword(name)
