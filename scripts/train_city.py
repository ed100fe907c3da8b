"""Trains a network on geo-tagged photos of a city in batches: each photo is compared with all others.

The original trains on tuples: a query, its positive and ten negatives, which only the query is compared with.
Here a batch has pairs of photos of places that look alike, and each is compared with all others: some ten
times as many comparisons for each image computed. Mirrored streets are as many streets again.

python scripts/train_city.py start OUT --train TRAIN --backbone vgg16.mat --crop conv5_3
    writes OUT/start.mat: the backbone with NetVLAD, whose clusters are of TRAIN's database
python scripts/train_city.py train OUT/start.mat OUT/gauss --train TRAIN --val VAL --first conv5_1
    writes the network of each round, and the best by Recall@1 + Recall@5 on VAL as OUT/gauss/best.mat
python scripts/train_city.py mean OUT/mean.mat OUT/start.mat OUT/gauss/best.mat
    writes the network whose weights are the mean of those of several

TRAIN and VAL are folders with db.csv and query.csv (docs/own_photos.md says what is in them). The queries of
TRAIN are used as its database is: all its photos are trained with.
"""

import csv
import hashlib
import math
import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from deepibl.cli.process import keep_buffers
from deepibl.datasets import PlaceDataset, dataset_from_places, query_places
from deepibl.engine import onednn
from deepibl.engine.backbone import FusedBackbone
from deepibl.engine.winograd import WinogradGradients
from deepibl.evaluation import recall_at_n
from deepibl.losses import ContrastiveLoss, SARELoss, TripletLoss, TupleLoss
from deepibl.networks import load_network, network_id, save_network
from deepibl.networks.build import CLUSTERS, add_pooling_for
from matlab_compat.files import atomic_output
from matlab_compat.simplenn import SimpleNN

NS = (1, 5, 10)
FAR = 25.0  # metres: positives are nearer, negatives farther
SAME_VIEW = 0.25  # the share of nearby photos, the most similar ones, that are taken to show the same
CANDIDATES = 200  # most similar photos among which the places that look alike are searched
SKETCH = 1024  # dimensions in which similar photos are searched
CROP = v2.RandomResizedCrop(320, (0.6, 1.0), (0.9, 1.1))  # at most 40 % of a photo is lost
JITTER = v2.Compose([CROP, v2.ColorJitter(0.3, 0.3, 0.3)])
NIGHT = v2.Compose(  # as a camera sees with its gain turned up: a dark sky, grain, no colours
    [
        CROP,
        v2.RandomSolarize(190, 0.4),
        v2.ColorJitter((0.6, 1.3), (0.8, 1.4)),
        v2.ToDtype(torch.float32, scale=True),
        v2.RandomChoice([v2.GaussianNoise(sigma=sigma) for sigma in (0.02, 0.04, 0.08)]),
        v2.Grayscale(3),
        v2.RandomAutocontrast(0.7),
        v2.ToDtype(torch.uint8, scale=True),
    ]
)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    loss: gauss-ind … exp-joint (SARE), triplet or contrastive. sharpness: squared distances are multiplied by
    it, which narrows SARE's kernel. rate, head_rate: Adam's learning rates of convolutions and of NetVLAD.
    rounds, steps: batches in all are rounds * steps; a network is written and tested after each round.
    places, alike: a batch has that many random places, each with so many that look like it. mirrored: whether
    mirrored photos make a second city. versions, nights: jittered versions of each photo, and versions as at
    night, beside the photo itself. bf16: compute in bfloat16, where the processor is fast in it.
    """

    loss: str = "gauss-joint"
    sharpness: float = 1.0
    rate: float = 1e-5
    head_rate: float = 1e-3
    rounds: int = 4
    steps: int = 60
    places: int = 8
    alike: int = 3
    mirrored: bool = True
    versions: int = 0
    nights: int = 0
    bf16: bool = False
    seed: int = 0

    @property
    def precision(self) -> str:
        """Of the maps of the photos that are trained with."""
        return "bf16" if self.bf16 else "fp32"

    def make_loss(self) -> TupleLoss:
        """The loss module, of the mean over pairs."""
        if self.loss in ("triplet", "contrastive"):
            return {"triplet": TripletLoss, "contrastive": ContrastiveLoss}[self.loss](reduction="pairs")
        kernel, mode = self.loss.split("-")
        return SARELoss(kernel, mode, reduction="pairs")


class Photos:
    """The photos of a training set, mirrored and jittered: what a batch is made of.

    Photo i of N, its mirror image N + i; of one of `versions`: plain, jitter1 …, night1 …
    """

    def __init__(self, dataset: PlaceDataset, recipe: Recipe) -> None:
        self.paths = [*dataset.image_paths("db"), *dataset.image_paths("q")]
        self.count = len(self.paths)
        positions = np.concatenate([dataset.database_positions, dataset.query_positions])
        self.versions = ["plain"]
        self.versions += [f"jitter{i + 1}" for i in range(recipe.versions)]
        self.versions += [f"night{i + 1}" for i in range(recipe.nights)]
        self.sides = 2 if recipe.mirrored else 1
        files = [(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in self.paths]
        told = f"{self.sides} {files} {positions.tolist()}"
        self.digest = hashlib.sha256(told.encode()).hexdigest()[:8]  # names what is kept of them
        self.positions, self.frame = np.tile(positions, (self.sides, 1)), dataset.frame
        self.side = np.repeat(np.arange(self.sides), self.count)

    def __len__(self) -> int:
        return self.sides * self.count

    def metres(self, some: Sequence[int], others: Sequence[int] | slice = slice(None)) -> np.ndarray:
        """Distances (S, T) of photos; a mirrored photo is where the photo is."""
        if self.frame == "degrees":
            raise typer.BadParameter("TRAIN: the photos are too far apart; train on cities of one UTM zone")
        return np.linalg.norm(self.positions[some][:, None] - self.positions[others][None], axis=2)

    def nearby(self, photo: int) -> np.ndarray:
        """The photos of the same place that may be its positives: others, mirrored if it is."""
        near = self.metres([photo])[0] <= FAR
        return np.flatnonzero(near & (self.side == self.side[photo]) & (np.arange(len(self)) != photo))

    def read(self, photo: int, version: str = "plain") -> Tensor:
        """Photo `photo` as (3, H, W) float32, RGB 0–255."""
        with Image.open(self.paths[photo % self.count]) as file:
            pixels = v2.functional.pil_to_tensor(file.convert("RGB"))
        if version != "plain":
            pixels = (NIGHT if version.startswith("night") else JITTER)(pixels)
        return (pixels.flip(2) if photo >= self.count else pixels).float()


def start(
    out: Path,
    train: Annotated[Path, typer.Option()],
    backbone: Annotated[Path, typer.Option()],
    crop: Annotated[str, typer.Option(help="the last layer that is kept")] = "",
    method: Annotated[str, typer.Option(help="vlad_preL2_intra, max, avg …")] = "vlad_preL2_intra",
    clusters: int = CLUSTERS,
) -> None:
    """Writes OUT/start.mat: a backbone with NetVLAD, or another pooling, on top."""
    out.mkdir(parents=True, exist_ok=True)
    net = load_network(backbone)
    if crop:
        net = net.with_layers(list(net)[: net.index(crop) + 1])
    stem = str(out / "clusters")
    built = add_pooling_for(net, method, city(train), num_clusters=clusters, stem=stem, progress=True)
    save_network(built, out / "start.mat")


def train(
    network: Path,
    out: Path,
    train: Annotated[Path, typer.Option()],
    val: Annotated[Path, typer.Option()],
    first: Annotated[str, typer.Option(help="the lowest layer that is trained; below it maps are kept")] = "",
    maps: Annotated[Path | None, typer.Option(help="folder of the kept maps")] = None,
    loss: str = Recipe.loss,
    sharpness: float = Recipe.sharpness,
    rate: float = Recipe.rate,
    head_rate: float = Recipe.head_rate,
    rounds: int = Recipe.rounds,
    steps: int = Recipe.steps,
    places: int = Recipe.places,
    alike: int = Recipe.alike,
    mirrored: bool = Recipe.mirrored,
    versions: int = Recipe.versions,
    nights: int = Recipe.nights,
    bf16: bool = Recipe.bf16,
    seed: int = Recipe.seed,
) -> None:
    """Trains a network; see `Recipe` for the options."""
    given = locals()
    recipe = Recipe(**{each.name: given[each.name] for each in fields(Recipe)})
    if bf16 and not onednn.instructions("bf16"):
        raise typer.BadParameter("this processor has no instructions for bfloat16: leave --bf16 out")
    out.mkdir(parents=True, exist_ok=True)
    net, photos, tested = load_network(network), Photos(city(train), recipe), city(val)
    val_digest = Photos(tested, Recipe(mirrored=False)).digest
    torch.manual_seed(seed)
    read = reader(net, first, photos, recipe.precision, maps or out / "maps")
    shown = test_reader(net, first, tested, maps or out / "maps")
    with open(out / "log.csv", "w", newline="", encoding="utf-8") as file:
        log = csv.writer(file)
        log.writerow(["round", "loss", *(f"recall@{n}" for n in NS)])
        best = -1.0
        stem = f"{maps or out / 'maps'}/{{}}_{network_id(net)[:16]}_{recipe.precision}_{{}}.npy"
        sketches, at_start = (
            in_file(stem.format("sketches", photos.digest), lambda: sketched(net, first, photos, read, bf16)),
            in_file(stem.format("recall", val_digest), lambda: recall(net, first, tested, shown, bf16)),
        )
        for number, mean_loss in enumerate(learn(net, first, photos, read, sketches, recipe)):
            recalls = recall(net, first, tested, shown, bf16) if number else at_start
            log.writerow([number, f"{mean_loss:.4f}", *(f"{each:.4f}" for each in recalls)])
            file.flush()
            print(f"round {number}: loss {mean_loss:.4f}, Recall@1, 5, 10 {np.round(recalls, 4)}", flush=True)
            save_network(net, out / f"round{number}.mat")
            if recalls[0] + recalls[1] > best:
                best = recalls[0] + recalls[1]
                save_network(net, out / "best.mat")


def mean(out: Path, networks: list[Path]) -> None:
    """Writes OUT: a network with the mean weights of networks that were trained from the same start."""
    nets = [load_network(file) for file in networks]
    weights = [net.state_dict() for net in nets]
    nets[0].load_state_dict({key: sum(each[key] for each in weights) / len(nets) for key in weights[0]})
    save_network(nets[0], out)


def learn(
    net: SimpleNN,
    first: str,
    photos: Photos,
    read: Callable[[int, str], Tensor],
    sketches: np.ndarray,
    recipe: Recipe,
) -> Iterator[float]:
    """Trains round by round; gives the mean loss of each (NaN before the first); updates sketches."""
    draw = random.Random(recipe.seed)
    loss, layer = recipe.make_loss(), first or None
    head, convolutions = trained(net, first)
    optimizer = torch.optim.Adam(
        [{"params": convolutions, "lr": recipe.rate}, {"params": head, "lr": recipe.head_rate}]
    )
    total = recipe.rounds * recipe.steps
    warm = torch.optim.lr_scheduler.LinearLR(optimizer, 0.1, total_iters=10)
    cool = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    yield float("nan")
    for _ in range(recipe.rounds):
        losses = []
        for _ in range(recipe.steps):
            queries, positives = draw_batch(photos, sketches, recipe, draw)
            ids = queries + positives
            maps = torch.stack([read(i, draw.choice(photos.versions)) for i in ids])
            maps = maps.contiguous(memory_format=torch.channels_last)  # as convolutions on a CPU like them
            with WinogradGradients(), torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
                rows = net(maps, start=layer).flatten(1)
            far = torch.from_numpy(photos.metres(queries, ids) > FAR)
            points, count = same_distances(rows) * recipe.sharpness**0.5, len(queries)
            value = loss(points[:count], points[count:], points.expand(count, -1, -1), far)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            warm.step()
            cool.step()
            sketches[ids] = sketch(rows.detach())
            losses.append(float(value.detach()))
        yield float(np.mean(losses))


def same_distances(rows: Tensor) -> Tensor:
    """N points (N, N) with the pairwise distances of N descriptors (N, D): a loss of them costs little."""
    products = rows.double() @ rows.double().t()
    return torch.linalg.cholesky(products + 1e-9 * torch.eye(len(rows))).to(rows.dtype)


def draw_batch(
    photos: Photos, sketches: np.ndarray, recipe: Recipe, draw: random.Random
) -> tuple[list[int], list[int]]:
    """Queries and their positives: random photos, each with the nearest photos of other places."""
    queries: list[int] = []
    positives: list[int] = []

    def take(photo: int) -> bool:
        if queries and photos.metres([photo], queries).min() <= FAR:
            return False
        near = photos.nearby(photo)
        if not len(near):
            return False
        similar = near[np.argsort(-(sketches[near] @ sketches[photo]))]
        queries.append(photo)
        positives.append(int(draw.choice(similar[: math.ceil(SAME_VIEW * len(similar))])))
        return True

    size, fruitless = recipe.places * (1 + recipe.alike), 0
    while len(queries) < size:
        photo, wanted, fruitless = draw.randrange(len(photos)), recipe.alike, fruitless + 1
        if fruitless > 100 + 10 * len(photos):
            few = f"{len(queries)} of a batch's {size} places are {FAR:g} m apart"
            raise typer.BadParameter(f"TRAIN: only {few}; lower --places or --alike")
        if take(photo):
            fruitless = 0
            for other in np.argsort(-(sketches @ sketches[photo]))[:CANDIDATES]:
                if wanted and take(int(other)):
                    wanted -= 1
    return queries, positives


def reader(
    net: SimpleNN, first: str, photos: Photos, precision: str, folder: Path
) -> Callable[[int, str], Tensor]:
    """Gives photo i in version v, prepared for the layer `first`: from kept maps, or read now."""
    if not first:
        return lambda photo, version: net.prepare(photos.read(photo, version)[None])[0]
    kept = {
        each: kept_maps(net, first, folder / each, photos, partial(photos.read, version=each), precision)
        for each in photos.versions
    }
    return lambda photo, version: torch.from_numpy(kept[version][photo].copy()).float()


def test_reader(net: SimpleNN, first: str, dataset: PlaceDataset, folder: Path) -> Callable[[int], Tensor]:
    """As `reader`, for the images of a data set, database first."""
    photos = Photos(dataset, Recipe(mirrored=False))
    if not first:
        return lambda photo: net.prepare(photos.read(photo)[None])[0]
    kept = kept_maps(net, first, folder / dataset.name, photos, photos.read, "fp32")
    return lambda photo: torch.from_numpy(kept[photo].copy()).float()


def kept_maps(
    net: SimpleNN, first: str, stem: Path, photos: Photos, read: Callable[[int], Tensor], precision: str
) -> np.ndarray:
    """The input (N, C, H, W) float16 of the layer `first` of each photo, kept in a file of these alone."""
    below_first, count = net.with_layers(list(net)[: net.index(first)]), len(photos)
    file = Path(f"{stem}_{network_id(below_first)[:16]}_{precision}_{photos.digest}.npy")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        below = FusedBackbone(net, net.index(first), precision)
        with torch.inference_mode(), atomic_output(file) as temporary:
            rows = (below(net.prepare(read(i)[None]))[0].half().numpy() for i in range(count))
            row = next(rows)
            maps = np.lib.format.open_memmap(temporary, "w+", np.float16, (count, *row.shape))
            maps[0] = row
            for i, row in enumerate(rows, 1):
                maps[i] = row
            maps.flush()
    return np.load(file, mmap_mode="r")


def trained(net: SimpleNN, first: str) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of NetVLAD and of the convolutions from `first` on; others are frozen."""
    head: list[Tensor] = []
    convolutions: list[Tensor] = []
    for index, layer in enumerate(net):
        for parameter in layer.parameters():
            parameter.requires_grad_(not first or index >= net.index(first))
            (head if layer.name.startswith("vlad") else convolutions).append(parameter)
    return head, [each for each in convolutions if each.requires_grad]


def described(
    net: SimpleNN, first: str, read: Callable[[int], Tensor], count: int, bf16: bool
) -> Iterator[Tensor]:
    """The descriptors (n, D) of photos, eight at a time."""
    for begin in range(0, count, 8):
        maps = torch.stack([read(i) for i in range(begin, min(begin + 8, count))])
        maps = maps.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            rows = net(maps, start=first or None).flatten(1)
        yield rows


def sketch(rows: Tensor) -> np.ndarray:
    """Descriptors (N, D) in few dimensions, of unit length: random directions keep angles well enough."""
    return torch.nn.functional.normalize(rows @ directions(rows.shape[1]), dim=1).numpy()


@lru_cache(maxsize=1)
def directions(dim: int) -> Tensor:
    """Random directions (dim, SKETCH)."""
    return torch.randn(dim, SKETCH, generator=torch.Generator().manual_seed(0))


def sketched(
    net: SimpleNN, first: str, photos: Photos, read: Callable[[int, str], Tensor], bf16: bool
) -> np.ndarray:
    """The sketches (N, SKETCH) of the photos by this network."""
    rows = described(net, first, lambda i: read(i, "plain"), len(photos), bf16)
    return np.concatenate([sketch(each) for each in rows])


def in_file(file: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array from a file, or made and kept in it."""
    if not Path(file).exists():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        np.save(file, make())
    return np.load(file)


def recall(
    net: SimpleNN, first: str, dataset: PlaceDataset, read: Callable[[int], Tensor], bf16: bool
) -> np.ndarray:
    """Recall@1, 5, 10 of the network on a data set."""
    count = dataset.database_size + dataset.query_count
    rows = torch.cat(list(described(net, first, read, count, bf16))).numpy()
    found = recall_at_n(rows[dataset.database_size :], rows[: dataset.database_size], dataset, ns=NS)
    return found.recalls


def city(folder: Path) -> PlaceDataset:
    """The data set of a folder's db.csv and query.csv, named like the folder."""
    database, queries = (query_places(folder / f"{each}.csv") for each in ("db", "query"))
    return dataset_from_places(folder.name, database, queries, positive_distance=FAR)


if __name__ == "__main__":
    keep_buffers()  # as the command deepibl does
    app = typer.Typer(add_completion=False, help=__doc__)
    app.command()(start)
    app.command()(train)
    app.command()(mean)
    app()
