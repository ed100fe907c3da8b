"""Converting a network from one kind of file to another, and running images through both."""

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
from matlab_compat.errors import ArgumentError, MatlabCompatError, NetworkFormatError
from matlab_compat.files import StrPath
from matlab_compat.network import Network

SHAPES = ((1, 96, 128), (2, 121, 165))  # number, height, width: as the network is traced, and others
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
            f"images of noise through both ({self.what}): largest difference {self.largest:.3g} of"
            f" {self.scale:.3g}, {self.relative:.1e} of it"
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


def difference(net: Extractor, target: StrPath, shapes: Sequence[Sequence[int]] = SHAPES) -> Difference:
    """Runs noise (the same each time) through a network and a file made of it; returns the worst difference.

    shapes: number, height and width of each batch, times the network's `traced_scale`.
    Raises ArgumentError where onnxruntime is missing, NetworkFormatError where the file does not take such
    images, or the outputs' shapes differ.
    """
    first, second = DescriptorModule(net), _written(Path(target))
    random = torch.Generator().manual_seed(0)
    found = []
    with torch.inference_mode():
        for number, height, width in shapes:
            shape = (number, first.channels, height * first.scale, width * first.scale)
            image = torch.rand(shape, generator=random) * 255
            one = first(image)
            try:
                other = second(image)
            except MatlabCompatError:
                raise
            except Exception as error:  # guards of a .pt2 file; onnxruntime has kinds of its own
                raise NetworkFormatError(f"{target} does not take {tuple(image.shape)}: {error}") from error
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
    pt2 = target.suffix == ".pt2"
    return torch.export.load(target).module() if pt2 else DescriptorModule(load_network(target))


def run_onnx(path: StrPath, images: np.ndarray) -> np.ndarray:
    """The output of an ONNX file, computed by onnxruntime; ArgumentError where that is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise ArgumentError('checking ONNX needs onnxruntime: pip install "deepibl[onnx]"') from error
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"images": images})[0])
