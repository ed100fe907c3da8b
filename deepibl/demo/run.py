"""`deepibl demo`: the main task from end to end, on a generated city, with the small network that ships.

`deepibl demo --train`: a small network learns the toy city from a random start, with SARE, on a CPU. The
network that comes out is the one that ships: weights/README.md names the command.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deepibl.datasets.catalog import database_places, load_dbstruct
from deepibl.datasets.place import PlaceDataset
from deepibl.demo.networks import random_network
from deepibl.evaluation.evaluate import evaluate_index, recall_table
from deepibl.evaluation.measures import recall_at_n
from deepibl.images import read_image
from deepibl.networks.build import add_pooling_for
from deepibl.networks.io import load_network, save_network
from deepibl.networks.weights import find_network
from deepibl.report.html import match_page
from deepibl.search.localization import build_index, localize, match_table
from deepibl.toycity.city import make_city
from deepibl.training.checkpoints import Results, SessionFiles, read_session_network
from deepibl.training.listeners import Console, TrainingListener
from deepibl.training.session import train
from matlab_compat.files import StrPath
from matlab_compat.simplenn.network import SimpleNN

NETWORK = "toycity_offtheshelf"
_SHOWN = 3  # photos that are localized and printed


def run_demo(
    folder: StrPath | None = None, *, images: int = 200, seed: int = 0, say: Callable[[str], object] = print
) -> float:
    """Makes a city, indexes it, measures Recall@N in it and localizes photos; returns Recall@1.

    folder: where to keep images, index and page (default: a temporary folder). images: number of database
    images, 40 to 20,000; a third as many queries. seed: which city. say: called with each line to print.
    """
    path = find_network(NETWORK)
    net = load_network(path)
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="deepibl-demo-"))
        place = Path(folder) if folder is not None else Path(temporary)
        say(f"1. A toy city of {images} images, seed {seed} (day, sunset and night; see deepibl.toycity)")
        city = make_city(place / "city", images=images, seed=seed)
        dataset = load_dbstruct(city, root=city.parent)
        say(f"2. An index of it, by the network {NETWORK} that ships (no part was trained by gradients)")
        index, _ = build_index(net, database_places(city, city.parent), place / "city.idx", network_path=path)
        say(f"   {len(index)} images, {index.dim} numbers each\n")
        say("3. Recall@N: how often one of the first N answers is within 25 m of the query")
        evaluation = evaluate_index(net, place / "city.idx", city, root=city.parent, label=NETWORK)
        say(recall_table(evaluation, most=25))
        say(f"   comparing tiny grey pictures instead: Recall@1 {raw_pixel_recall(dataset):.4f}\n")
        say(f"4. Where {_SHOWN} photos of it were taken")
        photos = dataset.image_paths("q")[:_SHOWN]
        found, _ = localize(net, photos, index, top=3)
        say(match_table(found))
        for photo, (east, north) in zip(photos, dataset.query_positions, strict=False):
            best = found[photo][0]
            known = best.east and best.north
            metres = math.hypot(best.east - east, best.north - north) if known else math.nan
            say(f"{Path(photo).name}: the best match is {metres:.0f} m from where the photo was taken")
        if folder is not None:
            page = place / "matches.html"
            page.write_text(match_page(list(found.items())), encoding="utf-8")
            say(f"\nimages, index and a page of the matches: {place}")
    return float(evaluation.result.at(1))


def raw_pixel_recall(dataset: PlaceDataset, size: tuple[int, int] = (24, 32)) -> float:
    """Recall@1 of comparing tiny grey pictures (height, width) without mean and contrast: the baseline."""
    import torch

    def describe(paths: list[str]) -> torch.Tensor:
        tiny = torch.stack([read_image(path, size).mean(0).flatten() for path in paths])
        tiny = tiny - tiny.mean(1, keepdim=True)
        return tiny / tiny.norm(dim=1, keepdim=True).clamp_min(1e-6)

    queries, database = (describe(dataset.image_paths(which)).numpy() for which in ("q", "db"))
    return float(recall_at_n(queries, database, dataset, [1]).at(1))


SIZE = (160, 120)  # photos, pixels
SPLITS = {"train": (1200, 1800), "val": (320, 240)}  # database images and queries
TIMES = ("day",)  # of the queries
SCALED_BY = 60  # photos that the random filters are scaled by
DEMO_TRAINER = "trainGaussKernalInd"

OPTIONS: dict[str, Any] = {
    "pooling": "vlad_preL2_intra",
    "batch_size": 4,
    "learning_rate": 0.01,
    "learning_rate_drop_every": 4,
    "weight_decay": 0.0001,
    # from random weights the hardest negatives of many are too hard, and descriptors collapse to one point
    "negatives_per_query": 20,
    "negatives_cap": 5,
    "negatives_cached": 0,
    "epochs": 7,
    "refresh_interval": 600,
    "save_interval": 600,
    "extraction_batch_size": 50,
    "rank_loss_sample_size": 200,
    "num_threads": 2,
    "use_gpu": False,
}


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
    place = Path(folder)
    sets = []
    for split, (images, queries) in (splits or SPLITS).items():
        path = make_city(
            place / "city", images=images, queries=queries, seed=seed, size=SIZE, split=split, times=TIMES,
            workers=workers, progress=False,
        )  # fmt: skip
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


def run_training_demo(folder: StrPath, *, seed: int = 0, say: Callable[[str], object] = print) -> Results:
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
