"""What bytes stand for in an int8 trunk: ranges of one network's maps, measured once on photos, in a file.

>>> scales = calibrate(net, ["a.jpg", "b.jpg"])
>>> scales.save("scales.json")
>>> extract(net, names, precision="int8", scales=read_scales("scales.json"))

The ranges decide the descriptors, so they are fixed before any is made: neither the order of images, nor
their batches, nor a run that goes on where another stopped changes them. A network with other scales is
another extractor, with an identity of its own, whose descriptors are not compared with those of the first."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from deepibl import __version__
from deepibl.engine.trunk import groups, head_start
from deepibl.errors import NetworkMismatchError
from deepibl.images import read_image
from deepibl.networks.identity import network_id
from deepibl.runtime.devices import device_of, inference, to_batch
from deepibl.runtime.progress import ProgressCallback, ProgressMeter, reporting
from matlab_compat.errors import ArgumentError
from matlab_compat.files import atomic_output
from matlab_compat.simplenn.network import SimpleNN

StrPath = str | os.PathLike[str]

_FORMAT = "deepibl-int8-scales/1"

_FIELDS = ("position", "low", "high")

_CHANNELS = 3  # of images


@dataclass(frozen=True)
class Scales:
    """The ranges of one network.

    network: its identity. ranges: (position of a convolution, lowest, highest value that goes into it), by
    position. images: how many were looked at; written_by: the version that did.
    """

    network: str
    ranges: tuple[tuple[int, float, float], ...]
    images: int
    written_by: str = f"deepibl {__version__}"

    @property
    def by_position(self) -> dict[int, tuple[float, float]]:
        """Lowest and highest value by the convolution's position in the network."""
        return {position: (low, high) for position, low, high in self.ranges}

    def identity(self, net: nn.Module) -> str:
        """The identity of this network with these ranges. Raises NetworkMismatchError for another one."""
        found = network_id(net)
        if found != self.network:
            raise NetworkMismatchError(
                f"the scales were measured on network {self.network[:12]}…, this is network {found[:12]}…: "
                "measure its own with deepibl calibrate"
            )
        ranges = hashlib.sha256(json.dumps(self.ranges).encode()).hexdigest()
        return f"int8-{ranges[:16]}-{found}"

    def save(self, path: StrPath) -> None:
        """Writes the JSON file, under a temporary name first."""
        content = {"format": _FORMAT, "network": self.network, "images": self.images}
        content |= {"written_by": self.written_by}
        content |= {"ranges": [dict(zip(_FIELDS, each, strict=True)) for each in self.ranges]}
        with atomic_output(Path(path)) as temporary:
            temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_scales(path: StrPath) -> Scales:
    """The scales in a file. Raises ArgumentError for one that `deepibl calibrate` did not write."""
    try:
        content: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
        ranges = tuple(_range(each) for each in content["ranges"])
        return Scales(str(content["network"]), ranges, int(content["images"]), str(content["written_by"]))
    except (ValueError, LookupError, TypeError, OverflowError, RecursionError) as problem:
        raise ArgumentError(
            f"{os.fspath(path)} has no int8 scales, make them anew with deepibl calibrate: {problem}"
        ) from None


def _range(entry: Any) -> tuple[int, float, float]:
    position, low, high = int(entry["position"]), float(entry["low"]), float(entry["high"])
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"the range at position {position} is {low} to {high}")
    return position, low, high


def identity_of(net: nn.Module, scales: Scales | None) -> str:
    """What made descriptors: the network, or the network with its int8 ranges (fp32 and bf16 are one)."""
    return network_id(net) if scales is None else scales.identity(net)


def calibrate(
    net: nn.Module,
    images: Sequence[StrPath],
    *,
    root: StrPath = "",
    resize: int | Sequence[int] | None = None,
    progress: ProgressCallback | bool | None = None,
) -> Scales:
    """Measures the scales of a network on image files, one by one, in float32, on the network's device.

    net, images, root, resize, progress: as of `deepibl.extract`; give photos as varied as those to come, a
    hundred or so. Raises what `measure` raises, and ImageReadError for an image that cannot be read.
    """
    with reporting(progress, "calibrating") as report:
        meter = ProgressMeter(len(images), report)

        def prepared() -> Iterator[Tensor]:
            for name in images:
                pixels = read_image(os.path.join(root, name), resize)
                yield net.prepare(to_batch([pixels], device_of(net)))  # type: ignore[operator]
                meter.advance(1)

        return measure(net, prepared())


def measure(net: nn.Module, prepared: Iterable[Tensor]) -> Scales:
    """The lowest and highest values that go into the trunk's convolutions, of all these images.

    prepared: (N, 3, H, W) each, as `net.prepare` gives them. Raises ArgumentError for no images, a network
    without such convolutions, and one whose maps are not finite.
    """
    if not isinstance(net, SimpleNN):
        raise ArgumentError("int8 computes networks of MatConvNet's layers (SimpleNN), which this is not")
    stop, count = head_start(net), 0
    found = {each.position: (math.inf, -math.inf) for each in groups(net, stop, _CHANNELS) if each.plain}
    if not found:
        raise ArgumentError("this network has no convolution that int8 computes")
    with inference(net):
        for maps in prepared:
            count += len(maps)
            for position, layer in enumerate(list(net)[:stop]):
                if position in found:
                    found[position] = _wider(found[position], maps, position)
                maps = layer(maps)
    if not count:
        raise ArgumentError("no images to measure the scales on")
    return Scales(network_id(net), tuple((i, *found[i]) for i in sorted(found)), count)


def _wider(bounds: tuple[float, float], maps: Tensor, position: int) -> tuple[float, float]:
    low, high = (float(bound) for bound in maps.aminmax())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ArgumentError(f"the maps that go into the network's layer {position} (from 0) are not finite")
    return min(bounds[0], low), max(bounds[1], high)
