"""Changing text: scripts, settings, tables and JSON, by lines, by tokens and by values."""

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

from tests.reliability.mutations import mutate_bytes

_TOKEN = re.compile(r"\w+|\s+|.", re.DOTALL)
ODD: Sequence[str] = (
    "",
    "\0",
    "\n",
    "\r",
    "'",
    '"',
    "...",
    "%{\n",
    "\ufeff",
    "\ud7ff\u2028",
    "\U0001f600",
    "nan",
    "inf",
    "-1e400",
    "9" * 400,
    "1e308",
    "../../../../etc/passwd",
    "a" * 5000,
    "(" * 40,
    "[" * 2000,
    "{" * 300,
    ")" * 40,
    "if true\n" * 120,
    "end\n",
    "end\n" * 120,
    "=",
    "==",
    ",",
    ";",
    "\t",
    "function [a, b]= f(x, varargin)\n",
    "@(x) " * 60,
    "-" * 500,
    "x' * " * 200,
    "~",
    "[a, ~, c]= size(x);\n",
)
ODD_VALUES: Sequence[Any] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**31,
    2**63,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "NaN",
    "a" * 3000,
    "../x",
    [],
    [0],
    [[]],
    [1, 2, 3, 4, 5],
    {},
    {"x": 1},
    {"struct": {}},
    {"class": "float32", "shape": [2**40], "data": []},
    {"class": "object", "shape": [1], "data": ["x"]},
    {"cell": [1, 1], "items": ["x"]},
)


def mutate_text(random: Random, data: bytes) -> bytes:
    """Lines and tokens are lost, repeated, exchanged, or become odd ones; sometimes plain bytes change."""
    if random.random() < 0.2:
        return mutate_bytes(random, data)
    text = data.decode("utf-8", "replace")
    for _ in range(random.choice((1, 1, 2, 3, 5))):
        text = random.choice((_lines, _tokens, _tokens, _insert))(random, text)
    return text.encode("utf-8", "surrogatepass")


def _lines(random: Random, text: str) -> str:
    return _shuffled(random, text.splitlines(keepends=True))


def _tokens(random: Random, text: str) -> str:
    tokens = _TOKEN.findall(text)
    if tokens and random.random() < 0.6:
        tokens[random.randrange(len(tokens))] = random.choice((random.choice(tokens), random.choice(ODD)))
        return "".join(tokens)
    return _shuffled(random, tokens)


def _shuffled(random: Random, parts: list[str]) -> str:
    if not parts:
        return ""
    at, other = random.randrange(len(parts)), random.randrange(len(parts))
    what = random.choice(("lose", "repeat", "exchange", "cut"))
    if what == "lose":
        del parts[at]
    elif what == "repeat":
        parts[other:other] = [parts[at]] * random.choice((1, 2, 50))
    elif what == "exchange":
        parts[at], parts[other] = parts[other], parts[at]
    else:
        del parts[at:]
    return "".join(parts)


def _insert(random: Random, text: str) -> str:
    at = random.randrange(len(text) + 1)
    return text[:at] + random.choice(ODD) + text[at:]


def mutate_json(random: Random, value: Any) -> Any:
    """A JSON value with one to three of its parts lost, exchanged, renamed or become odd."""
    value = json.loads(json.dumps(value))
    for _ in range(random.choice((1, 1, 2, 3))):
        places = _places(value)
        if not places:
            return random.choice(ODD_VALUES)
        holder, key = random.choice(places)
        what = random.choice(("odd", "odd", "other", "lose", "rename", "wrap", "digit"))
        if what == "lose":
            del holder[key]
        elif what == "rename" and isinstance(holder, dict):
            holder[random.choice(("", "x", "struct", "cell", "shape", *holder))] = holder.pop(key)
        elif what == "wrap":
            holder[key] = _wrapped(holder[key], random.choice((1, 2, 50, 5000)))
        elif what == "digit" and isinstance(holder[key], int | float):
            holder[key] = holder[key] + random.choice((-1, 1, 8, -8, 0.5))
        elif what == "other":
            other, name = random.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        else:
            holder[key] = random.choice(ODD_VALUES)
    return value


def json_text(value: Any) -> bytes:
    """JSON of values as deep as you like (the library's own encoder gives up at Python's depth)."""
    depth = 0
    while isinstance(value, list) and len(value) == 1:
        value, depth = value[0], depth + 1
    return b"[" * depth + _shallow(value) + b"]" * depth


def _shallow(value: Any) -> bytes:
    try:
        return json.dumps(value).encode()
    except RecursionError:
        return b"[" * 5000 + b"]" * 5000


def _wrapped(value: Any, depth: int) -> Any:
    for _ in range(depth):
        value = [value]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every (holder, key) below a value; not below a chain of more than 40."""
    found: list[tuple[Any, Any]] = []
    todo = [(value, 0)]
    while todo:
        holder, depth = todo.pop()
        keys = (
            list(holder)
            if isinstance(holder, dict)
            else range(len(holder))
            if isinstance(holder, list)
            else ()
        )
        for key in keys:
            found.append((holder, key))
            if depth < 40:
                todo.append((holder[key], depth + 1))
    return found
