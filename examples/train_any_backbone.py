"""SARE on a network of torchvision's, from images to a place recogniser.

python examples/train_any_backbone.py CITY/toycity_train.mat --steps 40
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torchvision

from deepibl import SARELoss
from deepibl.datasets import load_dbstruct
from deepibl.images import read_image


def train(dbstruct: str, steps: int, weights: str | None = None, negatives: int = 5) -> list[float]:
    """Trains a MobileNet by SARE on random negatives; returns the loss of each step."""
    city = load_dbstruct(dbstruct, root=Path(dbstruct).parent)
    network = torchvision.models.mobilenet_v3_small(weights=weights).features
    optimiser = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    sare, random, losses = SARELoss("gauss", "ind", reduction="pairs"), np.random.default_rng(0), []
    photos = city.image_paths("db")

    def describe(paths: list[str]) -> torch.Tensor:
        images = torch.stack([torch.as_tensor(read_image(path)) for path in paths]) / 127.5 - 1
        return torch.nn.functional.normalize(network(images).mean((2, 3)))

    for step in range(steps):
        query = step % city.query_count
        near = city.nontrivial_positives(query)
        if len(near):
            far = random.choice(np.setdiff1d(np.arange(city.database_size), city.positives(query)), negatives)
            features = describe([city.image_paths("q")[query], *(photos[i] for i in [near[0], *far])])
            loss = sare(features[:1], features[1:2], features[None, 2:])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
    return losses


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dbstruct")
    parser.add_argument("--steps", type=int, default=40)
    arguments = parser.parse_args()
    print("loss by step:", *(f"{value:.3f}" for value in train(arguments.dbstruct, arguments.steps)))
