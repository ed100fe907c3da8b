"""Makes the network that ships, weights/streets.mat, of SqueezeNet v1.1: its start and its file once trained.

python scripts/make_street_network.py start SQUEEZENET.h5 OUT --train TRAIN
    writes OUT/backbone.mat: SqueezeNet (Keras's weights) as a chain of MatConvNet's layers, each 1 x 1 and
    3 x 3 expansion in one convolution, and a 1 x 1 convolution to 128 channels, the principal components
    of TRAIN's photos; then `train_city.py start` and `train` (weights/README.md lists the commands)
python scripts/make_street_network.py finish TRAINED.mat weights/streets.mat --train TRAIN
    adds PCA to 512 dimensions, whitened in part, and rounds weights, so that the file is small
"""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import h5py
import numpy as np
import torch
import typer
from torch import Tensor

from deepibl.engine import ExtractionSettings
from deepibl.features import pca_of_images
from deepibl.images import read_image
from deepibl.networks import load_network, save_network
from deepibl.networks.build import append_pca, plain_layer
from deepibl.networks.clusters import local_descriptors
from matlab_compat.relja import relja_PCA
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn.edit import relja_netOutputDim
from matlab_compat.simplenn.layer import Layer
from matlab_compat.simplenn.tidy import cell_row
from scripts.train_city import city

MEAN = (123.68, 116.779, 103.939)  # RGB
FIRES = {2: 1, 3: 0, 4: 1, 5: 0, 6: 1, 7: 0, 8: 0, 9: 0}  # whether a pooling comes before it
WIDTH = 128  # channels of the maps that NetVLAD pools


def start(squeezenet: Path, out: Path, train: Annotated[Path, typer.Option()]) -> None:
    """Writes OUT/backbone.mat."""
    out.mkdir(parents=True, exist_ok=True)
    mean = np.array(MEAN, np.float32)[None, None]
    size = np.array([[320.0, 320.0, 3.0]])
    net = SimpleNN(layers(squeezenet), {"normalization": {"averageImage": mean, "imageSize": size}})
    dataset = city(train)
    paths = dataset.image_paths("db")
    found = local_descriptors(net, lambda i: read_image(paths[i]), len(paths), progress=True)
    pca = relja_PCA(found, WIDTH)
    filters, bias = pca.U.astype(np.float32), -(pca.U.T @ pca.mu)
    save_network(net.with_layers([*net, conv("reduce", filters[None, None], bias)]), out / "backbone.mat")


def layers(file: Path) -> Iterator[Layer]:
    """SqueezeNet's layers up to fire9, for RGB images minus their mean."""
    with h5py.File(file) as stored:
        kernel, bias = weights(stored["conv1"])
        yield conv("conv1", kernel[:, :, ::-1], bias, stride=2)  # stored for BGR
        yield relu("conv1")
        for fire, pooled in FIRES.items():
            if pooled:
                yield pool(f"pool{fire}")
            yield conv(f"fire{fire}_squeeze", *weights(stored[f"fire{fire}/squeeze1x1"]))
            yield relu(f"fire{fire}_squeeze")
            small, small_bias = weights(stored[f"fire{fire}/expand1x1"])
            large, large_bias = weights(stored[f"fire{fire}/expand3x3"])
            small = np.pad(small, ((1, 1), (1, 1), (0, 0), (0, 0)))  # as a 3 x 3 filter
            expansion = np.concatenate([small, large], axis=3)
            yield conv(f"fire{fire}_expand", expansion, np.concatenate([small_bias, large_bias]), pad=1)
            yield relu(f"fire{fire}_expand")


def weights(group: h5py.Group) -> tuple[np.ndarray, np.ndarray]:
    """Filters (h, w, C, K) and biases (K,) of a Keras layer."""
    arrays: list[np.ndarray] = []
    group.visititems(lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    bias, kernel = sorted(arrays, key=np.ndim)
    return kernel, bias


def conv(name: str, filters: np.ndarray, bias: np.ndarray, *, stride: int = 1, pad: int = 0) -> Layer:
    """A convolution of filters (h, w, C, K)."""
    filters = np.asfortranarray(filters, dtype=np.float32)
    values = cell_row([filters, np.asarray(bias, np.float32)[:, None]])
    return plain_layer(
        {"type": "conv", "name": name, "weights": values, "stride": number(stride), "pad": number(pad)}
    )


def relu(name: str) -> Layer:
    """The ReLU of a convolution."""
    return plain_layer({"type": "relu", "name": f"{name}_relu"})


def pool(name: str) -> Layer:
    """The largest of 3 x 3 pixels, every second."""
    fields: dict[str, Any] = {"type": "pool", "name": name, "method": "max", "pool": number(3)}
    return plain_layer({**fields, "stride": number(2), "pad": number(0)})


def number(value: float) -> np.ndarray:
    """A MATLAB scalar."""
    return np.array([[float(value)]])


def finish(
    network: Path,
    out: Path,
    train: Annotated[Path, typer.Option()],
    dim: int = 512,
    power: Annotated[float, typer.Option(help="1 whitens; 0 leaves the variances as they are")] = 0.5,
    bits: Annotated[int, typer.Option(help="significant bits of a weight, which zlib then packs")] = 8,
) -> None:
    """Writes OUT: the network with a PCA of the training photos that whitens in part, in few bits."""
    dataset, net = city(train), load_network(network)
    paths = [*dataset.image_paths("db"), *dataset.image_paths("q")]
    size = relja_netOutputDim(net)[0]
    settings = ExtractionSettings(engine="fused", max_side=None)
    with TemporaryDirectory() as folder:
        found = pca_of_images(
            net, "/", paths, Path(folder, "net"), dim=dim, output_dim=size, settings=settings
        )
    whitened = append_pca(net, found._replace(lams=found.lams**power), dim=dim)
    for parameter in whitened.parameters():
        parameter.data = rounded(parameter.data, bits)
    save_network(whitened, out)


def rounded(values: Tensor, bits: int) -> Tensor:
    """Values to so many significant bits."""
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp(torch.round(mantissa * 2**bits) / 2**bits, exponent)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, help=__doc__)
    for command in (start, finish):
        app.command()(command)
    app()
