"""What `deepibl info` prints."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.networks import load_network, network_id
from matlab_compat.dagnn import DagNN
from matlab_compat.dagnn_display import describe_dagnn
from matlab_compat.simplenn_display import describe


def describe_network(
    path: Path, input_size: Sequence[int] | None = None, batch_size: int = 1, *, as_json: bool = False
) -> str:
    """The layer table of the network in a file, its meta information and its identity, as text or JSON."""
    net = load_network(path)
    show = describe_dagnn if isinstance(net, DagNN) else describe
    info, text = show(net, input_size, batch_size)
    identity = network_id(net)
    if as_json:
        return json.dumps({"file": str(path), "network_id": identity, **_plain(info)}, indent=2)
    return f"{text}\nidentity: {identity}"


def _plain(value: Any) -> Any:
    """Numbers and lists for JSON; what is not a number (NaN: not known) becomes null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
