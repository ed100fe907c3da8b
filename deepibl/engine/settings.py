"""How descriptors are extracted: one frozen object, made and checked by the public functions and handed on.

Every public function that extracts takes these settings as keywords (`SettingsOptions`), as `settings=`, or
both; a keyword replaces the field of that name.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypedDict

from deepibl.engine.choose import check_engine, check_scales
from deepibl.images import LONG_SIDE, Reading, default_threads
from deepibl.runtime.devices import check_precision
from matlab_compat.errors import ArgumentError

if TYPE_CHECKING:
    import torch

    from deepibl.engine.scales import Scales
    from deepibl.runtime.progress import ProgressCallback

ON_ERROR = ("raise", "skip")


class ComputeOptions(TypedDict, total=False):
    """The keywords of functions that decide the images' size and what happens to bad images themselves."""

    device: str | torch.device | None
    batch_size: int
    precision: str
    engine: str
    scales: Scales | None
    num_threads: int | None
    progress: ProgressCallback | bool | None


class ImageOptions(ComputeOptions, total=False):
    """The keywords of functions that decide themselves what happens to images that cannot be used."""

    resize: int | Sequence[int] | None
    max_side: int | None
    upright: bool | None


class SettingsOptions(ImageOptions, total=False):
    on_error: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractionSettings:
    """How descriptors are extracted.

    device: where the network computes, to which it is moved; None: where it is.
    batch_size: images of one size that are computed at a time, at most: large images, and little free memory,
        make smaller batches (`deepibl.engine.memory`); changes rounding in the last digit at most.
    resize: pixels of the shorter side (Tokyo 24/7 queries: 640), or (height, width); None: as they are.
    max_side: pixels of the longer side, to which larger images are scaled down, in place of resize.
    upright: whether to turn images by their EXIF orientation, and to refuse JPEGs that are cut short. None:
        own photos (folders, CSV files) are, and are also scaled down to LONG_SIDE pixels unless resize or
        max_side is given; the original's data sets, and lists of files, are read as stored.
    precision: of the backbone: 'fp32', 'bf16', 'int8' (on a CPU), 'tf32' or 'fp16' (engine 'cuda'). NetVLAD's
        sums, the whitening and the last normalisations are always float32.
    scales: the network's ranges, for int8 only: see `deepibl.engine.scales`.
    engine: what computes the backbone, see `deepibl.engine.choose`; the logger deepibl.features reports the
        choice.
    num_threads: threads that read and decode while the network computes; None: one a CPU, at most 8.
    on_error: what to do about images that cannot be used: 'raise' an error at the end that lists them, or
        'skip' them.
    progress: called with a `deepibl.runtime.progress.Progress`; None: a bar on a terminal; False: silent.
    Raises ArgumentError, naming the value and what is allowed.
    """

    device: str | torch.device | None = None
    batch_size: int = 10
    resize: int | Sequence[int] | None = None
    max_side: int | None = None
    upright: bool | None = None
    precision: str = "fp32"
    engine: str = "auto"
    scales: Scales | None = None
    num_threads: int | None = None
    on_error: str = "raise"
    progress: ProgressCallback | bool | None = None

    def __post_init__(self) -> None:
        if not _is_count(self.batch_size):
            raise ArgumentError(f"batch_size must be an integer of at least 1; got {self.batch_size!r}")
        sides = self.resize if isinstance(self.resize, Sequence) else [self.resize]
        if self.resize is not None and not (len(sides) in (1, 2) and all(map(_is_count, sides))):
            raise ArgumentError(
                f"resize must be pixels of the shorter side, (height, width) or None; got {self.resize!r}"
            )
        if self.max_side is not None and (self.resize is not None or not _is_count(self.max_side)):
            raise ArgumentError(
                f"max_side must be pixels of the longer side, or None with resize; got {self.max_side!r}"
            )
        check_engine(self.engine)
        check_precision(self.precision, self.engine)
        check_scales(self.precision, self.scales)
        if self.on_error not in ON_ERROR:
            raise ArgumentError(f"on_error must be one of {', '.join(ON_ERROR)}; got {self.on_error!r}")

    @classmethod
    def of(
        cls,
        door: Callable[..., Any],
        settings: ExtractionSettings | None,
        options: Mapping[str, Any],
        **fixed: Any,
    ) -> ExtractionSettings:
        """The settings that the public function `door` was called with: `settings`, changed by its keywords.

        fixed: fields that the function decides, which it does not take. Raises ArgumentError for a keyword
        that it does not take, naming the nearest one.
        """
        known = [field.name for field in fields(cls) if field.name not in fixed]
        for name in options:
            if name not in known:
                own = inspect.signature(door).parameters
                near = get_close_matches(name, [*known, *own], 1, 0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"its settings are {', '.join(known)}"
                raise ArgumentError(f"{door.__name__} has no argument {name!r}: {hint}")
        return replace(settings or cls(), **{**options, **fixed})

    @property
    def reading(self) -> Reading:
        size = tuple(map(int, self.resize)) if isinstance(self.resize, Sequence) else self.resize
        return Reading(int(size) if isinstance(size, Integral) else size, self.max_side, bool(self.upright))

    def for_photos(self, own: bool) -> ExtractionSettings:
        """These settings with `upright` decided. own: whether the images are own photos."""
        if self.upright is not None or not own:
            return self
        unscaled = self.resize is None and self.max_side is None
        return replace(self, upright=True, max_side=LONG_SIDE if unscaled else self.max_side)

    def threads(self, processes: int = 1) -> int:
        """Threads that read and decode images in each of the processes that share a machine."""
        return max(1, default_threads() // processes if self.num_threads is None else int(self.num_threads))

    def deciding(self) -> dict[str, Any]:
        """The settings that decide the descriptors' numbers, as plain values for a `Provenance`.

        Scales are part of the network's identity. Device, batch size and threads change the order of sums.
        """
        return {
            **asdict(self.reading),
            "precision": self.precision,
            "engine": self.engine,
            "decode": "cpu",  # by libjpeg
        }


def _is_count(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0
