"""MATLAB's operators and functions that have no equal in Python, for migrated scripts.

Rows and columns are 1-D arrays here, cell arrays are lists, structs are `Struct`s; indices count from 1 in
`at` and `colon`, as in MATLAB.

The rules of sprintf and num2str differ from those of Python's `%`: the format is repeated until all values
are written, and ends early where they run out; arrays are expanded into their elements, column by column; %d
of a number that is not an integer becomes %e; the format may have escapes.
"""

import copy
import math
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, ImageReadError, MatFileError, NotMigratedError
from matlab_compat.files import StrPath

_SPEC = re.compile(r"%(?:%|([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d*))?l?([diuoxXeEfgGcs]))")
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
    left = [item for value in values for item in _items(value)]
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


def num2str(value: Any, form: Any = None) -> str:
    """A number as MATLAB's num2str writes it, integers plainly, others with about 4 decimals; or a string.

    form: a format as for sprintf, or the number of significant digits.
    """
    if isinstance(value, str):
        return value
    if isinstance(form, str):
        return sprintf(form, value)
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "biuf":
        raise ArgumentError(f"num2str takes one number here; got {array.size} values of {array.dtype}")
    number = float(array.ravel()[0])
    if not math.isfinite(number):
        return _special(number)
    if form is None and number == int(number):
        return str(int(number))
    digits = int(form) if form is not None else min(max(math.floor(math.log10(abs(number))) + 5, 5), 16)
    return f"{number:.{digits}g}"


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
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _items(item)
    else:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise ArgumentError(f"sprintf takes strings and numbers; got {value!r:.80}")
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


class Struct(dict[str, Any]):
    """A struct: fields as attributes and as keys. A field hides a dict's method of the same name."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__") and dict.__contains__(self, name):
            return dict.__getitem__(self, name)
        return super().__getattribute__(name)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"the struct has no field {name!r}; it has {', '.join(self) or 'none'}")

    def __setattr__(self, name: str, value: Any) -> None:
        self[name] = value

    def __deepcopy__(self, memo: dict[int, Any]) -> "Struct":
        return Struct({name: copy.deepcopy(value, memo) for name, value in self.items()})


def at(values: Any, index: Any) -> Any:
    """values(index) of a row, column, cell array or string; index, from 1: a number, several, or a mask.

    One number gives the element itself. Raises ArgumentError for indices out of range, and for matrices,
    whose orientation may differ from MATLAB's.
    """
    if not isinstance(values, list | str) and np.ndim(values) > 1:
        raise ArgumentError(
            f"an array of shape {np.shape(values)} cannot be indexed as in MATLAB: features are (N, D) "
            "here and D x N there; write the index by hand"
        )
    if not isinstance(values, list | str) and np.asarray(values).dtype == object:
        raise ArgumentError(f"a struct or object cannot be indexed: {values!r:.80}")
    sequence = values if isinstance(values, list | str) else np.atleast_1d(values)
    wanted = np.asarray(index)
    chosen = np.flatnonzero(wanted) if wanted.dtype == bool else wanted.ravel() - 1
    if np.any(chosen != np.floor(chosen)) or np.any(chosen < 0) or np.any(chosen >= len(sequence)):
        raise ArgumentError(f"index {index!r} is out of range: 1 to {len(sequence)}")
    positions = chosen.astype(np.int64)
    if wanted.ndim == 0 and wanted.dtype != bool:
        return sequence[int(positions[0])]
    if isinstance(sequence, np.ndarray):
        return sequence[positions]
    found = [sequence[i] for i in positions]
    return "".join(found) if isinstance(sequence, str) else found


def colon(first: float, step: float, last: float) -> np.ndarray:
    """first:step:last with MATLAB's number of elements: `last` is in it even where rounding just misses it.

    >>> colon(0, 0.1, 0.3).round(1).tolist()
    [0.0, 0.1, 0.2, 0.3]
    """
    if step == 0:
        return np.zeros(0)
    count = int(np.floor((last - first) / step * (1 + 1e-10) + 1e-10)) + 1
    return first + step * np.arange(max(0, count))


def concat(*parts: Any) -> Any:
    """[a, b, …]: strings joined, cell arrays joined to one, rows and numbers to a row.

    Raises ArgumentError for a mixture of these and for matrices.
    """
    if parts and all(isinstance(part, str) for part in parts):
        return "".join(parts)
    if any(isinstance(part, list) for part in parts):
        return [item for part in parts for item in (part if isinstance(part, list) else [part])]
    if any(isinstance(part, str) for part in parts) or any(np.ndim(part) > 1 for part in parts):
        raise ArgumentError(
            "strings are joined with strings, rows with rows; found "
            + ", ".join("a string" if isinstance(p, str) else f"shape {np.shape(p)}" for p in parts)
        )
    return np.hstack(parts) if parts else np.zeros(0)


def numel(value: Any) -> int:
    """The number of elements: characters of a string, cells of a cell array, numbers of an array."""
    return len(value) if isinstance(value, str | list) else int(np.size(value))


def length(value: Any) -> int:
    """The longest side; 0 for an empty array."""
    if isinstance(value, str | list) or np.ndim(value) < 2:
        return numel(value)
    return 0 if 0 in np.shape(value) else max(np.shape(value))


def isempty(value: Any) -> bool:
    """Whether it has no elements; None, which stands for [] in calls, has none."""
    return value is None or numel(value) == 0


def isfield(struct: Any, name: str) -> bool:
    """Whether a struct (or an object of the library) has a field of this name."""
    return name in struct if isinstance(struct, Mapping) else hasattr(struct, name)


def which(name: str) -> str:
    """The absolute path of a file in the current folder or one of $MATLABPATH's.

    Raises ImageReadError where there is none (MATLAB returns an empty string, on which the next call fails).
    """
    folders = [".", *os.environ.get("MATLABPATH", "").split(os.pathsep)]
    for folder in folders:
        path = Path(folder or ".", name)
        if path.is_file():
            return str(path.resolve())
    raise ImageReadError(
        f"{name}: no such file in {', '.join(sorted({folder or '.' for folder in folders}))}; the images "
        "that come with MATLAB (e.g. football.jpg) are not included: put a JPEG of this name there"
    )


def load_variables(path: StrPath) -> Struct:
    """The variables of a .mat file: rows and columns as 1-D arrays, cell arrays as lists, structs as Structs.

    Matrices keep MATLAB's orientation. Raises MatFileError as `matfile.load` does.
    """
    file = Path(path)
    if not file.is_file() and file.with_name(file.name + ".mat").is_file():
        file = file.with_name(file.name + ".mat")
    if not file.is_file():
        raise MatFileError(f"{path}: no such file")
    return Struct({name: _simple(value) for name, value in matfile.load(file).items()})


def no_column(value: Any) -> Any:
    """A number or 1-D array of at most one element, to be joined with others in a row.

    Raises ArgumentError for several elements: where they are a column in MATLAB, [a, b] is a matrix there and
    would be one long row here.
    """
    if np.size(value) > 1:
        raise ArgumentError(
            f"{np.size(value)} numbers in [a, b] may be a row or a column in MATLAB: write np.hstack "
            "(rows) or np.column_stack (columns) by hand"
        )
    return value


def no_matrix(value: Any) -> Any:
    """The value, if it is not a matrix; ArgumentError otherwise.

    Matrices from load_variables have MATLAB's orientation: features in a .mat file are D x N; the library's
    functions take (N, D), that is value.T.
    """
    if not isinstance(value, str | list) and np.ndim(value) > 1 and min(np.shape(value)) > 1:
        raise ArgumentError(
            f"a matrix of shape {np.shape(value)} from a .mat file has MATLAB's orientation; features are "
            "(N, D) here: give its .T if it holds features"
        )
    return value


def not_migrated(where: str, reason: str) -> NoReturn:
    """Raises NotMigratedError: a line of the MATLAB script that `deepibl migrate` could not translate."""
    raise NotMigratedError(f"{where}: {reason}. Write this line by hand (see the MIGRATE comment above it)")


def _simple(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Struct({name: _simple(item) for name, item in value.items()})
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == object:
        return [_simple(item) for item in value.ravel(order="F")]
    if value.size == 1:
        return value.ravel()[0]
    return value.ravel() if value.ndim == 2 and 1 in value.shape else value
