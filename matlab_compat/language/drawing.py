"""MATLAB's random numbers for migrated scripts: one generator, at first in MATLAB's state after start-up."""

from typing import Any

import numpy as np

from matlab_compat.language.indexing import refuse
from matlab_compat.language.parts import at
from matlab_compat.language.shapes import sizes_of
from matlab_compat.language.values import Array, Struct, as_np, whole, wrap
from matlab_compat.rng import Generator

GENERATOR = Generator()


def rng(seed: Any = None, kind: str = "twister") -> Struct:
    """Seeds the generator: a number, 'default', 'shuffle' or what rng returned, its state before."""
    before = Struct(Type="twister", Seed=0.0, State=Array(GENERATOR.state.reshape(-1, 1)))
    if kind != "twister" or (isinstance(seed, str) and seed not in ("default", "shuffle")):
        raise refuse(f"rng with {seed!r}, {kind!r}: give a seed, 'default', 'shuffle' or a state")
    if isinstance(seed, Struct):
        GENERATOR.state = as_np(seed.State).ravel()
    elif seed is not None:
        shuffled = int(np.random.default_rng().integers(2**32))
        GENERATOR.state = Generator({"default": 0, "shuffle": shuffled}.get(seed, seed)).state
    return before


def rand(*sizes: Any) -> Any:
    """Uniform numbers between 0 and 1."""
    return wrap(GENERATOR.rand(*sizes_of(sizes)))


def randi(highest: Any, *sizes: Any) -> Any:
    """Integers from 1 to the highest, or between two."""
    limits = as_np(highest).ravel().tolist()
    low = limits[0] if len(limits) > 1 else 1
    return wrap(GENERATOR.randi(whole(limits[-1] - low + 1), *sizes_of(sizes)) + (low - 1))


def randperm(n: Any) -> Array:
    """A permutation of 1 to n, a row."""
    return Array((GENERATOR.randperm(whole(n)) + 1.0).reshape(1, -1))


def randsample(population: Any, k: Any, replace: Any = False) -> Any:
    """k of the numbers 1 to n, a column, or k elements of a vector or string."""
    one = not isinstance(population, str) and as_np(population).size == 1
    places = GENERATOR.randsample(
        whole(population) if one else as_np(population).size, whole(k), bool(replace)
    )
    found = wrap((places + 1.0).reshape(-1, 1))
    return found if one else at(population, found)
