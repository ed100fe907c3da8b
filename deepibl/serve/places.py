"""Images and maps of an index's rows; no file outside the index's root is opened."""

import functools
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from deepibl.datasets.geo import DEGREES, map_metres, metres_between
from deepibl.images import load_pixels
from deepibl.report.charts import Frame, Kind, Mark, map_svg
from deepibl.report.html import QUALITY, small_picture
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import out_of_range
from deepibl.serve.http import Refused
from deepibl.serve.tiles import Tiles
from matlab_compat.errors import ImageReadError
from matlab_compat.files import StrPath

SIDES = (32, 1280)  # of thumbnails, in pixels
EXTENTS = ("near", "whole")
_NEAR = (120.0, 400.0)  # metres that "near" shows around the best place, at least and at most
_BACKGROUND = 20_000  # positions of the index that a map draws, at most
_KEPT = 512  # thumbnails, in memory
_PIN, _OWN = "#0f7b6c", "#c8372d"
_GONE = "Start the page with --root DIR, the folder that holds the index's images now."


class Places:
    """The images of an index. root: their folder (default: the index's). tiles: of the map."""

    def __init__(self, index: PlaceIndex, root: StrPath = "", tiles: Tiles | None = None) -> None:
        self._index, self.tiles = index, tiles if index.frame == DEGREES else None
        self._root = Path(os.path.realpath(root or index.root))
        self._small = functools.lru_cache(_KEPT)(_thumbnail)

    def __len__(self) -> int:
        return len(self._index)

    def path(self, row: int) -> Path:
        """The file of a row, links followed.

        Raises Refused (404) for a row that the index does not have, a name that leads out of the root (by
        `..`, as an absolute path or over a link), and for what is not a regular file.
        """
        self._check(row)
        path = Path(os.path.realpath(self._root / self._index.names[row]))
        if not path.is_relative_to(self._root):
            raise Refused(404, f"the name of row {row} leads out of the index's folder", _GONE)
        if not os.path.isfile(path):
            raise Refused(404, f"the image of row {row} is missing", _GONE)
        return path

    def thumbnail(self, row: int, side: int) -> bytes:
        """The image of a row as a JPEG, its longer side at most `side` pixels. Raises Refused (404)."""
        data = self._small(self.path(row), side)
        if data is None:
            raise Refused(404, f"the image of row {row} cannot be read", _GONE)
        return data

    def pixels(self, row: int) -> Tensor:
        """The image of a row at the index's scale, (1 or 3, H, W). Raises Refused (404)."""
        try:
            return load_pixels(self.path(row), self._index.reading)
        except ImageReadError:
            raise Refused(404, f"the image of row {row} cannot be read", _GONE) from None

    def map(self, rows: Sequence[int], extent: str, own: tuple[float, float] | None = None) -> str:
        """An SVG document: the rows as numbered pins, the index's positions behind them.

        extent: 'whole' shows every position, 'near' the surroundings of the first row with a known position.
        own: the photo's own latitude and longitude, marked too. Raises Refused (404) if no position is known.
        """
        for row in rows:
            self._check(row)
        placed = self._index.positions[list(rows)]
        known = np.isfinite(placed).all(axis=1)
        if not known.any():
            raise Refused(404, "no position of these rows is known", "Make an index with positions.")
        frame, centre = self._index.frame, placed[known][0]
        pins = [
            Mark(east, north, self._index.names[row], f"place-{row}")
            for row, (east, north) in zip(rows, map_metres(placed, centre, frame).tolist(), strict=True)
        ]
        title = "the photo's own GPS position"
        here = map_metres([own], centre, frame).tolist() if own and frame == DEGREES else []
        ring = Kind(title, _OWN, "ring", [Mark(east, north, title) for east, north in here])
        shown = _near([pin for pin in pins if np.isfinite(pin.east)]) if extent == "near" else None
        behind = map_metres(self._index.positions, centre, frame)
        behind = behind[np.isfinite(behind).all(axis=1)]
        if shown is not None:
            behind = behind[((behind >= shown[:2]) & (behind <= shown[2:])).all(axis=1)]
        return map_svg(
            behind[:: max(1, -(-len(behind) // _BACKGROUND))].tolist(),  # of very many evenly a part
            [Kind("places", _PIN, "pin", pins), ring],
            title="Map of the places",
            frame=shown,
            tiles=functools.partial(self.tiles.below, centre) if self.tiles else None,
        )

    def metres(self, row: int, own: tuple[float, float] | None) -> float | None:
        """Metres from a row to latitude and longitude; None where either is not known."""
        if own is None or self._index.frame != DEGREES:
            return None
        metres = float(metres_between(self._index.positions[row], own, DEGREES))
        return metres if np.isfinite(metres) else None

    def require_around(self, position: tuple[float, float] | None, metres: float) -> None:
        """Checks that places around a position can be searched.

        Raises Refused: 422 if it is not known, or not where on the globe the index's images are; 404 if none
        of them is in the circle.
        """
        if position is None or self._index.frame != DEGREES:
            raise Refused(
                422,
                "within needs a position that is known, and an index that knows where on the globe it is",
                "Give latitude and longitude, or a photo that has them in its EXIF.",
            )
        if not len(self._index.ids_within(position, metres)):
            raise Refused(404, out_of_range(self._index, position, metres), "Search a larger circle.")

    def _check(self, row: int) -> None:
        if not 0 <= row < len(self):
            raise Refused(404, f"the index has no row {row}", f"Rows are 0 to {len(self) - 1}.")


def _thumbnail(path: Path, side: int) -> bytes | None:
    small = small_picture(path, side)
    return None if small is None else as_image(small, "JPEG")


def as_image(pixels: np.ndarray, kind: str) -> bytes:
    """Pixels (h, w, 3) uint8 as the bytes of a PNG or JPEG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": QUALITY + 13} if kind == "JPEG" else {}))
    return buffer.getvalue()


def _near(marks: Sequence[Mark]) -> Frame:
    """A frame around the first mark and those of the others that are not far from it."""
    first = marks[0]
    close = [
        max(abs(mark.east - first.east), abs(mark.north - first.north))
        for mark in marks
        if np.hypot(mark.east - first.east, mark.north - first.north) <= _NEAR[1]
    ]
    reach = max(_NEAR[0], 1.15 * max(close))
    return first.east - 1.4 * reach, first.north - reach, first.east + 1.4 * reach, first.north + reach
