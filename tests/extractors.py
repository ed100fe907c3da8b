"""Small networks and photos that the tests of descriptors share."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from deepibl.images import read_image
from deepibl.layers import NetVLAD, WholeL2Normalize
from deepibl.networks import io as networks  # noqa: F401  # registers NetVLAD's layers
from matlab_compat.simplenn.network import SimpleNN

PAIR = np.array([2.0, 2.0])
SIZES = [(48, 64), (64, 48), (40, 40)]


class Extractor(nn.Module):
    """A small network of the extractor protocol, (N, 3, H, W) to (N, 64) unit vectors."""

    def __init__(self, kernel=5):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, kernel, stride=2), nn.ReLU(), NetVLAD(4, 16), WholeL2Normalize()
        )
        self.batches = []

    def prepare(self, images):
        return images / 255 - 0.5

    def forward(self, x):
        self.batches.append(tuple(x.shape))
        return self.body(x)


def simplenn():
    """The released layout in small: conv, pool, relu, conv; preL2 to finalL2 with NetVLAD and whitening."""
    rng = np.random.default_rng(0)

    def conv(name, *shape):
        weights = [(rng.standard_normal(shape) / np.sqrt(np.prod(shape[:3]))).astype(np.float32)]
        weights.append(rng.standard_normal((shape[3], 1)).astype(np.float32) * 0.01)
        return {
            "type": "conv",
            "name": name,
            "weights": weights,
            "stride": 1,
            "pad": shape[0] // 2,
            "dilate": 1,
        }

    def normalize(name, channels):
        return {"type": "normalize", "name": name, "param": np.array([2 * channels, 1e-12, 1, 0.5])}

    def custom(name, classname, weights=()):
        found = {"type": "custom", "class__": classname, "name": name}
        return {**found, "weights": list(weights)} if weights else found

    centres = [rng.standard_normal((1, 1, 16, 8)).astype(np.float32) for _ in range(2)]
    layers = [
        conv("conv1", 3, 3, 3, 16),
        {
            "type": "pool",
            "name": "pool1",
            "method": "max",
            "pool": np.array([2.0, 2.0]),
            "stride": 2,
            "pad": 0,
        },
        {"type": "relu", "name": "relu1"},
        conv("conv2", 3, 3, 16, 16),
        normalize("preL2", 16),
        custom("vlad:core", "layerVLAD", centres),
        normalize("vlad:intranorm", 16),
        custom("postL2", "layerWholeL2Normalize"),
        conv("WPCA", 1, 1, 128, 12),
        custom("finalL2", "layerWholeL2Normalize"),
    ]
    meta = {"normalization": {"averageImage": np.full((1, 1, 3), 120, np.float32)}}
    return SimpleNN.from_matlab({"layers": layers, "meta": meta})


def make_photos(folder: Path) -> list[str]:
    """Names of 30 JPEGs of three sizes, one of them grey, written to the folder."""
    rng = np.random.default_rng(0)
    for i in range(30):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        height, width = SIZES[i % 3]
        image = coarse.resize((width, height), Image.Resampling.BICUBIC)
        (image.convert("L") if i == 7 else image).save(folder / f"{i:02d}.jpg")
    return [f"{i:02d}.jpg" for i in range(30)]


def one_by_one(net, folder, names):
    """Descriptors by the plainest loop there is."""
    with torch.inference_mode():
        rows = [net(net.prepare(read_image(folder / name)[None])).flatten() for name in names]
    return torch.stack(rows).numpy()
