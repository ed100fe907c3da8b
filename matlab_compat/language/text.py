"""Strings and printing as MATLAB does them: sprintf, disp, num2str, mat2str, strsplit, regexprep and others.

The rules of sprintf differ from those of Python's `%`: the format is repeated until all values are written,
and ends early where they run out; arrays are expanded into their elements, column by column; %d of a number
that is not an integer becomes %e; the format may have escapes. `disp` shows five digits, as Octave.
"""

import math
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError
from matlab_compat.language.classes import letters, mapped, objects
from matlab_compat.language.definitions import element_function, named
from matlab_compat.language.files import stream_of
from matlab_compat.language.indexing import refuse, sides
from matlab_compat.language.values import Array, Cell, Several, Struct, as_np, class_of, spread, wrap

_SPEC = re.compile(r"%(?:%|([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d*))?l?([diuoxXeEfgGcs]))")
_BLANKS = " \t\n\r\f\v\0"
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v", "\\": "\\"}


def sprintf(text: str, *values: Any) -> str:
    """The format with values in place of its conversions, by MATLAB's rules (see the module).

    values: strings, numbers, arrays and lists of them. Raises ArgumentError for others.

    >>> sprintf("%s_%03d|", "a", 7), sprintf("%d ", [1, 2.5])
    ('a_007|', '1 2.500000e+00 ')
    """
    if not isinstance(text, str):
        raise ArgumentError(f"the format of sprintf must be a string; got {text!r:.80}")
    pieces = list(_pieces(text))
    left = [item for value in spread(values) for item in _items(value)]
    written: list[str] = []
    while True:  # once for each use of the whole format
        has_values = bool(left)
        for piece in pieces:
            if isinstance(piece, str):
                written.append(piece)
            elif left or not has_values:
                written.append(_converted(piece, left) if left else "")
            else:
                return "".join(written)  # the values have run out within the format
        if not left or all(isinstance(piece, str) for piece in pieces):
            return "".join(written)


def _pieces(text: str) -> Iterator[Any]:
    """Plain text (escapes decoded, %% as %) and matches of conversions, in turn."""
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
    elif isinstance(value, list | tuple) and not isinstance(value, Several):
        for item in value:
            yield from _items(item)
    else:
        try:
            array = value if isinstance(value, np.ndarray) and value.ndim < 2 else as_np(value)
        except ArgumentError:
            raise ArgumentError(f"sprintf takes strings and numbers; got a {class_of(value)}") from None
        yield from array.ravel(order="F").tolist()


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
    if kind in "diuoxX":
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
    codes = [ord(letter) for letter in value]  # a conversion for numbers writes the characters' codes
    left[:0] = codes[1:]
    return (head + tail + kind) % codes[0]


def _special(number: float) -> str:
    return "NaN" if math.isnan(number) else ("Inf" if number > 0 else "-Inf")


def fprintf(*arguments: Any) -> None:
    """Prints sprintf(format, …), to standard output or to a file: fprintf(fid, format, …)."""
    values = list(spread(arguments))
    to_file = len(values) > 1 and not isinstance(values[0], str)
    stream: Any = stream_of(values.pop(0)) if to_file else sys.stdout
    if values and not isinstance(values[0], str):
        values.insert(0, "%g\n" if to_file else "%f\n")
    written = sprintf(*values)
    stream.write(written if stream in (sys.stdout, sys.stderr) else written.encode("latin-1", "replace"))


def num2str(value: Any, form: Any = None) -> str:
    """A number or row, or a string, as num2str writes it: integers plainly, others to about 4 decimals.

    form: a format as for sprintf, or the number of significant digits. Raises ArgumentError for several rows.

    >>> num2str(3.14159265), num2str(Array([1, 2, 3]))
    ('3.1416', '1  2  3')
    """
    if isinstance(value, str):
        return value
    data = as_np(value)
    if data.size == 0:
        return ""
    if data.ndim > 2 or data.shape[0] > 1:
        raise refuse(f"num2str of {sides(data.shape)} numbers gives a matrix: use mat2str or sprintf")
    numbers = [float(x) for x in data.flat]
    if isinstance(form, str):
        return sprintf(form, *numbers).strip()
    finite = [abs(x) for x in numbers if math.isfinite(x)]
    digits = math.floor(math.log10(max(finite))) if finite and max(finite) > 0 else 0
    if data.dtype.kind == "b":
        width, spec = 3, ".0f"
    elif form is not None:
        width, spec = int(form) + 7, f".{int(form)}g"
    elif digits > 15 or any(x != math.floor(x) for x in numbers if math.isfinite(x)):
        digits = min(max(digits + 5, 5), 16)
        width, spec = digits + 7, f".{digits}g"
    else:
        width, spec = max(digits + 3, 5 if len(finite) < len(numbers) else 0), ".0f"
    each = (format(x, spec) if math.isfinite(x) else _special(x) for x in numbers)
    return "".join(text.rjust(width) for text in each).strip()


def int2str(value: Any) -> str:
    """num2str of the rounded value."""
    return num2str(element_function(lambda x: np.trunc(x + np.copysign(0.5, x)), value))


def mat2str(value: Any, digits: Any = 15) -> str:
    """A matrix, logical or string as MATLAB source: [1 2;3 4].

    >>> mat2str(Array([[1, 2.5], [3, 4]]))
    '[1 2.5;3 4]'
    """
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    data = as_np(value)
    if data.ndim > 2:
        raise refuse("mat2str of an array of more than two dimensions")
    if data.size == 0:
        return "[]" if data.shape == (0, 0) else f"zeros({data.shape[0]},{data.shape[1]})"

    def text(x: Any) -> str:
        if data.dtype.kind == "b":
            return "true" if x else "false"
        plain = format(float(x), f".{int(digits)}g") if math.isfinite(x) else _special(x)
        return re.sub(r"e([+-])(\d)$", r"e\g<1>0\2", plain)

    body = ";".join(" ".join(text(x) for x in row) for row in data)
    body = f"[{body}]" if data.size > 1 else body
    return f"{data.dtype.name}({body})" if data.dtype.kind in "iu" else body


def _decimals(digits: int) -> tuple[int, int]:
    """How many digits before and after the point, for numbers of this scale."""
    if digits > 0:
        return digits, 5 - digits if digits < 5 else 5
    return (1, 5 - digits) if digits < 0 else (1, 4)


def _table(data: np.ndarray) -> tuple[list[list[str]], int]:
    """The numbers of a matrix as disp writes them, and the width of a column."""
    if data.dtype.kind in "biu":
        rows = [[str(int(x)) for x in row] for row in data]
        return rows, 2 + max(len(text) for row in rows for text in row)
    finite = np.abs(data[np.isfinite(data)])
    ends = finite.max(initial=0), finite.min() if finite.size else 0
    scales = [math.floor(math.log10(x)) + 1 if x > 0 else 0 for x in map(float, ends)]
    special = finite.size < data.size
    if np.all(finite == np.floor(finite)):
        digits, spec = max(*scales, 1), ".0f"
        width = max(1 + digits, (4 if data.size > 1 else 3) if special else 0)
        wide = digits > 9
    else:
        left, right = map(max, *map(_decimals, scales))
        width, spec = left + right + 2, f".{right}f"
        wide = width > 9
    width, spec = (11, ".4e") if wide else (width, spec)

    def text(x: float) -> str:
        return _special(x) if not math.isfinite(x) else "0" if x == 0 else format(x, spec)

    return [[text(float(x)) for x in row] for row in data], width + 2


def _shown(value: Any) -> np.ndarray:
    if class_of(value) in ("cell", "struct", "function_handle") and not isinstance(value, Several):
        raise refuse(f"showing a {class_of(value)} is not migrated: print its parts with fprintf")
    data = as_np(value)
    if data.ndim > 2:
        raise refuse("disp of an array of more than two dimensions")
    return data


def _lines(data: np.ndarray) -> list[str]:
    if data.size == 0:
        return [f"[]({sides(data.shape)})"]
    rows, width = _table(data)
    return [rows[0][0]] if data.size == 1 else ["".join(text.rjust(width) for text in row) for row in rows]


def disp(value: Any) -> None:
    """Prints a number, string or matrix. Raises ArgumentError for cell arrays and structs."""
    print(value if isinstance(value, str) else "\n".join(_lines(_shown(value))))


def show(name: str, value: Any) -> None:
    """What a statement without a semicolon prints: x = 3, or the matrix below its name."""
    lines = [value] if isinstance(value, str) else _lines(_shown(value))
    matrix = not isinstance(value, str) and as_np(value).size > 1
    print("\n".join([f"{name} =\n", *lines, ""]) if matrix else f"{name} = {lines[0]}")


def each_text(function: Any, value: Any) -> Any:
    """function of a string, or of every string of a cell array."""
    return Cell.of(mapped(function, value.data)) if isinstance(value, Cell) else function(_string(value))


def _string(value: Any) -> str:
    if isinstance(value, Array) and value.data.size == 0:
        return ""
    if not isinstance(value, str):
        raise refuse(f"a string is needed; got a {class_of(value)}")
    return value


def _equal_texts(a: Any, b: Any, key: Any) -> Any:
    def same(x: Any, y: Any) -> bool:
        return isinstance(x, str) and isinstance(y, str) and key(x) == key(y)

    if isinstance(b, Cell) and not isinstance(a, Cell):
        a, b = b, a
    if not isinstance(a, Cell):
        return same(a, b)
    several = isinstance(b, Cell) and b.data.size > 1
    if several and b.shape != a.shape:
        raise refuse(f"strcmp of cell arrays of sizes {sides(a.shape)} and {sides(b.shape)}")
    other = b.data.item() if isinstance(b, Cell) and not several else b
    found = mapped(same, a.data, b.data) if several else mapped(lambda item: same(item, other), a.data)
    return wrap(found.astype(bool))


def strcmp(a: Any, b: Any) -> Any:
    """Whether two strings are equal; with cell arrays, a logical for each cell."""
    return _equal_texts(a, b, str)


strcmpi = named("strcmpi", "strcmp without regard to case.", lambda a, b: _equal_texts(a, b, str.lower))


def strncmp(a: Any, b: Any, n: Any) -> Any:
    """strcmp of the first n characters; shorter strings are different."""
    return _equal_texts(a, b, lambda text: text[: int(n)] if len(text) >= int(n) else (text, id(text)))


def strncmpi(a: Any, b: Any, n: Any) -> Any:
    """strncmp without regard to case."""
    return strncmp(lower(a), lower(b), n)


def strcat(*parts: Any) -> Any:
    """The strings one after another, trailing blanks of strings dropped; with cell arrays, cell by cell."""
    given = list(spread(parts))
    cells = [value.data for value in given if isinstance(value, Cell)]
    if not cells:
        return "".join(_string(value).rstrip(_BLANKS) for value in given)
    shape = next((data.shape for data in cells if data.size != 1), cells[0].shape)
    each = [
        np.broadcast_to(v.data if isinstance(v, Cell) else np.array(_string(v), object), shape) for v in given
    ]
    return Cell.of(mapped(lambda *texts: "".join(texts), *each))


def strsplit(text: Any, separator: Any = " ") -> Cell:
    """The parts of a string between separators, several in a row as one (as MATLAB's default)."""
    each = [_unescaped(item) for item in (separator if isinstance(separator, Cell) else [separator])]
    pattern = "(?:" + "|".join(re.escape(item) for item in sorted(each, key=len, reverse=True)) + ")+"
    return Cell(*re.split(pattern, _string(text)))


def strjoin(texts: Cell, separator: str = " ") -> str:
    """The strings of a cell array with a separator between them."""
    return _unescaped(separator).join(_string(text) for text in texts)


def strrep(text: Any, old: str, new: str) -> Any:
    """The string, or those of a cell array, with old replaced by new."""
    return each_text(lambda item: item.replace(old, new) if old else item, text)


def _of_each(name: str, doc: str, function: Any) -> Any:
    return named(name, f"{doc}: a string, or those of a cell array.", lambda text: each_text(function, text))


strtrim = _of_each("strtrim", "Without white space at both ends", lambda item: item.strip(_BLANKS))
deblank = _of_each("deblank", "Without white space at the end", lambda item: item.rstrip(_BLANKS))
lower = _of_each("lower", "In lower case", str.lower)
upper = _of_each("upper", "In upper case", str.upper)


def strfind(text: Any, pattern: str) -> Any:
    """Where a string, or each of a cell array, contains another: a row, from 1; or []."""

    def places(item: str) -> Any:
        found = [m.start() + 1.0 for m in re.finditer(f"(?={re.escape(pattern)})", item)] if pattern else []
        return wrap(np.array([found])) if found else Array(np.zeros((1, 0) if item else (0, 0)))

    return each_text(places, text)


def str2double(text: Any) -> Any:
    """The number that a string writes, NaN where it does not; of a cell array, an array."""
    if isinstance(text, Cell):
        return wrap(mapped(lambda item: float(str2double(item)), text.data).astype(float))
    if not isinstance(text, str):
        return math.nan
    plain = text.strip().replace(",", "")
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eEdD][+-]?\d+)?", plain):
        return float(plain.lower().replace("d", "e"))
    return {"inf": math.inf, "+inf": math.inf, "-inf": -math.inf}.get(plain.lower(), math.nan)


def str2num(text: Any) -> Any:
    """str2double of one number. Raises ArgumentError for other expressions, which MATLAB would evaluate."""
    value = str2double(text)
    if value != value and text.strip().lower() != "nan":
        raise refuse(f"str2num({text!r}): only one number is migrated")
    return value


def _pattern(expression: str) -> str:
    return re.sub(r"\(\?<(?![=!])", "(?P<", expression)


def regexprep(text: Any, expression: str, new: str, *options: str) -> Any:
    """The string, or those of a cell array, with what matches replaced; $1 is the first group."""
    if unknown := set(options) - {"ignorecase", "once"}:
        raise refuse(f"regexprep's option {sorted(unknown)[0]!r}")
    template = re.sub(r"\$(\d)", r"\\g<\1>", re.sub(r"\\([^$\\nt])", r"\\\\\1", new)).replace("\\$", "$")
    found = re.compile(_pattern(expression), re.IGNORECASE if "ignorecase" in options else 0)
    return each_text(lambda item: found.sub(template, item, count="once" in options), text)


def regexp(text: Any, expression: str, *options: str, nargout: int = 1) -> Any:
    """Matches of a regular expression: starts, ends, …, or what the options ask for ('tokens', 'match',
    'names').

    With 'once' those of the first match only.
    """
    flags = re.IGNORECASE if "ignorecase" in options else 0
    found = list(re.finditer(_pattern(expression), _string(text), flags))
    once = "once" in options
    wanted = [option for option in options if option not in ("once", "ignorecase")]
    kept = list(dict.fromkeys([*wanted, "start", "end", "tokenExtents", "match", "tokens", "names", "split"]))

    def each(found_: list[Any]) -> Any:
        return found_[0] if once and found_ else Cell.of(objects([found_]))

    def tokens(match: Any) -> Cell:
        groups = [group for group in match.groups() if group is not None]
        return Cell(*(groups or [match.group()])) if groups or not match.re.groups else Cell("")

    def result(kind: str) -> Any:
        if kind in ("start", "end"):
            places = [float(m.start() + 1 if kind == "start" else m.end()) for m in found]
            if once:
                return places[0] if places else Array()
            return wrap(np.array([places], float).reshape(1, -1))
        if kind in ("match", "tokens"):
            if once and not found:
                return "" if kind == "match" else Cell()
            return each([m.group() if kind == "match" else tokens(m) for m in found])
        if kind == "names" and len(found) < 2:
            return Struct({k: v or "" for m in found for k, v in m.groupdict().items()})
        if kind == "split":
            cuts = [0, *(place for m in found for place in m.span()), len(text)]
            return Cell(*(text[a:b] for a, b in zip(cuts[::2], cuts[1::2], strict=True)))
        raise refuse("names of several matches" if kind == "names" else f"regexp's option {kind!r}")

    results = tuple(result(kind) for kind in kept[:nargout])
    return results[0] if nargout == 1 else results


def cellstr(value: Any) -> Cell:
    """A string as a cell array; a cell array of strings as it is."""
    return value if isinstance(value, Cell) else Cell(_string(value))


def char(value: Any, *more: Any) -> str:
    """The string of character codes; of a cell array of one string, the string."""
    if isinstance(value, Cell) and len(value) == 1 and not more:
        value = value[1]
    if more or isinstance(value, Cell) or (not isinstance(value, str) and as_np(value).shape[0] > 1):
        raise refuse("a matrix of characters is not migrated: use a cell array")
    return value if isinstance(value, str) else letters(as_np(value))


def isspace(text: Any) -> Any:
    """Which characters are white space."""
    return wrap(np.array([[c.isspace() for c in text]])) if text else Array(np.zeros((0, 0), bool))
