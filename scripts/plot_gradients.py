"""The paper's argument as a picture: how hard SARE, triplet and contrastive losses pull, by their distances.

python scripts/plot_gradients.py docs/gradients.png
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.losses import ContrastiveLoss, SARELoss, TripletLoss, TupleLoss
from matlab_compat.files import atomic_bytes

FARTHEST = 1.4  # about the distance of unrelated unit vectors
LOSSES: dict[str, TupleLoss] = {
    "SARE, Gaussian kernel": SARELoss("gauss"),
    "SARE, Cauchy kernel": SARELoss("cauchy"),
    "SARE, exponential kernel": SARELoss("exp"),
    "triplet, margin 0.1": TripletLoss(0.1),
    "contrastive, margin 0.7": ContrastiveLoss(0.7),
}


def magnitudes(loss: TupleLoss, points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances (n,), and |d loss / d positive|, |d loss / d negative| (n, n) at (d_neg, d_pos)."""
    axis = torch.linspace(1e-3, FARTHEST, points, dtype=torch.float64)
    to_negative, to_positive = (grid.flatten() for grid in torch.meshgrid(axis, axis, indexing="ij"))
    zero = torch.zeros(points**2, 1, dtype=torch.float64)
    query = torch.cat([zero, zero], 1)
    positive = torch.cat([to_positive[:, None], zero], 1).requires_grad_()
    negative = torch.cat([zero, to_negative[:, None]], 1).requires_grad_()
    loss(query, positive, negative[:, None]).mul(points**2).backward()
    found = [
        each.grad.norm(dim=1).reshape(points, points)
        for each in (positive, negative)
        if each.grad is not None
    ]
    return axis.numpy(), found[0].numpy(), found[1].numpy()


def draw(path: str | Path, points: int = 141) -> Path:
    """Writes the picture: a row for the positive's gradient, one for the negative's; a column a loss."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((3 * len(LOSSES), 6.2), layout="constrained")
    FigureCanvasAgg(figure)
    rows: Any = figure.subplots(2, len(LOSSES), sharex=True, sharey=True)
    made = [magnitudes(loss, points) for loss in LOSSES.values()]
    most = max(float(gradient.max()) for _, *gradients in made for gradient in gradients)
    for column, (name, (axis, *gradients)) in enumerate(zip(LOSSES, made, strict=True)):
        rows[0, column].set_title(name, fontsize="medium")
        for row, gradient in enumerate(gradients):
            axes = rows[row, column]
            image = axes.pcolormesh(axis, axis, gradient, vmin=0, vmax=most, cmap="viridis", rasterized=True)
            axes.contour(axis, axis, gradient, levels=8, colors="white", linewidths=0.4, alpha=0.6)
            axes.set_aspect("equal")
    for axes in rows[1]:
        axes.set_xlabel("distance to the positive")
    for axes, what in zip(rows[:, 0], ("positive", "negative"), strict=True):
        axes.set_ylabel(f"pull on the {what}\n\ndistance to the negative")
    figure.colorbar(image, ax=rows, label="gradient magnitude", shrink=0.8)
    with atomic_bytes(path) as buffer:
        figure.savefig(buffer, dpi=90, format="png")
    return Path(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", nargs="?", default="docs/gradients.png")
    print(draw(parser.parse_args().output))
