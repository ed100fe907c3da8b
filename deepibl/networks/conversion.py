"""Converting a network from one kind of file to another, and running an image through both."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deepibl.networks.export import DescriptorModule
from deepibl.networks.identity import Extractor
from deepibl.networks.io import load_network, save_network
from deepibl.runtime.progress import working
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.network import Network

SIZE = (96, 128)  # height, width; multiples of 16, so that padding of pooling windows changes nothing
TOLERANCE = 1e-4  # of the largest value; rounding stays below


class Difference(NamedTuple):
    """The largest difference between the outputs of two networks, and the largest value."""

    largest: float
    scale: float
    what: str

    @property
    def relative(self) -> float:
        """The largest difference divided by the largest value."""
        return self.largest / self.scale if self.scale else self.largest

    @property
    def ok(self) -> bool:
        """Whether the outputs are equal up to rounding; NaN is not."""
        return self.relative <= TOLERANCE

    def __str__(self) -> str:
        return (
            f"one {SIZE[0]}x{SIZE[1]} image through both ({self.what}): largest difference"
            f" {self.largest:.3g} of {self.scale:.3g}, {self.relative:.1e} of it"
        )


@working("converting a network")
def convert(
    source: StrPath, target: StrPath, *, classes: bool = False, weights: StrPath = "pretrained"
) -> Network:
    """Reads a network and writes it in the format that the target's suffix names; returns the network.

    classes: see `save_network`. weights: of a library's model, see `load_network`. Raises what `load_network`
    and `save_network` raise.
    """
    if Path(source).resolve() == Path(target).resolve():
        raise ArgumentError(f"{target} is the network to convert: give another file")
    net = load_network(source, weights=weights)
    save_network(net, target, classes=classes)
    return net


def difference(
    net: Extractor, target: StrPath, shapes: Sequence[tuple[int, int, int]] = ((1, *SIZE),)
) -> Difference:
    """Runs noise (the same each time) through a network and a file made of it; returns the worst difference.

    shapes: number, height and width of each batch. Raises ArgumentError where onnxruntime is missing,
    NetworkFormatError where the outputs' shapes differ.
    """
    first, second = DescriptorModule(net), _written(Path(target))
    random = torch.Generator().manual_seed(0)
    found = []
    with torch.inference_mode():
        for number, height, width in shapes:
            image = torch.rand((number, first.channels, height, width), generator=random) * 255
            one, other = first(image), second(image)
            if one.shape != other.shape:
                raise NetworkFormatError(
                    f"the output of {target} has shape {tuple(other.shape)}, the source's {tuple(one.shape)}"
                )
            found.append(Difference(float((one - other).abs().max()), float(one.abs().max()), first.what))
    return max(found, key=lambda difference: np.nan_to_num(difference.relative, nan=np.inf))


def _written(target: Path) -> Callable[[Tensor], Tensor]:
    """The function that a written file computes."""
    if target.suffix == ".onnx":
        return lambda image: torch.from_numpy(run_onnx(target, image.numpy()))
    return _program(target) if target.suffix == ".pt2" else DescriptorModule(load_network(target))


def _program(path: Path) -> Callable[[Tensor], Tensor]:
    """A .pt2 file's program; raises NetworkFormatError for images that its guards exclude."""
    module = torch.export.load(path).module()

    def run(images: Tensor) -> Tensor:
        try:
            return module(images)
        except AssertionError as error:
            size = "x".join(map(str, images.shape))
            raise NetworkFormatError(f"{path} does not take images of size {size}: {error}") from error

    return run


def run_onnx(path: StrPath, images: np.ndarray) -> np.ndarray:
    """The output of an ONNX file, computed by onnxruntime; ArgumentError where that is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ArgumentError('checking ONNX needs onnxruntime: pip install "deepibl[onnx]"') from error
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])
