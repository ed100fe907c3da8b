"""Charts as SVG text for self-contained pages: lines and bars, without any library or script."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = ("#1f5fbf", "#d9730d", "#3c3c3c", "#b01e73", "#1a8f5c", "#7a4fc0", "#8c6b3f")
_RIGHT_COLOUR, _WRONG_COLOUR = "#0f7b6c", "#c8372d"
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 42


@dataclass(frozen=True)
class Line:
    """points: (x, y); dashed: for figures that were not measured here, drawn with open markers."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def line_chart(
    lines: Sequence[Line],
    x_label: str,
    y_label: str,
    *,
    log_x: bool = False,
    width: int = 620,
    height: int = 340,
) -> str:
    """Lines with markers and a legend below; ticks of a logarithmic x axis are the points' own values."""
    points = [point for line in lines for point in line.points]
    if not points:
        return ""
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_ticks = sorted(set(xs)) if log_x else _ticks(min(xs), max(xs), 8)
    y_ticks = _ticks(min(ys), max(ys), 6)
    frame = _Frame((min(xs), max(xs)), (min(*ys, y_ticks[0]), max(*ys, y_ticks[-1])), width, height, log_x)
    parts = [_axes(frame, x_ticks, y_ticks, x_label, y_label)]
    for number, line in enumerate(lines):
        parts.append(_line(frame, line, COLOURS[number % len(COLOURS)]))
    rows = [_legend_row(line, number, height) for number, line in enumerate(lines)]
    return _svg(width, height + 20 * len(lines), "".join([*parts, *rows]), f"{y_label} by {x_label}")


def paired_bars(
    edges: Sequence[float], first: Sequence[int], second: Sequence[int], labels: tuple[str, str], x_label: str
) -> str:
    """Two histograms over the same bins (edges: one more than counts), half transparent over one another."""
    width, height = 620, 240
    top = max(1, *first, *second)
    frame = _Frame((edges[0], edges[-1]), (0, top), width, height, False)
    parts = [_axes(frame, _ticks(edges[0], edges[-1], 8), _ticks(0, top, 4), x_label, "queries")]
    for counts, colour in ((first, _RIGHT_COLOUR), (second, _WRONG_COLOUR)):
        for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
            if count:
                x, y = frame.x(left), frame.y(count)
                parts.append(
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(1.0, frame.x(right) - x - 1):.1f}" '
                    f'height="{frame.y(0) - y:.1f}" fill="{colour}" fill-opacity=".55"/>'
                )
    for number, (label, colour) in enumerate(zip(labels, (_RIGHT_COLOUR, _WRONG_COLOUR), strict=True)):
        y = height + 14 + 20 * number
        parts.append(
            f'<rect x="{_LEFT}" y="{y - 9}" width="22" height="10" fill="{colour}" fill-opacity=".55"/>'
        )
        parts.append(f'<text x="{_LEFT + 30}" y="{y}">{html.escape(label)}</text>')
    return _svg(width, height + 40, "".join(parts), x_label)


@dataclass(frozen=True)
class _Frame:
    """From values to places in the picture."""

    xs: tuple[float, float]
    ys: tuple[float, float]
    width: int
    height: int
    log_x: bool

    def x(self, value: float) -> float:
        low, high, at = (math.log(v) if self.log_x else v for v in (*self.xs, value))
        share = (at - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (self.width - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.ys
        share = (value - low) / (high - low) if high > low else 0.5
        return self.height - _BOTTOM - share * (self.height - _BOTTOM - _TOP)


def _axes(
    frame: _Frame, x_ticks: Sequence[float], y_ticks: Sequence[float], x_label: str, y_label: str
) -> str:
    bottom, right = frame.height - _BOTTOM, frame.width - _RIGHT
    parts = []
    for tick in y_ticks:
        y = frame.y(tick)
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e3e5e8"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{tick:g}</text>')
    for tick in x_ticks:
        x = frame.x(tick)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 4}" stroke="#8a9099"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
    middle = (bottom + _TOP) / 2
    parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}" stroke="#8a9099"/>')
    parts.append(
        f'<text x="{(_LEFT + right) / 2}" y="{frame.height - 8}" text-anchor="middle">'
        f"{html.escape(x_label)}</text>"
    )
    parts.append(
        f'<text x="13" y="{middle}" text-anchor="middle" transform="rotate(-90 13 {middle})">'
        f"{html.escape(y_label)}</text>"
    )
    return "".join(parts)


def _line(frame: _Frame, line: Line, colour: str) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    fill = "#fff" if line.dashed else colour
    dots = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{fill}" stroke="{colour}" stroke-width="1.5">'
        f"<title>{html.escape(line.label)}: {value[0]:g}: {value[1]:.4f}</title></circle>"
        for (x, y), value in zip(places, line.points, strict=True)
    )
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>{dots}'


def _legend_row(line: Line, number: int, height: int) -> str:
    y, colour = height + 10 + 20 * number, COLOURS[number % len(COLOURS)]
    dash = ' stroke-dasharray="5 4"' if line.dashed else ""
    return (
        f'<line x1="{_LEFT}" x2="{_LEFT + 24}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" '
        f'stroke-width="2"{dash}/>'
        f'<text x="{_LEFT + 32}" y="{y}">{html.escape(line.label)}</text>'
    )


def _ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers that cover low … high."""
    if high <= low:
        return [low]
    rough = (high - low) / about
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    inside = [round(number * step, 12) for number in range(first, last + 1)]
    return [tick for tick in inside if low <= tick <= high] if about == 8 else inside


def _svg(width: int, height: int, content: str, title: str) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" role="img" class="chart" style="max-width:{width}px">'
        f"<title>{html.escape(title)}</title>{content}</svg>"
    )
