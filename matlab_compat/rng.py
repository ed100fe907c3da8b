"""MATLAB's random numbers: the Mersenne twister with MATLAB's rng, rand, randi, randperm and randsample.

Checked against documented MATLAB outputs: rng, rand, randi, randperm, and randsample of more than a quarter
of the population. The other branch of randsample follows the published versions of that function, without
such a check.
"""

from typing import Any

import numpy as np

from matlab_compat.errors import ArgumentError

STATE_WORDS = 625
DEFAULT_SEED = 5489


class Generator:
    """One stream of MATLAB's random numbers, independent of other generators.

    seed: 0 to 2^32-1, as for MATLAB's rng(seed); 0 is MATLAB's state after start-up.

    >>> rng(0).randperm(6).tolist()
    [5, 2, 4, 0, 1, 3]
    """

    def __init__(self, seed: int = 0) -> None:
        whole = _count(seed, "the seed", 0)
        if whole >= 2**32:
            raise ArgumentError(f"the seed must be below 2^32; got {seed!r}")
        self._random = np.random.RandomState(whole or DEFAULT_SEED)

    @property
    def state(self) -> np.ndarray:
        """MATLAB's rng().State: 625 uint32, the twister's 624 words and the position; may be assigned."""
        _, words, position, _, _ = self._random.get_state(legacy=True)
        return np.append(words, position).astype(np.uint32)

    @state.setter
    def state(self, words: Any) -> None:
        flat = np.asarray(words).ravel()
        if flat.size != STATE_WORDS:
            raise ArgumentError(f"the state of a generator must have {STATE_WORDS} words; got {flat.size}")
        if not 0 <= int(flat[-1]) <= 624:
            raise ArgumentError(f"the last word of a generator's state must be 0 to 624; got {flat[-1]}")
        self._random.set_state(("MT19937", flat[:-1].astype(np.uint32), int(flat[-1]), 0, 0.0))

    def rand(self, *shape: int) -> np.ndarray:
        """Uniform numbers of (0, 1), float64; shape: none for 1x1, n for n x n, (m, n), …, as in MATLAB."""
        sides = tuple(_count(side, "a side", 0) for side in shape) or (1, 1)
        sides = sides * 2 if len(sides) == 1 else sides
        return self._random.random_sample(int(np.prod(sides))).reshape(sides, order="F")

    def randi(self, n: int, *shape: int) -> np.ndarray:
        """MATLAB's integers 1 … n, each from one uniform number, float64; shape as in rand."""
        return np.floor(_count(n, "n", 1) * self.rand(*shape)) + 1

    def randperm(self, n: int) -> np.ndarray:
        """A permutation of 0 … n-1, (n,) int64: MATLAB's minus one."""
        return np.argsort(self.rand(1, _count(n, "n", 0)).ravel(), kind="stable")

    def randsample(self, population: Any, k: int, replace: bool = False) -> np.ndarray:
        """k draws from a population, (k,).

        population: a number n (the result has 0-based ids 0 … n-1, int64) or a vector (the result has its
        values).
        replace: whether an element may be drawn twice. Raises ArgumentError where k exceeds the population.
        """
        values = None if np.ndim(population) == 0 else np.asarray(population).ravel()
        n = _count(population if values is None else values.size, "population", 0)
        k = _count(k, "k", 0)
        if replace:
            ids = self.randi(n, k, 1).ravel().astype(np.int64) - 1 if n or k else np.zeros(0, np.int64)
        elif k > n:
            raise ArgumentError(f"cannot draw {k} of {n} without replacement")
        elif 4 * k > n:
            ids = self.randperm(n)[:k]
        else:
            chosen = np.zeros(n, dtype=bool)
            while (missing := k - int(chosen.sum())) > 0:
                chosen[self.randi(n, missing, 1).ravel().astype(np.int64) - 1] = True
            ids = np.flatnonzero(chosen)[self.randperm(k)]
        return ids if values is None else values[ids]

    def random_hex(self, n: int) -> str:
        """n hexadecimal digits. Ported from: relja_matlab/relja_randomHex.m"""
        return "".join(self.randsample(list("abcdef0123456789"), n, replace=True))


def rng(seed: int = 0) -> Generator:
    """A new generator in the state that MATLAB's rng(seed) sets. Raises ArgumentError for an invalid seed."""
    return Generator(seed)


def _count(value: Any, what: str, least: int) -> int:
    number = value.item() if isinstance(value, np.ndarray | np.generic) and value.size == 1 else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number != number // 1:
        raise ArgumentError(f"{what} must be an integer; got {value!r}")
    if number < least:
        raise ArgumentError(f"{what} must be at least {least}; got {value!r}")
    return int(number)
