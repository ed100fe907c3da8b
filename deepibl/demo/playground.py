"""A folder in which MATLAB scripts for the published data run on toy data of the same names.

localPaths.toml points to toy data sets called pitts30k, pitts250k, tokyo247 and tokyoTM (pictures of the toy
city, a few dozen each) and to small networks of random weights called imagenet-vgg-verydeep-16,
imagenet-caffe-ref and like NetVLAD's own; football.jpg is a picture. What scripts compute there is
meaningless; the folder shows that they run, and what they print and write.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from deepibl import toycity
from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.errors import DatasetError
from deepibl.networks.build import add_pooling, append_pca
from deepibl.networks.io import save_network
from matlab_compat import matfile
from matlab_compat.files import StrPath, write_text
from matlab_compat.relja import PCA
from matlab_compat.simplenn.network import SimpleNN

SIZE = (96, 72)
PLACES = 5
YAWS = 12
ZONE = "31N"  # of the toy city
WHITENED = 16  # dimensions of the toy networks in the place of NetVLAD's own
_DATES = (201306, 201503)
_WHITE = ("vd16_tokyoTM_conv5_3_vlad_preL2_intra_white", "vd16_pitts30k_conv5_3_vlad_preL2_intra_white")
_VGG = ((2, 4), (2, 6), (3, 8), (3, 10))  # convolutions, channels of each block but the last
_ALEX = ((1, 6), (1, 8), (1, 10), (1, 10))


def make_playground(folder: StrPath, *, places: int = PLACES, channels: int = 12, seed: int = 0) -> Path:
    """Makes the folder (see the module) and returns its localPaths.toml; existing pictures are kept.

    places: per part of a data set, with 12 pictures each and more in tokyoTM. channels: of the networks'
    conv5 (72 channels and 350 places make addPCA's 4096 dimensions possible). seed: which city and weights.
    Raises DatasetError for fewer than two places.
    """
    if places < 2:
        raise DatasetError(f"a playground needs at least 2 places in each part; got {places}")
    top = Path(folder).resolve()
    for name in ("datasets", "pretrained", "models", "initdata", "output"):
        (top / name).mkdir(parents=True, exist_ok=True)
    spec = top / "datasets"
    for split in ("train", "val", "test"):
        fields = _part(top / "Pittsburgh", split, places, seed, "queries", 2 * places)
        for size in ("30k", "250k"):
            write_dbstruct(spec / f"pitts{size}_{split}.mat", fields, ZONE)
    fields = _part(top / "Tokyo247", "test", places, seed, "query", 3 * places)
    write_dbstruct(spec / "tokyo247.mat", fields, ZONE)
    for split in ("train", "val"):
        fields = _part(top / "TokyoTM", split, places, seed, "images", 2 * places, _DATES)
        write_dbstruct(spec / f"tokyoTM_{split}.mat", fields, ZONE)
    _networks(top, channels, seed)
    spot = _spots("val", 1, seed)
    toycity.render_names(top, ["football.jpg"], spot, seed=seed, size=SIZE, date=7, progress=False)
    where = {"dsetSpecDir": "datasets", "dsetRootPitts": "Pittsburgh", "dsetRootTokyo247": "Tokyo247"}
    where |= {"dsetRootTokyoTM": "TokyoTM", "ourCNNs": "models", "pretrainedCNNs": "pretrained"}
    where |= {"initData": "initdata", "outPrefix": "output"}
    lines = [f"{name} = '{(top / below).as_posix()}/'\n" for name, below in where.items()]
    paths = top / "localPaths.toml"
    write_text(paths, "# made by `deepibl data toy`\n" + "".join(lines))
    return paths


def _part(
    root: Path,
    split: str,
    places: int,
    seed: int,
    query_folder: str,
    count: int,
    dates: tuple[int, ...] = (0,),
) -> dict[str, Any]:
    """Photographs one part of a data set with `count` queries; returns the fields of its dbStruct."""
    spots = _spots(split, places, seed)
    where = np.repeat(spots, YAWS, axis=0)
    names: list[str] = []
    how: dict[str, Any] = {"seed": seed, "size": SIZE, "progress": False}
    for date in dates:
        views = [f"{spot:03d}_yaw{yaw + 1:02d}" for spot in range(places) for yaw in range(YAWS)]
        taken = [f"{split}/{date}_{view}.jpg" for view in views]
        toycity.render_names(root / "images", taken, where, date=date % 97, **how)
        names += taken
    beside = spots[np.arange(count) % places] + np.array([3.0, 2.0])  # people some metres beside the car
    queries = [f"{split}/q{q:03d}_yaw{(q // places) % YAWS + 1:02d}.jpg" for q in range(count)]
    toycity.render_names(root / query_folder, queries, beside, date=500, **how)
    utm = np.tile(where, (len(dates), 1))
    fields: dict[str, Any] = {"whichSet": split, "dbImageFns": names, "utmDb": utm}
    fields |= {"qImageFns": queries, "utmQ": beside, "posDistThr": 25.0, "nonTrivPosDistSqThr": 100.0}
    if len(dates) > 1:
        stamps = np.array(dates, dtype=np.int32)
        fields["dbTimeStamp"] = np.repeat(stamps, len(where))
        fields["qTimeStamp"] = stamps[np.arange(count) % len(dates)]
    return fields


def _spots(split: str, places: int, seed: int) -> np.ndarray:
    """UTM positions (places, 2) some 40 m apart along the streets of a district."""
    every_third = islice(toycity.stops(toycity.City(seed), split), 0, 3 * places, 3)
    return np.array([segment.at(at) for segment, at in every_third])


def _networks(top: Path, width: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vgg = _backbone((*_VGG, (3, width)), random, numbered=True)
    alex = _backbone((*_ALEX, (1, width)), random, numbered=False)
    for name, net in (("imagenet-vgg-verydeep-16", vgg), ("imagenet-caffe-ref", alex)):
        # as published: layers and meta are variables of their own
        matfile.save(top / "pretrained" / f"{name}.mat", net.to_matlab())
    cropped = vgg.with_layers(list(vgg)[: vgg.index("conv5_3") + 1])
    for name in _WHITE:
        points = random.standard_normal((200, width)).astype(np.float32)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        net = add_pooling(cropped, "vlad_preL2_intra", centres=points[:8], descriptors=points)
        dim = 8 * width
        axes = np.linalg.qr(random.standard_normal((dim, WHITENED)))[0].astype(np.float32)
        mean = np.zeros(dim, dtype=np.float32)
        net = append_pca(net, PCA(axes, np.linspace(0.1, 0.01, WHITENED), mean, axes.T @ mean))
        net.meta |= {"sessionID": name, "epoch": 1.0}
        save_network(net, top / "models" / f"{name}.mat")


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
