"""Mining a batch while a GPU computes the one before it: the tuples and draws of mining it in its turn."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deepibl.mining import Features, MinedTuple
from matlab_compat.rng import Generator

# queries, features, negative caches, generator -> tuples
Mine = Callable[[np.ndarray, Features, Sequence[np.ndarray], Any], list[MinedTuple]]


def worth_it(device: torch.device) -> bool:
    """On a processor that computes, mining beside it only takes its cores."""
    return device.type == "cuda"


@dataclass(frozen=True)
class _Begun:
    queries: np.ndarray
    features: Features
    before: np.ndarray  # the generator's state
    generator: Generator
    tuples: Future[list[MinedTuple]]


class MiningAhead:
    """Mines batches, the next one beforehand where it is told which. Use as a context manager.

    A batch depends on nothing that the batch before it changes: on the cached features, on its own queries'
    negative caches, and on the draws, which are made here from a copy of the generator. What was mined is
    taken only if queries, features and the generator's state are still those; else it is mined again.
    """

    def __init__(self, mine: Mine) -> None:
        self._mine = mine
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="deepibl-miner")
        self._begun: _Begun | None = None

    def __enter__(self) -> MiningAhead:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def begin(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> None:
        """Begins to mine a batch, if there are queries, from where the generator, MATLAB's, stands."""
        if len(queries) and isinstance(generator, Generator):
            own = copy.deepcopy(generator)
            found = self._pool.submit(self._mine, queries, features, list(caches), own)
            self._begun = _Begun(queries, features, generator.state, own, found)

    def take(
        self, queries: np.ndarray, features: Features, caches: Sequence[np.ndarray], generator: Any
    ) -> list[MinedTuple]:
        """The batch's tuples; the generator then stands after its draws. Raises what mining raises."""
        begun, self._begun = self._begun, None
        if begun is not None:
            same = features is begun.features and np.array_equal(queries, begun.queries)
            if same and np.array_equal(generator.state, begun.before):
                tuples = begun.tuples.result()
                generator.state = begun.generator.state
                return tuples
        return self._mine(queries, features, caches, generator)
