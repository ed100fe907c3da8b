"""Tuples become losses and gradients: one alone, or several in one forward and backward.

`TupleReader` reads the images of tuples ahead of their use, in threads. What enters the trained layers are
maps of the layers below; `open_backbone` keeps them where that is possible.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deepibl.errors import TrainingError
from deepibl.features.backbone_cache import BackboneCache, Fetched
from deepibl.features.backbone_store import GIGABYTE
from deepibl.images import Reading, load_pixels, read_image
from deepibl.runtime.devices import device_of, to_batch
from deepibl.runtime.processes import ALONE, Team
from deepibl.training.options import TrainingOptions
from deepibl.training.step import Stepper
from deepibl.training.tuples import MinedTuple, Objective, TupleOutcome
from matlab_compat.errors import ArgumentError
from matlab_compat.numeric import round_half_away
from matlab_compat.simplenn.network import SimpleNN

Tell = Callable[[str], object]

# layers whose result for an image depends on the other images of its batch, or on chance, while training
OF_A_BATCH = ("bnorm", "dropout")


class PlainBackbone:
    """All layers below `first` on all images of a tuple at once, in the network's mode; nothing is kept."""

    def __init__(self, net: SimpleNN, first: int) -> None:
        self._net, self._first = net, first

    def fetch(self, path: str, flip: bool = False, resize: int | None = None) -> Fetched:
        pixels = load_pixels(path, Reading(resize))
        return Fetched("", pixels=pixels.flip(-1) if flip else pixels)

    @torch.no_grad()
    def stack(self, images: Sequence[Fetched]) -> Tensor:
        pixels = [image.pixels for image in images if image.pixels is not None]
        sizes = sorted({tuple(each.shape[-2:]) for each in pixels})
        if len(sizes) > 1:
            raise ArgumentError(f"images of different sizes at once: {sizes}")
        prepared = self._net.prepare(to_batch(pixels, device_of(self._net)))
        return self._net(prepared, stop=self._first - 1) if self._first else prepared


Backbone = BackboneCache | PlainBackbone  # gives the trained layers their input


def depends_on_its_batch(net: SimpleNN, first: int = 0, stop: int | None = None) -> str:
    """The name of a layer that, while training, does not treat each image by itself; '' without one."""
    return next((layer.name for layer in list(net)[first:stop] if layer.type in OF_A_BATCH), "")


@contextmanager
def open_backbone(
    stepper: Stepper, options: TrainingOptions, sets: Sequence[Any], tell: Tell, team: Team = ALONE
) -> Iterator[Backbone]:
    """The backbone of a training. What it kept on disk is deleted at the end, but stays after an error.

    sets: the training and the validation set, whose images all go through it. tell: is called with where maps
    are kept, and why, or why not. team: its processes keep maps of their own, within one limit a machine.
    """
    net, first = stepper.net, stepper.first
    layer = depends_on_its_batch(net, 0, first)
    if layer:
        tell(f"no backbone cache: layer {layer} does not treat each image by itself")
    if layer or not first:
        yield PlainBackbone(net, first)
        return
    if options.jitter_scales and options.backbone_cache != "off":
        tell("no backbone cache: with jitter_scales (jitterScale) every scale is another image")
    off = bool(options.jitter_scales) or not options.backbone_cache_gb
    shared, own = folders(options.output_prefix, options.session, team.rank)
    train, val = (each.database_size + each.query_count for each in sets)
    cache = BackboneCache(
        net,
        first,
        store="off" if off else options.backbone_cache,
        dtype=options.backbone_cache_dtype,
        folder=shared,
        spare=own,
        images=train * (2 if options.jitter_flip else 1) + val,
        limit_gb=options.backbone_cache_gb or 1.0,
        sharers=team.local_size,
        keep=options.backbone_cache_keep,
    )
    with cache:
        if cache.store != "off":
            cache.open(os.path.join(sets[0].database_root, sets[0].database_names[0]))
            tell(f"maps below {net.names[first]}: {cache.store}, {cache.dtype} ({cache.reason})")
        yield cache
    for folder in (shared, own):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def folders(prefix: str, session: str, process: int = 0) -> tuple[Path, Path]:
    """Where maps are kept on disk: for all trainings with this prefix, and for this session alone."""
    end = f".{process:04d}" if process else ""
    return Path(f"{prefix}backbone{end}"), Path(f"{prefix}{session}_backbone{end}")


Read = tuple[MinedTuple, list[Fetched]]


class TupleReader:
    """Reads the images of tuples ahead of their use, in threads. A context manager."""

    def __init__(self, dataset: Any, options: TrainingOptions, backbone: Backbone) -> None:
        self._dataset, self._scales, self._backbone = dataset, options.jitter_scales, backbone
        self._pool = ThreadPoolExecutor(options.num_threads)
        self._side = min(read_image(self._database(0)).shape[-2:]) if options.jitter_scales else 0

    def __enter__(self) -> "TupleReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def ahead(self, tuples: Iterable[MinedTuple]) -> Iterator[Read]:
        """Each tuple with its images: query, positive, negatives. While one is used the next is read."""
        waiting: list[tuple[MinedTuple, list[Future[Fetched]]]] = []
        for mined in [*tuples, None]:
            if mined is not None:
                waiting.append((mined, self._start(mined)))
            if len(waiting) > (mined is not None):
                done, images = waiting.pop(0)
                yield done, [image.result() for image in images]

    def _start(self, mined: MinedTuple) -> list[Future[Fetched]]:
        resize = None
        if mined.scale is not None:
            resize = int(round_half_away(self._scales[mined.scale] * self._side))
        paths = [self.query(mined.query), *map(self._database, [mined.positive, *mined.negatives])]
        return [self._pool.submit(self._backbone.fetch, path, mined.flip, resize) for path in paths]

    def query(self, query: int) -> str:
        return os.path.join(self._dataset.query_root, self._dataset.query_names[query])

    def _database(self, image: int) -> str:
        return os.path.join(self._dataset.database_root, self._dataset.database_names[image])


Ready = tuple[MinedTuple, Tensor]
STEP_GB_ON_GPU = 2.0  # four tuples of twelve images of 640x480 from conv5_1 on


class TupleGradients:
    """Computes the outcome of each tuple of a step, and the sum of their gradients.

    Tuples whose maps are of one size go through the trained layers together while they take at most `limit`
    gigabytes (by the sizes of the layers' outputs, so that the same tuples always go together).
    """

    def __init__(
        self, stepper: Stepper, objective: Objective, backbone: Backbone, reader: TupleReader, limit: float
    ) -> None:
        self._stepper, self._objective = stepper, objective
        self._backbone, self._reader = backbone, reader
        alone = depends_on_its_batch(stepper.net)
        self._limit = 0.0 if alone else limit * GIGABYTE

    def __call__(
        self, tuples: Sequence[MinedTuple], computed: Callable[[], object] = lambda: None
    ) -> list[TupleOutcome]:
        """Outcomes in the tuples' order; gradients add to those that the weights have already.

        computed: called after each group of tuples that went together. Raises ImageReadError, and
        TrainingError for a tuple whose images differ in size; the caller looks for losses not finite.
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
                yield mined, self._backbone.stack(images)
            except ArgumentError as error:
                raise TrainingError(
                    f"the tuple of query {mined.query} ({self._reader.query(mined.query)}): {error}. "
                    "A tuple's images must be of one size (resize the data set's images)"
                ) from error

    def _together(self, tuples: Iterable[Ready]) -> Iterator[list[Ready]]:
        group: list[Ready] = []
        for ready in tuples:
            shape, images = ready[1].shape[1:], sum(len(maps) for _, maps in [*group, ready])
            same = bool(group) and bool(self._limit) and group[0][1].shape[1:] == shape
            if group and not (same and images * self._stepper.bytes_an_image(shape) <= self._limit):
                yield group
                group = []
            group.append(ready)
        if group:
            yield group


def step_limit(options: TrainingOptions, device: torch.device) -> float:
    if isinstance(options.step_gb, str):
        return STEP_GB_ON_GPU if device.type == "cuda" else 0.0
    return float(options.step_gb)
