"""What a training's learning layers begin with: maps of the layers below, kept where that is possible."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from deepibl.describe import device_of, to_batch
from deepibl.images import load_pixels
from deepibl.processes.team import ALONE, Team
from deepibl.training.options import TrainingOptions
from deepibl.training.speed import SpeedOptions
from deepibl.training.step import Stepper
from deepibl.trunk_cache import Fetched, TrunkCache
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN

Tell = Callable[[str], object]
# layers whose result for an image depends on the other images of its batch, or on chance, while training
OF_A_BATCH = ("bnorm", "dropout")


class Trunk(Protocol):
    """Gives the learning layers their input."""

    def fetch(self, path: str, flip: bool = False, resize: int | None = None) -> Fetched:
        """An image, or its maps; for threads that read ahead. Raises ImageReadError."""

    def stack(self, images: Sequence[Fetched]) -> Tensor:
        """Input (N, C, H, W) of the learning layers; raises ArgumentError for images of different sizes."""


class PlainTrunk:
    """All layers below `first` on all images of a tuple at once, in the network's mode; nothing is kept."""

    def __init__(self, net: SimpleNN, first: int) -> None:
        self._net, self._first = net, first

    def fetch(self, path: str, flip: bool = False, resize: int | None = None) -> Fetched:
        """The image's pixels. Raises ImageReadError."""
        pixels = load_pixels(path, resize)
        return Fetched("", pixels=pixels.flip(-1) if flip else pixels)

    @torch.no_grad()
    def stack(self, images: Sequence[Fetched]) -> Tensor:
        """(N, C, H, W) on the network's device; raises ArgumentError for images of different sizes."""
        pixels = [image.pixels for image in images if image.pixels is not None]
        sizes = sorted({tuple(each.shape[-2:]) for each in pixels})
        if len(sizes) > 1:
            raise ArgumentError(f"images of different sizes at once: {sizes}")
        prepared = self._net.prepare(to_batch(pixels, device_of(self._net)))
        return self._net(prepared, stop=self._first - 1) if self._first else prepared


def depends_on_its_batch(net: SimpleNN, first: int = 0, stop: int | None = None) -> str:
    """The name of a layer that, while training, does not treat each image by itself; '' if there is none."""
    return next((layer.name for layer in list(net)[first:stop] if layer.type in OF_A_BATCH), "")


@contextmanager
def open_trunk(
    stepper: Stepper,
    options: TrainingOptions,
    speed: SpeedOptions,
    sets: Sequence[Any],
    tell: Tell,
    team: Team = ALONE,
) -> Iterator[Trunk]:
    """The trunk of a training; at the end what it kept on disk goes, but stays where an error ends it.

    sets: the training and the validation set, whose images all go through it. options: outPrefix and
    sessionID name the folders. tell: is called with where maps are kept, and why, or why not. team: each of
    its processes keeps maps of its own, and those of one machine share the limit.
    """
    net, first = stepper.net, stepper.first
    layer = depends_on_its_batch(net, 0, first)
    if layer:
        tell(f"no trunk cache: layer {layer} does not treat each image by itself")
    if layer or not first:
        yield PlainTrunk(net, first)
        return
    if options.jitterScale and speed.trunkCache != "off":
        tell("no trunk cache: under jitterScale every scale is another image")
    with _cache(stepper, options, speed, sets, team) as cache:
        if cache.store != "off":
            cache.open(os.path.join(sets[0].dbPath, sets[0].dbImageFns[0]))
            tell(f"maps below {net.names[first]}: {cache.store}, {cache.dtype} ({cache.reason})")
        yield cache
    for folder in folders(options.outPrefix, options.sessionID, team.rank):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _cache(
    stepper: Stepper, options: TrainingOptions, speed: SpeedOptions, sets: Sequence[Any], team: Team
) -> TrunkCache:
    off = bool(options.jitterScale) or not speed.trunkCacheGB
    shared, own = folders(options.outPrefix, options.sessionID, team.rank)
    return TrunkCache(
        stepper.net,
        stepper.first,
        store="off" if off else speed.trunkCache,
        dtype=speed.trunkCacheDtype,
        folder=shared,
        spare=own,
        images=_count(sets, options.jitterFlip),
        limit_gb=speed.trunkCacheGB or 1.0,
        sharers=team.local_size,
        keep=speed.trunkCacheKeep,
    )


def folders(prefix: str, session: str, process: int = 0) -> tuple[Path, Path]:
    """Where maps are kept on disk: for all trainings with this prefix, and for this session alone.

    process: of several, whose number the names of those beyond the first end in.
    """
    end = f".{process:04d}" if process else ""
    return Path(f"{prefix}trunk{end}"), Path(f"{prefix}{session}_trunk{end}")


def _count(sets: Sequence[Any], flips: bool) -> int:
    """Images whose maps will be asked for; those of the training set also mirrored, where flips happen."""
    train, val = (each.numImages + each.numQueries for each in sets)
    return train * (2 if flips else 1) + val
