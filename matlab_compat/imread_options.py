"""The options of vl_imreadjpeg: names, defaults, and what is allowed."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from matlab_compat import resize
from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError

_DEFAULTS: dict[str, Any] = {
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
_FLAGS = ("Prefetch", "Verbose", "Pack", "GPU", "Flip")


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
    opts = options({**_DEFAULTS, **dict.fromkeys(_FLAGS, False)}, pairs, kwargs)
    opts.Resize = _target(opts.Resize)
    opts.CropAnisotropy = _same("CropAnisotropy", opts.CropAnisotropy, math.inf)
    opts.CropSize = _same("CropSize", opts.CropSize, 1.0)
    if opts.CropSize == 0:
        raise ArgumentError("CropSize 0 leaves no pixel; give a share above 0")
    drawn = [name for name in ("Flip", "Brightness", "Contrast", "Saturation") if np.any(getattr(opts, name))]
    if str(opts.CropLocation).lower() != "center" or drawn:
        what = ", ".join(drawn) or f"CropLocation {opts.CropLocation!r}"
        raise ArgumentError(f"{what}: random changes of images are not offered; CropLocation can be 'center'")
    if opts.Pack and not isinstance(opts.Resize, tuple):
        raise ArgumentError(f"Pack needs Resize with two sizes, (height, width), not {opts.Resize!r}")
    if opts.GPU and not torch.cuda.is_available():
        raise ArgumentError("GPU: no CUDA device is there; leave the flag out")
    opts.Interpolation = str(opts.Interpolation).lower()
    resize.edge_weights(1, 1, 1, 0, opts.Interpolation)  # refuses an unknown method before reading
    opts.SubtractAverage = _average(opts.SubtractAverage, opts.Resize)
    return opts


def _target(value: Any) -> int | tuple[int, int] | None:
    """Resize as None, the shorter side or (height, width); fractions are cut off as the original does."""
    if value is None or np.size(value) == 0:
        return None
    sizes = [int(side) for side in np.ravel(value)]
    if len(sizes) > 2 or min(sizes) < 1:
        raise ArgumentError(f"Resize is the shorter side or (height, width), 1 pixel or more, not {value!r}")
    return sizes[0] if len(sizes) == 1 else (sizes[0], sizes[1])


def _same(name: str, value: Any, largest: float) -> float:
    """The one value of a crop option; a range of values would be drawn from at random."""
    values = [float(number) for number in np.ravel(value)]
    if len(values) not in (1, 2) or not 0 <= values[0] <= values[-1] <= largest:
        raise ArgumentError(
            f"{name} is one number or two ascending ones from 0 to {largest:g}, not {value!r}"
        )
    if name == "CropAnisotropy" and 0 in values:
        return 0.0
    if values[0] != values[-1]:
        raise ArgumentError(
            f"{name} {value!r} is a range to draw from; random crops are not offered, give one value"
        )
    return values[0]


def _average(value: Any, target: int | tuple[int, int] | None) -> torch.Tensor | None:
    """SubtractAverage as (3, 1, 1) or (3, h, w) float32."""
    if value is None:
        return None
    average = torch.as_tensor(np.asarray(value, dtype=np.float32))
    if average.numel() in (1, 3):
        return average.reshape(-1, 1, 1).expand(3, 1, 1)
    if not isinstance(target, tuple) or tuple(average.shape) != (3, *target):
        raise ArgumentError(
            f"SubtractAverage of shape {tuple(average.shape)}: give 1 or 3 numbers, or an image (3, h, w) "
            f"of the size that Resize asks for, which is {target}"
        )
    return average
