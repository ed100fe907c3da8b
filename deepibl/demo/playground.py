"""A folder in which MATLAB scripts for the published data run on toy data of the same names.

localPaths.toml points to toy data sets called pitts30k, pitts250k, tokyo247 and tokyoTM (pictures of the toy
city, a few dozen each), to small networks of random weights called imagenet-vgg-verydeep-16,
imagenet-caffe-ref and like NetVLAD's own, and football.jpg is a picture. What scripts compute there means
nothing; that they run, and what they print and write, is the point."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.errors import DatasetError
from deepibl.networks.build import add_pooling, append_pca
from deepibl.networks.io import save_network
from deepibl.toycity.city import render_names
from deepibl.toycity.places import stops
from deepibl.toycity.plan import ZONE, City
from matlab_compat.files import atomic_output
from matlab_compat.relja import PCA
from matlab_compat.simplenn.network import SimpleNN

SIZE = (96, 72)

PLACES = 5

YAWS = 12

WHITENED = 16  # dimensions of the toy networks that stand for NetVLAD's own

_DATES = (201306, 201503)

_WHITE = (
    "vd16_tokyoTM_conv5_3_vlad_preL2_intra_white",
    "vd16_pitts30k_conv5_3_vlad_preL2_intra_white",
)

_VGG = ((2, 4), (2, 6), (3, 8), (3, 10))  # convolutions, channels of each block but the last

_ALEX = ((1, 6), (1, 8), (1, 10), (1, 10))


def make_playground(
    folder: str | os.PathLike[str], *, places: int = PLACES, channels: int = 12, seed: int = 0
) -> Path:
    """Makes the folder (see the module) and returns its localPaths.toml; what is there already is kept.

    places: per part of a data set, 12 pictures each and more in tokyoTM. channels: of the networks' conv5 (72
    and 350 places make addPCA's 4096 dimensions possible). seed: which city and which weights.
    Errors: DatasetError for fewer than two places.
    """
    if places < 2:
        raise DatasetError(f"a playground needs at least 2 places a part, not {places}")
    top = Path(folder).resolve()
    for name in ("datasets", "pretrained", "models", "initdata", "output"):
        (top / name).mkdir(parents=True, exist_ok=True)
    spec = top / "datasets"
    for split in ("train", "val", "test"):
        part = _Part(top / "Pittsburgh", split, places, seed, query_folder="queries", queries=2 * places)
        for size in ("30k", "250k"):
            part.write(spec / f"pitts{size}_{split}.mat")
    tokyo = _Part(top / "Tokyo247", "test", places, seed, query_folder="query", queries=3 * places)
    tokyo.write(spec / "tokyo247.mat")
    for split in ("train", "val"):
        part = _Part(
            top / "TokyoTM", split, places, seed, query_folder="images", queries=2 * places, dates=_DATES
        )
        part.write(spec / f"tokyoTM_{split}.mat")
    _networks(top, channels, seed)
    _football(top, seed)
    paths = top / "localPaths.toml"
    with atomic_output(paths) as temporary:
        temporary.write_text(_local_paths(top), encoding="utf-8")
    return paths


class _Part:
    """Pictures of one part of a data set, and its dbStruct."""

    def __init__(
        self,
        root: Path,
        split: str,
        places: int,
        seed: int,
        *,
        query_folder: str,
        queries: int,
        dates: tuple[int, ...] = (0,),
    ) -> None:
        spots = list(_spots(City(seed), split, places))
        self.split = split
        self.stamps: list[np.ndarray] | None = [] if len(dates) > 1 else None
        self.names: list[str] = []
        self.positions: list[np.ndarray] = []
        for date in dates:
            names = [
                f"{split}/{date}_{spot:03d}_yaw{yaw + 1:02d}.jpg"
                for spot in range(places)
                for yaw in range(YAWS)
            ]
            where = np.repeat(np.array(spots), YAWS, axis=0)
            render_names(root / "images", names, where, seed=seed, size=SIZE, date=date % 97, progress=False)
            self.names += names
            self.positions.append(where)
        # people stand some metres beside the car
        beside = np.array([spots[q % places] for q in range(queries)]) + np.array([3.0, 2.0])
        self.query_names = [f"{split}/q{q:03d}_yaw{(q // places) % YAWS + 1:02d}.jpg" for q in range(queries)]
        render_names(
            root / query_folder, self.query_names, beside, seed=seed, size=SIZE, date=500, progress=False
        )
        self.query_positions = beside
        self.dates = dates

    def write(self, path: Path) -> None:
        fields: dict[str, Any] = {
            "whichSet": self.split,
            "dbImageFns": self.names,
            "utmDb": np.concatenate(self.positions),
            "qImageFns": self.query_names,
            "utmQ": self.query_positions,
            "posDistThr": 25.0,
            "nonTrivPosDistSqThr": 100.0,
        }
        if self.stamps is not None:
            each = len(self.names) // len(self.dates)
            fields["dbTimeStamp"] = np.repeat(np.array(self.dates, dtype=np.int32), each)
            turns = np.arange(len(self.query_names)) % len(self.dates)
            fields["qTimeStamp"] = np.array(self.dates, dtype=np.int32)[turns]
        write_dbstruct(path, fields, f"{ZONE[0]}{ZONE[1]}")


def _spots(city: City, split: str, places: int) -> Iterator[tuple[float, float]]:
    """Positions some 40 m apart along the streets of a district."""
    for number, (segment, at) in enumerate(stops(city, split)):
        if number >= 3 * places:
            return
        if number % 3 == 0:
            east, north = segment.at(at, 0.0)
            yield float(east), float(north)


def _networks(top: Path, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vgg = _backbone((*_VGG, (3, width)), random, numbered=True)
    alex = _backbone((*_ALEX, (1, width)), random, numbered=False)
    save_network(vgg, top / "pretrained" / "imagenet-vgg-verydeep-16.mat")
    save_network(alex, top / "pretrained" / "imagenet-caffe-ref.mat")
    cropped = vgg.with_layers(list(vgg)[: vgg.index("conv5_3") + 1])
    for name in _WHITE:
        points = random.standard_normal((200, width)).astype(np.float32)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        net = add_pooling(cropped, "vlad_preL2_intra", centres=points[:8], descriptors=points)
        net = append_pca(net, _random_pca(8 * width, random))
        net.meta |= {"sessionID": name, "epoch": np.ones((1, 1))}
        save_network(net, top / "models" / f"{name}.mat")


def _random_pca(dim: int, random: np.random.Generator) -> PCA:
    axes = np.linalg.qr(random.standard_normal((dim, WHITENED)))[0].astype(np.float32)
    mean = np.zeros(dim, dtype=np.float32)
    return PCA(axes, np.linspace(0.1, 0.01, WHITENED), mean, axes.T @ mean)


def _backbone(
    blocks: tuple[tuple[int, int], ...], random: np.random.Generator, *, numbered: bool
) -> SimpleNN:
    """Convolutions named as VGG-16's (conv1_1 …) or AlexNet's (conv1 …), of random weights."""
    layers: list[dict[str, Any]] = []
    channels = 3
    for block, (count, width) in enumerate(blocks, start=1):
        for number in range(1, count + 1):
            suffix = f"{block}_{number}" if numbered else str(block)
            filters = random.standard_normal((3, 3, channels, width)) * np.sqrt(2 / (9 * channels))
            weights = [filters.astype(np.float32), np.zeros((1, width), np.float32)]
            layers.append(
                {"type": "conv", "name": f"conv{suffix}", "weights": weights, "pad": 1.0, "stride": 1.0}
            )
            layers.append({"type": "relu", "name": f"relu{suffix}"})
            channels = width
        if block < len(blocks):
            pool = {"type": "pool", "name": f"pool{block}", "method": "max", "pool": np.full((1, 2), 2.0)}
            layers.append({**pool, "stride": 2.0, "pad": np.array([[0.0, 1, 0, 1]])})
    mean = np.full((72, 96, 3), 110, dtype=np.float32)
    meta = {"normalization": {"imageSize": np.array([[72.0, 96, 3]]), "averageImage": mean}}
    return SimpleNN.from_matlab({"layers": layers, "meta": meta})


def _football(top: Path, seed: int) -> None:
    spot = next(_spots(City(seed), "val", 1))
    render_names(top, ["football.jpg"], np.array([spot]), seed=seed, size=SIZE, date=7, progress=False)


def _local_paths(top: Path) -> str:
    where = {
        "dsetSpecDir": "datasets", "dsetRootPitts": "Pittsburgh", "dsetRootTokyo247": "Tokyo247",
        "dsetRootTokyoTM": "TokyoTM", "ourCNNs": "models", "pretrainedCNNs": "pretrained",
        "initData": "initdata", "outPrefix": "output",
    }  # fmt: skip
    lines = [f"{name} = '{(top / folder).as_posix()}/'\n" for name, folder in where.items()]
    return "# made by `deepibl data toy`\n" + "".join(lines)
