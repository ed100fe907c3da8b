"""MATLAB source as a syntax tree: tree-sitter's grammar, and what the translator asks of its nodes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deepibl.errors import ConfigurationError

Node = Any  # tree_sitter.Node; the package is an optional extra
DEFINITIONS = {"function_definition", "class_definition"}


class Untranslatable(Exception):
    """Why a piece of MATLAB cannot be translated; becomes a marked line, never reaches the user as such."""


@dataclass(frozen=True)
class Access:
    """One step of a chain like a.b{2}(3): kind 'name', 'field', 'dynamic', '(' or '{'."""

    kind: str
    text: str = ""
    nodes: tuple[Node, ...] = ()


def parse(source: str) -> Node:
    """The root of the tree of a MATLAB file. Raises ConfigurationError where tree-sitter is not installed."""
    try:
        import tree_sitter
        import tree_sitter_matlab
    except ImportError:
        needed = "tree-sitter and its MATLAB grammar: pip install 'deepibl[migrate]'"
        raise ConfigurationError(f"reading MATLAB scripts needs {needed}") from None
    parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_matlab.language()))
    ended = source if source.endswith("\n") else source + "\n"  # the grammar wants the last line ended
    return parser.parse(ended.encode()).root_node


def text_of(node: Node) -> str:
    """The source text of a node."""
    return node.text.decode()


def named(node: Node) -> list[Node]:
    """The named children without comments."""
    return [child for child in node.named_children if child.type not in ("comment", "line_continuation")]


def chain(node: Node) -> list[Access]:
    """a.b{2}(3).c as its steps, whatever nesting the grammar gives it."""
    if node.type == "identifier":
        return [Access("name", text_of(node))]
    if node.type == "function_call":
        bracket = next((child.type for child in node.children if child.type in ("(", "{")), "")
        if not bracket:  # a@b, a method of a superclass, which is not a known name
            return [Access("name", text_of(node))]
        return [*chain(node.child_by_field_name("name")), Access(bracket, nodes=tuple(arguments(node)))]
    if node.type == "field_expression":
        steps = chain(node.child_by_field_name("object"))
        for part in node.children_by_field_name("field"):
            if part.type == "indirect_access":
                steps.append(Access("dynamic", nodes=tuple(named(part))))
                continue
            first, *rest = chain(part)
            steps += [Access("field", first.text), *rest]
        return steps
    return [Access("value", nodes=(node,))]


def arguments(call: Node) -> list[Node]:
    """The arguments of a call or an index."""
    found = next((child for child in call.children if child.type == "arguments"), None)
    return [] if found is None else named(found)


def string_value(node: Node) -> str:
    """The value of a string literal, its doubled quotes single; \\n stays two letters, read by sprintf."""
    raw = text_of(node)
    quote, inner = raw[0], raw[1:-1]
    return inner.replace(quote * 2, quote)


def comment_lines(node: Node) -> list[str]:
    """A comment's lines as Python comments; a block %{ … %} becomes several, %% stays a cell's start."""
    lines, block = [], False
    for line in map(str.strip, text_of(node).splitlines()):
        if line in ("%{", "%}"):
            block = line == "%{"
            continue
        body = line if block or line.startswith("%%") else line.removeprefix("%")
        blank = block or line.startswith("%%") or body[:1] not in ("", " ")
        lines.append(f"#{' ' if blank else ''}{body}".rstrip())
    return lines


def inner_comments(node: Node) -> list[str]:
    """Comments inside a statement: behind `...` and on lines of their own."""
    found = []
    for child in node.children:
        if child.type == "comment":
            found += comment_lines(child)
        elif child.type == "line_continuation":
            rest = text_of(child).lstrip(".").strip()
            found += ["# " + rest.removeprefix("%").strip()] if rest else []
        else:
            found += inner_comments(child)
    return found


def walk(node: Node, definitions: bool = True) -> Iterator[Node]:
    """The node and all below it; definitions: also inside functions and classes."""
    todo = [node]
    while todo:
        yield (found := todo.pop())
        if definitions or found.type not in DEFINITIONS:
            todo += reversed(found.children)


def _targets_in(node: Node, definitions: bool = True) -> list[Node]:
    """The left sides of all assignments in a piece of a script."""
    assigned = (part for part in walk(node, definitions) if part.type == "assignment")
    return [target for part in assigned for target in targets(part) if target is not None]


def body_of(node: Node) -> list[Node]:
    """The statements and comments of a compound statement or a definition."""
    parts = (child for child in node.children if child.type in ("block", "comment"))
    return [part for child in parts for part in (child.children if child.type == "block" else [child])]


def mutated_names(node: Node) -> set[str]:
    """The variables of which an element or field is assigned."""
    return {chain(target)[0].text for target in _targets_in(node) if target.type != "identifier"}


def targets(assignment: Node) -> list[Node | None]:
    """The left side of an assignment, None for each ~."""
    left = assignment.child_by_field_name("left")
    if left.type != "multioutput_variable":
        return [left]
    return [None if part.type == "ignored_argument" else part for part in named(left)]


def goals(node: Node) -> list[Node]:
    """The left sides of all assignments in a statement, in their order; not those of definitions."""
    return [target for target in _targets_in(node, False) if chain(target)[0].kind == "name"]


def assignments(node: Node) -> list[str]:
    """The variables that a statement assigns, once for each time."""
    found = [chain(goal)[0].text for goal in goals(node)]
    found += [text_of(part.named_children[0]) for part in walk(node) if part.type == "iterator"]
    found += [name for part in walk(node) if part.type == "catch_clause" for name in caught_names(part)]
    return found + [name for part in walk(node) if loads(part) for name in loaded_names(part)]


def assigned_in_loops(nodes: list[Node]) -> set[str]:
    """The variables that are assigned inside a loop."""
    parts = (part for node in nodes for part in walk(node))
    loops = (part for part in parts if part.type in ("for_statement", "while_statement"))
    return {name for loop in loops for name in assignments(loop)}


def caught_names(clause: Node) -> list[str]:
    """The variable of a catch, or none."""
    names = (child for child in clause.children if child.type == "identifier")
    return [text_of(child) for child in names if child.start_point[0] == clause.start_point[0]][:1]


def loads(node: Node) -> bool:
    """Whether a statement loads variables of a file into the script."""
    if node.type == "command":
        return text_of(named(node)[0]) == "load"
    if node.type != "function_call" or text_of(node.children[0]) != "load":
        return False  # finding the parent takes time in proportion to the depth: only where it matters
    return node.parent is not None and node.parent.type in ("source_file", "block")


def loaded_names(node: Node) -> list[str]:
    """The variables that such a statement names."""
    words = named(node)[1:] if node.type == "command" else chain(node)[1].nodes
    return [name for name in (text_of(word).strip("'\"") for word in list(words)[1:]) if name.isidentifier()]


def loads_all_variables(node: Node) -> bool:
    """Whether it names none, so that all of them are loaded."""
    return loads(node) and not loaded_names(node)
