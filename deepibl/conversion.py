"""Converting a network from one kind of file to another, and running an image through both."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepibl.export import Describer
from deepibl.networks import load_network, save_network
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn import SimpleNN

SIZE = (96, 128)  # multiples of 16: no pooling window hangs over the edge, so padding plays no part


class Difference(NamedTuple):
    """How far the results of two networks are apart: the largest difference, and the largest value."""

    largest: float
    scale: float
    what: str

    def __str__(self) -> str:
        height, width = SIZE
        relative = self.largest / self.scale if self.scale else self.largest
        return (
            f"one {height}x{width} image through both ({self.what}): largest difference {self.largest:.3g} of"
            f" {self.scale:.3g}, {relative:.1e} of it"
        )


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str], *, classes: bool = False) -> Any:
    """Reads a network and writes it in the format that the target's suffix names; returns the network.

    Raises what `load_network` and `save_network` raise, who say why a network cannot be read or written.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise ArgumentError(f"{target} is the network to convert: give another file")
    net = load_network(source, cached_copy=False)
    save_network(net, target, classes=classes)
    return net


def difference(net: Any, target: str | os.PathLike[str]) -> Difference:
    """Runs one image (noise, the same each time) through a network and through what was written of it.

    Of a .pth file the last convolution is compared. Raises ArgumentError where onnxruntime is missing,
    NetworkFormatError where the outputs' shapes differ.
    """
    target = Path(target)
    describer = Describer(net)
    image = torch.rand((1, describer.channels, *SIZE), generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        if target.suffix == ".pth":
            first, second, what = *_last_convolutions(net, target, image), "conv5_3"
        else:
            first, second, what = describer(image), _other(target, image), "descriptors"
            what = what if describer.flat else "maps"
    if first.shape != second.shape:
        raise NetworkFormatError(f"{target} gives {tuple(second.shape)}, the source {tuple(first.shape)}")
    return Difference(float((first - second).abs().max()), float(first.abs().max()), what)


def _other(target: Path, image: Tensor) -> Tensor:
    """What the written file computes of the image."""
    if target.suffix == ".onnx":
        return torch.from_numpy(run_onnx(target, image.numpy()))
    if target.suffix == ".pt2":
        return torch.export.load(target).module()(image)
    return Describer(load_network(target, cached_copy=False))(image)


def run_onnx(path: str | os.PathLike[str], images: np.ndarray) -> np.ndarray:
    """The output of an ONNX file, by onnxruntime; ArgumentError where that is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ArgumentError('checking ONNX needs onnxruntime: pip install "deepibl[onnx]"') from error
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])


def _last_convolutions(net: SimpleNN, target: Path, image: Tensor) -> tuple[Tensor, Tensor]:
    written = load_network(target)
    prepared = net.prepare(image)
    return net(prepared, stop="conv5_3"), written(prepared, stop="conv5_3")
