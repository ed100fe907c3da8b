"""One batch of images through a network, in float32 or with a bfloat16 trunk."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from deepibl.engine import Engine
from deepibl.exact import exact_products
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN

# tf32 and fp16: on CUDA, with `deepibl.engine.cuda`; int8: on a CPU, with `deepibl.engine.quantised`
PRECISIONS = ("fp32", "bf16", "int8", "tf32", "fp16")


def describe_batch(net: nn.Module, images: Tensor, precision: str = "fp32") -> Tensor:
    """Descriptors (N, D) float32 of images (N, 3, H, W) float32, RGB 0–255, on the network's device.

    precision: fp32; bf16 computes the trunk (everything before the first NetVLAD or other pooling layer
    and the normalisation right before it) under bfloat16 autocast, and the sums, the whitening and the last
    normalisations in float32. Raises what the network raises, and ArgumentError for int8, which needs an
    engine.
    """
    return describe_prepared(net, net.prepare(images), precision)  # type: ignore[operator]


def describe_prepared(
    net: nn.Module, prepared: Tensor, precision: str = "fp32", engine: Engine | None = None
) -> Tensor:
    """As `describe_batch`, for images that `net.prepare` has made ready.

    engine: made by `deepibl.engine.choose_engine` for this network and precision; None: torch's operators.
    """
    if engine is not None and engine.trunk is not None:
        maps = engine.trunk(prepared)
        return (net(maps, start=engine.stop) if engine.stop < len(net) else maps).flatten(1).float()  # type: ignore
    if prepared.device.type == "cpu" or precision != "fp32":
        # oneDNN's convolutions are 1.5 times as fast with channels last; tensor cores take nothing else, and
        # cuDNN would rearrange the maps at every layer
        prepared = prepared.contiguous(memory_format=torch.channels_last)
    return _run(net, prepared, precision).flatten(1).float()


def head_start(net: SimpleNN) -> int:
    """The position of the first layer that bf16 leaves in float32; len(net) without a custom layer."""
    types = net.types
    pooling = [i for i, layer in enumerate(net) if layer.classname and layer.classname != "torchBackbone"]
    first = pooling[0] if pooling else len(types)
    return first - 1 if 0 < first < len(types) and types[first - 1] in ("normalize", "lrn") else first


def to_batch(images: Sequence[Tensor], device: torch.device) -> Tensor:
    """Images (1 or 3, H, W) of one size, bytes or float32, as (N, 3, H, W) float32 on the device.

    Images in pinned memory are fetched by a CUDA device while it computes; nothing waits here.
    """
    there = [image.to(device, non_blocking=True).expand(3, -1, -1) for image in images]
    return torch.stack(there).to(torch.float32)


def check_precision(precision: str) -> None:
    """Raises ArgumentError for a precision that is not one of PRECISIONS."""
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision is {' or '.join(PRECISIONS)}, not {precision!r}")


def device_of(net: nn.Module) -> torch.device:
    """Where the network's weights are."""
    first = next(net.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def device_for(use_gpu: bool) -> str:
    """What the original's option useGPU stands for: 'cuda' if there is a CUDA device, else 'cpu'."""
    return "cuda" if use_gpu and torch.cuda.is_available() else "cpu"


@contextmanager
def inference(net: nn.Module, device: str | torch.device | None = None) -> Iterator[torch.device]:
    """Within it the network is on `device` (None: where it is), in eval mode, without gradients.

    Convolutions and matrix products are in full float32 meanwhile (see `exact_products`). The mode is put
    back at the end; the network stays on the device. Gives the device. Raises ArgumentError if there is no
    such device.
    """
    target = device_of(net) if device is None else torch.device(device)
    if target.type == "cuda" and not torch.cuda.is_available():
        raise ArgumentError(f"device {device}: no CUDA device is there; use 'cpu'")
    was_training = net.training
    net.to(target).eval()
    try:
        with torch.inference_mode(), exact_products(target):
            yield target
    finally:
        net.train(was_training)


def _run(net: nn.Module, prepared: Tensor, precision: str) -> Tensor:
    if precision == "fp32":
        return net(prepared)
    if precision == "int8":
        raise ArgumentError("precision int8 needs an engine, made by choose_engine with the network's scales")
    low = torch.autocast(prepared.device.type, dtype=torch.bfloat16)
    if not isinstance(net, SimpleNN):
        with low:
            return net(prepared)
    first = head_start(net)
    if first:
        with low:
            prepared = net(prepared, stop=first - 1)
    return net(prepared.float(), start=first) if first < len(net) else prepared
