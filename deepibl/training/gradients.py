"""The one place where tuples become losses and gradients: alone, or several in one forward and backward.

What a training's learning layers begin with: maps of the layers below, kept where that is possible.

Reading the images of tuples ahead of their use, in threads.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from deepibl.errors import TrainingError
from deepibl.features.trunk_cache import Fetched, TrunkCache
from deepibl.features.trunk_store import GIGABYTE
from deepibl.images import load_pixels, read_image
from deepibl.runtime.devices import device_of, to_batch
from deepibl.runtime.processes import ALONE, Team
from deepibl.training.options import SpeedOptions, TrainingOptions
from deepibl.training.step import Stepper
from deepibl.training.tuples import MinedTuple, Objective, TupleOutcome
from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import round_half_away
from matlab_compat.simplenn.network import SimpleNN

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


Read = tuple[MinedTuple, list[Fetched]]


class TupleReader:
    """Reads the images of tuples ahead of their use, with `numThreads` threads.

    dataset: has dbPath, dbImageFns, qPath, qImageFns. trunk: fetches an image. Use as a context manager.
    """

    def __init__(self, dataset: Any, options: TrainingOptions, trunk: Trunk) -> None:
        self._dataset, self._scales, self._trunk = dataset, options.jitterScale, trunk
        self._pool = ThreadPoolExecutor(options.numThreads)
        self._side = min(read_image(self._database(0)).shape[-2:]) if options.jitterScale else 0

    def __enter__(self) -> "TupleReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ahead(self, tuples: Iterable[MinedTuple]) -> Iterable[Read]:
        """Each tuple with its images: query, positive, negatives.

        While one is used the next is read. Raises ImageReadError naming an image that cannot be read.
        """
        waiting: list[tuple[MinedTuple, list[Future[Any]]]] = []
        for mined in tuples:
            waiting.append((mined, self._start(mined)))
            if len(waiting) > 1:
                yield _finish(*waiting.pop(0))
        for mined, images in waiting:
            yield _finish(mined, images)

    def _start(self, mined: MinedTuple) -> list[Future[Any]]:
        resize = None
        if mined.scale is not None:
            resize = int(round_half_away(self._scales[mined.scale] * self._side))
        paths = [self.query(mined.query), *map(self._database, [mined.positive, *mined.negatives])]
        return [self._pool.submit(self._trunk.fetch, path, mined.flip, resize) for path in paths]

    def query(self, query: int) -> str:
        """The path of a query's image."""
        return os.path.join(self._dataset.qPath, self._dataset.qImageFns[query])

    def _database(self, image: int) -> str:
        return os.path.join(self._dataset.dbPath, self._dataset.dbImageFns[image])


def _finish(mined: MinedTuple, images: Sequence[Future[Any]]) -> Read:
    return mined, [image.result() for image in images]


Ready = tuple[MinedTuple, Tensor]


class TupleGradients:
    """Computes what a step is made of: the outcome of each tuple, and the sum of their gradients.

    Tuples whose maps are of one size go through the learning layers together while they take at most `limit`
    gigabytes (by the sizes of the layers' outputs, so that the same tuples always go together); one alone,
    however much it takes.
    """

    def __init__(
        self, stepper: Stepper, objective: Objective, trunk: Trunk, reader: TupleReader, limit: float
    ) -> None:
        self._stepper, self._objective = stepper, objective
        self._trunk, self._reader = trunk, reader
        alone = depends_on_its_batch(stepper.net)
        self._limit = 0.0 if alone else limit * GIGABYTE

    def __call__(
        self, tuples: Sequence[MinedTuple], computed: Callable[[], object] = lambda: None
    ) -> list[TupleOutcome]:
        """Outcomes in the tuples' order; gradients add to those that the weights have already.

        computed: called whenever those of some tuples that went together are there.
        Raises ImageReadError naming an image that cannot be read, and TrainingError for a tuple whose images
        differ in size; a loss that is not finite is for the caller to find.
        """
        outcomes: list[TupleOutcome] = []
        for group in self._together(self._ready(tuples)):
            maps = torch.cat([each for _, each in group])
            outcomes += self._stepper.accumulate(maps, [len(each) for _, each in group], self._objective)
            computed()
        return outcomes

    def _ready(self, tuples: Sequence[MinedTuple]) -> Iterator[Ready]:
        for mined, images in self._reader.ahead(tuples):
            try:
                yield mined, self._trunk.stack(images)
            except ArgumentError as error:
                raise TrainingError(
                    f"the tuple of query {mined.query} ({self._reader.query(mined.query)}): {error}. "
                    "A tuple's images must be of one size (resize the data set's images)"
                ) from error

    def _together(self, tuples: Iterable[Ready]) -> Iterator[list[Ready]]:
        group: list[Ready] = []
        for ready in tuples:
            if group and not self._fits([*group, ready]):
                yield group
                group = []
            group.append(ready)
        if group:
            yield group

    def _fits(self, group: list[Ready]) -> bool:
        shapes = {tuple(maps.shape[1:]) for _, maps in group}
        if not self._limit or len(shapes) > 1:
            return False
        images = sum(len(maps) for _, maps in group)
        return images * self._stepper.bytes_an_image(next(iter(shapes))) <= self._limit
