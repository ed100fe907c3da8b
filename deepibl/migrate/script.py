"""Scripts: statement after statement into Python lines, comments kept, what cannot be translated marked."""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepibl.migrate.expressions import expression, truth
from deepibl.migrate.scope import ELEMENT, INTEGERS, LISTS, ROWS, Scope, literal, require, variable_name
from deepibl.migrate.statements import assignment, call_statement, show, variable_shown
from deepibl.migrate.tree import (
    Node,
    Untranslatable,
    assigned_names,
    chain,
    comment_lines,
    inner_comments,
    mutated_names,
    named,
    parse,
    targets,
    text_of,
)

INDENT = "    "
COMPOUND = {"if_statement", "for_statement", "while_statement", "switch_statement", "try_statement"}
_JUMPS = {"break_statement": "break", "continue_statement": "continue"}
_WIDTH = 100


@dataclass(frozen=True)
class Mark:
    """A place to check by hand: the MATLAB line (from 1), its text and why. stops: reaching it raises."""

    line: int
    source: str
    reason: str
    stops: bool = True


def _quoted(node: Node) -> str:
    """The statement's source; its whole lines where the parser lost its way, so that no token is left out."""
    if "ERROR" not in (node.type, node.parent.type if node.parent else ""):
        return text_of(node)
    root = node
    while root.parent is not None:
        root = root.parent
    first = root.start_point[0]
    lines = text_of(root).splitlines()[node.start_point[0] - first : node.end_point[0] - first + 1]
    return "\n".join(lines)


@dataclass
class ScriptTranslator:
    """The translation of one script; `name` is the script's name in marks."""

    name: str
    keep_stops: bool = False
    overrides: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)

    def translate(self, source: str) -> tuple[list[str], Scope]:
        """The lines of the body, and the scope at its end: imports needed, notes."""
        root = parse(source)
        scope = Scope(expression, mutated_names(root), self.overrides)
        return self._block(scope, root.children), scope

    def _block(self, scope: Scope, nodes: list[Node]) -> list[str]:
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
                more = any(n.is_named and n.type != "comment" for n in rest)
                lines += self._statement(scope, node, echo, more)
            last_row = node.end_point[0] - (node.end_point[1] == 0)
        return lines

    def _statement(self, scope: Scope, node: Node, echo: bool, more: bool) -> list[str]:
        """The lines of one statement; marked ones where it cannot be translated."""
        known = len(self.marks)
        try:
            require(not node.has_error or node.type in COMPOUND, "the grammar does not know this")
            if node.type in _HANDLERS:
                return _HANDLERS[node.type](self, scope, node)
            if node.type in _JUMPS:
                scope.jumps.append(scope.branch())
                return [_JUMPS[node.type]]
            if node.type == "return_statement":
                return ["raise SystemExit"]
            comments = inner_comments(node)
            if node.type == "assignment":
                lines = assignment(scope, node)
                if echo:  # MATLAB shows what is assigned without a semicolon
                    shown = dict.fromkeys(
                        chain(target)[0].text for target in targets(node) if target is not None
                    )
                    lines += [show(scope, name) for name in shown]
            elif name := variable_shown(scope, node):
                lines = [show(scope, name)] if echo else []
            elif self._stops_script(scope, node) and more and not self.keep_stops:
                return self._skipped_stop(scope, node)
            else:
                lines = call_statement(scope, node, echo)
            ast.parse("\n".join(lines))  # whatever the reason, no line may be wrong Python
            return [*comments, *(part for line in lines for part in _laid_out(line))]
        except (Untranslatable, SyntaxError, ValueError) as reason:
            del self.marks[known:]
            return self._mark(scope, node, str(reason))
        except RecursionError:
            del self.marks[known:]
            return self._mark(scope, node, "it is nested too deep")

    def _mark(self, scope: Scope, node: Node, reason: str) -> list[str]:
        """A marked line that raises when it is reached; its variables are of unknown kind from here on."""
        line = node.start_point[0] + 1
        reason = " ".join(reason.split())  # a reason can quote a statement of several lines
        source = [part.rstrip() for part in _quoted(node).splitlines()] or [""]
        self.marks.append(Mark(line, source[0], reason))
        for name in assigned_names(node):
            scope.set_kind(name, "any")
        scope.need("not_migrated")
        where = f"{self.name}:{line}"
        quoted = [f"# MIGRATE:   {part}" for part in source]
        return [f"# MIGRATE: {where}: {reason}", *quoted, f"not_migrated({where!r}, {reason!r})"]

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

    def _compound(self, scope: Scope, node: Node, head: str) -> list[str]:
        """A header line and the block below it; `pass` where the block is empty."""
        body = [child for child in node.children if child.type in ("block", "comment")]
        inner = [part for child in body for part in (child.children if child.type == "block" else [child])]
        scope.depth += 1
        lines = self._block(scope, inner)
        scope.depth -= 1
        if not any(line and not line.startswith("#") for line in lines):
            lines.append("pass")
        return [head, *(f"{INDENT}{line}" if line else "" for line in lines)]

    def _settled(self, scope: Scope, body: Callable[[Scope], list[str]]) -> list[str]:
        """A loop's lines, translated until what is known of the variables holds for every iteration."""
        for _ in range(5):
            known = len(self.marks)
            inner = scope.branch()
            inner.jumps = []
            lines = body(inner)
            after = scope.branch()
            after.merge(scope, inner, *inner.jumps)
            same = after.known == scope.known
            scope.kinds, scope.maybe, scope.orientations, scope.hold = after.known
            if same:
                return lines
            del self.marks[known:]
        raise Untranslatable("a loop whose variables change what they are with every turn")

    def _if(self, scope: Scope, node: Node) -> list[str]:
        clauses = [node, *(c for c in node.children if c.type in ("elseif_clause", "else_clause"))]

        def condition(clause: Node) -> str:
            return ast.unparse(truth(scope, scope.expr(clause.child_by_field_name("condition"))))

        return self._choices(scope, clauses, condition)

    def _switch(self, scope: Scope, node: Node) -> list[str]:
        value = ast.unparse(scope.expr(node.child_by_field_name("condition")).node)
        clauses = [c for c in node.children if c.type in ("case_clause", "otherwise_clause")]

        def condition(clause: Node) -> str:
            case = scope.expr(clause.child_by_field_name("condition"))
            return f"{value} {'in' if case.kind in LISTS else '=='} {ast.unparse(case.node)}"

        require(not clauses or clauses[0].type == "case_clause", "a switch without cases")
        return self._choices(scope, clauses, condition)

    def _choices(self, scope: Scope, clauses: list[Node], condition: Callable[[Node], str]) -> list[str]:
        """if, elif and else, and what is known after any of them."""
        ways, lines, word, complete = [], [], "if", False
        for clause in clauses:
            way = scope.branch()
            if clause.type in ("else_clause", "otherwise_clause"):
                complete, head = True, "else:"
            else:
                head, word = f"{word} {condition(clause)}:", "elif"
            lines += self._compound(way, clause, head)
            ways.append(way)
        scope.merge(*ways, *([] if complete else [scope.branch()]))
        return lines

    def _for(self, scope: Scope, node: Node) -> list[str]:
        target, source = named(next(child for child in node.children if child.type == "iterator"))
        name = text_of(target)

        def body(inner: Scope) -> list[str]:
            sequence, kind = _sequence(inner, source)
            changed = kind in LISTS and name in inner.mutated
            require(not changed, "a loop over cells whose variable is changed")
            inner.set_kind(name, kind)
            return self._compound(inner, node, f"for {variable_name(name)} in {ast.unparse(sequence)}:")

        return self._settled(scope, body)

    def _while(self, scope: Scope, node: Node) -> list[str]:
        def body(inner: Scope) -> list[str]:
            condition = truth(inner, inner.expr(node.child_by_field_name("condition")))
            return self._compound(inner, node, f"while {ast.unparse(condition)}:")

        return self._settled(scope, body)

    def _try(self, scope: Scope, node: Node) -> list[str]:
        tried, caught = scope.branch(), scope.branch()
        lines = self._compound(tried, node, "try:")
        caught.merge(scope.branch(), tried)
        clause = next((child for child in node.children if child.type == "catch_clause"), None)
        require(clause is not None, "try without catch")
        error = [text_of(child) for child in clause.children if child.type == "identifier"] if clause else []
        head = "except Exception:"
        if error:
            caught.set_kind(error[0], "any")
            head = f"except Exception as {variable_name(error[0])}:"
        lines += self._compound(caught, clause, head)
        scope.merge(tried, caught)
        return lines

    def _function(self, scope: Scope, node: Node) -> list[str]:
        name = text_of(node.child_by_field_name("name"))
        lines = self._mark(
            scope, node, f"the function {name}: functions of a script's own are not translated"
        )
        return [f"def {variable_name(name)}(*arguments):", *(f"{INDENT}{line}" for line in lines)]


_HANDLERS = {
    "if_statement": ScriptTranslator._if,
    "for_statement": ScriptTranslator._for,
    "while_statement": ScriptTranslator._while,
    "switch_statement": ScriptTranslator._switch,
    "try_statement": ScriptTranslator._try,
    "function_definition": ScriptTranslator._function,
}


def _sequence(scope: Scope, node: Node) -> tuple[ast.expr, str]:
    """What a loop iterates over, and the kind of its variable."""
    if node.type == "range":
        parts = [scope.expr(part) for part in named(node)]
        step = literal(parts[1].node) if len(parts) == 3 else 1
        if all(part.kind in INTEGERS for part in parts) and isinstance(step, int) and step:
            last = literal(parts[-1].node)
            stop = scope.python("N + 1" if step > 0 else "N - 1", N=parts[-1].node)
            if last is not None:
                stop = ast.Constant(last + (1 if step > 0 else -1))
            arguments = [parts[0].node, stop, *([ast.Constant(step)] if step != 1 else [])]
            positive = step > 0 and parts[0].kind == "count"
            return ast.Call(scope.python("range"), arguments, []), "count" if positive else "int"
        value = scope.expr(node)
        return value.node, "int" if value.kind == "ints" else "number"
    value = scope.expr(node)
    if value.kind in LISTS:  # each iteration has a cell array of one
        return scope.python("[[cell] for cell in X]", X=value.node), value.kind
    require(
        value.kind in {*ROWS, "ids"} and value.orientation in ("row", "empty"),
        "a loop over what may be a column (one turn with all of it in MATLAB)",
    )
    return value.node, ELEMENT[value.kind]


def _laid_out(line: str) -> list[str]:
    """A long call with one argument a line; other lines as they are."""
    if len(line) <= _WIDTH or line.startswith("#"):
        return [line]
    try:
        value = getattr(ast.parse(line).body[0], "value", None)
    except SyntaxError:
        return [line]
    while isinstance(value, ast.Subscript):
        value = value.value
    if not isinstance(value, ast.Call):
        return [line]
    function = ast.unparse(value.func) + "("
    start = line.index(function) + len(function)
    arguments = [ast.unparse(a) for a in value.args]
    arguments += [f"{k.arg}={ast.unparse(k.value)}" for k in value.keywords]
    rest = line[start + len(", ".join(arguments)) :]
    return [line[:start], *(f"{INDENT}{argument}," for argument in arguments), rest]
