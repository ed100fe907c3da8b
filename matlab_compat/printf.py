"""MATLAB's sprintf and num2str, whose rules differ from those of Python's `%`.

The format is used again until all values are written, and ends early where they run out; arrays count as
their elements, column by column; %d of a number that is no integer becomes %e; escapes are read in the
format.
"""

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError

_SPEC = re.compile(r"%(?:%|([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d*))?l?([diuoxXeEfgGcs]))")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\"}
_INTEGER = "diuoxX"


def sprintf(text: str, *values: Any) -> str:
    """The text with values in its % places, as MATLAB writes them (see the module).

    values: texts, numbers, arrays and lists of them. Raises ArgumentError for what is neither.

    >>> sprintf("%s_%03d|", "a", 7), sprintf("%d ", [1, 2.5])
    ('a_007|', '1 2.500000e+00 ')
    """
    if not isinstance(text, str):
        raise ArgumentError(f"sprintf needs a text as its format, not {type(text).__name__}")
    pieces = list(_pieces(text))
    left = [item for value in values for item in _items(value)]
    holes = any(isinstance(piece, re.Match) for piece in pieces)
    written: list[str] = []
    has_values, first = bool(left), True
    while first or (left and holes):
        if _one_pass(pieces, left, written, has_values=has_values):
            break
        first = False
    return "".join(written)


def num2str(value: Any, form: Any = None) -> str:
    """A number as MATLAB's num2str writes it: integers plainly, others with about 4 decimals; texts as is.

    form: a format as for sprintf, or the number of significant digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(form, str):
        return sprintf(form, value)
    number = _scalar(value)
    if not math.isfinite(number):
        return _special(number)
    if form is None and number == int(number):
        return str(int(number))
    digits = int(form) if form is not None else _digits(number)
    return f"{number:.{digits}g}"


def _digits(number: float) -> int:
    return min(max(math.floor(math.log10(abs(number))) + 5, 5), 16)


def _pieces(text: str) -> Iterator[Any]:
    """Plain texts (escapes read, %% as %) and matches of conversions, in turn."""
    at = 0
    for match in _SPEC.finditer(text):
        yield _unescaped(text[at : match.start()])
        yield "%" if match.group() == "%%" else match
        at = match.end()
    yield _unescaped(text[at:])


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), text)


def _items(value: Any) -> Iterator[Any]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    else:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ArgumentError(f"sprintf writes texts and numbers, not {type(value).__name__}")
        yield from array.ravel(order="F").tolist()


def _one_pass(pieces: list[Any], left: list[Any], written: list[str], *, has_values: bool) -> bool:
    """Writes the format once; True when the values ran out on the way."""
    for piece in pieces:
        if isinstance(piece, str):
            written.append(piece)
        elif left:
            written.append(_converted(piece, left))
        elif has_values:
            return True
    return not left


def _converted(spec: "re.Match[str]", left: list[Any]) -> str:
    flags, width, precision, kind = spec.groups()
    if width == "*":
        width = str(int(left.pop(0)))
    if precision == "*":
        precision = str(int(left.pop(0)))
    value = left.pop(0) if left else ""
    head = f"%{flags or ''}{width or ''}"
    tail = "" if precision is None else f".{precision}"
    if isinstance(value, str):
        return _text(head, tail, kind, value, left)
    if not math.isfinite(value):
        return f"%{(flags or '').replace('0', '')}{width or ''}s" % _special(value)
    whole = value == int(value)
    if kind in "cs":
        return (head + "s") % chr(int(value)) if whole and value >= 0 else (head + tail + "e") % value
    if kind in _INTEGER:
        return (head + tail + kind) % int(value) if whole else (head + tail + "e") % value
    return (head + tail + kind) % value


def _text(head: str, tail: str, kind: str, value: str, left: list[Any]) -> str:
    if kind == "s":
        return (head + tail + "s") % value
    if kind == "c" and value:
        left[:0] = [value[1:]] if len(value) > 1 else []
        return (head + "s") % value[0]
    if not value:
        return ""
    codes = [ord(letter) for letter in value]  # a number's place gets the letters' codes
    left[:0] = codes[1:]
    return (head + tail + kind) % codes[0]


def _special(number: float) -> str:
    return "NaN" if math.isnan(number) else ("Inf" if number > 0 else "-Inf")


def _scalar(value: Any) -> float:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ArgumentError(f"num2str writes one number here, not {array.dtype} of shape {array.shape}")
    return float(array.ravel()[0])
