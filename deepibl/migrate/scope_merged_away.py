"""What the translator knows at a place of the script: variables and their kinds, imports in use, hold."""

import ast
import builtins
import copy
import keyword
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deepibl.migrate.names import IMPORTS, SCALARS, join, original, python
from deepibl.migrate.tree import Node, Untranslatable

VALUES = {*SCALARS, "text", "id", "function", "image", "none"}  # kinds that nothing changes in place


class Typed(NamedTuple):
    """A Python expression and the kind of its value (see migrate_names).

    turn: of a 1-D array what it is in MATLAB: 'row', 'column', 'empty' ([]), or '' where that is not known.
    """

    node: ast.expr
    kind: str
    turn: str = ""


@dataclass
class Scope:
    """The state of the translation of one script.

    kinds: of the variables assigned so far; maybe: those assigned on some ways only. mutated: variables of
    which an element or a field is assigned somewhere, so that copies must be real. hold: whether a plot
    draws into the axes as they are. overrides: option values by function.
    """

    translate: Callable[["Scope", Node], Typed]
    mutated: set[str]
    overrides: Mapping[tuple[str, str], Any]
    kinds: dict[str, str] = field(default_factory=dict)
    maybe: set[str] = field(default_factory=set)
    turns: dict[str, str] = field(default_factory=dict)
    hold: str = "off"
    end_of: Typed | None = None
    used: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    depth: int = 0
    loaded: set[str] = field(default_factory=set)
    jumps: list["Scope"] = field(default_factory=list)

    @property
    def mutated_here(self) -> set[str]:
        """`mutated` under the variables' Python names."""
        return {variable_name(name) for name in self.mutated}

    def expr(self, node: Node) -> Typed:
        """The translation of an expression node; raises Untranslatable."""
        return self.translate(self, node)

    def python(self, template: str, **parts: ast.expr) -> ast.expr:
        """As migrate_names.python; remembers which imports the template needs."""
        self.need(*(name for name in IMPORTS if name in _names(template) and name not in parts))
        return python(template, **parts)

    def need(self, *names: str) -> None:
        """Has the script import these names."""
        self.used.update(names)

    def branch(self) -> "Scope":
        """A copy for one way through the script; imports and notes are shared."""
        twin = copy.copy(self)
        twin.kinds, twin.maybe, twin.turns = dict(self.kinds), set(self.maybe), dict(self.turns)
        return twin

    def merge(self, *ways: "Scope") -> None:
        """What is known after one of these ways was taken."""
        names = {name for way in ways for name in way.kinds}
        turns = {
            name: common_turn(way.turns.get(name, "") for way in ways if name in way.kinds) for name in names
        }
        self.kinds, self.maybe, self.turns = {}, set(), turns
        for name in names:
            for way in ways:
                if name not in way.kinds or name in way.maybe:
                    self.maybe.add(name)
                if name in way.kinds:
                    self.kinds[name] = join(self.kinds.get(name), way.kinds[name])
        holds = {way.hold for way in ways}
        self.hold = holds.pop() if len(holds) == 1 else "any"

    @property
    def known(self) -> tuple[Any, ...]:
        """What is known of the variables and plots here, to be compared."""
        return dict(self.kinds), set(self.maybe), dict(self.turns), self.hold

    def set_kind(self, name: str, kind: str, turn: str = "") -> None:
        """A variable is assigned."""
        self.kinds[name] = kind
        self.turns[name] = turn
        self.maybe.discard(name)


def common_turn(turns: Iterable[str]) -> str:
    """What several arrays, or one in several ways, are: an empty one goes with any."""
    found = set(turns) - {"empty"}
    return "empty" if not found else (found.pop() if len(found) == 1 else "")


def variable_name(name: str) -> str:
    """The Python name of a MATLAB variable: with _ behind it where Python or the script's imports have it."""
    base = name.rstrip("_")  # so that id and id_ stay two variables
    taken = keyword.iskeyword(base) or base in IMPORTS or hasattr(builtins, base)
    return f"{name}_" if taken or original(base) is not None else name


def load(name: str) -> ast.expr:
    """A variable's value."""
    return ast.Name(variable_name(name), ast.Load())


def printed(scope: Scope, value: Typed) -> ast.expr:
    """A value as it is printed: ids of the library as MATLAB counts them."""
    return scope.python("X + 1", X=value.node) if value.kind in ("id", "ids") else value.node


def owned(scope: Scope, value: Typed, name: str = "") -> Typed:
    """The value as a variable, cell or field may hold it: MATLAB copies what Python would share."""
    root = value.node
    while isinstance(root, ast.Attribute | ast.Subscript):
        root = root.value
    changed = name in scope.mutated or (isinstance(root, ast.Name) and root.id in scope.mutated_here)
    if (
        changed
        and isinstance(value.node, ast.Name | ast.Attribute | ast.Subscript)
        and value.kind not in VALUES
    ):
        return value._replace(node=scope.python("copy.deepcopy(X)", X=value.node))
    return value


def keep_base(*values: Typed) -> None:
    """Refuses ids of the library where it would be forgotten that they count from 0."""
    require(
        not {value.kind for value in values} & {"id", "ids", "idlists"}, "ids of the library kept elsewhere"
    )


def require(kind_is_right: bool, reason: str) -> None:
    """Raises Untranslatable with the reason unless the condition holds."""
    if not kind_is_right:
        raise Untranslatable(reason)


def literal(node: ast.expr) -> Any:
    """The value of a number or text literal (also negative ones), else None."""
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        return None


def _names(template: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(template, mode="eval")) if isinstance(node, ast.Name)}
