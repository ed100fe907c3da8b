"""MATLAB's imresize, for numpy arrays and torch tensors (C, H, W)."""

import math
from typing import Any

import numpy as np
import torch

from matlab_compat import resize
from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import round_half_away


def imresize(image: Any, scale: Any, method: str = "bicubic", antialiasing: bool | None = None) -> Any:
    """MATLAB's imresize(image, scale) or imresize(image, [rows columns]).

    image: (H, W) or (C, H, W), numpy or torch; the result has its type, values of an integer type rounded
    and clipped after each axis. scale: a positive factor (the output has ceil(scale * side) pixels), or two
    sizes of which one may be NaN to keep the aspect ratio. method: bicubic, bilinear, nearest, box, lanczos2,
    lanczos3. antialiasing: when shrinking; by default on, but for nearest. Raises ArgumentError otherwise.

    >>> imresize(np.arange(16, dtype=np.uint8).reshape(4, 4), 0.5, "nearest")
    array([[ 5,  7],
           [13, 15]], dtype=uint8)
    """
    pixels = resize.as_channels_last(image)
    (out_height, out_width), scales = _size_and_scales(pixels.shape[:2], scale)
    nearest = method == "nearest"
    smooth = not nearest if antialiasing is None else antialiasing
    kernel = "box" if nearest else method
    rows = resize.mirror_weights(out_height, pixels.shape[0], scales[0], kernel, smooth)
    columns = resize.mirror_weights(out_width, pixels.shape[1], scales[1], kernel, smooth)
    steps = [(resize.along_rows, rows), (resize.along_columns, columns)]
    for along, weights in steps if scales[0] <= scales[1] else steps[::-1]:
        pixels = _as_type(along(pixels, weights), pixels.dtype)
    shape = (*np.shape(image)[:-2], out_height, out_width)
    result = np.ascontiguousarray(pixels.transpose(2, 0, 1)).reshape(shape)
    return torch.from_numpy(result) if isinstance(image, torch.Tensor) else result


def _as_type(pixels: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    if dtype.kind == "b":
        return pixels >= 0.5
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        pixels = np.clip(round_half_away(pixels), limits.min, limits.max)
    return pixels.astype(dtype)


def _size_and_scales(shape: tuple[int, ...], scale: Any) -> tuple[tuple[int, int], tuple[float, float]]:
    """Output size and the scale of each axis, from imresize's second argument."""
    values = [float(value) for value in np.ravel(scale)]
    height, width = shape
    given = [value for value in values if not math.isnan(value)]
    if len(values) not in (1, 2) or not given or not all(0 < value < math.inf for value in given):
        raise ArgumentError(f"imresize takes a positive factor or two positive sizes, not {scale!r}")
    if len(values) == 1:
        scales = (given[0], given[0])
    elif len(given) == 2:
        rows, columns = (math.ceil(value) for value in given)
        return (rows, columns), (rows / height, columns / width)
    else:
        factor = given[0] / (width if math.isnan(values[0]) else height)
        scales = (factor, factor)
    return (math.ceil(scales[0] * height), math.ceil(scales[1] * width)), scales
