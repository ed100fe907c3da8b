"""Maps of numbers drawn over a photo: heat, signed heat, clusters, and the outlines of cells.

Photos are (H, W, 3) uint8 RGB; what comes back is the same. Maps may be of any size; they are stretched."""

from collections.abc import Sequence

import numpy as np

from matlab_compat.errors import ArgumentError

SMOOTHING = 0.012  # of gradients: sigma of the blur, as a share of the shorter side

_PERCENTILE = 99.5

_STRONGEST = 0.85  # opacity of the largest values

_GOLDEN = 0.6180339887

_FOR, _AGAINST = np.array([226.0, 52.0, 40.0]), np.array([44.0, 98.0, 235.0])  # red, blue


def strength(values: np.ndarray, *, smooth: float = 0.0) -> np.ndarray:
    """A map scaled for drawing: its 99.5th percentile (of absolute values) becomes 1, and it is cut at ±1.

    smooth: blur first, by a Gaussian whose sigma is this share of the shorter side. A map of zeros stays
    zero.
    """
    import cv2

    field = np.asarray(values, dtype=np.float32)
    if field.ndim != 2 or not field.size or not np.isfinite(field).all():
        raise ArgumentError(f"a map to draw is a matrix of finite numbers, found shape {field.shape}")
    if smooth:
        field = np.asarray(cv2.GaussianBlur(field, (0, 0), max(0.5, smooth * min(field.shape))), np.float32)
    top = float(np.percentile(np.abs(field), _PERCENTILE)) or float(np.abs(field).max())
    return np.clip(field / top, -1, 1) if top > 0 else field


def heat_overlay(
    photo: np.ndarray, values: np.ndarray, *, signed: bool = False, smooth: float = 0.0
) -> np.ndarray:
    """The photo, greyed and darkened, with a map glowing over it.

    From 0 (the photo) over red to yellow; signed maps: red above 0, blue below.
    """
    import matplotlib

    scaled = _stretched(strength(values, smooth=smooth), photo.shape)
    if signed:
        colours = np.where(scaled[..., None] > 0, _FOR, _AGAINST)
    else:
        scaled = scaled - max(0.0, float(scaled.min()))
        colours = matplotlib.colormaps["inferno"](0.35 + 0.65 * np.abs(scaled))[..., :3] * 255
    opacity = _STRONGEST * np.abs(scaled)[..., None] ** 0.8
    return _blend(_grey(photo) * 0.8, colours, opacity)


def cluster_overlay(
    photo: np.ndarray, labels: np.ndarray, count: int, certainty: np.ndarray | None = None
) -> np.ndarray:
    """The photo with each cell in its cluster's colour, of `count`. certainty: opacity, 0 to 1."""
    opacity = np.full(labels.shape, 0.6, np.float32) if certainty is None else 0.25 + 0.45 * certainty
    colours = cluster_colours(count)[labels].astype(np.float32)
    shape = photo.shape
    return _blend(
        _grey(photo), _stretched(colours, shape, blocks=True), _stretched(opacity, shape, True)[..., None]
    )


def cluster_colours(count: int) -> np.ndarray:
    """(count, 3) uint8 RGB: hues a golden section apart, so that neighbours in the list differ."""
    from matplotlib.colors import hsv_to_rgb

    numbers = np.arange(count)
    levels = np.stack(
        [(0.02 + numbers * _GOLDEN) % 1, 0.55 + 0.4 * (numbers % 2), 1 - 0.25 * (numbers % 3) / 2], 1
    )
    return np.round(hsv_to_rgb(levels) * 255).astype(np.uint8)


def outline_cells(
    photo: np.ndarray, grid: tuple[int, int], cells: Sequence[tuple[int, int]], colours: np.ndarray
) -> np.ndarray:
    """The photo with frames around cells (row, column) of a grid (rows, columns) stretched over it.

    colours: (len(cells), 3) uint8. Frames are numbered from 1 in the order given.
    """
    import cv2

    drawn = np.ascontiguousarray(photo).copy()
    height, width = photo.shape[:2]
    thick = max(1, round(min(height, width) / 160))
    for number, ((row, column), colour) in enumerate(zip(cells, colours.tolist(), strict=True), start=1):
        top, bottom = (round(height * edge / grid[0]) for edge in (row, row + 1))
        left, right = (round(width * edge / grid[1]) for edge in (column, column + 1))
        cv2.rectangle(drawn, (left, top), (right - 1, bottom - 1), colour, thick)
        at = (max(0, left - 2 * thick), max(8 * thick, top - 2 * thick))
        for shade, line in (((0, 0, 0), 3 * thick), (tuple(colour), thick)):
            cv2.putText(
                drawn, str(number), at, cv2.FONT_HERSHEY_SIMPLEX, 0.3 * thick, shade, line, cv2.LINE_AA
            )
    return drawn


def _stretched(field: np.ndarray, shape: tuple[int, ...], blocks: bool = False) -> np.ndarray:
    import cv2

    how = cv2.INTER_NEAREST_EXACT if blocks else cv2.INTER_LINEAR
    return cv2.resize(np.asarray(field, dtype=np.float32), (shape[1], shape[0]), interpolation=how)


def _grey(photo: np.ndarray) -> np.ndarray:
    luma = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return 0.75 * luma[..., None] + 0.25 * photo


def _blend(below: np.ndarray, above: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return np.clip(below * (1 - opacity) + above * opacity, 0, 255).astype(np.uint8)
