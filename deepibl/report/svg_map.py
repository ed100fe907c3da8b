"""A map of positions as SVG text: no tiles, no network; north is up, metres are to scale."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTH, _HIGHEST, _MARGIN, _LOWEST = 900, 640, 24, 160
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
    """Marks of one meaning: label for the legend, colour, shape ('dot', 'square' or 'cross')."""

    label: str
    colour: str
    shape: str
    marks: Sequence[Mark]


def place_map(background: Sequence[Sequence[float]], kinds: Sequence[Kind]) -> str:
    """The map: background positions (east, north) in grey, marks over them, a legend, a scale bar in metres.

    Empty text where no position is known.
    """
    marks = [mark for kind in kinds for mark in kind.marks]
    places = [(float(e), float(n)) for e, n in background] + [(mark.east, mark.north) for mark in marks]
    if not places:
        return ""
    west, east = min(p[0] for p in places), max(p[0] for p in places)
    south, north = min(p[1] for p in places), max(p[1] for p in places)
    scale = min(
        (_WIDTH - 2 * _MARGIN) / max(east - west, 1.0), (_HIGHEST - 2 * _MARGIN) / max(north - south, 1.0)
    )
    height = max(_LOWEST, round((north - south) * scale) + 2 * _MARGIN + 20)
    left = (_WIDTH - (east - west) * scale) / 2

    def at(place_east: float, place_north: float) -> tuple[float, float]:
        return left + (place_east - west) * scale, _MARGIN + (north - place_north) * scale

    dots = "".join(f"M{x:.1f} {y:.1f}h0" for x, y in (at(e, n) for e, n in background))
    parts = [f'<path d="{dots}" stroke="#b9bfc7" stroke-width="3.4" stroke-linecap="round"/>']
    titled = len(marks) <= _TITLED
    for kind in kinds:
        parts += _marks(kind, [(mark, at(mark.east, mark.north)) for mark in kind.marks], titled)
    parts.append(_scale_bar(scale, height))
    legend = [("database", "#b9bfc7", "dot"), *((k.label, k.colour, k.shape) for k in kinds)]
    legend_rows = "".join(
        f'<span class="key"><svg viewBox="-8 -8 16 16">{_shape(shape, 0, 0, colour)}</svg>'
        f"{html.escape(label)}</span>"
        for label, colour, shape in legend
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" class="map"><title>Map of the queries</title>'
        f'{"".join(parts)}</svg><p class="legend">{legend_rows}</p>'
    )


def _marks(kind: Kind, placed: Sequence[tuple[Mark, tuple[float, float]]], titled: bool) -> list[str]:
    found = []
    for mark, (x, y) in placed:
        drawn = _shape(kind.shape, x, y, kind.colour)
        if titled and mark.title:
            drawn = f"<g><title>{html.escape(mark.title)}</title>{drawn}</g>"
        found.append(f'<a href="#{html.escape(mark.link)}">{drawn}</a>' if mark.link else drawn)
    return found


def _shape(shape: str, x: float, y: float, colour: str) -> str:
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
        f'<path d="M{_MARGIN} {y - 5}v5h{length:.1f}v-5" stroke="#333" fill="none"/>'
        f'<text x="{_MARGIN + length + 6:.1f}" y="{y}">{label}</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{y}" text-anchor="end">north is up</text>'
    )
