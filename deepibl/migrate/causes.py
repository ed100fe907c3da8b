"""Why MATLAB's descriptors differ from ours: each known cause is tried, and believed only where it fits.

A cause is a change of our descriptors (BGR images, no mean subtracted, whitening left out …) or of MATLAB's
(written transposed, as float64 …) after which both agree. A few that differ are tried, the smallest first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from torch import Tensor

from deepibl.engine.batch import extract_prepared
from deepibl.runtime.devices import inference
from matlab_compat.simplenn.network import SimpleNN

FITS = 5e-2  # of the largest value: what MatConvNet's approximate power on a CPU can add
_TRIED = 4  # images that a cause must explain
_SIDES = (0, 224, 240, 256, 320, 384, 480, 512, 640, 768, 1024)  # 0: as stored
_TINY = np.finfo(np.float32).tiny
_Causes = Iterator[tuple[str, float]]  # what it is, the largest relative difference that is left with it


def relative(ours: np.ndarray, theirs: np.ndarray) -> float:
    """max|a - b| / max|b|; NaN where either has one, infinite for other shapes."""
    if ours.shape != theirs.shape:
        return np.inf
    with np.errstate(all="ignore"):
        return float(np.abs(ours - theirs).max() / max(float(np.abs(theirs).max()), _TINY))


def find_cause(
    net: Any,
    ours: np.ndarray,
    theirs: np.ndarray,
    pixels: Callable[[int, int | None], Tensor],
    tolerance: float,
) -> str:
    """What explains that descriptors differ, in words, with the difference that is left; '' where unknown.

    ours, theirs: (N, D) and (N, E) float32, row i of image i. pixels(i, side): image i as (3, H, W), 0–255,
    scaled to a shorter side of `side` pixels, as stored (0), or as it was compared (None).
    tolerance: the relative difference up to which an image is the same.
    """
    first, wanted = ours.astype(np.float64), theirs.astype(np.float64)
    apart, present = np.flatnonzero(np.isfinite(wanted).all(axis=1)), np.inf
    if ours.shape == theirs.shape:
        each = np.array([relative(first[i], wanted[i]) for i in apart])
        apart, present = apart[each > tolerance], max(each[each > tolerance], default=0.0)
    chosen = sorted(apart.tolist(), key=lambda i: pixels(i, None).numel())[:_TRIED]
    for text, left in chain(_of_the_file(first, theirs), _of_the_images(net, chosen, wanted, pixels)):
        if left <= min(FITS, present / 10):
            return f"{text} (with that, the largest relative difference is {left:.1e})"
    return ""


def on_a_cpu(net: Any, images: Sequence[Tensor]) -> np.ndarray:
    """Descriptors (N, D) of images with MatConvNet's approximate power on a CPU."""
    from matlab_compat.nn.normalise import approximate_power

    with approximate_power():
        return np.stack([_compute(net, net.prepare(image[None].float())) for image in images])


def _of_the_file(ours: np.ndarray, theirs: np.ndarray) -> _Causes:
    """Causes that the numbers alone show."""
    count, dim = ours.shape
    raw = np.ascontiguousarray(theirs, dtype=np.float32)
    if theirs.shape[1] == 2 * dim:
        text = "the file holds float64 numbers: write single, fwrite(fid, feats, 'single')"
        yield text, relative(ours, raw.view(np.float64))
    if theirs.shape[1] != dim:
        return
    text = "the file is transposed, written row by row: fwrite the D x N matrix, not its transpose"
    yield text, relative(ours, raw.reshape(dim, count).T)
    wanted = theirs.astype(np.float64)
    first, second = _unit(ours), _unit(wanted)
    if 1 < count <= 5000:
        nearest = (second @ first.T).argmax(axis=1)
        moved = np.flatnonzero(nearest != np.arange(count))
        if len(moved) > 1 and len(np.unique(nearest)) == count:
            text = (
                f"the images are in another order: row {moved[0]} of MATLAB's file is our image "
                f"{nearest[moved[0]]} (rows count from 0); {len(moved)} rows are elsewhere"
            )
            yield text, relative(first[nearest], second)
    lengths = np.linalg.norm(wanted, axis=1)
    text = (
        f"the same directions, other lengths ({lengths.min():.3g} to {lengths.max():.3g}): the last "
        "normalisation is missing on one side"
    )
    yield text, relative(first, second)


def _of_the_images(
    net: Any, chosen: Sequence[int], theirs: np.ndarray, pixels: Callable[[int, int | None], Tensor]
) -> _Causes:
    """Causes for which a few images are computed again."""
    if not chosen:
        return

    def read(side: int | None) -> list[Tensor]:
        return [pixels(i, side)[None].float().expand(-1, 3, -1, -1) for i in chosen]

    def left(images: Sequence[Tensor], change: Callable[[Tensor], Tensor], stop: int | None = None) -> float:
        worst = 0.0
        for image, row in zip(images, chosen, strict=True):
            worst = max(worst, relative(_compute(net, change(image), stop), theirs[row]))
            if not worst <= FITS:
                return np.inf
        return worst

    images = read(None)
    mean = (images[0] - net.prepare(images[0]))[..., :1, :1]
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
    ):
        yield text, left(images, change)
    names = net.names if isinstance(net, SimpleNN) else []
    whitening = next((i for i, name in enumerate(names) if name in ("WPCA", "PCA")), 0)
    if whitening:
        text = "MATLAB's descriptors are not whitened; this network ends in PCA (addPCA on one side only)"
        yield text, left(images, net.prepare, whitening - 1)
    for side in _SIDES:
        scaled = read(side)
        if any(a.shape != b.shape for a, b in zip(scaled, images, strict=True)):
            how = f"of another size: give --resize {side}" if side else "not scaled: leave out --resize"
            yield f"MATLAB's images are {how}", left(scaled, net.prepare)


def _compute(net: Any, prepared: Tensor, stop: int | None = None) -> np.ndarray:
    with inference(net) as device:
        prepared = prepared.to(device)
        found = net(prepared, stop=stop).flatten(1) if stop is not None else extract_prepared(net, prepared)
    return found[0].float().cpu().numpy().astype(np.float64)


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _TINY)
