"""`deepibl heatmap`: heatmaps of an image or a pair, by one or several networks, drawn on one sheet."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from deepibl.images import AS_STORED, Reading, load_pixels
from deepibl.report.cells import cell_assignment, cell_shares
from deepibl.report.heatmap import METHODS as PIXEL_METHODS, descriptor, fit, heat
from deepibl.report.overlay import SMOOTHING, cluster_colours, cluster_overlay, heat_overlay, outline_cells
from deepibl.runtime.devices import device_of
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, atomic_bytes, atomic_output

METHODS = (*PIXEL_METHODS, "clusters", "cells")
MAX_PIXELS = 2**20

_TITLES = {
    "gradient": "gradient",
    "guided": "guided gradient",
    "occlusion": "occlusion",
    "clusters": "NetVLAD clusters",
    "cells": "strongest cells",
}

_MARKED_CELLS = 8


@dataclass(frozen=True)
class Drawing:
    """A heatmap of a sheet. picture: (H, W, 3) uint8; values: (h, w), the map that it shows."""

    method: str
    picture: np.ndarray
    values: np.ndarray


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
    methods: Sequence[str] = PIXEL_METHODS,
    against: StrPath | None = None,
    reading: Reading = AS_STORED,
    max_pixels: int = MAX_PIXELS,
    **occlusion: Any,
) -> list[Row]:
    """A row for each network and image; with `against` both images, each against the other.

    networks: (label, network). methods: of METHODS; 'cells' needs `against`, 'clusters' and 'cells' a
    NetVLAD layer. reading: how images are scaled and turned. max_pixels: larger ones are scaled down.
    occlusion: `patch`, `step`, `batch_size`, `progress` of `occlusion_map`.
    Raises ArgumentError for methods that are unknown or lack what they need; ImageReadError.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        got = ", ".join(unknown) or "nothing"
        raise ArgumentError(f"--method must be one of {', '.join(METHODS)}; got {got}")
    if "cells" in methods and against is None:
        raise ArgumentError("method cells compares two photos: give the other one (--against)")
    files = [photo] if against is None else [photo, against]
    images = [fit(load_pixels(file, reading).float().expand(3, -1, -1), max_pixels) for file in files]
    rows = []
    for label, net in networks:
        images = [image.to(device_of(net)) for image in images]
        for file, image, other in zip(files, images, (images[1:] + images[:1]), strict=True):
            partner = None if against is None else other
            pixels = image.permute(1, 2, 0).round().clamp(0, 255).byte().cpu().numpy()
            row = Row(label, os.fspath(file), pixels, _similarity(net, image, partner))
            for method in methods:
                row.drawings.append(_draw(net, method, image, partner, row.pixels, occlusion))
            rows.append(row)
    return rows


def write_sheet(rows: Sequence[Row], path: StrPath, *, width: float = 3.2) -> None:
    """Writes the rows as one PNG: image, then heatmaps. width: inches (of 100 pixels) of each.

    Raises ArgumentError for a path that does not end in .png.
    """
    check_sheet(path)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 1 + max(len(row.drawings) for row in rows)
    shapes = [row.pixels.shape for row in rows]
    heights = [width * shape[0] / shape[1] + 0.48 for shape in shapes]
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
            cell.set_title(title, fontsize=8.5, parse_math=False, pad=3)
    with atomic_bytes(path) as buffer:
        figure.savefig(buffer, format="png")


def check_sheet(path: StrPath) -> None:
    """Raises ArgumentError for a path that does not end in .png."""
    if Path(path).suffix.lower() != ".png":
        raise ArgumentError(f"{os.fspath(path)}: a sheet is a PNG file; give a name that ends in .png")


def write_maps(rows: Sequence[Row], folder: StrPath) -> list[Path]:
    """Writes each map as an overlay ROW_IMAGE_METHOD.png and as numbers in .npy; returns the paths."""
    from PIL import Image

    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for number, row in enumerate(rows, start=1):
        for drawing in row.drawings:
            stem = target / f"{number}_{Path(row.photo).stem}_{drawing.method}"
            with atomic_bytes(f"{stem}.png") as buffer:
                Image.fromarray(drawing.picture).save(buffer, "PNG")
            with atomic_output(f"{stem}.npy") as temporary, open(temporary, "wb") as file:
                np.save(file, drawing.values)
            written += [Path(f"{stem}.png"), Path(f"{stem}.npy")]
    return written


def _draw(
    net: nn.Module, method: str, image: Tensor, other: Tensor | None, pixels: np.ndarray,
    settings: dict[str, Any],
) -> Drawing:  # fmt: skip
    if method == "clusters":
        found = cell_assignment(net, image)
        count = len(found.weights)
        return Drawing(method, cluster_overlay(pixels, found.labels, count, found.certainty), found.labels)
    if method == "cells" and other is not None:
        cells, assigned = cell_shares(net, image, other), cell_assignment(net, image)
        strongest = cells.strongest(_MARKED_CELLS, apart=max(1, min(cells.shares.shape) // 8))
        colours = cluster_colours(len(assigned.weights))[[assigned.labels[cell] for cell in strongest]]
        picture = heat_overlay(pixels, cells.shares, signed=True)
        return Drawing(method, outline_cells(picture, cells.shares.shape, strongest, colours), cells.shares)
    values = heat(net, image, method, against=other, **(settings if method == "occlusion" else {}))
    smooth = 2 * SMOOTHING if method == "occlusion" else SMOOTHING  # hides the edges of the patches
    signed = method == "occlusion" and other is not None
    return Drawing(method, heat_overlay(pixels, values, signed=signed, smooth=smooth), values)


def _similarity(net: nn.Module, image: Tensor, other: Tensor | None) -> float | None:
    if other is None:
        return None
    first, second = (descriptor(net, picture) for picture in (image, other))
    return float(first @ second / (first.norm() * second.norm()).clamp_min(1e-12))


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most // 2 - 1] + "…" + text[-most // 2 :]
