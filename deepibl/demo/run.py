"""`deepibl demo --train`: a small network learns the toy city from a random start, with SARE, on a CPU.

The network that comes out is the one that ships: weights/README.md names the command.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl import clusters, network_build
from deepibl.checkpoints import SessionFiles
from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.demo import raw_pixel_recall
from deepibl.demo_random import random_network
from deepibl.images import read_image
from deepibl.networks import save_network
from deepibl.sessions import Results, read_results, read_session_network
from deepibl.toycity import make_city
from deepibl.trainers import TRAINERS
from deepibl.training.console import Console
from deepibl.training.events import TrainingListener
from deepibl.training.options import TrainingOptions
from deepibl.training.session import Course, run_session
from matlab_compat.simplenn import SimpleNN

SIZE = (160, 120)  # photos, pixels
SPLITS = {"train": (1200, 1800), "val": (320, 240)}  # database images and queries
TIMES = ("day",)  # of the queries
SCALED_BY = 60  # photos that the random filters are scaled by
CLUSTERS = 64
DEMO_TRAINER = "trainGaussKernalInd"

OPTIONS: dict[str, Any] = {
    "netID": "toycity",
    "layerName": "conv4",
    "method": "vlad_preL2_intra",
    "batchSize": 4,
    "learningRate": 0.01,
    "lrDownFreq": 4,
    "weightDecay": 0.0001,
    # from random weights the hardest negatives of many are too hard, and descriptors collapse to one point
    "nNegChoice": 20,
    "nNegCap": 5,
    "nNegCache": 0,
    "nEpoch": 7,
    "compFeatsFrequency": 600,
    "saveFrequency": 600,
    "computeBatchSize": 50,
    "nTestRankSample": 200,
    "numThreads": 2,
    "useGPU": False,
}


@dataclass(frozen=True)
class ToyCity:
    """The photos to train and to test on, and where what is made goes."""

    folder: Path
    train: PlaceDataset
    val: PlaceDataset


def photograph(
    folder: str | os.PathLike[str],
    seed: int = 0,
    *,
    splits: Mapping[str, tuple[int, int]] | None = None,
    workers: int = 2,
) -> ToyCity:
    """Photographs the districts `train` and `val` of a toy city into a folder; what is there is kept.

    splits: database images and queries of each; default SPLITS.
    """
    place = Path(folder)
    sets = []
    for split, (images, queries) in (splits or SPLITS).items():
        path = make_city(
            place / "city",
            images=images,
            queries=queries,
            seed=seed,
            size=SIZE,
            split=split,
            times=TIMES,
            workers=workers,
            progress=False,
        )
        sets.append(load_dbstruct(path, root=path.parent))
    return ToyCity(place, *sets)


def untrained_network(
    train: PlaceDataset, seed: int = 0, method: str = OPTIONS["method"], prefix: str | None = None
) -> SimpleNN:
    """The network that training starts from: random convolutions, and pooling by the original's addLayers.

    train: its database's photos scale the filters and, for NetVLAD, give the clusters. seed: of the filters.
    method: as `deepibl.network_build.parse_method` reads it. prefix: where clusters are kept; None: nowhere.
    """
    paths = train.image_paths("db")
    some = [torch.as_tensor(read_image(path)) for path in paths[:: -(-len(paths) // SCALED_BY)]]
    net = random_network(torch.stack(some), seed)
    asked = network_build.parse_method(method)
    if not asked.needs_clusters:
        return network_build.add_pooling(net, asked)
    described = network_build.add_pre_l2(net) if asked.pre_l2 else net

    def compute() -> np.ndarray:
        return clusters.local_descriptors(described, lambda i: read_image(paths[i]), len(paths))

    stem = f"{prefix}{train.name}_{net.names[-1]}"
    descriptor_file, cluster_file = (
        None if prefix is None else f"{stem}_{what}.mat" for what in ("descs", "clst")
    )
    found = clusters.training_descriptors(compute, descriptor_file)
    centres = clusters.get_clusters(lambda: found, k=CLUSTERS, cluster_file=cluster_file)
    return network_build.add_pooling(net, asked, centres=centres, descriptors=found, training_set=train.name)


def train_in_city(
    city: ToyCity,
    trainer: str = DEMO_TRAINER,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    listeners: Iterable[TrainingListener] = (),
) -> Results:
    """Trains a random network in the city by one of `deepibl.trainers`; seed: of its weights.

    changes: options other than OPTIONS. What was interrupted goes on; its files lie in the city's folder.
    """
    prefix = f"{city.folder}/seed{seed}_"
    session = (changes or {}).get("sessionID", trainer.removeprefix("train"))

    def build(options: TrainingOptions) -> SimpleNN:
        return untrained_network(city.train, seed, options.method, prefix)

    given = {**OPTIONS, "sessionID": session, "checkpoint0suffix": f"seed{seed}", **(changes or {})}
    run_session(Course(TRAINERS[trainer], city.train, city.val, build, prefix), given, listeners)
    return read_results(SessionFiles(prefix, session))


def run_training_demo(
    folder: str | os.PathLike[str], *, seed: int = 0, say: Callable[[str], object] = print
) -> Results:
    """The demo: photographs a city, trains in it, prints the original's table of the best epoch.

    folder: where photos, session, curves and the trained network (toycity.mat) go; the same call after an
    interruption goes on. Takes a few minutes on two cores.
    """
    counts = sum(map(sum, SPLITS.values()))
    say(f"1. {counts} photos of a toy city by day, seed {seed}: a district to learn, another to be tested in")
    city = photograph(folder, seed)
    say(f"2. {DEMO_TRAINER}: SARE, from random weights")
    results = train_in_city(city, seed=seed, listeners=[Console()])
    say("3. Recall@N in the other district, before training and after the best epoch\n")
    say(results.table())
    say(f"\ntiny grey pictures compared instead: Recall@1 {raw_pixel_recall(city.val):.4f}")
    files = SessionFiles(f"{city.folder}/seed{seed}_", results.session)
    target = city.folder / "toycity.mat"
    save_network(read_session_network(files, results.best), target)
    say(f"The trained network, for MATLAB too: {target}")
    return results
