"""What a training was asked for, to see whether the same is asked for again, and what is not the same."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deepibl.training.options import OPTION_NAMES, TrainingOptions
from deepibl.training.speed import SpeedOptions

# may differ between two calls that mean the same training
FREE_OPTIONS = ("numThreads", "printLoss", "printBatchLoss", "doDraw", "info")
_NAMES_AND_PLACES = ("sessionID", "outPrefix")


@dataclass(frozen=True)
class Request:
    """A trainer's name, its data sets as texts (training, validation), and what options decide the result.

    options: name -> value, defaults included, in the trainers' order.
    """

    trainer: str
    sets: tuple[str, ...]
    options: dict[str, Any]

    @classmethod
    def of(cls, trainer: str, sets: Sequence[Any], given: Mapping[str, Any]) -> "Request":
        """The request of a call: sets are its `PlaceDataset`s, given its options."""
        options = TrainingOptions.from_mapping(given)
        left_out = {*FREE_OPTIONS, *_NAMES_AND_PLACES}
        values = {name: getattr(options, name) for name in OPTION_NAMES if name not in left_out}
        named = (f"{each.name} ({each.numQueries} queries, {each.numImages} images)" for each in sets)
        return cls(trainer, tuple(named), values | SpeedOptions().changed(given).to_matlab())

    @property
    def text(self) -> str:
        """As text, equal for equal requests."""
        return json.dumps([self.trainer, self.sets, self.options])

    @classmethod
    def from_text(cls, text: str) -> "Request | None":
        """The request that `text` came from; None for what is none."""
        try:
            trainer, sets, options = json.loads(text)
            return cls(str(trainer), tuple(map(str, sets)), dict(options))
        except (ValueError, TypeError, RecursionError):
            return None

    def changes(self, before: "Request") -> list[str]:
        """What is other than in the request before: 'learningRate 0.001 (now 0.0001)' and so on.

        An option that only one of the two knows (another version wrote it) is None on the other side.
        """
        names = dict.fromkeys([*self.options, *before.options])
        pairs = [
            ("trainer", before.trainer, self.trainer),
            *zip(("training set", "validation set"), before.sets, self.sets, strict=True),
            *((name, before.options.get(name), self.options.get(name)) for name in names),
        ]
        return [f"{name} {old!r} (now {new!r})" for name, old, new in pairs if old != new]
