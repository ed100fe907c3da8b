"""Why MATLAB's descriptors differ from ours: each known cause is tried, and believed only where it fits.

A cause is a change of our descriptors (BGR images, no mean subtracted, whitening left out …) or of MATLAB's
(written transposed, as float64 …) after which both agree. `find_causes` returns those that make the largest
difference fall to rounding, with the figures. Images are tried on a few that differ, the smallest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl.engine.batch import extract_prepared
from deepibl.runtime.devices import inference
from matlab_compat.simplenn.network import SimpleNN

FITS = 5e-2  # of the largest value: what MatConvNet's approximate power on a CPU can add
_TRIED = 4  # images that a cause must explain
_SIDES = (224, 240, 256, 320, 384, 480, 512, 640, 768, 1024)
_TINY = np.finfo(np.float32).tiny


@dataclass(frozen=True)
class Cause:
    """One explanation: what it is, what to do, and the largest relative difference that is left with it."""

    text: str
    left: float

    def __str__(self) -> str:
        return f"{self.text} (with that, the largest relative difference is {self.left:.1e})"


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max|a - b| / max|b|; NaN where either has one."""
    with np.errstate(all="ignore"):
        return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), _TINY))


def find_causes(
    net: Any,
    ours: np.ndarray,
    theirs: np.ndarray,
    pixels: Callable[[int, int | None], Tensor],
    tolerance: float,
) -> list[str]:
    """What explains that descriptors differ, in words; empty where nothing that is tried does.

    ours, theirs: (N, D) and (N, E) float32, row i of image i. pixels(i, side): image i as (3, H, W), 0–255,
    scaled to a shorter side of `side` pixels, as stored (0), or as it was compared (None).
    tolerance: the relative difference up to which an image is the same.
    """
    first = ours.astype(np.float64)
    finite = np.flatnonzero(np.isfinite(theirs).all(axis=1))
    apart, present = finite, np.inf
    if ours.shape[1] == theirs.shape[1]:
        apart = finite[_each(first[finite], theirs[finite]) > tolerance]
        present = max(_each(first[apart], theirs[apart]), default=0.0)
    chosen = sorted(apart.tolist(), key=lambda i: pixels(i, None).numel())[:_TRIED]
    of_the_images = _of_the_images(net, chosen, theirs[chosen].astype(np.float64), pixels) if chosen else []
    for cause in chain(_of_the_file(first, theirs), of_the_images):
        if cause.left <= min(FITS, present / 10):
            return [str(cause)]
    if ours.shape[1] == theirs.shape[1]:
        for found in (_single_rows(first, theirs.astype(np.float64)), _other_dimensions(first, theirs)):
            if found:
                return found
    return _of_the_angles(first[finite], theirs[finite].astype(np.float64))


def on_a_cpu(net: Any, images: Sequence[Tensor]) -> np.ndarray:
    """Descriptors (N, D) of images with MatConvNet's approximate power on a CPU."""
    from matlab_compat.nn.normalise import approximate_power

    with approximate_power():
        return np.stack([_compute(net, net.prepare(image[None].float())) for image in images])


# causes that the numbers alone show


def _of_the_file(ours: np.ndarray, theirs: np.ndarray) -> Iterator[Cause]:
    count, dim = ours.shape
    raw = np.ascontiguousarray(theirs, dtype=np.float32)
    if theirs.shape[1] == 2 * dim:
        text = "the file holds float64 numbers: write single, fwrite(fid, feats, 'single')"
        yield Cause(text, relative(ours, raw.view(np.float64)))
    if theirs.shape[1] != dim:
        return
    text = "the file is big-endian: open it with fopen(file, 'w', 'ieee-le')"
    yield Cause(text, relative(ours, raw.byteswap()))
    text = "the file is transposed, written row by row: fwrite the D x N matrix, not its transpose"
    yield Cause(text, relative(ours, raw.reshape(dim, count).T))
    wanted = theirs.astype(np.float64)
    signs = np.sign((ours * wanted).sum(axis=0))
    turned = int((signs < 0).sum())
    if count > 1 and turned:
        text = (
            f"{turned} of {dim} dimensions have the opposite sign: a PCA computed twice (its directions have "
            "no sign of their own). Use the PCA of one side on both"
        )
        yield Cause(text, relative(ours * np.where(signs < 0, -1, 1), wanted))
    first, second = _unit(ours), _unit(wanted)
    if 1 < count <= 5000:
        nearest = (second @ first.T).argmax(axis=1)
        moved = np.flatnonzero(nearest != np.arange(count))
        if len(moved) > 1 and len(np.unique(nearest)) == count:
            row = int(moved[0])
            text = (
                f"the images are in another order: row {row} of MATLAB's file is our image "
                f"{int(nearest[row])} (rows count from 0); {len(moved)} rows are elsewhere"
            )
            yield Cause(text, relative(first[nearest], second))
    lengths = np.linalg.norm(wanted, axis=1)
    text = (
        f"the same directions, other lengths ({lengths.min():.3g} to {lengths.max():.3g}): the last "
        "normalisation is missing on one side"
    )
    yield Cause(text, relative(first, second))


def _single_rows(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """A few rows that differ among many that do not."""
    apart = np.flatnonzero(~(_each(ours, theirs) <= FITS))
    if not 0 < len(apart) <= len(ours) // 2:
        return []
    words = []
    cosines = _unit(np.nan_to_num(theirs[apart])) @ _unit(ours).T
    for row, cosine in list(zip(apart, cosines, strict=True))[:5]:
        nearest = int(cosine.argmax())
        if not np.isfinite(theirs[row]).all():
            words.append(f"row {row} has NaN or infinite values")
        elif not theirs[row].any():
            words.append(f"row {row} is all zero: never written")
        elif nearest != row and cosine[nearest] > 1 - 1e-3:
            words.append(f"row {row} is the descriptor of image {nearest}")
        else:
            words.append(f"row {row} is of another image (cosine similarity to ours {cosine[row]:.3f})")
    more = f" and {len(apart) - 5} more" if len(apart) > 5 else ""
    rest = len(ours) - len(apart)
    return [f"{rest} of {len(ours)} rows agree; {'; '.join(words)}{more} (rows count from 0)"]


def _other_dimensions(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    left = relative(np.sort(_unit(ours), axis=1), np.sort(_unit(theirs.astype(np.float64)), axis=1))
    return [str(Cause("the same values in another order of dimensions", left))] if left <= 1e-4 else []


def _of_the_angles(ours: np.ndarray, theirs: np.ndarray) -> list[str]:
    """Whitening spreads directions: descriptors of different images become nearly orthogonal."""
    if len(ours) < 3:
        return []
    here, there = _mean_cosine(ours), _mean_cosine(theirs)
    figures = f"different images have a mean cosine of {there:.3f} in MATLAB's file, {here:.3f} in ours"
    if here - there > 0.25:
        return [f"MATLAB's descriptors seem to be whitened (addPCA), ours are not: {figures}"]
    if there - here > 0.25:
        return [f"our descriptors seem to be whitened, MATLAB's are not (addPCA missing there?): {figures}"]
    return []


# causes that need the images again


def _of_the_images(
    net: Any, chosen: Sequence[int], theirs: np.ndarray, pixels: Callable[[int, int | None], Tensor]
) -> Iterator[Cause]:
    images = [pixels(int(i), None)[None].float().expand(-1, 3, -1, -1) for i in chosen]
    mean = images[0] - net.prepare(images[0])

    def left(change: Callable[[Tensor], Tensor]) -> float:
        worst = 0.0
        for image, wanted in zip(images, theirs, strict=True):
            found = _compute(net, change(image))
            if found.shape != wanted.shape or not (worst := max(worst, relative(found, wanted))) <= FITS:
                return np.inf
        return worst

    mean = mean[..., :1, :1]
    for text, change in (
        ("MATLAB's images are BGR instead of RGB", lambda x: net.prepare(x.flip(1))),
        ("MATLAB subtracted the mean in the order BGR", lambda x: x - mean.flip(1)),
        ("MATLAB's images and mean are BGR instead of RGB", lambda x: net.prepare(x).flip(1)),
        ("MATLAB did not subtract the mean", lambda x: x),
        ("MATLAB's images are 0 … 1 instead of 0 … 255 (im2double?)", lambda x: net.prepare(x / 255)),
        ("MATLAB's images are 0 … 1 and no mean was subtracted", lambda x: x / 255),
        ("MATLAB's images are mirrored, left to right", lambda x: net.prepare(x.flip(3))),
        ("MATLAB's images are upside down", lambda x: net.prepare(x.flip(2))),
        ("MATLAB's images are transposed (rows for columns)", lambda x: net.prepare(x.mT)),
        ("MATLAB's images are turned by 180 degrees (EXIF)", lambda x: net.prepare(x.flip(2, 3))),
        ("MATLAB's images are turned clockwise (EXIF)", lambda x: net.prepare(x.rot90(-1, (2, 3)))),
        ("MATLAB's images are turned anticlockwise (EXIF)", lambda x: net.prepare(x.rot90(1, (2, 3)))),
        ("MATLAB's images are grey", lambda x: net.prepare(_grey(x))),
    ):
        yield Cause(text, left(change))
    for text, outputs in _tails(net, images):
        if all(found.shape == wanted.shape for found, wanted in zip(outputs, theirs, strict=True)):
            worst = max(relative(found, wanted) for found, wanted in zip(outputs, theirs, strict=True))
            yield Cause(text, worst)
    for side in (0, *_SIDES):
        scaled = [pixels(int(i), side)[None].float().expand(-1, 3, -1, -1) for i in chosen]
        if all(a.shape == b.shape for a, b in zip(scaled, images, strict=True)):
            continue
        worst = 0.0
        for image, wanted in zip(scaled, theirs, strict=True):
            found = _compute(net, net.prepare(image))
            worst = max(worst, relative(found, wanted) if found.shape == wanted.shape else np.inf)
            if not worst <= FITS:
                break
        how = f"of another size: give --resize {side}" if side else "not scaled: leave out --resize"
        yield Cause(f"MATLAB's images are {how}", worst)


def _tails(net: Any, images: Sequence[Tensor]) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Our descriptors without the whitening at the network's end, and with PCA that does not whiten."""
    if not isinstance(net, SimpleNN):
        return
    last = next((i for i, layer in enumerate(net) if layer.name in ("WPCA", "PCA")), 0)
    if not last:
        return
    tail = net.layers[last]
    before = [_compute(net, net.prepare(image), stop=last - 1) for image in images]
    text = "MATLAB's descriptors are not whitened; this network ends in PCA (addPCA on one side only)"
    yield text, before
    if tail.name == "PCA":
        return
    weights = tail.weight.detach().cpu().double().flatten(1).numpy()  # type: ignore[operator, union-attr]
    lengths = np.linalg.norm(weights, axis=1, keepdims=True)
    turned = [(weights / lengths) @ each for each in before]
    bias = tail.bias.detach().cpu().double().numpy() / lengths[:, 0]  # type: ignore[operator, union-attr]
    rotated = [(each + bias) / max(float(np.linalg.norm(each + bias)), _TINY) for each in turned]
    yield "MATLAB's PCA does not whiten ('doWhite', false), this network's does", rotated


def _compute(net: Any, prepared: Tensor, stop: int | None = None) -> np.ndarray:
    with inference(net) as device:
        prepared = prepared.to(device)
        found = net(prepared, stop=stop).flatten(1) if stop is not None else extract_prepared(net, prepared)
    return found[0].float().cpu().numpy().astype(np.float64)


def _grey(images: Tensor) -> Tensor:
    weights = torch.tensor([0.2989, 0.587, 0.114])[:, None, None]
    return (images * weights).sum(1, keepdim=True).round().expand(-1, 3, -1, -1)


def _each(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.array([relative(a, b) for a, b in zip(ours, theirs, strict=True)])


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)


def _mean_cosine(rows: np.ndarray) -> float:
    cosines = _unit(rows) @ _unit(rows).T
    return float(cosines[~np.eye(len(rows), dtype=bool)].mean())
