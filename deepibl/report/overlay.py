"""Maps of numbers drawn over a photo, all in one scale of colours, with its bar; clusters; numbered frames.

Blue is below zero, red and yellow above; zero is the photo itself, in grey, and so is the half of a picture
with the smallest values. Photos and results are (H, W, 3) uint8 RGB; maps are scaled to the photo's size.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from matlab_compat.errors import ArgumentError

SMOOTHING = 0.03  # of maps of pixels: the blur's sigma as a share of the shorter side
_PERCENTILE = 98
_STRONGEST = 0.9  # opacity of the largest values
_LEVELS = (-1.0, -0.5, 0.0, 0.5, 1.0)
_COLOURS = ((140, 225, 255), (38, 92, 235), (125, 125, 125), (214, 36, 36), (255, 226, 90))  # of the levels
PALETTE = (
    (230, 60, 50), (60, 140, 255), (255, 200, 40), (60, 190, 90),
    (200, 90, 230), (255, 130, 40), (60, 210, 220), (240, 130, 180),
)  # fmt: skip
Box = tuple[float, float, float, float]  # top, left, bottom, right, each 0 to 1


def blurred(values: np.ndarray, smooth: float) -> np.ndarray:
    """A map (h, w) after a Gaussian blur, whose sigma is this share of the shorter side.

    Raises ArgumentError for what is not a matrix of finite numbers.
    """
    from scipy.ndimage import gaussian_filter

    field = np.asarray(values, dtype=np.float32)
    if field.ndim != 2 or not field.size or not np.isfinite(field).all():
        raise ArgumentError(f"a map to draw must be a matrix of finite numbers; got shape {field.shape}")
    return gaussian_filter(field, max(0.5, smooth * min(field.shape)), mode="mirror") if smooth else field


def top_of(*maps: np.ndarray) -> float:
    """The value where the scale of these maps ends: their largest 98th percentile, without sign."""
    values = [np.abs(field) for field in maps]
    return max(float(np.percentile(each, _PERCENTILE)) or float(each.max()) for each in values) or 1.0


def heat_overlay(
    photo: np.ndarray, values: np.ndarray, *, smooth: float = 0.0, top: float | None = None, bar: bool = False
) -> np.ndarray:
    """The photo, greyed, under a map. top: where the scale ends (default: `top_of`). smooth: as in `blurred`.

    bar: below it the scale of colours with its numbers.
    """
    field = blurred(values, smooth)
    end = top or top_of(field)
    scaled = np.clip(field / end, -1, 1)
    least = float(np.median(np.abs(scaled)))
    drawn = _coloured(_grey(photo) * 0.8 + 30, _stretched(scaled, photo.shape)[..., 0], least)
    return np.concatenate([drawn, _bar(photo.shape[1], end, least, field.min() < 0)]) if bar else drawn


def cluster_overlay(photo: np.ndarray, labels: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """The photo with the cells (h, w) of at most 8 clusters, `chosen`, in PALETTE's colours."""
    colours, shape = np.zeros((*labels.shape, 4), np.float32), photo.shape
    for number, colour in zip(chosen, PALETTE, strict=False):
        colours[labels == number] = (*colour, 0.6)
    stretched = _stretched(colours, shape, "nearest-exact")
    return _blend(_grey(photo), stretched[..., :3], stretched[..., 3:])


def outline(photo: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """The photo with frames, numbered from 1, in PALETTE's colours."""
    from PIL import Image, ImageDraw, ImageFont

    drawn = Image.fromarray(photo)
    pen, (height, width) = ImageDraw.Draw(drawn), photo.shape[:2]
    thick = max(1, round(min(height, width) / 130))
    font = ImageFont.load_default(9 * thick)
    for number, box in enumerate(boxes, start=1):
        top, left, bottom, right = (round(at * of) for at, of in zip(box, (height, width) * 2, strict=True))
        colour = PALETTE[(number - 1) % len(PALETTE)]
        pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=thick)
        at = left, max(9 * thick, top - thick)  # above the frame, where there is room
        pen.text(at, str(number), colour, font, anchor="ls", stroke_width=thick, stroke_fill="black")
    return np.asarray(drawn)


def beside(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures side by side, of the first one's height."""
    from PIL import Image

    height = pictures[0].shape[0]
    sizes = [(max(1, round(picture.shape[1] * height / picture.shape[0])), height) for picture in pictures]
    scaled = [
        np.asarray(Image.fromarray(picture).resize(size))
        for picture, size in zip(pictures, sizes, strict=True)
    ]
    gap = np.full((height, max(2, height // 60), 3), 255, np.uint8)
    return np.concatenate([part for picture in scaled for part in (gap, picture)][1:], axis=1)


def _coloured(below: np.ndarray, scaled: np.ndarray, least: float) -> np.ndarray:
    """Colours over a picture, by values (H, W) from -1 to 1; none where they are within ±least."""
    colours = np.stack([np.interp(scaled, _LEVELS, each) for each in zip(*_COLOURS, strict=True)], axis=-1)
    opacity = np.clip((np.abs(scaled) - least) / max(1 - least, 1e-6), 0, 1) ** 0.7
    return _blend(below, colours, _STRONGEST * opacity[..., None])


def _bar(width: int, top: float, least: float, signed: bool) -> np.ndarray:
    """The scale (h, width, 3): colours from zero (or -top) to top, numbers at the ends and at zero."""
    from PIL import Image, ImageDraw, ImageFont

    size = max(9, width // 26)
    values = np.broadcast_to(np.linspace(-1.0 if signed else 0.0, 1.0, width), (size, width))
    strip = _coloured(np.full((size, width, 3), 130.0), values, least)
    drawn = Image.fromarray(np.concatenate([strip, np.full((size + size // 2, width, 3), 255, np.uint8)]))
    pen, font = ImageDraw.Draw(drawn), ImageFont.load_default(size)
    ends = [(0, f"{-top:.2g}", "la"), (width // 2, "0", "ma")] if signed else [(0, "0", "la")]
    for x, text, anchor in [*ends, (width - 1, f"{top:.2g}", "ra")]:
        pen.text((x, size + 1), text, "black", font, anchor=anchor)
    return np.asarray(drawn)


def _stretched(field: np.ndarray, shape: tuple[int, ...], mode: str = "bilinear") -> np.ndarray:
    """A map (h, w) or colours (h, w, C) as (H, W, C) float32 of a photo's shape."""
    planes = torch.as_tensor(np.atleast_3d(field), dtype=torch.float32).permute(2, 0, 1)[None]
    return F.interpolate(planes, shape[:2], mode=mode)[0].permute(1, 2, 0).numpy()


def _grey(photo: np.ndarray) -> np.ndarray:
    luma = photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    return np.repeat(luma[..., None], 3, axis=-1)


def _blend(below: np.ndarray, above: np.ndarray, opacity: np.ndarray) -> np.ndarray:
    return np.clip(below * (1 - opacity) + above * opacity, 0, 255).astype(np.uint8)
