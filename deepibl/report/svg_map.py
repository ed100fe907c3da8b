"""A map of positions as SVG text: no tiles, no network; north is up, metres are to scale."""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
