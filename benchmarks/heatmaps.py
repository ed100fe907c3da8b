"""python -m benchmarks.heatmaps NETWORK PHOTO PHOTO … [--pairs] [--side 224] [--methods …]

Which heatmap tells most? A deletion test: the pixels that a map calls the largest are blurred away, largest
first, and the cosine of the descriptor to that of the whole photo falls (--pairs: to that of the next photo,
of each pair of photos). Maps are blurred as they are drawn. Holes do harm wherever they are: each map is
compared with itself turned around, whose holes have the same shapes elsewhere. Printed as Markdown, best
first: by how much the area below the curve is smaller than that of the map turned around (mean over photos,
standard error), both areas as mean cosines, and the cosine after each share of the pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.integrate import trapezoid
from torch import Tensor, nn

from benchmarks.measure import Table, command_line
from deepibl.images import read_image
from deepibl.networks import find_network, load_network
from deepibl.report.cells import cell_shares
from deepibl.report.heatmap import METHODS, descriptor, heat
from deepibl.report.overlay import SMOOTHING, blurred
from matlab_compat.errors import ArgumentError

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4)
_BLUR = 0.1  # sigma of what deleted pixels become, as a share of the shorter side


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = command_line(__doc__)
    parser.add_argument("network")
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--pairs", action="store_true", help="photos are pairs of one place")
    parser.add_argument("--side", type=int, default=224, help="pixels of the longer side")
    parser.add_argument("--methods", nargs="+", default=[*METHODS, "cells"])
    options = parser.parse_args(arguments)
    net = load_network(find_network(options.network))
    images = [read_image(photo, max_side=options.side, upright=True) for photo in options.photos]
    pairs = zip(images[::2], images[1::2], strict=True) if options.pairs else [(x, None) for x in images]
    deletion_table(net, list(pairs), options.methods).print()


def deletion_table(
    net: nn.Module, pairs: Sequence[tuple[Tensor, Tensor | None]], methods: Sequence[str]
) -> Table:
    """The table of the module's docstring. pairs: images (3, H, W), the second None for a photo by itself."""
    curves: dict[str, list[list[list[float]]]] = {method: [] for method in methods}
    for image, other in pairs:
        target = descriptor(net, image if other is None else other)
        for method, found in curves.items():
            field = shown(net, image, other, method)
            found.append([deletion_curve(net, image, each, target) for each in (field, field[::-1, ::-1])])
    rows = []
    for method, found in curves.items():
        areas, turned = (trapezoid(found, SHARES, axis=2) / SHARES[-1]).T
        gain = turned - areas
        error = gain.std(ddof=1) / len(gain) ** 0.5 if len(gain) > 1 else np.nan
        means = [f"{mean:.3f}" for mean in np.mean(found, axis=0)[0]]
        figures = f"{gain.mean():.3f} ± {error:.3f}", f"{areas.mean():.3f}", f"{turned.mean():.3f}"
        rows.append([method, *figures, *means])
    header = ["method", "gain", "area", "turned around", *(f"{share:.0%} gone" for share in SHARES)]
    rows.sort(key=lambda row: row[1], reverse=True)
    return Table(f"Cosine as pixels are deleted ({len(pairs)} photos)", header, rows)


def shown(net: nn.Module, image: Tensor, other: Tensor | None, method: str) -> np.ndarray:
    """The map (H, W) of a method as it is drawn over an image."""
    if method == "cells":
        shares = cell_shares(net, image, image if other is None else other).shares
        size = image.shape[1:]
        return F.interpolate(torch.from_numpy(shares)[None, None], size, mode="bilinear")[0, 0].numpy()
    return blurred(heat(net, image, method, against=other), SMOOTHING)


def deletion_curve(net: nn.Module, image: Tensor, field: np.ndarray, target: Tensor) -> list[float]:
    """The cosine to `target` (D,) after each of SHARES of the pixels, largest of `field` first."""
    if field.shape != tuple(image.shape[1:]):
        raise ArgumentError(f"a map must have the image's size {tuple(image.shape[1:])}; got {field.shape}")
    order, curve = np.argsort(-field, axis=None, kind="stable"), []
    gone = torch.from_numpy(np.stack([blurred(plane, _BLUR) for plane in image.numpy()])).flatten(1)
    for share in SHARES:
        pixels, chosen = image.flatten(1).clone(), torch.from_numpy(order[: round(share * len(order))])
        pixels[:, chosen] = gone[:, chosen]
        curve.append(float(F.cosine_similarity(descriptor(net, pixels.reshape(image.shape)), target, dim=0)))
    return curve


if __name__ == "__main__":
    main()
