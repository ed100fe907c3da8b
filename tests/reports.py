"""Evaluations made of numbers alone, for tests of reports: places on a grid, descriptors with noise."""

from pathlib import Path

import numpy as np
from PIL import Image

from deepibl.datasets.pitts_tokyo import Tokyo247
from deepibl.datasets.place import PlaceDataset
from deepibl.evaluation.evaluate import Evaluation
from deepibl.evaluation.measures import recall_at_n

WHITENED = ("conv1", "postL2", "WPCA", "finalL2")


def evaluation(
    queries=30,
    *,
    database=60,
    dim=32,
    noise=0.9,
    name="grid",
    layers=WHITENED,
    root="",
    tokyo=False,
    names=None,
):
    """An evaluation of `queries` photos among `database` places 40 m apart; more noise, more mistakes."""
    draws = np.random.default_rng(0)
    row, column = np.divmod(np.arange(database), 10)
    utm = np.stack([400000 + 40.0 * column, 6e6 + 40.0 * row], 1)
    asked = np.arange(queries) % database
    described = draws.standard_normal((database, dim)).astype(np.float32)
    found = described[asked] + noise * draws.standard_normal((queries, dim)).astype(np.float32)
    described, found = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (described, found))
    kind = Tokyo247 if tokyo else PlaceDataset
    dataset = kind(
        name,
        [f"db{i:03d}.jpg" for i in range(database)],
        utm,
        names or [f"q{i:03d}.jpg" for i in range(queries)],
        utm[asked] + draws.uniform(-8, 8, (queries, 2)),
        database_root=root,
        query_root=root,
        frame="33N",
    )
    result = recall_at_n(found, described, dataset)
    return Evaluation(dataset, "nets/some_net.mat", "ab" * 32, dim, result, layers, found, described)


def draw_photos(folder: Path, names: list[str]) -> None:
    """A small coloured JPEG for each name."""
    for number, name in enumerate(names):
        colour = (number * 37 % 256, number * 91 % 256, 120)
        Image.new("RGB", (64, 48), colour).save(folder / name, "JPEG")
