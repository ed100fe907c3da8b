"""Expressions grouped by MATLAB's precedence of operators, whatever grouping the grammar gave them.

From the tightest: transpose and power; sign and not; * / \\ and their dotted forms; + -; the range `:`;
comparisons; &; |; &&; ||. All group from the left. The sign of an exponent (2^-1) belongs to the exponent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deepibl.migrate.tree import Node, Untranslatable, text_of

_LEVELS = [
    set(level.split()) for level in ("||", "&&", "|", "&", "< <= > >= == ~=", ":", "+ -", "* / \\ .* ./ .\\")
]
_POWERS = {"^", ".^"}
_BEHIND = {*_POWERS, "'", ".'"}
_SIGNS = {"+", "-", "~"}
_NESTED = {
    "range",
    *(f"{kind}_operator" for kind in ("binary", "comparison", "boolean", "unary", "not", "postfix")),
}


@dataclass(frozen=True)
class Operation:
    """An operator and its operands: kind 'binary', 'unary', 'postfix', 'range' or 'lambda'.

    sign: the operator. operands: Operations, and nodes of the tree that are not operators.
    """

    kind: str
    sign: str
    operands: tuple[Any, ...]


def _tokens(node: Node) -> list[Any]:
    """Operators as strings and everything else as nodes, as they stand in the source."""
    if node.type == "lambda":
        return [("lambda", node), *_tokens(node.child_by_field_name("expression"))]
    if node.type == "_expression":
        return _tokens(node.named_children[0])
    if node.type not in _NESTED:
        return [node]
    found: list[Any] = []
    for child in node.children:
        if child.is_named and child.type not in ("comment", "line_continuation"):
            found += _tokens(child)
        elif not child.is_named:
            found.append(text_of(child))
    return found


class _Parser:
    def __init__(self, tokens: list[Any]) -> None:
        self.left = tokens

    def next_is(self, signs: set[str]) -> bool:
        return bool(self.left) and isinstance(self.left[0], str) and self.left[0] in signs

    def level(self, place: int) -> Any:
        if place == len(_LEVELS):
            return self.signed(self.power)
        signs, first = _LEVELS[place], self.level(place + 1)
        if signs == {":"}:
            parts = [first]
            while self.next_is(signs):
                self.left.pop(0)
                parts.append(self.level(place + 1))
            if len(parts) > 3:
                raise Untranslatable("a range of more than three parts")
            return first if len(parts) == 1 else Operation("range", ":", tuple(parts))
        while self.next_is(signs):
            first = Operation("binary", self.left.pop(0), (first, self.level(place + 1)))
        return first

    def signed(self, below: Callable[[], Any]) -> Any:
        if self.next_is(_SIGNS):
            return Operation("unary", self.left.pop(0), (self.signed(below),))
        return below()

    def power(self) -> Any:
        value = self.primary()
        while self.next_is(_BEHIND):
            sign = self.left.pop(0)
            if sign not in _POWERS:
                value = Operation("postfix", sign, (value,))
                continue
            exponent = self.signed(self.primary)
            if isinstance(exponent, Operation) and exponent.kind == "unary" and self.next_is(_BEHIND):
                raise Untranslatable("a signed exponent before another ^ or ': write parentheses")
            value = Operation("binary", sign, (value, exponent))
        return value

    def primary(self) -> Any:
        token = self.left.pop(0) if self.left else None
        if isinstance(token, tuple):
            return Operation("lambda", "@", (token[1], self.level(0)))
        if token is None or isinstance(token, str):
            raise Untranslatable("an expression with an operand missing")
        return token


def grouped(node: Node) -> Any:
    """An expression node as MATLAB groups it: an Operation, or the node itself where it is no operator.

    Raises Untranslatable where the operators do not make an expression.
    """
    if node.type not in _NESTED and node.type != "lambda":
        return node
    parser = _Parser(_tokens(node))
    found = parser.level(0)
    if parser.left:
        raise Untranslatable("an expression with operators that do not fit")
    return found
