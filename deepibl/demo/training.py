"""`deepibl demo --train`: a small network learns the toy city from a random start, with SARE, on a CPU.

`random_network` has random filters, scaled by what they output on photographs:

    half      pool avg     half the size: enough of what a place looks like, at a quarter of the cost
    conv1     5x5 / 2, pool, relu
    conv2     3x3, pool, relu
    conv3     3x3, relu
    conv4     3x3          its output is pooled to a descriptor

Filters are drawn from a normal distribution. Then each is divided by the standard deviation of its output on
some photographs, and its bias is minus the mean, so that every convolution starts with outputs of mean 0 and
deviation 1 (data-dependent initialisation: Kraehenbuehl et al. 2016, Mishkin and Matas 2016). No filter has
a chosen shape. conv3, conv4 and the pooling are trained.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepibl import toycity
from deepibl.datasets.catalog import load_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.demo.run import Say, raw_pixel_recall
from deepibl.images import read_image
from deepibl.networks.build import add_pooling_for
from deepibl.networks.io import save_network
from deepibl.training.checkpoints import Results, SessionFiles, read_session_network
from deepibl.training.listeners import Console, TrainingListener
from deepibl.training.session import train
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath
from matlab_compat.simplenn.network import SimpleNN

SIZE = (160, 120)  # photos, pixels
SPLITS = {"train": (1200, 1800), "val": (320, 240)}  # database images and queries
TIMES = ("day",)  # of the queries
SCALED_BY = 60  # photos that the random filters are scaled by
DEMO_TRAINER = "trainGaussKernalInd"

OPTIONS: dict[str, Any] = {
    "pooling": "vlad_preL2_intra",
    "first_trained_layer": "conv3",  # the random filters below see enough, and their maps are kept
    "batch_size": 4,
    "learning_rate": 0.01,
    "learning_rate_drop_every": 4,
    "weight_decay": 0.0001,
    # from random weights the hardest negatives of many are too hard, and descriptors collapse to one point
    "negatives_per_query": 20,
    "negatives_cap": 5,
    "negatives_cached": 0,
    "epochs": 6,
    "refresh_interval": 600,
    "save_interval": 600,
    "extraction_batch_size": 50,
    "rank_loss_sample_size": 200,
    "num_threads": 2,
    "use_gpu": False,
}


CHANNELS = (16, 32, 64, 64)


def random_network(photos: Tensor, seed: int = 0) -> SimpleNN:
    """Four convolutions with random weights (see the module).

    photos: (N, 3, H, W), RGB, 0 to 255: the filters are scaled by them; their mean colour is subtracted.
    seed: of the filters; the same seed and photos give the same network.
    Raises ArgumentError: no photos, or photos of a single colour.
    """
    if photos.ndim != 4 or not len(photos):
        raise ArgumentError(f"photos must be (N, 3, H, W) with N > 0; got {tuple(photos.shape)}")
    random = np.random.RandomState(seed)
    layers = [_pool("half", "avg")]
    for number, (inputs, outputs) in enumerate(pairwise((3, *CHANNELS)), start=1):
        side = 5 if number == 1 else 3
        filters = random.standard_normal((side, side, inputs, outputs)).astype(np.float32)
        weights = [filters, np.zeros((outputs, 1), np.float32)]
        sizes = {"stride": 2.0 if number == 1 else 1.0, "pad": float(side // 2)}
        layers.append({"type": "conv", "name": f"conv{number}", "weights": weights, **sizes})
        layers += [_pool(f"pool{number}", "max")] if number <= 2 else []
        layers += [{"type": "relu", "name": f"relu{number}"}] if number < len(CHANNELS) else []
    height, width = photos.shape[-2:]
    average = np.empty((height, width, 3), np.float32)
    average[:] = photos.mean((0, 2, 3)).numpy()
    normalization = {"imageSize": np.array([[float(height), float(width), 3.0]]), "averageImage": average}
    meta = {"normalization": normalization, "netID": "toycity", "sessionID": "toycity_random"}
    net = SimpleNN.from_matlab({"layers": layers, "meta": meta}).eval()
    _scale(net, photos)
    return net


def _pool(name: str, method: str) -> dict[str, Any]:
    two = np.full((1, 2), 2.0)
    return {"type": "pool", "name": name, "method": method, "pool": two, "stride": 2.0, "pad": 0.0}


@torch.no_grad()
def _scale(net: SimpleNN, photos: Tensor) -> None:
    """Gives every convolution's output mean 0 and deviation 1 on the photos, a channel at a time."""
    maps = net.prepare(photos)
    for layer in net:
        given = layer(maps)
        if layer.type == "conv":
            mean, spread = given.mean((0, 2, 3)), given.std((0, 2, 3))
            if not bool((spread > 0).all()):
                raise ArgumentError(f"{layer.name}: its output is constant on the photos; are they empty?")
            filters, biases = layer.weights
            assert filters is not None and biases is not None  # this module gave it both
            filters /= spread[:, None, None, None]
            biases.copy_((biases - mean) / spread)
            given = (given - mean[:, None, None]) / spread[:, None, None]
        maps = given


@dataclass(frozen=True)
class ToyCity:
    """The photos to train and to test on, and the folder of all that is made."""

    folder: Path
    train: PlaceDataset
    val: PlaceDataset


def photograph(
    folder: StrPath, seed: int = 0, *, splits: Mapping[str, tuple[int, int]] | None = None, workers: int = 2
) -> ToyCity:
    """Photographs the districts `train` and `val` of a toy city into a folder; existing photos are kept.

    splits: database images and queries of each; default SPLITS.
    """
    place, sets = Path(folder), []
    for split, (images, queries) in (splits or SPLITS).items():
        how: Any = {"seed": seed, "size": SIZE, "split": split, "times": TIMES, "workers": workers}
        path = toycity.make_city(place / "city", images=images, queries=queries, progress=False, **how)
        sets.append(load_dbstruct(path, root=path.parent))
    return ToyCity(place, *sets)


def untrained_network(
    train: PlaceDataset, seed: int = 0, method: str = OPTIONS["pooling"], prefix: str | None = None
) -> SimpleNN:
    """The network that training starts from: random convolutions, and pooling by the original's addLayers.

    train: its database's photos scale the filters and, for NetVLAD, give the clusters. seed: of the filters.
    method: as `deepibl.networks.build.parse_method` reads it. prefix: where clusters are kept; None: nowhere.
    """
    paths = train.image_paths("db")
    some = [torch.as_tensor(read_image(path)) for path in paths[:: -(-len(paths) // SCALED_BY)]]
    net = random_network(torch.stack(some), seed)
    stem = None if prefix is None else f"{prefix}{train.name}_{net.names[-1]}"
    return add_pooling_for(net, method, train, stem=stem)


def train_in_city(
    city: ToyCity,
    trainer: str = DEMO_TRAINER,
    seed: int = 0,
    changes: Mapping[str, Any] | None = None,
    listeners: Iterable[TrainingListener] = (),
) -> Results:
    """Trains a random network in the city by one of `deepibl.training.tuples`; seed: of its weights.

    changes: options that differ from OPTIONS. An interrupted training resumes; its files are beside the city.
    """
    given = {**OPTIONS, "session": trainer.removeprefix("train"), "initial_features_suffix": f"seed{seed}"}
    given |= changes or {}
    prefix = f"{city.folder}/seed{seed}_"
    net = untrained_network(city.train, seed, given.pop("pooling"), prefix)
    return train(
        city.train, city.val, net, trainer, listeners=listeners, output_prefix=prefix, **given
    ).results


def run_training_demo(folder: StrPath, *, seed: int = 0, say: Say = print) -> Results:
    """The demo: photographs a city, trains in it, prints the original's table of the best epoch.

    folder: where photos, session, curves and the trained network (toycity.mat) go; the same call resumes
    after an interruption. Takes a few minutes on two cores.
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
