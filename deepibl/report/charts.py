"""Charts as SVG text for self-contained pages: lines and bars, without any library or script.

A map of positions as SVG text: no tiles, no network; north is up, metres are to scale.
"""

import html
import math
from collections.abc import Iterator, Sequence
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


_WIDTH, _HIGHEST, _MARGIN, _LOWEST = 900, 640, 24, 160

DATABASE = "#b9bfc7"

Frame = tuple[float, float, float, float]

_TITLED = 3000  # more marks than this get no tooltips: the page stays light


@dataclass(frozen=True)
class Mark:
    """A place: UTM metres, its tooltip, and the id on the page that a click leads to ('' for none)."""

    east: float
    north: float
    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Kind:
    """Marks of one meaning: label for the legend, colour, shape (dot, square, cross, ring or pin).

    Pins bear numbers, from 1 in the order of the marks; the first lies on top.
    """

    label: str
    colour: str
    shape: str
    marks: Sequence[Mark]


def place_map(background: Sequence[Sequence[float]], kinds: Sequence[Kind]) -> str:
    """The map: background positions (east, north) in grey, marks over them, a legend, a scale bar in metres.

    Empty text where no position is known.
    """
    drawn = map_svg(background, kinds)
    legend = [("database", DATABASE, "dot"), *((k.label, k.colour, k.shape) for k in kinds)]
    rows = "".join(
        f'<span class="key"><svg viewBox="-8 -8 16 16">{_shape(shape, 0, 0, colour)}</svg>'
        f"{html.escape(label)}</span>"
        for label, colour, shape in legend
    )
    return f'{drawn}<p class="legend">{rows}</p>' if drawn else ""


def map_svg(
    background: Sequence[Sequence[float]],
    kinds: Sequence[Kind],
    *,
    title: str = "Map of the queries",
    frame: Frame | None = None,
) -> str:
    """The map of `place_map` without its legend: one SVG element.

    frame: (west, south, east, north) in metres, what is shown; None shows every position. Marks outside are
    left out, and counted in a corner. Positions of the background that fall on one dot are drawn once.
    """
    marks = [mark for kind in kinds for mark in kind.marks]
    places = [(float(e), float(n)) for e, n in background] + [(mark.east, mark.north) for mark in marks]
    if not places:
        return ""
    sheet = _Sheet(frame or _frame_of(places))
    dots = dict.fromkeys((round(x), round(y)) for x, y in sheet.inside(background))
    path = "".join(f"M{x} {y}h0" for x, y in dots)
    parts = [
        f'<path class="database" d="{path}" stroke="{DATABASE}" stroke-width="3.4" stroke-linecap="round"/>'
    ]
    shown = 0
    for kind in kinds:
        placed = [(mark, at) for mark in kind.marks for at in sheet.inside([(mark.east, mark.north)])]
        parts += _marks(kind, placed, titled=len(marks) <= _TITLED)
        shown += len(placed)
    parts.append(_scale_bar(sheet.scale, sheet.height))
    if shown < len(marks):
        note = f"{len(marks) - shown} of {len(marks)} marks are outside"
        parts.append(f'<text x="{_WIDTH / 2:g}" y="{sheet.height - 12}" text-anchor="middle">{note}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {sheet.height}" role="img" class="map">'
        f"<title>{html.escape(title)}</title>{''.join(parts)}</svg>"
    )


class _Sheet:
    """Where metres lie on the drawing: `scale` in pixels a metre, `height` of the drawing in pixels."""

    def __init__(self, frame: Frame) -> None:
        self._west, south, east, self._north = frame
        width, depth = east - self._west, self._north - south
        self.scale = min((_WIDTH - 2 * _MARGIN) / max(width, 1.0), (_HIGHEST - 2 * _MARGIN) / max(depth, 1.0))
        self.height = max(_LOWEST, round(depth * self.scale) + 2 * _MARGIN + 20)
        self._left = (_WIDTH - width * self.scale) / 2

    def inside(self, places: Sequence[Sequence[float]]) -> Iterator[tuple[float, float]]:
        """The pixels (x, y) of those positions (east, north) that are on the drawing."""
        for east, north in places:
            x = self._left + (east - self._west) * self.scale
            y = _MARGIN + (self._north - north) * self.scale
            if 0 <= x <= _WIDTH and 0 <= y <= self.height - _MARGIN:
                yield x, y


def _frame_of(places: Sequence[tuple[float, float]]) -> Frame:
    east, north = [p[0] for p in places], [p[1] for p in places]
    return min(east), min(north), max(east), max(north)


def _marks(kind: Kind, placed: Sequence[tuple[Mark, tuple[float, float]]], titled: bool) -> list[str]:
    found = []
    numbers = {id(mark): str(number) for number, mark in enumerate(kind.marks, start=1)}
    for mark, (x, y) in reversed(placed) if kind.shape == "pin" else placed:
        drawn = _shape(kind.shape, x, y, kind.colour, numbers[id(mark)])
        if titled and mark.title:
            drawn = f"<g><title>{html.escape(mark.title)}</title>{drawn}</g>"
        found.append(f'<a href="#{html.escape(mark.link)}">{drawn}</a>' if mark.link else drawn)
    return found


def _shape(shape: str, x: float, y: float, colour: str, number: str = "") -> str:
    if shape == "pin":
        return (
            f'<circle class="pin" cx="{x:.1f}" cy="{y:.1f}" r="13" fill="{colour}" stroke="#fff" '
            f'stroke-width="2"/><text class="pin" x="{x:.1f}" y="{y:.1f}" text-anchor="middle" '
            f'dominant-baseline="central" fill="#fff">{number}</text>'
        )
    if shape == "ring":
        return (
            f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="18" fill="none" stroke="{colour}" '
            'stroke-width="4"/>'
        )
    if shape == "square":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{colour}" stroke="#fff"/>'
    if shape == "cross":
        path = f"M{x - 4.5:.1f} {y - 4.5:.1f}l9 9m0-9l-9 9"
        return f'<path d="{path}" stroke="{colour}" stroke-width="3" fill="none"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.4" fill="{colour}" stroke="#fff"/>'


def _scale_bar(scale: float, height: int) -> str:
    """A bar of 1, 2 or 5 times a power of ten metres, about a fifth of the map long."""
    rough = _WIDTH / 5 / scale
    unit = 10 ** math.floor(math.log10(rough))
    metres = max(unit * factor for factor in (1, 2, 5) if unit * factor <= rough)
    length, y = metres * scale, height - 12
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    return (
        f'<path class="scale" d="M{_MARGIN} {y - 5}v5h{length:.1f}v-5" stroke="#333" fill="none"/>'
        f'<text x="{_MARGIN + length + 6:.1f}" y="{y}">{label}</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{y}" text-anchor="end">north is up</text>'
    )
