"""The scales of an int8 backbone: ranges of one network's maps, measured once on photos and kept in a file.

The ranges decide the descriptors, so they are fixed before any is computed. A network with different scales
is a different extractor with its own identity; descriptors of the two are never compared.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deepibl.engine.backbone import groups, head_start
from deepibl.errors import NetworkMismatchError
from deepibl.images import read_image
from deepibl.networks.identity import network_id
from deepibl.runtime.devices import device_of, inference, to_batch
from deepibl.runtime.files import from_plain, write_note
from deepibl.runtime.progress import ProgressCallback, counted
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath, damage_as
from matlab_compat.simplenn.network import SimpleNN

_FORMAT = "deepibl-int8-scales/2"
_CHANNELS = 3  # of images
_MOST = sys.float_info.max


@dataclass(frozen=True)
class Scales:
    """The ranges of one network, by its identity: (position of a convolution, lowest, highest input), sorted.

    images: how many were measured; written_by: the version that measured them.
    """

    network: str
    ranges: tuple[tuple[int, float, float], ...]
    images: int
    written_by: str = field(default_factory=lambda: f"deepibl {version('deepibl')}")

    @property
    def by_position(self) -> dict[int, tuple[float, float]]:
        return {position: (low, high) for position, low, high in self.ranges}

    def identity(self, net: nn.Module) -> str:
        """The identity of the network with these ranges; raises NetworkMismatchError for another network."""
        found = network_id(net)
        if found != self.network:
            raise NetworkMismatchError(
                f"scales of network {self.network[:12]}… do not fit {found[:12]}…: run deepibl calibrate"
            )
        ranges = hashlib.sha256(json.dumps(self.ranges).encode()).hexdigest()
        return f"int8-{ranges[:16]}-{found}"

    def save(self, path: StrPath) -> None:
        write_note(path, {"format": _FORMAT, **asdict(self)}, indent=1)


def read_scales(path: StrPath) -> Scales:
    """The scales in a file; raises ArgumentError for one that `deepibl calibrate` did not write."""
    what, advice = "does not hold int8 scales", "make new ones with deepibl calibrate"
    with damage_as(ArgumentError, path, what, advice):
        content = json.loads(Path(path).read_bytes())  # UTF-8 or UTF-16, with or without a byte order mark
    try:
        if not isinstance(content, dict) or content.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT!r}")
        scales: Scales = from_plain(Scales, content, "it")
        for position, low, high in scales.ranges:
            if not -_MOST <= low <= high <= _MOST:
                raise ValueError(f"the range at position {position} is {low} to {high}")
    except ValueError as problem:
        raise ArgumentError(f"{os.fspath(path)} {what}: {problem}; {advice}") from None
    return scales


def identity_of(net: nn.Module, scales: Scales | None) -> str:
    """The identity of descriptors: the network's, with its int8 ranges if any (fp32 and bf16 are alike)."""
    return network_id(net) if scales is None else scales.identity(net)


def calibrate(
    net: nn.Module,
    images: Sequence[StrPath],
    *,
    root: StrPath = "",
    progress: ProgressCallback | bool | None = None,
    **reading: Any,
) -> Scales:
    """The scales of a network, measured on image files one by one, in float32, on the network's device.

    reading: resize, max_side, upright of `read_image`. Use about a hundred photos, as varied as those to
    extract later. Raises as `measure`, and ImageReadError.
    """

    def prepared() -> Iterator[Tensor]:
        for name in counted(images, len(images), "calibrating", progress):
            pixels = read_image(os.path.join(root, name), **reading)
            yield net.prepare(to_batch([pixels], device_of(net)))  # type: ignore[operator]

    return measure(net, prepared())


def measure(net: nn.Module, prepared: Iterable[Tensor]) -> Scales:
    """The lowest and highest input of the backbone's convolutions over batches (N, 3, H, W) from
    `net.prepare`.

    Raises ArgumentError for no images, no convolutions that int8 computes, and maps that are not finite.
    """
    if not isinstance(net, SimpleNN):
        raise ArgumentError("int8 needs a network of MatConvNet's layers (SimpleNN), and this is not one")
    stop, count = head_start(net), 0
    found = {each.position: (math.inf, -math.inf) for each in groups(net, stop, _CHANNELS) if each.plain}
    if not found:
        raise ArgumentError("this network has no convolution that int8 can compute")
    with inference(net):
        for maps in prepared:
            count += len(maps)
            for position, layer in enumerate(list(net)[:stop]):
                if position in found:
                    low, high = (float(bound) for bound in maps.aminmax())
                    if not (math.isfinite(low) and math.isfinite(high)):
                        raise ArgumentError(f"the input of its layer {position} (from 0) is not finite")
                    found[position] = min(found[position][0], low), max(found[position][1], high)
                maps = layer(maps)
    if not count:
        raise ArgumentError("no images to measure the scales on")
    return Scales(network_id(net), tuple((i, *found[i]) for i in sorted(found)), count)
