"""Scripts, function files and classes: statement after statement into Python lines, what cannot be
translated marked."""

import ast
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deepibl.migrate.expressions import expression, truth
from deepibl.migrate.names import function_name, library_names, variable_name
from deepibl.migrate.precedence import Operation, grouped
from deepibl.migrate.scope import Function, Scope, Undetermined, literal, require
from deepibl.migrate.statements import assignment, call_statement
from deepibl.migrate.tree import (
    DEFINITIONS,
    Node,
    Untranslatable,
    assigned_in_loops,
    assigned_names,
    assignments,
    caught_names,
    chain,
    comment_lines,
    goals,
    inner_comments,
    loads,
    loads_all_variables,
    mutated_names,
    named,
    parse,
    targets,
    text_of,
    walk,
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
    """The translation of one file; `name` is its name in marks. siblings: .m files beside it, by their
    stems."""

    name: str
    keep_stops: bool = False
    overrides: Mapping[tuple[str, str], Any] = field(default_factory=dict)
    siblings: Mapping[str, str] = field(default_factory=dict)
    marks: list[Mark] = field(default_factory=list)
    functions: dict[str, Function] = field(default_factory=dict)
    depth: int = 0
    functions_only: bool = False
    ends: list[str] = field(default_factory=list)  # what `return` becomes, innermost last

    def translate(self, source: str) -> tuple[list[str], Scope]:
        """The lines of the file, and what its scopes need: imports, notes."""
        root = parse(source)
        definitions = [node for node in root.children if node.type in DEFINITIONS]
        for stem, text in self.siblings.items():
            for found in parse(text).children:
                if found.type in DEFINITIONS and text_of(_name_of(found)) == stem:
                    self.functions[stem] = _declared(found, stem)
        for node in definitions:
            self.functions[text_of(_name_of(node))] = _declared(node)
        self._root = root
        scope = self._scope([node for node in root.children if node.type not in DEFINITIONS], ())
        lines: list[str] = []
        self.functions_only = len(definitions) > 0 and all(
            node.type in (*DEFINITIONS, "comment") for node in root.children if node.is_named
        )
        for node in definitions:
            lines += [*self._definition(scope, node), "", ""]
        return [
            *lines,
            *self._body(scope, [node for node in root.children if node.type not in DEFINITIONS]),
        ], scope

    def _scope(self, nodes: list[Node], parameters: tuple[str, ...], objects: tuple[str, ...] = ()) -> Scope:
        """The scope of a script or function, with the kinds of its variables found."""
        names = Counter(name for node in nodes for name in assignments(node))
        loops = {
            text_of(node.named_children[0]) for n in nodes for node in walk(n) if node.type == "iterator"
        }
        scope = Scope(self.functions, mutated_names(self._root), self.overrides)
        scope.parameters = parameters
        scope.many = (
            {name for name, count in names.items() if count > 1 or name in parameters}
            | loops
            | assigned_in_loops(nodes)
        )
        scope.kinds = dict.fromkeys(names)
        scope.kinds |= dict.fromkeys(parameters, "any") | dict.fromkeys(objects, "object")
        scope.kinds |= {"varargin": "cell"} if "varargin" in parameters else {}
        scope.open = any(loads_all_variables(part) for node in nodes for part in walk(node))
        scope.finding = True
        for _ in range(12):
            before = dict(scope.kinds)
            for node in nodes:
                self._find(scope, node)
            if scope.kinds == before:
                break
        scope.kinds = {name: kind or "any" for name, kind in scope.kinds.items()}
        scope.finding = False
        if scope.open:
            known = {*library_names(), *self.functions}
            for part in (part for node in nodes for part in walk(node) if part.type == "identifier"):
                name = text_of(part)
                if name not in scope.kinds and name not in known and _is_free(scope, part):
                    scope.kinds[name] = "any"
        scope.used.clear()
        return scope

    def _find(self, scope: Scope, node: Node) -> None:
        """Notes the kinds of what a statement and those inside it assign."""
        if node.type in DEFINITIONS:
            return
        if node.type == "iterator":
            name, source = text_of(node.named_children[0]), node.named_children[1]
            try:
                scope.join(name, self._sequence(scope, source)[1])
            except Undetermined:
                pass
            except Untranslatable:
                scope.join(name, "any")
            return
        if node.type == "catch_clause":
            for name in caught_names(node):
                scope.join(name, "any")
        if node.type in ("assignment", "command", "function_call"):
            try:
                if node.type == "assignment":
                    assignment(scope, node)
                elif loads(node):
                    call_statement(scope, node, False)
            except Undetermined:
                pass
            except (Untranslatable, SyntaxError, ValueError, RecursionError):
                for name in assigned_names(node):
                    scope.join(name, "any")
            return
        for child in node.children:
            self._find(scope, child)

    def _body(self, scope: Scope, nodes: list[Node]) -> list[str]:
        """The lines of a script or function; variables that begin as a part of themselves are made first."""
        seen = set(scope.parameters)
        self._made: dict[int, list[str]] = {}
        for node in nodes:
            for goal in goals(node):
                name = chain(goal)[0].text
                if name not in seen and len(chain(goal)) > 1 and scope.kinds.get(name) != "object":
                    self._made.setdefault(node.id, []).append(name)
                seen.add(name)
        return self._block(scope, nodes)

    def _first_parts(self, scope: Scope, node: Node) -> list[str]:
        lines = []
        for name in self._made.get(node.id, []) if node.type not in DEFINITIONS else []:
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
                lines += [*self._first_parts(scope, node), *self._statement(scope, node, echo, more)]
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
                return [_JUMPS[node.type]]
            if node.type == "return_statement":
                return [self.ends[-1] if self.ends else "raise SystemExit"]
            require(
                node.type not in ("global_operator", "persistent_operator"), "global and persistent variables"
            )
            comments = inner_comments(node)
            if node.type == "assignment":
                lines = assignment(scope, node)
                if echo:  # MATLAB shows what is assigned without a semicolon
                    shown = dict.fromkeys(
                        chain(target)[0].text for target in targets(node) if target is not None
                    )
                    scope.used.update(["show"] if shown else [])
                    lines += [f"show({name!r}, {variable_name(name)})" for name in shown]
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
        """A marked line that raises when it is reached."""
        line = node.start_point[0] + 1
        reason = " ".join(reason.split())  # a reason can quote a statement of several lines
        source = [part.rstrip() for part in _quoted(node).splitlines()] or [""]
        self.marks.append(Mark(line, source[0], reason))
        scope.need("not_migrated")
        where = f"{self.name}:{line}"
        quoted = [f"# MIGRATE:   {part}" for part in source]
        return [f"# MIGRATE: {where}: {reason}", *quoted, f"not_migrated({where!r}, {reason!r})"]

    def _stops_script(self, scope: Scope, node: Node) -> bool:
        return (
            self.depth == 0
            and not scope.local
            and node.type == "function_call"
            and text_of(node.children[0]) == "error"
        )

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
        self.depth += 1
        lines = self._block(scope, inner)
        self.depth -= 1
        if not any(line and not line.startswith("#") for line in lines):
            lines.append("pass")
        return [head, *(f"{INDENT}{line}" if line else "" for line in lines)]

    def _if(self, scope: Scope, node: Node) -> list[str]:
        clauses = [node, *(c for c in node.children if c.type in ("elseif_clause", "else_clause"))]

        def condition(clause: Node) -> str:
            return ast.unparse(_condition(scope, clause.child_by_field_name("condition")))

        return self._choices(scope, clauses, condition)

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
                if len(texts) == 1:
                    return ast.unparse(ast.Compare(name, [ast.Eq()], [texts[0]]))
                return ast.unparse(ast.Compare(name, [ast.In()], [ast.Tuple(texts, ast.Load())]))
            return ast.unparse(scope.call("matches", name, case.node))

        require(not clauses or clauses[0].type == "case_clause", "a switch without cases")
        return [*before, *self._choices(scope, clauses, condition)]

    def _choices(self, scope: Scope, clauses: list[Node], condition: Callable[[Node], str]) -> list[str]:
        """if, elif and else."""
        lines, word = [], "if"
        for clause in clauses:
            if clause.type in ("else_clause", "otherwise_clause"):
                head = "else:"
            else:
                head, word = f"{word} {condition(clause)}:", "elif"
            lines += self._compound(scope, clause, head)
        return lines

    def _sequence(self, scope: Scope, source: Node) -> tuple[ast.expr, str]:
        """What a loop runs over, and the kind of its variable."""
        group = grouped(source)
        while not isinstance(group, Operation) and group.type == "parenthesis":
            group = grouped(named(group)[0])
        if isinstance(group, Operation) and group.kind == "range":
            parts = [expression(scope, part) for part in group.operands]
            step = literal(parts[1].node) if len(parts) == 3 else 1
            if {part.kind for part in parts} == {"int"} and isinstance(step, int) and step:
                last = literal(parts[-1].node)
                stop = scope.python("N + 1" if step > 0 else "N - 1", N=parts[-1].node)
                if last is not None:
                    stop = ast.Constant(last + (1 if step > 0 else -1))
                arguments = [parts[0].node, stop, *([ast.Constant(step)] if step != 1 else [])]
                return ast.Call(ast.Name("range", ast.Load()), arguments, []), "int"
            return scope.call("colon", *(part.node for part in parts)), "real"
        value = expression(scope, source)
        kind = (
            "cell"
            if value.kind == "cell"
            else "text"
            if value.kind == "text"
            else "num"
            if value.kind in ("array", "num")
            else "any"
        )
        return scope.call("columns", value.node), kind

    def _for(self, scope: Scope, node: Node) -> list[str]:
        target, source = named(next(child for child in node.children if child.type == "iterator"))
        name = text_of(target)
        sequence, _ = self._sequence(scope, source)
        lines = self._compound(scope, node, f"for {variable_name(name)} in {ast.unparse(sequence)}:")
        if name in scope.mutated:
            scope.need("copied")
            lines.insert(1, f"{INDENT}{variable_name(name)} = copied({variable_name(name)})")
        inside = sum(text_of(part) == name for part in walk(node) if part.type == "identifier")
        everywhere = sum(
            text_of(part) == name for part in walk(self._function_of(node)) if part.type == "identifier"
        )
        others = (part for part in walk(self._function_of(node)) if part.type == "iterator")
        other_loops = any(
            text_of(part.named_children[0]) == name and part.parent.id != node.id for part in others
        )
        if everywhere > inside and not other_loops:  # it is read after the loop, which may run no turn
            scope.need("Array")
            lines.insert(0, f"{variable_name(name)} = Array()")
        return lines

    def _function_of(self, node: Node) -> Node:
        while node.parent is not None and node.type != "function_definition":
            node = node.parent
        return node

    def _while(self, scope: Scope, node: Node) -> list[str]:
        return self._compound(
            scope, node, f"while {ast.unparse(_condition(scope, node.child_by_field_name('condition')))}:"
        )

    def _try(self, scope: Scope, node: Node) -> list[str]:
        lines = self._compound(scope, node, "try:")
        clause = next((child for child in node.children if child.type == "catch_clause"), None)
        require(clause is not None, "try without catch")
        name = next(iter(caught_names(clause)), "")
        scope.need("caught")
        lines.append("except Exception as problem:")
        lines.append(f"{INDENT}{variable_name(name) + ' = ' if name else ''}caught(problem)")
        return [*lines, *(line for line in self._compound(scope, clause, "")[1:] if line.strip() != "pass")]

    def _definition(self, outer: Scope, node: Node) -> list[str]:
        return self._class(outer, node) if node.type == "class_definition" else self._function(outer, node)

    def _function(self, outer: Scope, node: Node, owner: str = "") -> list[str]:
        """A function, or a method of the class `owner`."""
        name = text_of(_name_of(node))
        declared = _declared(node)
        parameters = _parameters(node)
        outputs = _outputs(node)
        body = [
            part
            for child in node.children
            if child.type in ("block", "comment")
            for part in (child.children if child.type == "block" else [child])
        ]
        constructor = bool(owner) and name == owner
        objects = (outputs[0],) if constructor else tuple(parameters[:1]) if owner else ()
        try:
            require(not any(part.type in DEFINITIONS for part in body), "a function inside a function")
            require("varargout" not in outputs, "varargout")
            scope = self._scope(body, tuple(parameters), objects)
        except Untranslatable as reason:
            return [
                f"def {function_name(name)}(*arguments):",
                *(f"{INDENT}{line}" for line in self._mark(outer, node, str(reason))),
            ]
        scope.local = True
        scope.kinds |= {output: scope.kinds.get(output) or "any" for output in outputs}
        names = [variable_name(p) if p.isidentifier() else f"_{i}" for i, p in enumerate(parameters)]
        starred = bool(parameters) and parameters[-1] == "varargin"
        plain = names[:-1] if starred else names
        counted = {text_of(part) for part in walk(node) if part.type in ("identifier", "command_name")}
        optional = bool({"nargin", "exist", "narginchk"} & counted)
        first = plain[1:] if owner and not constructor else plain
        listed = [f"{p}=None" if optional and p in first else p for p in plain]
        listed = ([objects[0]] if constructor else []) + listed + (["*varargin"] if starred else [])
        if declared.takes_nargout and not constructor:
            listed.append("nargout=1")
        ending = _return(scope, outputs, declared) if not constructor else "return"
        self.ends.append(ending or "return")
        self.depth += 1
        depth_made = getattr(self, "_made", {})
        lines = self._body(scope, body)
        self._made = depth_made
        self.depth -= 1
        self.ends.pop()
        head: list[str] = []
        while lines and lines[0].startswith("#"):
            head.append(lines.pop(0))
        start = (
            [f'"""{" ".join(line.lstrip("# ") for line in head).strip()}"""']
            if head and '"""' not in "".join(head) and "\\" not in "".join(head)
            else head
        )
        if "nargin" in counted:
            scope.need("given")
            start.append(f"nargin = given({', '.join([*first, *(['*varargin'] if starred else [])])})")
        if starred:
            scope.need("Cell")
            start.append("varargin = Cell(*varargin)")
        copies = [p for p in parameters if p in scope.mutated and p not in objects and p != "varargin"]
        if copies:
            scope.need("copied")
        start += [f"{variable_name(p)} = copied({variable_name(p)})" for p in copies]
        end = [ending] if ending and not constructor and not (lines and lines[-1] == ending) else []
        outer.used |= scope.used
        outer.notes += scope.notes
        python_name = "__init__" if constructor else name if owner else function_name(name)
        whole = [*start, *lines, *end] or ["pass"]
        if not any(line and not line.startswith("#") for line in whole):
            whole.append("pass")
        return [
            f"def {python_name}({', '.join(listed)}):",
            *(f"{INDENT}{line}" if line else "" for line in whole),
        ]

    def _class(self, outer: Scope, node: Node) -> list[str]:
        """A handle class; its properties as attributes of the class, its methods."""
        name = text_of(_name_of(node))
        bases = [
            text_of(part) for child in node.children if child.type == "superclasses" for part in named(child)
        ]
        try:
            require(
                bool(bases) and set(bases) <= {"handle", *library_names(), *self.functions},
                "a class that is not a handle class (< handle, < dbBase)",
            )
            kinds = {child.type for child in node.children if child.is_named}
            require(
                kinds <= {"identifier", "superclasses", "properties", "methods", "comment"},
                "events, enumerations and attributes of a class",
            )
            require(not node.has_error, "the grammar does not know this")
        except Untranslatable as reason:
            return [f"class {name}:", *(f"{INDENT}{line}" for line in self._mark(outer, node, str(reason)))]
        parents = [base for base in bases if base != "handle"]
        for base in parents:
            outer.need(f"{self.functions[base].module}:{base}" if base in self.functions else base)
        lines: list[str] = []
        for child in node.children:
            if child.type == "properties":
                for prop in named(child):
                    value = next((part for part in named(prop) if part.type == "default_value"), None)
                    default = ast.unparse(expression(outer, named(value)[0]).node) if value else "Array()"
                    outer.need("Array")
                    lines.append(f"{INDENT}{text_of(named(prop)[0])} = {default}")
            for method in named(child) if child.type == "methods" else []:
                if method.type == "function_definition":
                    lines += [
                        "",
                        *(f"{INDENT}{line}" if line else "" for line in self._function(outer, method, name)),
                    ]
        head = [
            f"{INDENT}{line}"
            for child in node.children
            if child.type == "comment"
            for line in comment_lines(child)
        ]
        return [
            f"class {name}{'(' + ', '.join(parents) + ')' if parents else ''}:",
            *head,
            *(lines or [f"{INDENT}pass"]),
        ]


_HANDLERS = {
    "if_statement": ScriptTranslator._if,
    "for_statement": ScriptTranslator._for,
    "while_statement": ScriptTranslator._while,
    "switch_statement": ScriptTranslator._switch,
    "try_statement": ScriptTranslator._try,
}


def _condition(scope: Scope, node: Node) -> ast.expr:
    return truth(scope, expression(scope, node))


def _name_of(node: Node) -> Node:
    return node.child_by_field_name("name") or next(c for c in node.children if c.type == "identifier")


def _parameters(node: Node) -> list[str]:
    found = next((child for child in node.children if child.type == "function_arguments"), None)
    return [text_of(part) for part in named(found)] if found else []


def _outputs(node: Node) -> list[str]:
    found = next((child for child in node.children if child.type == "function_output"), None)
    if found is None:
        return []
    inner = named(found)[0]
    return (
        [text_of(part) for part in named(inner)] if inner.type == "multioutput_variable" else [text_of(inner)]
    )


def _declared(node: Node, module: str = "") -> Function:
    if node.type == "class_definition":
        return Function(1, False, module, is_class=True)
    outputs = _outputs(node)
    uses = any(
        text_of(part) == "nargout" for part in walk(node) if part.type in ("identifier", "command_name")
    )
    return Function(
        len(outputs), len(outputs) > 1 or uses or (bool(outputs) and not _certain(node, outputs[0])), module
    )


def _certain(node: Node, output: str) -> bool:
    """Whether the function assigns its output in any case."""
    if output in _parameters(node):
        return True
    if any(part.type == "return_statement" for part in walk(node)):
        return False
    body = next((child for child in node.children if child.type == "block"), None)
    found = [part for part in (body.children if body else []) if part.type == "assignment"]
    return any(
        target is not None and chain(target)[0].text == output for part in found for target in targets(part)
    )


def _return(scope: Scope, outputs: list[str], declared: Function) -> str:
    if not outputs:
        return ""
    if not declared.takes_nargout:
        return f"return {variable_name(outputs[0])}"
    scope.need("returned")
    return (
        f"return returned(locals(), nargout, {', '.join(repr(variable_name(output)) for output in outputs)})"
    )


def _is_free(scope: Scope, node: Node) -> bool:
    """Whether an identifier is neither a field, a parameter nor a known function."""
    from deepibl.migrate.names import CONSTANTS, language_name

    parent = node.parent
    if (
        parent is not None
        and parent.type == "field_expression"
        and parent.child_by_field_name("object").id != node.id
    ):
        return False
    name = text_of(node)
    return (
        name not in CONSTANTS
        and language_name(name) is None
        and name not in ("exist", "struct", "load", "save", "setup")
    )


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
