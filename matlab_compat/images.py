"""Images as MATLAB reads and scales them: vl_imreadjpeg and imresize.

Pixels are float32 0–255, RGB, in arrays (C, H, W); a grey JPEG has one channel. `Resize` gives the size of
the output, `CropAnisotropy` and `CropSize` the central part of the input that fills it: by default the
largest one of the output's aspect ratio, so that a two-element `Resize` crops rather than stretches.

Both multiply rows and columns by a sparse matrix each (output, input), whose rows sum to 1, and stretch the
kernel where an axis shrinks. vl_imreadjpeg repeats the edge pixel, takes the rows first, computes in float32
and adds 1e-5 to both parts of its lanczos kernels. imresize mirrors the image, takes the axis first that
shrinks more, computes in float64 and rounds to the image's own type in between.
"""

import math
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix

from matlab_compat import jpeg
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath
from matlab_compat.numeric import round_half_away

Kernel = Callable[[np.ndarray], np.ndarray]
_BAND = 32  # output rows


def edge_weights(output: int, size: int, crop: int, offset: int, method: str) -> csr_matrix:
    """The (output, size) float32 matrix that vl_imreadjpeg applies to one axis.

    output: pixels of the result; size: pixels of the whole axis; crop, offset: the part of it to resample
    (the kernel also reads pixels outside it); method: box, bilinear, bicubic, lanczos2 or lanczos3.
    Raises ArgumentError for another method.
    """
    kernel, width = _kernel(method, epsilon=1e-5)
    alpha = np.float32(crop) / np.float32(output)
    beta = np.float32(0.5) * (alpha - np.float32(1)) + np.float32(offset)
    stretch = max(alpha, np.float32(1))
    support = np.float32(width) * stretch
    taps = int(np.ceil(support))
    centre = alpha * np.arange(output, dtype=np.float32) + beta
    first = np.ceil(centre - support / np.float32(2)).astype(np.int64)
    pixel = first[:, None] + np.arange(taps)
    weight = kernel((centre[:, None] - pixel.astype(np.float32)) / stretch)
    return _banded(weight.astype(np.float32), np.clip(pixel, 0, size - 1), size)


def mirror_weights(output: int, size: int, scale: float, method: str, antialiasing: bool) -> csr_matrix:
    """The (output, size) float64 matrix that imresize applies to one axis.

    scale: output pixels per input pixel; it need not be output / size.
    Raises ArgumentError for a method other than box, bilinear, bicubic, lanczos2 and lanczos3.
    """
    kernel, width = _kernel(method, epsilon=0.0)
    shrink = min(scale, 1.0) if antialiasing else 1.0
    support = width / shrink
    taps = int(np.ceil(support)) + 2
    centre = (np.arange(output) + 0.5) / scale - 0.5
    first = np.floor(centre - support / 2 + 1).astype(np.int64) - 1
    pixel = first[:, None] + np.arange(taps)
    weight = kernel((centre[:, None] - pixel) * shrink)
    folded = np.mod(pixel, 2 * size)
    return _banded(weight, np.where(folded < size, folded, 2 * size - 1 - folded), size)


def resample(image: np.ndarray, rows: csr_matrix, columns: csr_matrix) -> np.ndarray:
    """(H, W, C) through both matrices, rows first: (h, w, C) in the matrices' precision.

    Works on bands of rows that stay in the cache: ten times faster on a photo than on the whole image.
    """
    result = np.zeros((rows.shape[0], columns.shape[0], image.shape[2]), dtype=rows.dtype)
    for top in range(0, rows.shape[0], _BAND):
        band = rows[top : top + _BAND]
        if band.nnz:
            first, last = band.indices.min(), band.indices.max() + 1
            part = along_rows(image[first:last], band[:, first:last])
            result[top : top + _BAND] = along_columns(part, columns)
    return result


def along_rows(image: np.ndarray, weights: csr_matrix) -> np.ndarray:
    """(H, W, C) -> (h, W, C): every column of the image through the (h, H) matrix."""
    height, width, channels = image.shape
    flat = np.ascontiguousarray(image, dtype=weights.dtype).reshape(height, width * channels)
    return np.asarray(weights @ flat).reshape(-1, width, channels)


def along_columns(image: np.ndarray, weights: csr_matrix) -> np.ndarray:
    """(H, W, C) -> (H, w, C): every row of the image through the (w, W) matrix."""
    return along_rows(image.transpose(1, 0, 2), weights).transpose(1, 0, 2)


def _banded(weight: np.ndarray, pixel: np.ndarray, size: int) -> csr_matrix:
    """A matrix from (output, taps) weights and their pixels; normalised, the order of sums kept."""
    output, taps = weight.shape
    mass = np.zeros(output, dtype=weight.dtype)
    for tap in range(taps):
        mass += weight[:, tap]
    starts = np.arange(0, output * taps + 1, taps)
    matrix = csr_matrix((weight.ravel(), pixel.ravel(), starts), shape=(output, size))
    matrix.sum_duplicates()
    mass[mass == 0] = 1  # box in float32: a centre midway between two pixels gets neither, and stays black
    matrix.data /= np.repeat(mass, np.diff(matrix.indptr))
    matrix.eliminate_zeros()
    return matrix


def _kernel(method: str, epsilon: float) -> tuple[Kernel, int]:
    """The kernel of that name as a function of the distance, and its width in pixels."""
    kernels: dict[str, tuple[Kernel, int]] = {
        "box": (lambda d: ((d >= -0.5) & (d < 0.5)).astype(d.dtype), 1),
        "bilinear": (lambda d: np.maximum(0, 1 - np.abs(d)), 2),
        "bicubic": (_cubic, 4),
        "lanczos2": (lambda d: _lanczos(d, 2, epsilon), 4),
        "lanczos3": (lambda d: _lanczos(d, 3, epsilon), 6),
    }
    if method not in kernels:
        raise ArgumentError(f"interpolation must be one of {', '.join(kernels)}; got {method!r}")
    return kernels[method]


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic with a = -0.5 (Catmull-Rom)."""
    d = np.abs(distance)
    square = d * d
    cube = d * square
    near = 1.5 * cube - 2.5 * square + 1
    far = -0.5 * cube + 2.5 * square - 4 * d + 2
    return np.where(d <= 1, near, np.where(d <= 2, far, 0)).astype(distance.dtype)


def _lanczos(distance: np.ndarray, lobes: int, epsilon: float) -> np.ndarray:
    epsilon = epsilon or float(np.finfo(np.float64).eps)
    d = distance.astype(np.float64)
    above = np.sin(np.pi * d) * np.sin(np.pi * d / lobes) + epsilon
    below = np.pi**2 * d**2 / lobes + epsilon
    return np.where(np.abs(d) < lobes, above / below, 0).astype(distance.dtype)


def as_channels_last(image: Any) -> np.ndarray:
    """(C, H, W) or (H, W), numpy or torch -> a numpy view (H, W, C)."""
    array = np.asarray(image)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise ArgumentError(f"an image must be (H, W) or (C, H, W) without an empty axis; got {array.shape}")
    return array[:, :, None] if array.ndim == 2 else array.transpose(1, 2, 0)


_FLAGS = ("Prefetch", "Verbose", "Pack", "GPU", "Flip")

_DEFAULTS: dict[str, Any] = {
    **dict.fromkeys(_FLAGS, False),
    "NumThreads": 1,
    "Resize": None,
    "Interpolation": "bilinear",
    "CropAnisotropy": (1, 1),
    "CropSize": (1, 1),
    "CropLocation": "center",
    "SubtractAverage": None,
    "Brightness": 0,
    "Contrast": 0,
    "Saturation": 0,
}


def imread_options(args: Sequence[Any], kwargs: dict[str, Any]) -> SimpleNamespace:
    """The checked options of `matlab_compat.images.vl_imreadjpeg`; flags that stand alone become True.

    Resize: None, an int or a pair of ints; CropAnisotropy, CropSize: one float; SubtractAverage: None,
    (3, 1, 1) or (3, h, w) float32; Interpolation in lower case. Raises ArgumentError.
    """
    flags = {flag.lower(): flag for flag in _FLAGS}
    pairs: list[Any] = []
    for word in args:
        name_expected = len(pairs) % 2 == 0
        pairs += [word, True] if name_expected and isinstance(word, str) and word.lower() in flags else [word]
    opts = options(_DEFAULTS, pairs, kwargs)
    opts.Resize = _target(opts.Resize)
    opts.CropAnisotropy = _same("CropAnisotropy", opts.CropAnisotropy, math.inf)
    opts.CropSize = _same("CropSize", opts.CropSize, 1.0)
    if opts.CropSize == 0:
        raise ArgumentError("CropSize must be above 0")
    drawn = [name for name in ("Flip", "Brightness", "Contrast", "Saturation") if np.any(getattr(opts, name))]
    if str(opts.CropLocation).lower() != "center" or drawn:
        what = ", ".join(drawn) or f"CropLocation {opts.CropLocation!r}"
        raise ArgumentError(f"{what}: random changes are not supported; CropLocation must be 'center'")
    if opts.Pack and not isinstance(opts.Resize, tuple):
        raise ArgumentError(f"Pack needs Resize with two sizes, (height, width); got {opts.Resize!r}")
    if opts.GPU and not torch.cuda.is_available():
        raise ArgumentError("GPU: there is no CUDA device; omit the flag")
    opts.Interpolation = str(opts.Interpolation).lower()
    edge_weights(1, 1, 1, 0, opts.Interpolation)  # refuses an unknown method before reading
    opts.SubtractAverage = _average(opts.SubtractAverage, opts.Resize)
    return opts


def _target(value: Any) -> int | tuple[int, int] | None:
    """Resize as None, the shorter side or (height, width); fractions are cut off as the original does."""
    if value is None or np.size(value) == 0:
        return None
    sizes = [int(side) for side in np.ravel(value)]
    if len(sizes) > 2 or min(sizes) < 1:
        raise ArgumentError(f"Resize is {value!r}: the shorter side or (height, width), at least 1 pixel")
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def _same(name: str, value: Any, largest: float) -> float:
    """The one value of a crop option; ArgumentError for a range, from which the original draws at random."""
    values = [float(number) for number in np.ravel(value)]
    if len(values) not in (1, 2) or not 0 <= values[0] <= values[-1] <= largest:
        raise ArgumentError(f"{name} must be one number or two ascending, 0 to {largest:g}; got {value!r}")
    if name == "CropAnisotropy" and 0 in values:
        return 0.0
    if values[0] != values[-1]:
        raise ArgumentError(f"{name} {value!r}: random crops are not supported; give one value")
    return values[0]


def _average(value: Any, target: int | tuple[int, int] | None) -> torch.Tensor | None:
    """SubtractAverage as (3, 1, 1) or (3, h, w) float32."""
    if value is None:
        return None
    average = torch.from_numpy(np.asarray(value, dtype=np.float32).copy())
    if average.numel() in (1, 3):
        return average.reshape(-1, 1, 1).expand(3, 1, 1)
    if not isinstance(target, tuple) or tuple(average.shape) != (3, *target):
        raise ArgumentError(
            f"SubtractAverage must be 1 or 3 numbers, or (3, h, w), {target}; got {tuple(average.shape)}"
        )
    return average


def imresize(image: Any, scale: Any, method: str = "bicubic", antialiasing: bool | None = None) -> Any:
    """MATLAB's imresize(image, scale) or imresize(image, [rows columns]).

    image: (H, W) or (C, H, W), numpy or torch; the result has its type; integers are rounded and clipped
    after each axis. scale: a positive factor (the output has ceil(scale * side) pixels), or two sizes, one of
    which may be NaN to keep the aspect ratio. method: bicubic, bilinear, nearest, box, lanczos2, lanczos3.
    antialiasing: when shrinking; on by default, except for nearest. Raises ArgumentError for other values.

    >>> imresize(np.arange(16, dtype=np.uint8).reshape(4, 4), 0.5, "nearest")
    array([[ 5,  7],
           [13, 15]], dtype=uint8)
    """
    pixels = as_channels_last(image)
    (out_height, out_width), scales = _size_and_scales(pixels.shape[:2], scale)
    nearest = method == "nearest"
    smooth = not nearest if antialiasing is None else antialiasing
    kernel = "box" if nearest else method
    rows = mirror_weights(out_height, pixels.shape[0], scales[0], kernel, smooth)
    columns = mirror_weights(out_width, pixels.shape[1], scales[1], kernel, smooth)
    steps = [(along_rows, rows), (along_columns, columns)]
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
        raise ArgumentError(f"scale must be a positive factor or two positive sizes; got {scale!r}")
    if len(values) == 1:
        scales = (given[0], given[0])
    elif len(given) == 2:
        rows, columns = (math.ceil(value) for value in given)
        return (rows, columns), (rows / height, columns / width)
    else:  # the size given is kept as it is: (size / side) * side may be a little more
        known, other = (width, height) if math.isnan(values[0]) else (height, width)
        size, derived = math.ceil(given[0]), math.ceil(given[0] * other / known)
        return (derived, size) if math.isnan(values[0]) else (size, derived), (size / known, size / known)
    return (math.ceil(scales[0] * height), math.ceil(scales[1] * width)), scales


def vl_imreadjpeg(files: Sequence[StrPath], *args: Any, **kwargs: Any) -> Any:
    """Reads JPEG files: a list of float32 tensors (3, H, W) or (1, H, W), RGB 0–255, in the files' order.

    Options (keywords, or 'name', value; flags 'Pack', 'GPU', 'Prefetch', 'Verbose' stand alone or are True):
    Resize: pixels of the shorter side, or [height width]; Interpolation: box, bilinear, bicubic, lanczos2,
    lanczos3; CropAnisotropy: width/height stretch of the crop, 0 fits the input's shape; CropSize: its share
    of the side, 0 to 1; SubtractAverage: a number, three, of which a grey image takes the first, or an image
    (3, h, w) of the output's size;
    Pack: one tensor (N, 3, h, w) instead of a list, grey repeated, needs a two-element Resize;
    NumThreads: threads that decode; GPU: the results are on the CUDA device;
    Prefetch: returns an empty list without reading (`deepibl.extract` reads ahead by itself).

    A file that cannot be read (missing, empty, not a JPEG, CMYK, damaged; see `matlab_compat.jpeg.decode`)
    gives None in its place and a warning that names it; with Pack it raises ImageReadError. EXIF orientation
    is ignored. Raises ArgumentError for options out of range and for random ones (CropLocation 'random', a
    range of crops, Flip, Brightness, Contrast, Saturation), which the original draws from C's rand.
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
    """Output size in pixels, and the part of the input that fills it: its size and top left corner."""

    height: int
    width: int
    crop_height: int
    crop_width: int
    top: int
    left: int


def crop_and_size(
    height: int, width: int, target: Sequence[int] | int | None, anisotropy: float = 1.0, share: float = 1.0
) -> Geometry:
    """The part of an input of height x width that vl_imreadjpeg reads, and the size of its output.

    target: None, the shorter side, or (height, width); anisotropy: 0 stretches the crop to the input's shape;
    share: the crop's sides relative to those of the largest such crop.

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
    rows = edge_weights(g.height, height, g.crop_height, g.top, interpolation)
    columns = edge_weights(g.width, width, g.crop_width, g.left, interpolation)
    result = resample(as_channels_last(pixels), rows, columns)
    return torch.from_numpy(np.ascontiguousarray(result.transpose(2, 0, 1)))


def _read_or_error(name: str, opts: SimpleNamespace) -> torch.Tensor | ImageReadError:
    try:
        pixels = jpeg.decode(jpeg.read_bytes(name), name)
    except ImageReadError as error:
        return error
    _, height, width = pixels.shape
    geometry = crop_and_size(height, width, opts.Resize, opts.CropAnisotropy, opts.CropSize)
    result = resize_pixels(pixels, geometry, opts.Interpolation)
    average = opts.SubtractAverage
    if average is not None and result.shape[0] == 1 and average.shape[1:] == (1, 1):
        average = average[:1]  # of three numbers, a grey image takes the first, before it is repeated
    if opts.Pack and result.shape[0] == 1:
        result = result.expand(3, -1, -1)
    return result if average is None else result - average[: result.shape[0]]
