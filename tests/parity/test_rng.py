"""MATLAB's random numbers against outputs printed in its documentation, and our predictions beside them."""

import json
from typing import Any

import numpy as np
import pytest

from matlab_compat.rng import Generator, rng
from tests.golden_data import golden_files


def entries(kind: str) -> list[Any]:
    """The documented or the unverified entries of every file, named by seed and first call."""
    found = []
    for path in golden_files("matlab_random.json"):
        for number, entry in enumerate(json.loads(path.read_text())[kind]):
            name = "-".join(str(word) for word in entry["calls"][0])
            found.append(pytest.param(entry, id=f"{number}-seed{entry['seed']}-{name}"))
    return found


def call(generator: Generator, name: str, *args: Any) -> np.ndarray:
    """What MATLAB would print: ids counted from 1."""
    values = getattr(generator, name)(*args)
    return values + 1 if name in ("randperm", "randsample") else values


def test_there_are_documented_outputs() -> None:
    assert entries("documented")


@pytest.mark.parametrize("entry", entries("documented"))
def test_draws_equal_matlabs_documented_ones(entry: dict[str, Any]) -> None:
    generator = rng(entry["seed"])
    for (name, *args), want in zip(entry["calls"], entry["expect"], strict=True):
        found = call(generator, name, *args)
        expected = np.array(want).reshape(found.shape)
        assert np.abs(found - expected).max() <= entry["tol"]


@pytest.mark.parametrize("entry", entries("unverified"))
def test_draws_equal_our_predictions_which_nobody_checked_in_matlab(entry: dict[str, Any]) -> None:
    generator = rng(entry["seed"])
    for (name, *args), want in zip(entry["calls"], entry["expect_first"], strict=True):
        assert call(generator, name, *args)[: len(want)].tolist() == want
