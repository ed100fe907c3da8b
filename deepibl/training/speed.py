"""The trainers' options that the original has not: how fast, and in how much memory, it is trained.

They stand beside the original's 42 (`deepibl.training.options`), which a session file holds under MATLAB's
names. Of these only those that change digits are saved, in auxData.deepibl.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import torch

from deepibl.trunk_cache import DTYPES, STORES
from matlab_compat.errors import ArgumentError
from matlab_compat.matfile import scalar, text

PRECISIONS = ("fp32", "bf16")
STEP_GB_ON_GPU = 2.0  # four tuples of twelve images of 640x480 from conv5_1 on


def _option(default: Any, what: str, allowed: tuple[str, ...] = (), changes_digits: bool = False) -> Any:
    metadata = {"what": what, "allowed": allowed, "changes_digits": changes_digits}
    return field(default=default, metadata=metadata)


@dataclass
class SpeedOptions:
    """What a trainer may be told beside the original's options. `check` raises ArgumentError."""

    trunkCache: str = _option(
        "auto", "where maps of the layers below backPropToLayer are kept: auto, ram, disk, or off", STORES
    )
    trunkCacheGB: float = _option(50.0, "at most so many gigabytes of them are kept")
    trunkCacheDtype: str = _option("fp32", "fp32: exact, or fp16: half the space", tuple(DTYPES), True)
    trunkCacheKeep: bool = _option(False, "leave those on disk when training is done, for the next one")
    trainPrecision: str = _option(
        "fp32", "of the convolutions that learn: fp32, or bf16 (NetVLAD's sums stay fp32)", PRECISIONS, True
    )
    stepGB: float | str = _option(
        "auto",
        "tuples of a batch go through the network together up to so many gigabytes; 0: one by one, as the "
        "original; auto: 2 on a GPU, 0 on a CPU, where it gains nothing",
        (),
        True,
    )

    def check(self) -> None:
        """Raises ArgumentError for the first option whose value cannot be meant, with what is allowed."""
        for each in fields(self):
            value, allowed = getattr(self, each.name), each.metadata["allowed"]
            if allowed and value not in allowed:
                raise ArgumentError(f"{each.name} is one of {', '.join(allowed)}, not {value!r}")
            if isinstance(each.default, bool) and value not in (True, False):
                raise ArgumentError(f"{each.name} is True or False, not {value!r}")
            if each.name.endswith("GB") and not _at_least_zero(value) and value != each.default:
                raise ArgumentError(f"{each.name} is a number of gigabytes, at least 0, not {value!r}")

    def step_gb(self, device: torch.device) -> float:
        """stepGB as a number, on this device."""
        if isinstance(self.stepGB, str):
            return STEP_GB_ON_GPU if device.type == "cuda" else 0.0
        return float(self.stepGB)

    def to_matlab(self) -> dict[str, Any]:
        """Those that change digits, for a session file."""
        return {name: getattr(self, name) for name in DIGIT_OPTIONS}

    def changed(self, values: Mapping[str, Any]) -> "SpeedOptions":
        """A copy with these values, checked; names that are not known are left out."""
        names = (each.name for each in fields(self))
        made = SpeedOptions(**{name: values.get(name, getattr(self, name)) for name in names})
        made.check()
        return made


def saved_speed(own: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a session file's auxData.deepibl holds; none in files of before there were any."""
    saved = own.get("speed", {})
    return {name: _plain(saved[name]) for name in DIGIT_OPTIONS if name in saved}


def _plain(value: Any) -> Any:
    """A MATLAB text or number."""
    return text(value) if isinstance(value, str) else float(scalar(value))


def _at_least_zero(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and not math.isnan(value) and value >= 0


SPEED_OPTION_NAMES = tuple(each.name for each in fields(SpeedOptions))
DIGIT_OPTIONS = tuple(each.name for each in fields(SpeedOptions) if each.metadata["changes_digits"])
