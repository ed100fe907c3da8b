"""Images as MATLAB reads and scales them: vl_imreadjpeg and imresize.

Pixels are float32 0–255, RGB; arrays are (C, H, W). A grey JPEG has one channel, as in the original.
The shape of an output is found as the original finds it: `Resize` gives its size, and the part of the input
that fills it, in the middle, is what `CropAnisotropy` and `CropSize` say; by default the largest part with
the output's aspect ratio, so a two-element `Resize` crops rather than stretches.
"""

import math
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from matlab_compat import jpeg, resize
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.imread_options import imread_options
from matlab_compat.imresize import imresize
from matlab_compat.numeric import round_half_away

__all__ = ["Geometry", "crop_and_size", "imresize", "resize_pixels", "vl_imreadjpeg"]


def vl_imreadjpeg(files: Sequence[str | os.PathLike[str]], *args: Any, **kwargs: Any) -> Any:
    """Reads JPEG files: a list of float32 tensors (3, H, W) or (1, H, W), RGB 0–255, in the files' order.

    Options (keywords, or 'name', value; flags 'Pack', 'GPU', 'Prefetch', 'Verbose' stand alone or are True):
    Resize: pixels of the shorter side, or [height width]; Interpolation: box, bilinear, bicubic, lanczos2,
    lanczos3; CropAnisotropy: width/height stretch of the crop, 0 fits the input's shape; CropSize: its share
    of the side, 0 to 1; SubtractAverage: a number, three, or an image (3, h, w) of the output's size;
    Pack: one tensor (N, 3, h, w) instead of a list, grey repeated, needs a two-element Resize;
    NumThreads: threads that decode; GPU: the results lie on the CUDA device.
    Prefetch returns an empty list and does nothing: reading ahead is `deepibl.extract`'s affair.

    A file that cannot be read (missing, empty, not a JPEG, CMYK, damaged; see `matlab_compat.jpeg.decode`)
    gives None in its place and a warning that names it; with Pack it raises ImageReadError. EXIF orientation
    is ignored. Raises ArgumentError for options out of range, and for what draws at random (CropLocation
    'random', a range of crops, Flip, Brightness, Contrast, Saturation): the original takes these draws from
    C's rand.

    Ported from: matconvnet/vl_imreadjpeg
    """
    if isinstance(files, str | os.PathLike):
        raise ArgumentError(f"files must be a list of names; give [{os.fspath(files)!r}]")
    opts = imread_options(args, kwargs)
    if opts.Prefetch:
        return []
    names = [os.fspath(file) for file in files]
    with ThreadPoolExecutor(max(1, int(opts.NumThreads))) as pool:
        images = list(pool.map(lambda name: _read_or_error(name, opts), names))
    errors = [image for image in images if isinstance(image, ImageReadError)]
    if errors and opts.Pack:
        raise ImageReadError(f"cannot pack {len(names)} images: " + "; ".join(map(str, errors)))
    for error in errors:
        warnings.warn(f"could not read image {error}", stacklevel=2)
    device = "cuda" if opts.GPU else "cpu"
    read = [None if isinstance(image, ImageReadError) else image.to(device) for image in images]
    return torch.stack(read) if opts.Pack else read  # type: ignore[arg-type]


@dataclass(frozen=True)
class Geometry:
    """Output size in pixels, and the part of the input that fills it: its size and its top left corner."""

    height: int
    width: int
    crop_height: int
    crop_width: int
    top: int
    left: int


def crop_and_size(
    height: int, width: int, target: Sequence[int] | int | None, anisotropy: float = 1.0, share: float = 1.0
) -> Geometry:
    """Where vl_imreadjpeg takes its output from, for an input of height x width.

    target: None, the shorter side, or (height, width); anisotropy: 0 stretches the crop to the input's shape;
    share: of the largest such crop's sides.

    >>> crop_and_size(48, 64, 17)
    Geometry(height=17, width=23, crop_height=47, crop_width=64, top=0, left=0)
    """
    if target is None:
        out_height, out_width = height, width
    elif isinstance(target, int):
        scale = max(target / width, target / height)
        out_height, out_width = (max(1, round_half_away(scale * side)) for side in (height, width))
    else:
        out_height, out_width = target
    ratio = anisotropy or (width / height) / (out_width / out_height)
    crop_width, crop_height = out_width * math.sqrt(ratio), out_height / math.sqrt(ratio)
    scale = min(width / crop_width, height / crop_height) * share
    crop_width = min(round_half_away(crop_width * scale), width)
    crop_height = min(round_half_away(crop_height * scale), height)
    top, left = (height - crop_height) // 2, (width - crop_width) // 2
    return Geometry(out_height, out_width, crop_height, crop_width, top, left)


def resize_pixels(pixels: torch.Tensor, geometry: Geometry, interpolation: str = "bilinear") -> torch.Tensor:
    """(C, H, W) of any type -> (C, h, w) float32, not rounded, resampled as vl_imreadjpeg does."""
    _, height, width = pixels.shape
    g = geometry
    if (g.height, g.width) == (g.crop_height, g.crop_width) == (height, width):
        return pixels.to(torch.float32)
    rows = resize.edge_weights(g.height, height, g.crop_height, g.top, interpolation)
    columns = resize.edge_weights(g.width, width, g.crop_width, g.left, interpolation)
    result = resize.resample(resize.as_channels_last(pixels), rows, columns)
    return torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1)))


def _read_or_error(name: str, opts: SimpleNamespace) -> torch.Tensor | ImageReadError:
    try:
        pixels = jpeg.decode(jpeg.read_bytes(name), name)
    except ImageReadError as error:
        return error
    _, height, width = pixels.shape
    geometry = crop_and_size(height, width, opts.Resize, opts.CropAnisotropy, opts.CropSize)
    result = resize_pixels(pixels, geometry, opts.Interpolation)
    if opts.Pack and result.shape[0] == 1:
        result = result.expand(3, -1, -1)
    return result if opts.SubtractAverage is None else result - opts.SubtractAverage[: result.shape[0]]
