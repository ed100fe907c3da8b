"""Descriptors of many images: read beside computing, batched by size, kept in order, resumable.

>>> features = extract(net, ["a.jpg", "b.png"])                        # (2, D) float32
>>> report = extract_to_file(net, "photos", names, "features.bin")     # goes on where a killed run stopped

Images of any mix of sizes are put into batches of equal size within groups of consecutive images; a group's
batches depend on its images alone, so a run that was killed and started again gives the same bytes.
An image that cannot be used never leaves a silent gap: see `on_error`.

Processes that torchrun started share the work; all call with the same arguments (`feature_shards`)."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deepibl.engine.choose import check_engine, check_scales, choose_engine
from deepibl.engine.scales import Scales, identity_of
from deepibl.errors import ExtractionError, Failure, list_failures
from deepibl.features.files import suffix_of
from deepibl.features.groups import GroupDescriber, TrunkDescriber, group_length
from deepibl.features.shards import rows_in_memory, unfinished_file
from deepibl.features.trunk_cache import TrunkCache
from deepibl.images import check_decoder, choose_decoder, default_threads, load_in_order
from deepibl.networks.identity import digest
from deepibl.runtime.devices import inference
from deepibl.runtime.processes import team
from deepibl.runtime.progress import ProgressCallback, ProgressMeter, reporting
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.base import ImageNetwork

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ExtractionReport:
    """What `extract_to_file` wrote: row i of `path` is the image `kept[i]`; `dim` is 0 if none was kept."""

    path: Path
    kept: np.ndarray
    failures: list[Failure]
    dim: int


def extract(
    net: nn.Module,
    images: Sequence[str | os.PathLike[str]],
    *,
    root: str | os.PathLike[str] = "",
    batch_size: int = 10,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    engine: str = "auto",
    decode: str = "auto",
    resize: int | Sequence[int] | None = None,
    num_threads: int | None = None,
    on_error: str = "raise",
    progress: ProgressCallback | bool | None = None,
    scales: Scales | None = None,
) -> Any:
    """Descriptors (N, D) float32 of image files, row i of image i.

    net: a SimpleNN, or any module with `prepare(images 0–255)` whose output, flattened, is the descriptor.
    images: file names, below `root`; any format that `deepibl.images` reads, any mix of sizes.
    batch_size: images of one size computed at a time. device: moved to it; None: where the network is.
    precision: fp32, or bf16 or int8 for the trunk (NetVLAD's sums and the last normalisations stay float32).
    scales: the network's, with int8: see `deepibl.engine.scales`.
    engine: what computes the trunk, see `deepibl.engine`; the logger deepibl.features says which.
    decode: auto or cpu: libjpeg's pixels; gpu: JPEGs by nvJPEG, other pixels (see `deepibl.images`).
    resize: pixels of the shorter side (Tokyo 24/7 queries: 640), or (height, width); None: as they are.
    num_threads: that read and decode, beside computing; None: the CPUs, at most 8.
    progress: called with a `deepibl.runtime.progress.Progress`; None shows a bar on a terminal; False is silent.

    on_error: "raise" goes through all images and then raises ExtractionError with a list of those that
    failed (`.failures`); "skip" returns (features, kept, failures): features of the images `kept`
    (ascending ids, int64) and a `Failure` for every other one.
    Raises ArgumentError for settings out of range and an empty list.
    """
    run = _Run(
        net, images, root, batch_size, precision, engine, resize, num_threads, on_error, None, decode, scales
    )
    memory = rows_in_memory(run.identity, run.count, group_length(batch_size))
    failures = run.fill(memory, device, progress)
    kept = _others(run.count, failures)
    if on_error == "raise":
        run.raise_if_any(failures)
        return memory.rows
    return memory.rows[kept], kept, failures


def extract_to_file(
    net: nn.Module,
    root: str | os.PathLike[str],
    names: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    batch_size: int = 10,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    engine: str = "auto",
    decode: str = "auto",
    resize: int | Sequence[int] | None = None,
    num_threads: int | None = None,
    on_error: str = "raise",
    progress: ProgressCallback | bool | None = None,
    suffix: str | None = None,
    trunk: TrunkCache | None = None,
    scales: Scales | None = None,
) -> ExtractionReport:
    """Writes the descriptors of image files to a .bin, .npy or .h5 file (by its suffix, or `suffix`).

    Takes what `extract` takes. trunk: gives the maps of the network's lower layers, kept or computed; engine
    and precision are then those of the layers above. Until it is whole, the file is called out.part, with a
    journal out.part.json beside it; started again after a kill with the same network, images, resize and
    precision, the run goes on where it was and the file has the same bytes (with the same batch_size and
    device).

    on_error: "raise" keeps the good descriptors in out.part and raises ExtractionError, so that a run
    after the repair computes little; "skip" writes the rows of the images that worked (no file if none
    did). Raises also ArgumentError, and FeatureFileError if another process is writing the same file.
    """
    run = _Run(
        net, names, root, batch_size, precision, engine, resize, num_threads, on_error, trunk, decode, scales
    )
    suffix_of(out, suffix)
    with unfinished_file(out, run.identity(), run.count, group_length(batch_size)) as partial:
        failures = run.fill(partial, device, progress)
        if on_error == "raise":
            run.raise_if_any(failures, f"; the other descriptors are kept in {partial.part}, run it again")
        kept = _others(run.count, failures)
        if len(kept):
            partial.finish(kept.tolist(), [os.fspath(name) for name in names], suffix)
        else:
            partial.discard()
        return ExtractionReport(Path(out), kept, failures, partial.dim or 0)


@dataclass(frozen=True)
class _Run:
    """The checked settings of one extraction."""

    net: nn.Module
    names: Sequence[str | os.PathLike[str]]
    root: str | os.PathLike[str]
    batch_size: int
    precision: str
    engine: str
    resize: int | Sequence[int] | None
    num_threads: int | None
    on_error: str
    trunk: TrunkCache | None = None
    decode: str = "auto"
    scales: Scales | None = None

    def __post_init__(self) -> None:
        if isinstance(self.names, str | os.PathLike):
            raise ArgumentError(f"images must be a list of names; give [{os.fspath(self.names)!r}]")
        if not len(self.names):
            raise ArgumentError("no images given: the list of names is empty")
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size is 1 or more, not {self.batch_size}")
        check_engine(self.engine)
        check_decoder(self.decode)
        check_scales(self.precision, self.scales)
        if self.trunk is not None and self.scales is not None:
            raise ArgumentError("int8 computes the whole trunk: it does not go with a kept trunk")
        if self.on_error not in ("raise", "skip"):
            raise ArgumentError(f"on_error is 'raise' or 'skip', not {self.on_error!r}")

    @property
    def count(self) -> int:
        return len(self.names)

    def identity(self) -> dict[str, Any]:
        """What decides the descriptors' values, as plain values for the journal."""
        listed = json.dumps([os.path.abspath(self.root), *(os.fspath(name) for name in self.names)])
        return {
            "network": _network_identity(self.net, self.scales),
            "images": hashlib.sha256(listed.encode()).hexdigest(),
            "resize": self.resize if self.resize is None else np.ravel(self.resize).tolist(),
            "precision": self.precision,
            "engine": self.engine,
            **({"decode": "gpu"} if self.decode == "gpu" else {}),
            **({"trunk": self.trunk.description} if self.trunk else {}),
        }

    def fill(
        self, sink: Any, device: str | torch.device | None, progress: ProgressCallback | bool | None
    ) -> list[Failure]:
        """Computes what the sink, a `PartialFeatures` or `InMemory`, lacks; gives all processes' failures."""
        with reporting(progress if team().leads else False, "extracting") as report:
            meter = ProgressMeter(self.count, report, already_done=sink.images_done)
            return sink.together(lambda advance: self._compute(sink, device, advance), meter.advance)

    def _compute(
        self, sink: Any, device: str | torch.device | None, advance: Callable[[int], None]
    ) -> list[Failure]:
        paths = [os.path.join(self.root, name) for name in self.names]
        todo = sink.todo
        asked = default_threads() // team().local_size if self.num_threads is None else self.num_threads
        threads = max(1, int(asked))
        failures: list[Failure] = []
        with inference(self.net, device) as where:
            describer = self._describer(where, paths)
            ids = chain.from_iterable(group for _, group in todo)
            ahead = 2 * self.batch_size + threads
            with closing(load_in_order(describer.load, ids, threads, ahead)) as stream:
                for number, group in todo:
                    kept, rows, failed = describer.describe(stream, len(group), advance)
                    sink.write(number, kept, rows)
                    failures += failed
        return failures

    def _describer(self, where: torch.device, paths: list[str]) -> GroupDescriber:
        if self.trunk is not None:
            return TrunkDescriber(self.trunk, paths, self.batch_size, self.precision, self.engine)
        engine = choose_engine(self.net, self.engine, self.precision, where, scales=self.scales)
        _log.info("%s", engine)
        decoder = choose_decoder(self.decode, where)
        return GroupDescriber(
            self.net, where, paths, self.batch_size, self.precision, self.resize, engine, decoder
        )

    def raise_if_any(self, failures: Sequence[Failure], rest: str = "") -> None:
        """Raises ExtractionError listing the failures, if there are any."""
        if failures:
            head = f"{len(failures)} of {self.count} images could not be described{rest}"
            raise ExtractionError(f"{head}:\n{list_failures(failures)}", failures)


def _others(count: int, failures: Sequence[Failure]) -> np.ndarray:
    """The ids that did not fail, ascending."""
    kept = np.ones(count, dtype=bool)
    kept[[failure.index for failure in failures]] = False
    return np.flatnonzero(kept)


def _network_identity(net: nn.Module, scales: Scales | None) -> str:
    if isinstance(net, ImageNetwork) or hasattr(net, "network_id"):
        return identity_of(net, scales)
    state = net.state_dict()
    return digest([type(net).__qualname__, list(state)], list(state.values()))
