"""Laying out vl_simplenn_display's tables: text with bars, LaTeX, or comma-separated values."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Table = Sequence[Sequence[str]]


def memory_text(size: float) -> str:
    """Bytes as MATLAB's table prints them: whole B, KB, MB or GB, steps of 1024."""
    if np.isnan(size):
        return "NaN"
    for unit in ("B", "KB", "MB"):
        if size < 1024:
            return f"{size:.0f}{unit}"
        size /= 1024
    return f"{size:.0f}GB"


def _number(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:.4g}"


def sides_text(sides: Sequence[float] | np.ndarray) -> str:
    """Sides as '3' where all are equal, else '3x2'."""
    equal = all(side == sides[0] for side in sides)
    return _number(sides[0]) if equal else "x".join(_number(side) for side in sides)


def count_text(value: float) -> str:
    """A count as MATLAB's %d prints it."""
    if np.isnan(value):
        return "NaN"
    return str(int(value)) if value == np.floor(value) else f"{value:e}"


def _widths(table: Table) -> list[int]:
    return [max(len(row[column]) for row in table) for column in range(len(table[0]))]


def _ascii(table: Table) -> str:
    widths = _widths(table)
    lines = []
    for row in table:
        cells = [
            "-" * width if cell == "-" else cell.rjust(width) for cell, width in zip(row, widths, strict=True)
        ]
        lines.append("|".join(cells) + "|\n")
    return "".join(lines)


def _csv(table: Table) -> str:
    return "".join("".join(f'"{cell}",' for cell in row) + "\n" for row in table if row[0] != "-")


def _latex(table: Table) -> str:
    widths = _widths(table)
    lines = [f"\\begin{{tabular}}{{{'c' * len(widths)}}}\n"]
    for row in table:
        if row[0] == "-":
            lines.append("\\hline\n")
            continue
        escaped = [cell.replace("\\", "\\\\").replace("_", "\\char`_") for cell in row]
        lines.append(
            "&".join(cell.rjust(width) for cell, width in zip(escaped, widths, strict=True)) + "\\\\\n"
        )
    return "".join([*lines, "\\end{tabular}\n"])


FORMATS: dict[str, Callable[[Table], str]] = {"ascii": _ascii, "latex": _latex, "csv": _csv}


def layout(table: Table, form: str, max_columns: int) -> str:
    """The table in one of FORMATS, its first column repeated before every `max_columns` others, blank lines
    between.
    """
    parts = []
    for first in range(1, len(table[0]), max_columns):
        part = [[row[0], *row[first : first + max_columns]] for row in table]
        parts.append(FORMATS[form](part) + "\n")
    return "".join(parts)
