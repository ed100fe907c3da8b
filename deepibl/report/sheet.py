"""`deepibl heatmap`: heatmaps of an image or a pair, by one or several networks, drawn on one sheet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from deepibl.images import AS_STORED, Reading, load_pixels
from deepibl.report.cells import Part, cell_assignment, cell_shares, has_vlad, legible, matching_parts
from deepibl.report.heatmap import METHODS as PIXEL_METHODS, descriptor, fit, heat, relus_of
from deepibl.report.overlay import SMOOTHING, blurred, cluster_overlay, heat_overlay, outline, top_of
from deepibl.runtime.devices import device_of
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_bytes

METHODS = (*PIXEL_METHODS, "clusters", "cells")
MAX_PIXELS = 2**20

_TITLES = {
    "smooth": "smoothed gradient",
    "gradient": "gradient",
    "guided": "guided gradient",
    "occlusion": "occlusion",
    "clusters": "largest NetVLAD clusters",
    "cells": "share of the similarity, by cell",
}
_LEGIBLE = 30  # cells along the shorter side that a drawing shows, at most


@dataclass(frozen=True)
class Drawing:
    """A heatmap of a sheet. picture: (H, W, 3) uint8; values: (h, w), the map that it shows.

    parts: of `cells` of a pair, the blocks that its numbered frames show.
    """

    method: str
    picture: np.ndarray
    values: np.ndarray
    parts: Sequence[Part] = ()


@dataclass(frozen=True)
class Row:
    """An image and its heatmaps by one network. similarity: cosine to the other image, None without one."""

    network: str
    photo: str
    pixels: np.ndarray
    similarity: float | None
    drawings: list[Drawing] = field(default_factory=list)


def heatmap_rows(
    networks: Sequence[tuple[str, nn.Module]],
    photo: StrPath,
    *,
    methods: Sequence[str] | None = None,
    against: StrPath | None = None,
    reading: Reading = AS_STORED,
    max_pixels: int = MAX_PIXELS,
    **occlusion: Any,
) -> list[Row]:
    """A row for each network and image; with `against` both images, each against the other.

    networks: (label, network). methods: of METHODS; 'cells' and 'clusters' need a NetVLAD layer (default:
    'cells' where all networks have one, else 'guided', or 'gradient' without ReLUs). reading: how images are
    scaled and turned. max_pixels: larger ones are scaled down. occlusion: `patch`, `step`, `batch_size`,
    `progress` of `occlusion_map`. Raises ArgumentError for methods that are unknown or lack what they need;
    ImageReadError.
    """
    if methods is None:
        gradient = "guided" if all(relus_of(net) for _, net in networks) else "gradient"
        methods = ["cells" if all(has_vlad(net) for _, net in networks) else gradient]
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        got = ", ".join(unknown) or "nothing"
        raise ArgumentError(f"--method must be one of {', '.join(METHODS)}; got {got}")
    files = [photo] if against is None else [photo, against]
    images = [fit(load_pixels(file, reading).float().expand(3, -1, -1), max_pixels) for file in files]
    rows = []
    for label, net in networks:
        images = [image.to(device_of(net)) for image in images]
        photos = [as_photo(image) for image in images]
        described = [F.normalize(descriptor(net, image), dim=0) for image in images if against is not None]
        cosine = float(described[0] @ described[1]) if described else None
        made = [Row(label, os.fspath(file), photo, cosine) for file, photo in zip(files, photos, strict=True)]
        for method in methods:
            for row, drawing in zip(made, draw(net, method, images, photos, **occlusion), strict=True):
                row.drawings.append(drawing)
        rows += made
    return rows


def as_photo(image: Tensor) -> np.ndarray:
    """An image (3, H, W), 0–255, as (H, W, 3) uint8."""
    return image.permute(1, 2, 0).round().clamp(0, 255).byte().cpu().numpy()


def draw(
    net: nn.Module, method: str, images: Sequence[Tensor], photos: Sequence[np.ndarray], **occlusion: Any
) -> list[Drawing]:
    """Heatmaps of one image, or of each of two against the other, in one scale, over `photos`."""
    others = list(images[::-1]) if len(images) == 2 else [None]
    if method == "clusters":
        found = [legible(cell_assignment(net, image), _LEGIBLE) for image in images]
        largest = np.argsort(-sum(each.mean(axis=(1, 2)) for each in found)).tolist()
        labels = [each.argmax(axis=0) for each in found]
        drawn = zip(photos, labels, strict=True)
        return [Drawing(method, cluster_overlay(photo, of, largest[:8]), of) for photo, of in drawn]
    parts: list[Part] = []
    if method == "cells":
        pairs = zip(images, others, strict=True)
        maps = [cell_shares(net, image, image if other is None else other).shares for image, other in pairs]
        shown = [legible(each, _LEGIBLE) for each in maps]
        parts = matching_parts(net, images[0], images[1]) if len(images) == 2 else []
    else:
        settings = occlusion if method == "occlusion" else {}
        maps = [
            heat(net, image, method, against=other, **settings)
            for image, other in zip(images, others, strict=True)
        ]
        shown = [blurred(each, SMOOTHING) for each in maps]
    pictures = [
        heat_overlay(photo, each, top=top_of(*shown), bar=True)
        for photo, each in zip(photos, shown, strict=True)
    ]
    for number, (picture, photo) in enumerate(zip(pictures, photos, strict=True)):
        inside = picture[: len(photo)]
        inside[:] = outline(inside, [part.there if number else part.here for part in parts])
    return [Drawing(method, picture, each, parts) for picture, each in zip(pictures, maps, strict=True)]


def write_sheet(rows: Sequence[Row], path: StrPath, *, width: float = 3.2) -> None:
    """Writes the rows as one PNG: image, then heatmaps. width: inches (of 100 pixels) of each.

    Raises ArgumentError for a path that does not end in .png.
    """
    check_sheet(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 + max(len(row.drawings) for row in rows)
    heights = [
        max(
            width * len(of) / of.shape[1]
            for of in (row.pixels, *(drawing.picture for drawing in row.drawings))
        )
        + 0.48
        for row in rows
    ]
    figure = Figure(figsize=(columns * width, sum(heights) + 0.12), dpi=100)
    FigureCanvasAgg(figure)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.01, hspace=0.01)
    grid = figure.subplots(len(rows), columns, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, row in zip(grid, rows, strict=True):
        cosine = "" if row.similarity is None else f" · cosine {row.similarity:.3f}"
        caption = f"{_short(Path(row.photo).name, 34)}\n{_short(row.network, 24)}{cosine}"
        titles = [caption, *(_TITLES[drawing.method] for drawing in row.drawings)]
        pictures = [row.pixels, *(drawing.picture for drawing in row.drawings)]
        for cell in axes:
            cell.set_axis_off()
        for cell, title, picture in zip(axes, titles, pictures, strict=False):
            cell.imshow(picture, interpolation="antialiased")
            cell.set_anchor("N")
            cell.set_title(title, fontsize=8.5, parse_math=False, pad=3)
    with atomic_bytes(path) as buffer:
        figure.savefig(buffer, format="png")


def check_sheet(path: StrPath) -> None:
    """Raises ArgumentError for a path that does not end in .png."""
    if Path(path).suffix.lower() != ".png":
        raise ArgumentError(f"{os.fspath(path)}: a sheet is a PNG file; give a name that ends in .png")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most // 2 - 1] + "…" + text[-most // 2 :]
