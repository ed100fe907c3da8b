"""Scripts: statement after statement into Python lines, comments kept, what stays behind marked."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepibl.migrate.assign import assignment
from deepibl.migrate.blocks import COMPOUND, INDENT, STATEMENTS
from deepibl.migrate.expressions import expression
from deepibl.migrate.scope import Scope, require
from deepibl.migrate.statements import call_statement, show, variable_shown
from deepibl.migrate.tree import (
    Node,
    Untranslatable,
    assigned_names,
    chain,
    comment_lines,
    inner_comments,
    mutated_names,
    parse,
    targets,
    text_of,
)

_WIDTH = 100


@dataclass(frozen=True)
class Mark:
    """A place that needs a hand: the MATLAB line (from 1), its text and why. stops: reaching it raises."""

    line: int
    source: str
    reason: str
    stops: bool = True


@dataclass
class ScriptTranslator:
    """The translation of one script; `name` is how marks call it."""

    name: str
    keep_stops: bool = False
    overrides: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)

    def translate(self, source: str) -> tuple[list[str], Scope]:
        """The lines of the body, and what it needs and knows."""
        root = parse(source)
        scope = Scope(expression, mutated_names(root), self.overrides)
        return self.block(scope, root.children), scope

    def block(self, scope: Scope, nodes: list[Node]) -> list[str]:
        """The lines of statements in sequence."""
        lines: list[str] = []
        last_row, begin = None, 0
        for position, node in enumerate(nodes):
            if not node.is_named or node.type == "line_continuation":
                continue
            row = node.start_point[0]
            if node.type == "comment" and row == last_row and lines:
                behind = begin if len(lines) - begin == 2 and lines[-1].startswith("print(") else -1
                lines[behind] += f"  {' '.join(comment_lines(node))}"
                continue
            if last_row is not None and row > last_row + 1:
                lines.append("")
            begin = len(lines)
            if node.type == "comment":
                lines += comment_lines(node)
            else:
                rest = nodes[position + 1 :]
                echo = not (rest and rest[0].type == ";")
                lines += self.statement(
                    scope, node, echo, any(n.is_named and n.type != "comment" for n in rest)
                )
            last_row = node.end_point[0] - (node.end_point[1] == 0)
        return lines

    def statement(self, scope: Scope, node: Node, echo: bool, more: bool) -> list[str]:
        """The lines of one statement; marked ones where it cannot be translated."""
        handler = STATEMENTS.get(node.type)
        known = len(self.marks)
        try:
            require(not node.has_error or node.type in COMPOUND, "the grammar does not know this")
            if handler is not None:
                return handler(self, scope, node)
            comments = inner_comments(node)
            if node.type == "assignment":
                lines = [*assignment(scope, node), *self._echo(scope, node, echo)]
            elif shown := variable_shown(scope, node):
                lines = [show(scope, shown)] if echo else []
            elif self._stops_script(scope, node) and more and not self.keep_stops:
                return self._skipped_stop(scope, node)
            else:
                lines = call_statement(scope, node, echo)
            ast.parse("\n".join(lines))  # whatever the reason, no line may be wrong Python
            return [*comments, *(part for line in lines for part in laid_out(line))]
        except (Untranslatable, SyntaxError, ValueError) as reason:
            del self.marks[known:]
            return self.mark(scope, node, str(reason))
        except RecursionError:
            del self.marks[known:]
            return self.mark(scope, node, "it is nested too deep")

    def mark(self, scope: Scope, node: Node, reason: str) -> list[str]:
        """A marked line that raises when it is reached; its variables are of unknown kind from here on."""
        line = node.start_point[0] + 1
        reason = " ".join(reason.split())  # a reason can quote a statement of several lines
        source = [part.rstrip() for part in text_of(node).splitlines()] or [""]
        self.marks.append(Mark(line, source[0], reason))
        for name in assigned_names(node):
            scope.set_kind(name, "any")
        scope.need("not_migrated")
        where = f"{self.name}:{line}"
        return [
            f"# MIGRATE: {where}: {reason}",
            *(f"# MIGRATE:   {part}" for part in source),
            f"not_migrated({where!r}, {reason!r})",
        ]

    def _echo(self, scope: Scope, node: Node, echo: bool) -> list[str]:
        """MATLAB shows what is assigned without a semicolon."""
        names = dict.fromkeys(chain(target)[0].text for target in targets(node) if target is not None)
        return [show(scope, name) for name in names] if echo else []

    def _stops_script(self, scope: Scope, node: Node) -> bool:
        return scope.depth == 0 and node.type == "function_call" and text_of(node.children[0]) == "error"

    def _skipped_stop(self, scope: Scope, node: Node) -> list[str]:
        line = node.start_point[0] + 1
        where, source = f"{self.name}:{line}", " ".join(text_of(node).split())
        reason = "the script stops here by its own error(); left out, so that what follows can run"
        self.marks.append(Mark(line, source, reason, stops=False))
        scope.need("sys")
        return [
            f"# MIGRATE: {where}: {reason} (--keep-stops keeps it)",
            f"# MIGRATE:   {source}",
            f"print({f'{where}: going on past the script’s own error()'!r}, file=sys.stderr)",
        ]

    def compound(self, scope: Scope, node: Node, head: str) -> list[str]:
        """A header line and the block below it; `pass` where the block is empty."""
        body = [child for child in node.children if child.type in ("block", "comment")]
        inner = [part for child in body for part in (child.children if child.type == "block" else [child])]
        scope.depth += 1
        lines = self.block(scope, inner)
        scope.depth -= 1
        if not any(line and not line.startswith("#") for line in lines):
            lines.append("pass")
        return [head, *(f"{INDENT}{line}" if line else "" for line in lines)]

    def settled(self, scope: Scope, body: Callable[[Scope], list[str]]) -> list[str]:
        """A loop's lines, translated until what is known of the variables holds for every turn."""
        for _ in range(5):
            known = len(self.marks)
            turn = scope.branch()
            turn.jumps = []
            lines = body(turn)
            after = scope.branch()
            after.merge(scope, turn, *turn.jumps)
            same = after.known == scope.known
            scope.kinds, scope.maybe, scope.turns, scope.hold = after.known
            if same:
                return lines
            del self.marks[known:]
        raise Untranslatable("a loop whose variables change what they are with every turn")


def laid_out(line: str) -> list[str]:
    """A long call with one argument a line; other lines as they are."""
    if len(line) <= _WIDTH or line.startswith("#"):
        return [line]
    try:
        statement = ast.parse(line).body[0]
    except SyntaxError:
        return [line]
    value = getattr(statement, "value", None)
    while isinstance(value, ast.Subscript):
        value = value.value
    if not isinstance(value, ast.Call):
        return [line]
    start = line.index(ast.unparse(value.func) + "(") + len(ast.unparse(value.func)) + 1
    arguments = [
        *(ast.unparse(a) for a in value.args),
        *(f"{k.arg}={ast.unparse(k.value)}" for k in value.keywords),
    ]
    rest = line[start + len(", ".join(arguments)) :]
    return [line[:start], *(f"{INDENT}{argument}," for argument in arguments), rest]
