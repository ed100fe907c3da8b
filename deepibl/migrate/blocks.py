"""Statements with blocks below them: if, for, while, switch, try, functions; and what leaves them."""

import ast
from collections.abc import Callable
from typing import TYPE_CHECKING

from deepibl.migrate.expressions import truth
from deepibl.migrate.names import ELEMENT, INTEGERS, LISTS, ROWS
from deepibl.migrate.scope import Scope, literal, require, variable_name
from deepibl.migrate.tree import Node, named, text_of

if TYPE_CHECKING:
    from deepibl.migrate.script import ScriptTranslator

INDENT = "    "
Handler = Callable[["ScriptTranslator", Scope, Node], list[str]]


def _if(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    ways = []
    lines: list[str] = []
    word = "if"
    has_else = False
    for clause in [
        node,
        *(child for child in node.children if child.type in ("elseif_clause", "else_clause")),
    ]:
        way = scope.branch()
        if clause.type == "else_clause":
            has_else, head = True, "else:"
        else:
            condition = truth(scope, scope.expr(clause.child_by_field_name("condition")))
            head = f"{word} {ast.unparse(condition)}:"
            word = "elif"
        lines += script.compound(way, clause, head)
        ways.append(way)
    scope.merge(*ways, *([] if has_else else [scope.branch()]))
    return lines


def _for(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    iterator = next(child for child in node.children if child.type == "iterator")
    target, source = named(iterator)
    name = text_of(target)

    def body(turn: Scope) -> list[str]:
        sequence, kind = _sequence(turn, source)
        require(kind not in LISTS or name not in turn.mutated, "a loop over cells whose variable is changed")
        turn.set_kind(name, kind)
        return script.compound(turn, node, f"for {variable_name(name)} in {ast.unparse(sequence)}:")

    return script.settled(scope, body)


def _sequence(scope: Scope, node: Node) -> tuple[ast.expr, str]:
    """What a loop runs over, and the kind of its variable."""
    if node.type == "range":
        parts = [scope.expr(part) for part in named(node)]
        step = literal(parts[1].node) if len(parts) == 3 else 1
        if all(part.kind in INTEGERS for part in parts) and isinstance(step, int) and step:
            stop = scope.python("N + 1" if step > 0 else "N - 1", N=parts[-1].node)
            stop = (
                ast.Constant(literal(parts[-1].node) + (1 if step > 0 else -1))
                if literal(parts[-1].node) is not None
                else stop
            )
            arguments = [parts[0].node, stop, *([ast.Constant(step)] if step != 1 else [])]
            positive = step > 0 and parts[0].kind == "count"
            return ast.Call(scope.python("range"), arguments, []), "count" if positive else "int"
        value = scope.expr(node)
        return value.node, "int" if value.kind == "ints" else "number"
    value = scope.expr(node)
    if value.kind in LISTS:  # each turn has a cell array of one
        return scope.python("[[cell] for cell in X]", X=value.node), value.kind
    require(
        value.kind in {*ROWS, "ids"} and value.turn in ("row", "empty"),
        "a loop over what may be a column (one turn with all of it in MATLAB)",
    )
    return value.node, ELEMENT[value.kind]


def _while(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    def body(turn: Scope) -> list[str]:
        condition = truth(turn, turn.expr(node.child_by_field_name("condition")))
        return script.compound(turn, node, f"while {ast.unparse(condition)}:")

    return script.settled(scope, body)


def _switch(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    value = scope.expr(node.child_by_field_name("condition"))
    ways, lines = [], []
    word, has_default = "if", False
    for clause in node.children:
        if clause.type not in ("case_clause", "otherwise_clause"):
            continue
        way = scope.branch()
        if clause.type == "otherwise_clause":
            has_default, head = True, "else:"
        else:
            case = scope.expr(clause.child_by_field_name("condition"))
            sign = "in" if case.kind in LISTS else "=="
            head = f"{word} {ast.unparse(value.node)} {sign} {ast.unparse(case.node)}:"
            word = "elif"
        require(word == "elif", "a switch without cases")
        lines += script.compound(way, clause, head)
        ways.append(way)
    scope.merge(*ways, *([] if has_default else [scope.branch()]))
    return lines


def _try(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    tried, caught = scope.branch(), scope.branch()
    lines = script.compound(tried, node, "try:")
    caught.merge(scope.branch(), tried)
    clause = next((child for child in node.children if child.type == "catch_clause"), None)
    require(clause is not None, "try without catch")
    error = [text_of(child) for child in clause.children if child.type == "identifier"] if clause else []
    head = "except Exception:"
    if error:
        caught.set_kind(error[0], "any")
        head = f"except Exception as {variable_name(error[0])}:"
    lines += script.compound(caught, clause, head)
    scope.merge(tried, caught)
    return lines


def _function(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    name = text_of(node.child_by_field_name("name"))
    reason = f"the function {name}: functions of a script's own are not translated"
    lines = script.mark(scope, node, reason)
    return [f"def {variable_name(name)}(*arguments):", *(f"{INDENT}{line}" for line in lines)]


def _word(text: str) -> Handler:
    def jump(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
        scope.jumps.append(scope.branch())
        return [text]

    return jump


def _return(script: "ScriptTranslator", scope: Scope, node: Node) -> list[str]:
    return ["raise SystemExit"]


STATEMENTS: dict[str, Handler] = {
    "if_statement": _if,
    "for_statement": _for,
    "while_statement": _while,
    "switch_statement": _switch,
    "try_statement": _try,
    "function_definition": _function,
    "break_statement": _word("break"),
    "continue_statement": _word("continue"),
    "return_statement": _return,
}
COMPOUND = {"if_statement", "for_statement", "while_statement", "switch_statement", "try_statement"}
