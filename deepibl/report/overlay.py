"""Maps of numbers drawn over a photo: heat, signed heat, clusters, and the outlines of cells.

Photos are (H, W, 3) uint8 RGB, and so are results. Maps may be of any size; they are scaled to the photo's.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from matlab_compat.errors import ArgumentError

SMOOTHING = 0.012  # of gradients: the blur's sigma as a share of the shorter side
_PERCENTILE = 99.5
_STRONGEST = 0.85  # opacity of the largest values
_GOLDEN = 0.6180339887
_FOR, _AGAINST = np.array([226.0, 52.0, 40.0]), np.array([44.0, 98.0, 235.0])  # red, blue


def strength(values: np.ndarray, *, smooth: float = 0.0) -> np.ndarray:
    """A map (h, w) scaled for drawing: the 99.5th percentile of its absolute values becomes 1; clipped at ±1.

    smooth: blur first, by a Gaussian whose sigma is this share of the shorter side. A map of zeros stays
    zero. Raises ArgumentError for what is not a matrix of finite numbers.
    """
    from scipy.ndimage import gaussian_filter

    field = np.asarray(values, dtype=np.float32)
    if field.ndim != 2 or not field.size or not np.isfinite(field).all():
        raise ArgumentError(f"a map to draw must be a matrix of finite numbers; got shape {field.shape}")
    if smooth:
        field = gaussian_filter(field, max(0.5, smooth * min(field.shape)), mode="mirror")
    top = float(np.percentile(np.abs(field), _PERCENTILE)) or float(np.abs(field).max())
    return np.clip(field / top, -1, 1) if top > 0 else field


def heat_overlay(
    photo: np.ndarray, values: np.ndarray, *, signed: bool = False, smooth: float = 0.0
) -> np.ndarray:
    """The photo, greyed and darkened, under a map from 0 (transparent) over red to yellow.

    signed: red above 0, blue below. smooth: as in `strength`.
    """
    import matplotlib

    scaled = _stretched(strength(values, smooth=smooth), photo.shape)
    if signed:
        colours = np.where(scaled > 0, _FOR, _AGAINST)
    else:
        scaled = scaled - max(0.0, float(scaled.min()))
        colours = matplotlib.colormaps["inferno"](0.35 + 0.65 * np.abs(scaled[..., 0]))[..., :3] * 255
    return _blend(_grey(photo) * 0.8, colours, _STRONGEST * np.abs(scaled) ** 0.8)


def cluster_overlay(
    photo: np.ndarray, labels: np.ndarray, count: int, certainty: np.ndarray | None = None
) -> np.ndarray:
    """The photo with each cell in the colour of its cluster.

    labels: (h, w), from 0 to count - 1. certainty: (h, w), 0 to 1, the more the more opaque.
    """
    opacity = np.full(labels.shape, 0.6, np.float32) if certainty is None else 0.25 + 0.45 * certainty
    colours, shape = cluster_colours(count)[labels], photo.shape
    return _blend(
        _grey(photo), _stretched(colours, shape, "nearest-exact"), _stretched(opacity, shape, "nearest-exact")
    )


def cluster_colours(count: int) -> np.ndarray:
    """Colours (count, 3) uint8 RGB: hues a golden section apart, so that neighbours in the list differ."""
    from matplotlib.colors import hsv_to_rgb

    numbers = np.arange(count)
    levels = np.stack(
        [(0.02 + numbers * _GOLDEN) % 1, 0.55 + 0.4 * (numbers % 2), 1 - 0.25 * (numbers % 3) / 2], 1
    )
    return np.round(hsv_to_rgb(levels) * 255).astype(np.uint8)


def outline_cells(
    photo: np.ndarray, grid: tuple[int, int], cells: Sequence[tuple[int, int]], colours: np.ndarray
) -> np.ndarray:
    """The photo with frames around cells (row, column) of a grid (rows, columns) that covers it.

    colours: (len(cells), 3) uint8. Frames are numbered from 1 in the order given.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.fromarray(photo)
    pen = ImageDraw.Draw(drawn)
    height, width = photo.shape[:2]
    thick = max(1, round(min(height, width) / 160))
    font = ImageFont.load_default(9 * thick)
    for number, ((row, column), colour) in enumerate(zip(cells, colours.tolist(), strict=True), start=1):
        top, bottom = (round(height * edge / grid[0]) for edge in (row, row + 1))
        left, right = (round(width * edge / grid[1]) for edge in (column, column + 1))
        pen.rectangle((left, top, right - 1, bottom - 1), outline=tuple(colour), width=thick)
        at = max(0, left - 2 * thick), max(8 * thick, top - 2 * thick)
        pen.text(at, str(number), tuple(colour), font, anchor="ls", stroke_width=thick, stroke_fill="black")
    return np.asarray(drawn)


def _stretched(field: np.ndarray, shape: tuple[int, ...], mode: str = "bilinear") -> np.ndarray:
    """A map (h, w) or colours (h, w, C) as (H, W, C) float32 of a photo's shape."""
    planes = torch.as_tensor(np.atleast_3d(field), dtype=torch.float32).permute(2, 0, 1)[None]
    return F.interpolate(planes, shape[:2], mode=mode)[0].permute(1, 2, 0).numpy()


def _grey(photo: np.ndarray) -> np.ndarray:
    luma = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return 0.75 * luma[..., None] + 0.25 * photo


def _blend(below: np.ndarray, above: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return np.clip(below * (1 - opacity) + above * opacity, 0, 255).astype(np.uint8)
