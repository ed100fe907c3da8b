"""Where a training's draws come from: MATLAB's generator (matlab_compat.rng), or a recorded list of draws.

`Replay` has the methods of `matlab_compat.rng.Generator` that training and evaluation call. It answers each
with the next recorded draw, and refuses a call that is not the recorded one; so a run that ends shows that it
drew the same things in the same order as the run that was recorded.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deepibl.errors import DeepIBLError
from matlab_compat.rng import STATE_WORDS, rng

FIRST_EPOCH_SEED = 43


class ReplayError(DeepIBLError):
    """A draw was asked for that is not the next recorded one."""


@dataclass(frozen=True)
class RecordedDraw:
    """One draw of MATLAB: kind 'randperm', 'randsample' or 'rand', of how many, how many, and what came.

    result: 0-based ids for randperm and randsample, a number in (0, 1) for rand.
    """

    kind: str
    population: int
    count: int
    result: np.ndarray


def start_epoch(generator: Any, epoch: int) -> None:
    """Sets a generator as a trainer does at the beginning of an epoch (from 1): rng(42 + epoch)."""
    generator.state = rng(FIRST_EPOCH_SEED - 1 + epoch).state


class Replay:
    """A generator that answers with recorded draws, in their order; seeding it changes nothing.

    draws: what was drawn. Errors: ReplayError when another draw is asked for, or none is left.
    """

    def __init__(self, draws: Iterable[RecordedDraw]) -> None:
        self._draws: Sequence[RecordedDraw] = list(draws)
        self._next = 0

    @property
    def state(self) -> np.ndarray:
        """The position in the list, in the 625 words of a generator's state; any other state is ignored."""
        words = np.zeros(STATE_WORDS, dtype=np.uint32)
        words[0], words[1] = self._next, len(self._draws)
        return words

    @state.setter
    def state(self, words: Any) -> None:
        flat = np.asarray(words).ravel()
        if flat.size == STATE_WORDS and flat[1] == len(self._draws) and not flat[2:].any():
            self._next = int(flat[0])

    @property
    def left(self) -> int:
        """How many recorded draws have not been asked for yet."""
        return len(self._draws) - self._next

    def rand(self, *shape: int) -> np.ndarray:
        """One uniform number; shapes of more are not recorded in trainings."""
        return self._take("rand", 1, 1).reshape(shape or (1, 1))

    def randperm(self, n: int) -> np.ndarray:
        """A permutation of 0 … n-1."""
        return self._take("randperm", n, n)

    def randsample(self, population: Any, k: int, replace: bool = False) -> np.ndarray:
        """k ids; the record holds the values drawn, also where the population is a vector."""
        return self._take("randsample", int(population) if np.ndim(population) == 0 else len(population), k)

    def _take(self, kind: str, population: int, count: int) -> np.ndarray:
        asked = f"{kind} of {count} from {population}"
        if not self.left:
            raise ReplayError(f"{asked} was asked for, but all {len(self._draws)} recorded draws are used")
        draw = self._draws[self._next]
        if (draw.kind, draw.population, draw.count) != (kind, population, count):
            raise ReplayError(
                f"{asked} was asked for, but draw {self._next} of the record is {draw.kind} of {draw.count} "
                f"from {draw.population}"
            )
        self._next += 1
        return draw.result.copy()
