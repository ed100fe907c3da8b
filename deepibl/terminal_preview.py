"""Small pictures in a terminal that shows colours: two pixels a character, as the upper half block.

`can_show` says whether a stream is such a terminal; programs that read the output never get a preview.
"""

import os
from collections.abc import Mapping, Sequence
from typing import TextIO

import numpy as np

_HALF = "▀"
_RESET = "\x1b[0m"
_GAP = "  "


def colours_of(stream: TextIO, environment: Mapping[str, str] | None = None) -> int:
    """How many colours the terminal behind a stream shows: 0 (none, or no terminal), 256, or 2**24.

    Follows TERM, COLORTERM, and NO_COLOR (https://no-color.org), and whether half blocks can be written to
    it.
    """
    env = os.environ if environment is None else environment
    if env.get("NO_COLOR") or env.get("TERM", "") in ("", "dumb") or not stream.isatty():
        return 0
    try:
        _HALF.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return 0
    if env.get("COLORTERM", "").lower() in ("truecolor", "24bit"):
        return 2**24
    known = ("256color", "kitty", "alacritty", "direct", "ghostty", "foot")
    return 256 if any(word in env["TERM"] for word in known) else 0


def preview(
    pictures: Sequence[np.ndarray], *, columns: int = 80, colours: int = 2**24, widest: int = 32
) -> str:
    """Pictures (H, W, 3) uint8 RGB side by side as lines of coloured half blocks, at most `columns` wide.

    widest: characters a picture. Equal heights; returns '' where there is no room or no picture.
    """
    if not pictures:
        return ""
    room = (columns - len(_GAP) * (len(pictures) - 1)) // len(pictures)
    width = min(room, widest)
    if width < 8:
        return ""
    rows = max(2, round(max(width * shape[0] / shape[1] for shape in (p.shape for p in pictures)) / 2))
    rows = min(rows, width)
    blocks = [_lines(picture, width, rows, colours) for picture in pictures]
    return "\n".join(_GAP.join(parts) for parts in zip(*blocks, strict=True))


def _lines(picture: np.ndarray, width: int, rows: int, colours: int) -> list[str]:
    """`rows` lines of `width` characters; the picture keeps its shape and is centred, blanks around it."""
    import cv2

    height = min(2 * rows, max(2, round(width * picture.shape[0] / picture.shape[1])))
    across = min(width, max(1, round(height * picture.shape[1] / picture.shape[0])))
    small = cv2.resize(picture, (across, height), interpolation=cv2.INTER_AREA)
    if height % 2:
        small = np.concatenate([small, small[-1:]])
    lines = []
    for upper, lower in zip(small[0::2], small[1::2], strict=True):
        cells = "".join(
            _cell(above, below, colours) for above, below in zip(upper.tolist(), lower.tolist(), strict=True)
        )
        lines.append(cells + _RESET + " " * (width - across))
    return lines + [" " * width] * (rows - len(lines))


def _cell(above: list[int], below: list[int], colours: int) -> str:
    if colours > 256:
        return f"\x1b[38;2;{above[0]};{above[1]};{above[2]};48;2;{below[0]};{below[1]};{below[2]}m{_HALF}"
    return f"\x1b[38;5;{_of_256(above)};48;5;{_of_256(below)}m{_HALF}"


def _of_256(colour: list[int]) -> int:
    """The nearest of the 6 x 6 x 6 colours of a 256-colour terminal; greys from its finer grey ramp."""
    if max(colour) - min(colour) < 12:
        level = sum(colour) / 3
        return 16 if level < 4 else 231 if level > 246 else 232 + min(23, int((level - 3) / 10))
    red, green, blue = (round(value / 51) for value in colour)
    return 16 + 36 * red + 6 * green + blue
