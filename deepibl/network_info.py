"""What `deepibl info` and `deepibl convert --check` print."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deepibl.networks import load_network, network_id
from matlab_compat.simplenn import SimpleNN
from matlab_compat.simplenn_display import describe


def describe_network(
    path: Path, input_size: Sequence[int] | None = None, batch_size: int = 1, *, as_json: bool = False
) -> str:
    """The layer table of the network in a file, its meta information and its identity, as text or JSON."""
    net = load_network(path)
    info, text = describe(net, input_size, batch_size)
    identity = network_id(net)
    if as_json:
        return json.dumps({"file": str(path), "network_id": identity, **_plain(info)}, indent=2)
    return f"{text}\nidentity: {identity}"


def compare_networks(one: SimpleNN, other: SimpleNN, size: tuple[int, int] = (240, 320)) -> str:
    """Runs one image (noise, the same each time) through both and says how far the outputs are apart."""
    channels = len(one.mean_pixel) if one.meta.get("normalization") else 3
    image = torch.rand((1, channels, *size), generator=torch.Generator().manual_seed(0)) * 255
    with torch.inference_mode():
        first, second = (net(_prepared(net, image)).flatten(1) for net in (one, other))
    if first.shape != second.shape:
        return f"DIFFERENT: outputs of {tuple(first.shape)} and {tuple(second.shape)}"
    largest = float((first - second).abs().max())
    scale = float(first.abs().max())
    return f"one {size[0]}x{size[1]} image through both: largest difference {largest:.3g} of {scale:.3g}"


def _prepared(net: SimpleNN, image: torch.Tensor) -> torch.Tensor:
    return net.prepare(image) if net.meta.get("normalization") else image


def _plain(value: Any) -> Any:
    """Numbers and lists for JSON; what is not a number (NaN: not known) becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
