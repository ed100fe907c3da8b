"""Descriptors of many images: read while the network computes, batched by size, kept in order, resumable.

>>> features = extract(net, ["a.jpg", "b.png"])  # (2, D) float32  # doctest: +SKIP
>>> report = extract_to_file(net, "photos", names, "features.bin")  # doctest: +SKIP

Images are put into batches of equal size within groups of consecutive images; a group's batches depend on its
images alone, so a run that was killed and started again gives the same bytes. Processes that torchrun started
take the groups in turns, with the same bytes for any number of them; process 0 writes the file.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, overload

import numpy as np
import torch
from torch import Tensor, nn

from deepibl.engine.batch import NOT_FINITE
from deepibl.engine.scales import identity_of
from deepibl.engine.settings import ExtractionSettings, ImageOptions, SettingsOptions
from deepibl.errors import ExtractionError, Failure, FeatureFileError, list_failures
from deepibl.features.backbone_cache import BackboneCache
from deepibl.features.files import suffix_of
from deepibl.features.groups import BatchExtractor, MapExtractor
from deepibl.features.partial import PartialFeatures
from deepibl.images import AS_STORED, batches_by_size, load_in_order
from deepibl.runtime.devices import inference
from deepibl.runtime.processes import require_visible, team
from deepibl.runtime.progress import ProgressMeter, apart, reporting
from deepibl.runtime.provenance import Provenance, file_times
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.files import StrPath

if TYPE_CHECKING:
    from typing_extensions import Unpack

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionReport:
    """What `extract_to_file` wrote: row i of `path`, of `dim` numbers, is the image `kept[i]`."""

    path: Path
    kept: np.ndarray
    failures: list[Failure]
    dim: int


@overload
def extract(
    net: nn.Module,
    images: Iterable[StrPath],
    *,
    root: StrPath = "",
    settings: ExtractionSettings | None = None,
    on_error: Literal["raise"] = "raise",
    **options: Unpack[ImageOptions],
) -> np.ndarray: ...


@overload
def extract(
    net: nn.Module,
    images: Iterable[StrPath],
    *,
    root: StrPath = "",
    on_error: Literal["skip"],
    **options: Unpack[ImageOptions],
) -> tuple[np.ndarray, np.ndarray, list[Failure]]: ...


def extract(
    net: nn.Module,
    images: Iterable[StrPath],
    *,
    root: StrPath = "",
    settings: ExtractionSettings | None = None,
    **options: Unpack[SettingsOptions],
) -> Any:
    """Returns the descriptors (N, D) float32 of image files, row i of image i.

    net: a SimpleNN, or any module with `prepare(images 0–255)` whose output, flattened, is the descriptor.
    images: file names, below `root`; any format that `deepibl.images` reads, any mix of sizes.
    settings, options: see `ExtractionSettings`. With on_error="skip" the result is (features, kept,
    failures): features of the images `kept` (ascending ids, int64) and a `Failure` for every other one.
    Raises ArgumentError for invalid settings and an empty list; with on_error="raise", ExtractionError
    after all images have been tried, with a list of those that failed (`.failures`).
    """
    settings, images = ExtractionSettings.of(extract, settings, options), listed(images)
    paths = [os.path.join(root, name) for name in images]
    if team().size > 1:
        team().same("extraction", provenance(net, root, images, settings).as_dict())
    sink = MemoryRows(len(paths), group_length(settings.batch_size))
    kept, failures = _run(net, paths, sink, settings)
    return sink.rows if settings.on_error == "raise" else (sink.rows[kept], kept, failures)


class MemoryRows:
    """Rows (count, D) in memory, in groups of consecutive images."""

    part = None

    def __init__(self, count: int, group_size: int) -> None:
        groups = [range(at, min(at + group_size, count)) for at in range(0, count, group_size)]
        self.todo = list(enumerate(groups))
        self.rows = np.zeros((count, 0), dtype=np.float32)

    def write(self, number: int, ids: Sequence[int], rows: np.ndarray, marks: Sequence[str]) -> None:
        if not len(ids):
            return
        if not self.rows.shape[1]:
            self.rows = np.zeros((len(self.rows), rows.shape[1]), dtype=np.float32)
        if rows.shape[1] != self.rows.shape[1]:
            raise FeatureFileError(f"descriptors of {self.rows.shape[1]} and of {rows.shape[1]} dimensions")
        self.rows[np.asarray(ids)] = rows


def extract_to_file(
    net: nn.Module,
    root: StrPath,
    names: Iterable[StrPath],
    out: StrPath,
    *,
    suffix: str | None = None,
    backbone: BackboneCache | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[SettingsOptions],
) -> ExtractionReport:
    """Writes the descriptors of image files to a .bin, .npy or .h5 file (by its suffix, or `suffix`).

    net, names, settings, options: see `extract`. backbone: the maps of the network's lower layers; engine and
    precision are then those of the layers above.

    Until it is whole, the file is called out.part, with a journal beside it. Started again after a kill with
    the same network, images and settings, the run resumes, and the file has the same bytes. With
    on_error="raise" the good descriptors stay in out.part and ExtractionError is raised; "skip" writes the
    rows of the images that worked. Where none did, either raises ExtractionError, and an older file stays.
    Raises also ArgumentError, and FeatureFileError if another process is writing the same file.
    """
    settings, names = ExtractionSettings.of(extract_to_file, settings, options), listed(names)
    paths = [os.path.join(root, name) for name in names]
    suffix_of(out, suffix)
    if backbone is not None and (settings.scales is not None or settings.reading != AS_STORED):
        raise ArgumentError("a kept backbone cannot be used with int8, nor with resize, max_side or upright")
    made_of, group = provenance(net, root, names, settings, backbone), group_length(settings.batch_size)
    processes = team()
    processes.same(f"extraction to {out}", [os.path.abspath(out), group, made_of.as_dict()])
    file = PartialFeatures(out, made_of, len(paths), group, lambda image: file_times(paths[image]))
    with ExitStack() as stack:
        processes.lead(partial(_open, stack, file))
        kept, failures = _run(net, paths, file, settings, backbone)

        def finish() -> list[int]:
            file.finish(kept.tolist(), [os.fspath(name) for name in names], suffix)
            return [file.dim or 0, file.out.stat().st_size]

        dim, size = processes.lead(finish)
    if processes.size > 1:
        processes.gather(lambda: require_visible(file.out, size))
    return ExtractionReport(Path(out), kept, failures, dim)


def provenance(
    net: nn.Module,
    root: StrPath,
    names: Sequence[StrPath],
    settings: ExtractionSettings,
    backbone: BackboneCache | None = None,
    mark: Any = None,
) -> Provenance:
    """What descriptors of these images would be made of. mark: of the images' files, see `Provenance.of`."""
    deciding = settings.deciding() | ({"backbone": backbone.description} if backbone else {})
    identity = identity_of(net, settings.scales)
    return Provenance.of(identity, root, names, deciding, mark, apart(settings.progress))


def group_length(batch_size: int) -> int:
    """Images of a group: what a killed run loses at most, and what is sorted into batches by size."""
    return max(64, 8 * batch_size)


def _run(
    net: nn.Module,
    paths: Sequence[str],
    sink: MemoryRows | PartialFeatures,
    settings: ExtractionSettings,
    backbone: BackboneCache | None = None,
) -> tuple[np.ndarray, list[Failure]]:
    """Extracts what the sink lacks, in all processes; returns the ids of the images kept, and the failures.

    The processes take the groups in turns. A file is written by process 0, rows in memory are everyone's.
    Raises ExtractionError, listing the failures, unless the settings say 'skip' and there are rows to write.
    """
    processes, failures = team(), list[Failure]()
    writes = processes.leads or isinstance(sink, MemoryRows)
    todo = processes.lead(lambda: [[number, group.start, group.stop] for number, group in sink.todo])
    mine = [range(start, stop) for _, start, stop in todo[processes.rank :: processes.size]]
    processes.connect()
    with ExitStack() as stack:
        showing = settings.progress if processes.leads else False
        report = stack.enter_context(reporting(showing, "extracting"))
        done = len(paths) - sum(stop - start for _, start, stop in todo)
        meter = ProgressMeter(len(paths), report, already_done=done)
        next_group = stack.enter_context(_groups(net, paths, mine, settings, backbone, meter))
        group: _Group | None = None

        def compute() -> list[Any] | None:
            nonlocal group
            group = next_group()
            return None if group is None else [group.ids, group.rows.shape[1], group.marks, group.reasons]

        for turn in range(0, len(todo), processes.size):
            answers, parts = processes.gather(compute), []
            for rank, (number, *_) in enumerate(todo[turn : turn + processes.size]):
                ids, dim, marks, reasons = answers[rank]
                rows = np.empty((len(ids), dim), np.float32)
                if group is not None and rank == processes.rank:
                    rows = group.rows
                if processes.size > 1 and len(ids):
                    processes.tensors.broadcast(torch.from_numpy(rows), rank)
                parts.append((number, ids, rows, marks))
                failures += [Failure(i, paths[i], reason) for i, reason in reasons]
            processes.gather(partial(_write, sink, parts if writes else []))
    if len(failures) == len(paths) and isinstance(sink, PartialFeatures):
        processes.lead(sink.discard)
        rest = "nothing is written, and an older file stays as it was"
        head = f"none of the {len(paths)} images could be used; {rest}"
        raise ExtractionError(f"{head}:\n{list_failures(failures)}", failures)
    if failures and settings.on_error == "raise":
        rest = f"; mend them and run it again: the others are kept in {sink.part}" if sink.part else ""
        head = f"{len(failures)} of {len(paths)} images could not be used{rest}"
        raise ExtractionError(f"{head}:\n{list_failures(failures)}", failures)
    return np.setdiff1d(np.arange(len(paths)), [failure.index for failure in failures]), failures


def _open(stack: ExitStack, file: PartialFeatures) -> None:
    stack.enter_context(file)


def _write(sink: MemoryRows | PartialFeatures, parts: list[tuple[Any, ...]]) -> None:
    for part in parts:
        sink.write(*part)


class _Group(NamedTuple):
    """The descriptors `rows` (n, D) of a group's images `ids`, marks of all its files, the images refused."""

    ids: list[int]
    rows: np.ndarray
    marks: list[str]
    reasons: list[tuple[int, str]]


@contextmanager
def _groups(
    net: nn.Module,
    paths: Sequence[str],
    groups: Sequence[range],
    settings: ExtractionSettings,
    backbone: BackboneCache | None,
    meter: ProgressMeter,
) -> Iterator[Callable[[], _Group | None]]:
    """Gives what extracts the next of these groups of images, None after the last: the loop of extraction."""
    share, done, tried = sum(map(len, groups)), meter.done, 0
    threads = settings.threads(team().local_size)
    left, times = iter(groups), dict[int, str]()
    with ExitStack() as stack:
        device = stack.enter_context(inference(net, settings.device))
        extractor = MapExtractor(backbone, settings) if backbone else BatchExtractor(net, device, settings)
        if backbone is None:
            _log.info("%s", extractor.engine)

        def load(image: int) -> Any:
            times[image] = file_times(paths[image])  # before reading: a later change must not count as done
            return extractor.load(paths[image])

        ahead = 2 * settings.batch_size + threads
        images = load_in_order(load, chain.from_iterable(groups), threads, ahead)
        stream = stack.enter_context(closing(images))

        def next_group() -> _Group | None:
            nonlocal tried
            group = next(left, None)
            if group is None:
                return None
            reasons: dict[int, str] = {}
            ids: list[int] = []
            parts: list[Tensor] = []
            ready = ((i, extractor.ready(loaded, paths[i])) for i, loaded in islice(stream, len(group)))
            for batch in batches_by_size(ready, settings.batch_size, fitting=extractor.fitting):
                good = {i: image for i, image in batch if isinstance(image, Tensor)}
                reasons |= {i: str(error) for i, error in batch if i not in good}
                try:
                    if good:
                        parts.append(extractor.extract(list(good.values())))
                        ids += good
                except ImageReadError as problem:
                    reasons |= {i: f"{paths[i]}: {problem}" for i in good}
                team().check()  # of several processes, another may have failed
                tried += len(batch)
                # the shares of all processes are equally large: this one's progress represents the others'
                meter.advance(done + tried * (len(paths) - done) // share - meter.done)
            rows = np.zeros((0, 0), dtype=np.float32)
            if parts:
                rows = torch.cat(parts).cpu().numpy()  # once a group: the device never waits for a batch
                if ids != sorted(ids):
                    order = np.argsort(ids)
                    ids, rows = [ids[i] for i in order], rows[order]
                finite = np.isfinite(rows).all(axis=1)
                if not finite.all():
                    lost = [ids[i] for i in np.flatnonzero(~finite)]
                    reasons |= {i: f"{paths[i]}: {NOT_FINITE}" for i in lost}
                    ids, rows = [i for i in ids if i not in reasons], rows[finite]
            return _Group(ids, rows, [times.pop(i) for i in group], sorted(reasons.items()))

        yield next_group


def listed(names: Iterable[StrPath]) -> list[StrPath]:
    """Names of images as a list. Raises ArgumentError for one name, none, and for anything but names."""
    if isinstance(names, str | os.PathLike):
        raise ArgumentError(f"images must be a list of names; give [{os.fspath(names)!r}]")
    names = list(names)
    if not names:
        raise ArgumentError("no images given: the list of names is empty")
    if wrong := [type(name).__name__ for name in names if not isinstance(name, str | os.PathLike)]:
        raise ArgumentError(f"images must be names, not {wrong[0]}; deepibl.serve.PlaceFinder takes photos")
    return names
