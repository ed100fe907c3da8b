"""Scripts, function files and classes: statement after statement into Python lines, or marked."""

import ast
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepibl.migrate import tree
from deepibl.migrate.definitions import INDENT, class_lines, declared, function_lines, indented, name_of
from deepibl.migrate.expressions import expression, truth
from deepibl.migrate.library import FUNCTIONS
from deepibl.migrate.names import CONSTANTS, language_name, variable_name
from deepibl.migrate.precedence import Operation, grouped
from deepibl.migrate.scope import Function, Scope, Undetermined, literal, require
from deepibl.migrate.statements import assignment, call_statement
from deepibl.migrate.tree import Node, Untranslatable, named, text_of, walk

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


def _quoted(node: Node) -> list[str]:
    """The statement's source; its whole lines where the parser lost its way, so that no token is left out."""
    if "ERROR" not in (node.type, node.parent.type if node.parent else ""):
        return text_of(node).splitlines()
    root = node
    while root.parent is not None:
        root = root.parent
    first = root.start_point[0]
    return text_of(root).splitlines()[node.start_point[0] - first : node.end_point[0] - first + 1]


@dataclass
class ScriptTranslator:
    """The translation of one file; `name` is its name in marks. siblings: .m files beside it, by stems."""

    name: str
    keep_stops: bool = False
    overrides: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    siblings: Mapping[str, str] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    depth: int = 0
    functions_only: bool = False
    ends: list[str] = field(default_factory=list)  # what `return` becomes, innermost last
    _made: dict[int, list[str]] = field(default_factory=dict)  # variables to make before a statement

    def translate(self, source: str) -> tuple[list[str], Scope]:
        """The lines of the file, and what its scopes need: imports, notes."""
        root = tree.parse(source)
        definitions = [node for node in root.children if node.type in tree.DEFINITIONS]
        statements = [node for node in root.children if node.type not in tree.DEFINITIONS]
        for stem, text in self.siblings.items():
            for found in tree.parse(text).children:
                if found.type in tree.DEFINITIONS and text_of(name_of(found)) == stem:
                    self.functions[stem] = declared(found, stem)
        self.functions |= {text_of(name_of(node)): declared(node) for node in definitions}
        self._root = root
        scope = self.scope(statements, ())
        only = all(node.type == "comment" for node in statements if node.is_named)
        self.functions_only = bool(definitions) and only
        lines: list[str] = []
        for node in definitions:
            translated = class_lines if node.type == "class_definition" else function_lines
            lines += [*translated(self, scope, node), "", ""]
        return [*lines, *self.body(scope, statements)], scope

    def scope(self, nodes: list[Node], parameters: tuple[str, ...], objects: tuple[str, ...] = ()) -> Scope:
        """The scope of a script or function, with the kinds of its variables found."""
        names = Counter(name for node in nodes for name in tree.assignments(node))
        loops = {text_of(n.named_children[0]) for node in nodes for n in walk(node) if n.type == "iterator"}
        scope = Scope(expression, self.functions, tree.mutated_names(self._root), self.overrides)
        scope.parameters = parameters
        again = {name for name, count in names.items() if count > 1 or name in parameters}
        scope.many = again | loops | tree.assigned_in_loops(nodes)
        scope.kinds = dict.fromkeys(names)
        scope.kinds |= dict.fromkeys(parameters, "any") | dict.fromkeys(objects, "object")
        scope.kinds |= {"varargin": "cell"} if "varargin" in parameters else {}
        scope.open = any(tree.loads_all_variables(part) for node in nodes for part in walk(node))
        scope.finding = True
        before: dict[str, str | None] | None = None
        for _ in range(12):
            if scope.kinds == before:
                break
            before = dict(scope.kinds)
            for node in nodes:
                self._find(scope, node)
        scope.kinds = {name: kind or "any" for name, kind in scope.kinds.items()}
        scope.finding = False
        if scope.open:  # names that nothing else explains are variables of the file
            identifiers = (part for node in nodes for part in walk(node) if part.type == "identifier")
            free = {text_of(part) for part in identifiers if _is_free(part)} - {*FUNCTIONS, *self.functions}
            scope.kinds = {**dict.fromkeys(free, "any"), **scope.kinds}
        scope.used.clear()
        return scope

    def _find(self, scope: Scope, node: Node) -> None:
        """Notes the kinds of what a statement and those inside it assign."""
        if node.type in tree.DEFINITIONS:
            return
        if node.type == "catch_clause":
            for name in tree.caught_names(node):
                scope.join(name, "any")
        if node.type not in ("iterator", "assignment", "command", "function_call"):
            for child in node.children:
                self._find(scope, child)
            return
        try:
            if node.type == "iterator":
                scope.join(text_of(node.named_children[0]), self._sequence(scope, node.named_children[1])[1])
            elif node.type == "assignment":
                assignment(scope, node)
            elif tree.loads(node):
                call_statement(scope, node, False)
        except Undetermined:
            pass
        except (Untranslatable, SyntaxError, ValueError, RecursionError):
            for name in tree.assignments(node):
                scope.join(name, "any")

    def body(self, scope: Scope, nodes: list[Node]) -> list[str]:
        """The lines of a script or function; variables that begin as a part of themselves are made first."""
        seen = set(scope.parameters)
        outer, self._made = self._made, {}
        for node in nodes:
            for steps in map(tree.chain, tree.goals(node)):
                name = steps[0].text
                if name not in seen and len(steps) > 1 and scope.kinds.get(name) != "object":
                    self._made.setdefault(node.id, []).append(name)
                seen.add(name)
        lines = self._block(scope, nodes)
        self._made = outer
        return lines

    def _first_parts(self, scope: Scope, node: Node) -> list[str]:
        lines = []
        for name in self._made.get(node.id, []) if node.type not in tree.DEFINITIONS else []:
            empty = {"array": "Array", "cell": "Cell", "struct": "Struct"}.get(str(scope.kinds.get(name)), "")
            scope.used.update([empty] if empty else [])
            lines.append(f"{variable_name(name)} = {empty + '()' if empty else None}")
        return lines

    def _block(self, scope: Scope, nodes: list[Node]) -> list[str]:
        """The lines of statements in sequence."""
        lines: list[str] = []
        last_row, begin = None, 0
        for position, node in enumerate(nodes):
            if not node.is_named or node.type == "line_continuation":
                continue
            row = node.start_point[0]
            if node.type == "comment" and row == last_row and lines:
                behind = begin if len(lines) - begin == 2 and lines[-1].startswith("show(") else -1
                lines[behind] += f"  {' '.join(tree.comment_lines(node))}"
                continue
            if last_row is not None and row > last_row + 1:
                lines.append("")
            begin = len(lines)
            if node.type == "comment":
                lines += tree.comment_lines(node)
            else:
                rest = nodes[position + 1 :]
                echo = not (rest and rest[0].type == ";")
                more = any(n.is_named and n.type != "comment" for n in rest)
                lines += [*self._first_parts(scope, node), *self._statement(scope, node, echo, more)]
            last_row = node.end_point[0] - (node.end_point[1] == 0)
        return lines

    def _statement(self, scope: Scope, node: Node, echo: bool, more: bool) -> list[str]:
        """The lines of one statement; marked ones where it cannot be translated."""
        known = len(self.marks)
        try:
            require(not node.has_error or node.type in COMPOUND, "the grammar does not know this")
            if node.type in COMPOUND:
                return getattr(self, f"_{node.type.removesuffix('_statement')}")(scope, node)
            if node.type in _JUMPS:
                return [_JUMPS[node.type]]
            if node.type == "return_statement":
                return [self.ends[-1] if self.ends else "raise SystemExit"]
            shared = node.type in ("global_operator", "persistent_operator")
            require(not shared, "global and persistent variables")
            comments = tree.inner_comments(node)
            call = text_of(node.children[0]) if node.type == "function_call" else ""
            if node.type == "assignment":
                lines = assignment(scope, node)
                if echo:  # MATLAB shows what is assigned without a semicolon
                    shown = dict.fromkeys(
                        tree.chain(goal)[0].text for goal in tree.targets(node) if goal is not None
                    )
                    scope.used.update(["show"] if shown else [])
                    lines += [f"show({name!r}, {variable_name(name)})" for name in shown]
            elif call == "error" and more and not (self.keep_stops or self.depth or scope.local):
                return self._skipped_stop(scope, node)
            else:
                lines = call_statement(scope, node, echo)
            ast.parse("\n".join(lines))  # whatever the reason, no line may be wrong Python
            return [*comments, *(part for line in lines for part in _laid_out(line))]
        except (Untranslatable, SyntaxError, ValueError, RecursionError) as reason:
            del self.marks[known:]
            deep = isinstance(reason, RecursionError)
            return self.mark(scope, node, "it is nested too deep" if deep else str(reason))

    def mark(self, scope: Scope, node: Node, reason: str) -> list[str]:
        """A marked line that raises when it is reached."""
        reason = " ".join(reason.split())  # a reason can quote a statement of several lines
        source = [part.rstrip() for part in _quoted(node)] or [""]
        where = self._marked(node, source[0], reason)
        scope.need("not_migrated")
        quoted = [f"# MIGRATE:   {part}" for part in source]
        return [f"# MIGRATE: {where}: {reason}", *quoted, f"not_migrated({where!r}, {reason!r})"]

    def _marked(self, node: Node, source: str, reason: str, stops: bool = True) -> str:
        line = node.start_point[0] + 1
        self.marks.append(Mark(line, source, reason, stops))
        return f"{self.name}:{line}"

    def _skipped_stop(self, scope: Scope, node: Node) -> list[str]:
        source = " ".join(text_of(node).split())
        reason = "the script stops here by its own error(); left out, so that what follows can run"
        where = self._marked(node, source, reason, stops=False)
        scope.need("sys")
        shown = f"{where}: going on past the script’s own error()"
        head = f"# MIGRATE: {where}: {reason} (--keep-stops keeps it)"
        return [head, f"# MIGRATE:   {source}", f"print({shown!r}, file=sys.stderr)"]

    def _compound(self, scope: Scope, node: Node, head: str) -> list[str]:
        """A header line and the block below it; `pass` where the block is empty."""
        self.depth += 1
        lines = self._block(scope, tree.body_of(node))
        self.depth -= 1
        if not any(line and not line.startswith("#") for line in lines):
            lines.append("pass")
        return [head, *indented(lines)]

    def _condition(self, scope: Scope, node: Node) -> str:
        return ast.unparse(truth(scope, expression(scope, node.child_by_field_name("condition"))))

    def _if(self, scope: Scope, node: Node) -> list[str]:
        clauses = [node, *(c for c in node.children if c.type in ("elseif_clause", "else_clause"))]
        return self._choices(scope, clauses, lambda clause: self._condition(scope, clause))

    def _switch(self, scope: Scope, node: Node) -> list[str]:
        value = expression(scope, node.child_by_field_name("condition"))
        clauses = [c for c in node.children if c.type in ("case_clause", "otherwise_clause")]
        simple = isinstance(value.node, ast.Name | ast.Constant)
        before = [] if simple else [f"switch_value = {ast.unparse(value.node)}"]
        name = value.node if simple else ast.Name("switch_value", ast.Load())

        def condition(clause: Node) -> str:
            case = expression(scope, clause.child_by_field_name("condition"))
            texts = case.node.args if isinstance(case.node, ast.Call) and case.kind == "cell" else [case.node]
            if value.kind == "text" and all(isinstance(literal(text), str) for text in texts):
                operator = ast.Eq() if len(texts) == 1 else ast.In()
                other = texts[0] if len(texts) == 1 else ast.Tuple(texts, ast.Load())
                return ast.unparse(ast.Compare(name, [operator], [other]))
            return ast.unparse(scope.call("matches", name, case.node))

        require(not clauses or clauses[0].type == "case_clause", "a switch without cases")
        return [*before, *self._choices(scope, clauses, condition)]

    def _choices(self, scope: Scope, clauses: list[Node], condition: Callable[[Node], str]) -> list[str]:
        """if, elif and else."""
        lines, word = [], "if"
        for clause in clauses:
            last = clause.type in ("else_clause", "otherwise_clause")
            head, word = ("else:", word) if last else (f"{word} {condition(clause)}:", "elif")
            lines += self._compound(scope, clause, head)
        return lines

    def _sequence(self, scope: Scope, source: Node) -> tuple[ast.expr, str]:
        """What a loop runs over, and the kind of its variable."""
        group = grouped(source)
        while not isinstance(group, Operation) and group.type == "parenthesis":
            group = grouped(named(group)[0])
        if not (isinstance(group, Operation) and group.kind == "range"):
            value = expression(scope, source)
            kind = {"cell": "cell", "text": "text", "array": "num", "num": "num"}.get(value.kind, "any")
            return scope.call("columns", value.node), kind
        parts = [expression(scope, part) for part in group.operands]
        step = literal(parts[1].node) if len(parts) == 3 else 1
        if {part.kind for part in parts} == {"int"} and isinstance(step, int) and step:
            last, beyond = literal(parts[-1].node), 1 if step > 0 else -1
            stop = scope.python("N + 1" if step > 0 else "N - 1", N=parts[-1].node)
            stop = stop if last is None else ast.Constant(last + beyond)
            steps = [ast.Constant(step)] if step != 1 else []
            return ast.Call(ast.Name("range", ast.Load()), [parts[0].node, stop, *steps], []), "int"
        numbers = any(part.kind in ("int", "real", "bool", "scalar") for part in parts)
        values = scope.call("colon", *(part.node for part in parts))
        return (values, "real") if numbers else (scope.call("columns", values), "any")

    def _for(self, scope: Scope, node: Node) -> list[str]:
        target, source = named(next(child for child in node.children if child.type == "iterator"))
        name, python_name = text_of(target), variable_name(text_of(target))
        values = ast.unparse(self._sequence(scope, source)[0])
        lines = self._compound(scope, node, f"for {python_name} in {values}:")
        if name in scope.mutated:
            scope.need("copied")
            lines.insert(1, f"{INDENT}{python_name} = copied({python_name})")
        around = node
        while around.parent is not None and around.type != "function_definition":
            around = around.parent
        uses = [part for part in walk(around) if part.type == "identifier" and text_of(part) == name]
        inside = sum(part.type == "identifier" and text_of(part) == name for part in walk(node))
        other_loops = any(p.parent.type == "iterator" and p.parent.parent.id != node.id for p in uses)
        if len(uses) > inside and not other_loops:  # it is read after the loop, which may run no turn
            scope.need("Array")
            lines.insert(0, f"{python_name} = Array()")
        return lines

    def _while(self, scope: Scope, node: Node) -> list[str]:
        return self._compound(scope, node, f"while {self._condition(scope, node)}:")

    def _try(self, scope: Scope, node: Node) -> list[str]:
        lines = self._compound(scope, node, "try:")
        clause = next((child for child in node.children if child.type == "catch_clause"), None)
        require(clause is not None, "try without catch")
        name = next(iter(tree.caught_names(clause)), "")
        scope.need("caught")
        lines.append("except Exception as problem:")
        lines.append(f"{INDENT}{variable_name(name) + ' = ' if name else ''}caught(problem)")
        return [*lines, *(line for line in self._compound(scope, clause, "")[1:] if line.strip() != "pass")]


def _is_free(node: Node) -> bool:
    """Whether an identifier is neither a field nor a function of MATLAB."""
    parent, name = node.parent, text_of(node)
    inside = parent is not None and parent.type == "field_expression"
    if inside and parent.child_by_field_name("object").id != node.id:
        return False
    special = name in CONSTANTS or name in ("exist", "struct", "load", "save", "setup", "containers")
    return not special and language_name(name) is None


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
