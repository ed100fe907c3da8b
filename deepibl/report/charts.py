"""Line charts, and a map of positions, as SVG to put into a page.

Charts are drawn by matplotlib, without names from outside (files, data sets, groups), because it reads `$` as
mathematics and warns of characters that its font lacks: they are in the legend, which the page draws. The map
(`place_map`) is not, since its marks link to a query's case and have tooltips; north is up, metres to scale.
"""

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from markupsafe import Markup

_MAP_WIDTH, _HIGHEST, _MARGIN, _LOWEST = 900, 640, 24, 160
DATABASE = "#b9bfc7"
Frame = tuple[float, float, float, float]
_TITLED = 3000  # with more marks than this none has a tooltip: the page stays small


class Drawing(NamedTuple):
    """A chart or map: an <svg> element, and its legend: symbols (SVG in 16 x 16 pixels around 0), labels."""

    svg: Markup
    legend: list[tuple[Markup, str]]


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

    Pins are numbered from 1 in the order of the marks; the first is on top.
    """

    label: str
    colour: str
    shape: str
    marks: Sequence[Mark]


def place_map(background: Sequence[Sequence[float]], kinds: Sequence[Kind]) -> Drawing | None:
    """The map: background positions (east, north) in grey, marks over them, a scale bar in metres, a legend.

    None where no position is known.
    """
    drawn = map_svg(background, kinds)
    shown = [Kind("database", DATABASE, "dot", ()), *kinds]
    legend = [(_shape(kind.shape, 0, 0, kind.colour), kind.label) for kind in shown]
    return Drawing(drawn, legend) if drawn else None


def map_svg(
    background: Sequence[Sequence[float]],
    kinds: Sequence[Kind],
    *,
    title: str = "Map of the queries",
    frame: Frame | None = None,
    tiles: Callable[[Frame, float], Iterable[tuple[str, Frame]]] | None = None,
) -> Markup:
    """The map of `place_map` without its legend: one SVG element; empty where no position is known.

    frame: (west, south, east, north) in metres, what is shown; None shows every position. Marks outside are
    left out, and counted at the bottom. Positions of the background that fall on one dot are drawn once.
    tiles: pictures below, as addresses with their frames, by what the drawing shows and its pixels a metre.
    """
    marks = [mark for kind in kinds for mark in kind.marks]
    places = [(float(e), float(n)) for e, n in background] + [(mark.east, mark.north) for mark in marks]
    if not places:
        return Markup()
    east, north = zip(*places, strict=True)
    sheet = _Sheet(frame or (min(east), min(north), max(east), max(north)))
    dots = dict.fromkeys((round(x), round(y)) for x, y in sheet.inside(background))
    path = "".join(f"M{x} {y}h0" for x, y in dots)
    picture = Markup(
        '<image href="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" preserveAspectRatio="none"/>'
    )
    parts: list[str] = [
        picture.format(url, *sheet.box(of)) for url, of in (tiles(sheet.shown, sheet.scale) if tiles else ())
    ]
    parts.append(
        f'<path class="database" d="{path}" stroke="{DATABASE}" stroke-width="3.4" stroke-linecap="round"/>'
    )
    shown = 0
    for kind in kinds:
        placed = [
            (number, mark, at)
            for number, mark in enumerate(kind.marks, start=1)
            for at in sheet.inside([(mark.east, mark.north)])
        ]
        shown += len(placed)
        for number, mark, (x, y) in reversed(placed) if kind.shape == "pin" else placed:
            drawn = _shape(kind.shape, x, y, kind.colour, number)
            if mark.title and len(marks) <= _TITLED:
                drawn = Markup("<g><title>{}</title>{}</g>").format(mark.title, drawn)
            parts.append(Markup('<a href="#{}">{}</a>').format(mark.link, drawn) if mark.link else drawn)
    parts.append(_scale_bar(sheet.scale, sheet.height))
    if shown < len(marks):
        note = f"{len(marks) - shown} of {len(marks)} marks are outside"
        parts.append(
            f'<text x="{_MAP_WIDTH / 2:g}" y="{sheet.height - 12}" text-anchor="middle">{note}</text>'
        )
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" role="img" class="map">'
        "<title>{}</title>{}</svg>"
    ).format(_MAP_WIDTH, sheet.height, title, Markup("".join(parts)))


class _Sheet:
    """Where metres are on the drawing: `scale` in pixels a metre, `height` of the drawing in pixels."""

    def __init__(self, frame: Frame) -> None:
        self._west, south, east, self._north = frame
        width, depth = east - self._west, self._north - south
        self.scale = min(
            (_MAP_WIDTH - 2 * _MARGIN) / max(width, 1.0), (_HIGHEST - 2 * _MARGIN) / max(depth, 1.0)
        )
        self.height = max(_LOWEST, round(depth * self.scale) + 2 * _MARGIN + 20)
        self._left = (_MAP_WIDTH - width * self.scale) / 2

    @property
    def shown(self) -> Frame:
        """What the whole drawing shows, in metres."""
        west, north = self._west - self._left / self.scale, self._north + _MARGIN / self.scale
        return west, north - self.height / self.scale, west + _MAP_WIDTH / self.scale, north

    def box(self, frame: Frame) -> tuple[float, float, float, float]:
        """x, y, width and height in pixels of a frame in metres."""
        west, _, _, north = self.shown
        x, y = (frame[0] - west) * self.scale, (north - frame[3]) * self.scale
        return x, y, (frame[2] - frame[0]) * self.scale, (frame[3] - frame[1]) * self.scale

    def inside(self, places: Sequence[Sequence[float]]) -> Iterator[tuple[float, float]]:
        """The pixels (x, y) of those positions (east, north) that are on the drawing."""
        for east, north in places:
            x = self._left + (east - self._west) * self.scale
            y = _MARGIN + (self._north - north) * self.scale
            if 0 <= x <= _MAP_WIDTH and 0 <= y <= self.height - _MARGIN:
                yield x, y


_SHAPES = {
    "pin": '<circle class="pin" cx="{x:.1f}" cy="{y:.1f}" r="13" fill="{colour}" stroke="#fff" '
    'stroke-width="2"/><text class="pin" x="{x:.1f}" y="{y:.1f}" text-anchor="middle" '
    'dominant-baseline="central" fill="#fff">{number}</text>',
    "ring": '<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="18" fill="none" stroke="{colour}" '
    'stroke-width="4"/>',
    "square": '<rect x="{left:.1f}" y="{top:.1f}" width="8" height="8" fill="{colour}" stroke="#fff"/>',
    "cross": '<path d="M{left:.1f} {top:.1f}l8 8m0-8l-8 8" stroke="{colour}" stroke-width="3" fill="none"/>',
    "dot": '<circle cx="{x:.1f}" cy="{y:.1f}" r="4.4" fill="{colour}" stroke="#fff"/>',
}


def _shape(shape: str, x: float, y: float, colour: str, number: int = 0) -> Markup:
    return Markup(_SHAPES[shape]).format(x=x, y=y, left=x - 4, top=y - 4, colour=colour, number=number)


def _scale_bar(scale: float, height: int) -> str:
    """A bar of 1, 2 or 5 times a power of ten metres, about a fifth of the map long."""
    rough = _MAP_WIDTH / 5 / scale
    unit = 10 ** math.floor(math.log10(rough))
    metres = max(unit * factor for factor in (1, 2, 5) if unit * factor <= rough)
    length, y = metres * scale, height - 12
    label = f"{metres / 1000:g} km" if metres >= 1000 else f"{metres:g} m"
    return (
        f'<path class="scale" d="M{_MARGIN} {y - 5}v5h{length:.1f}v-5" stroke="#333" fill="none"/>'
        f'<text x="{_MARGIN + length + 6:.1f}" y="{y}">{label}</text>'
        f'<text x="{_MAP_WIDTH - _MARGIN}" y="{y}" text-anchor="end">north is up</text>'
    )


COLOURS = ("#1f5fbf", "#d9730d", "#3c3c3c", "#b01e73", "#1a8f5c", "#7a4fc0", "#8c6b3f")
_WIDTH, _HEIGHT = 620, 340  # pixels

_STYLE = {
    "svg.fonttype": "none",  # text as text: small, and a reader can search it
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib
    "font.size": 8.6,  # points; 12 pixels
    "axes.edgecolor": "#8a9099",
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e5e8",
    "ytick.left": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


@dataclass(frozen=True)
class Line:
    """points: (x, y); dashed: for figures that were not measured here, drawn with open markers."""

    label: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False


def line_chart(
    name: str, lines: Sequence[Line], x_label: str, y_label: str, *, log_x: bool = False
) -> Drawing | None:
    """Lines with markers, y in percent, the same bytes for the same arguments; None where none has a point.

    name: unique on the page; ids in the SVG are made of it. log_x: a logarithmic x axis, ticks at the points.

    What matplotlib writes around the figure is left out: its style would apply to every SVG of the page (the
    map's round dots would vanish), and its groups' ids repeat from chart to chart.
    """
    import matplotlib.style
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    drawn = [(line, COLOURS[i % len(COLOURS)]) for i, line in enumerate(lines) if line.points]
    if not drawn:
        return None
    buffer = io.StringIO()
    with matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]):
        figure = Figure(figsize=(_WIDTH / 100, _HEIGHT / 100), layout="constrained")
        axes = figure.subplots()
        for line, colour in drawn:
            style: dict[str, Any] = {"color": colour, "marker": "o", "markersize": 4, "clip_on": False}
            if line.dashed:
                style |= {"linestyle": "--", "markerfacecolor": "white"}
            axes.plot(*zip(*line.points, strict=True), **style)
        if log_x:
            ticks = sorted({x for line, _ in drawn for x, _ in line.points})
            axes.set_xscale("log")
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.minorticks_off()
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    body = text[text.index('<g id="figure_1">') : text.rindex("</svg>")]
    body = re.sub(r' id="[a-z0-9.]+_\d+"| clip-path="[^"]*"|(?s:<defs>\s*<clipPath.*?</defs>)', "", body)
    start = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'class="chart" role="img" viewBox="0 0 {:g} {:g}" style="max-width:{}px"><title>{} by {}</title>'
    ).format(_WIDTH * 0.72, _HEIGHT * 0.72, _WIDTH, y_label, x_label)
    key = Markup('<path d="M-8 0h16" stroke="{}" stroke-width="2"{}/>')
    dash = Markup(' stroke-dasharray="4 3"')
    legend = [(key.format(colour, dash if line.dashed else ""), line.label) for line, colour in drawn]
    return Drawing(start + Markup(re.sub(r"\s*\n\s*", " ", body)) + Markup("</svg>"), legend)
