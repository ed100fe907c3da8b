"""Replays recorded random draws in place of MATLAB's generator (golden data was drawn by Octave's)."""

from collections.abc import Iterable
from typing import Any

import numpy as np


class Replay:
    """Has a Generator's interface; gives recorded results in order, and checks that the same is asked for.

    draws: (population size, count, result), ids and values 1-based as in the files; size 0: a uniform number.
    """

    def __init__(self, draws: Iterable[tuple[int, int, Any]]) -> None:
        self.draws = [(int(n), int(k), ids(y) if n else np.asarray(y).ravel()) for n, k, y in draws]
        self.state = np.zeros(625, np.uint32)

    def randsample(self, population: Any, k: int, replace: bool = False) -> np.ndarray:
        assert not replace
        size = int(population) if np.ndim(population) == 0 else len(population)
        recorded_size, recorded_k, result = self.draws.pop(0)
        assert (size, k) == (recorded_size, recorded_k), "another draw than the recorded one was asked for"
        values = np.arange(size) if np.ndim(population) == 0 else population
        assert np.isin(result, values).all()
        return result

    def randperm(self, n: int) -> np.ndarray:
        recorded_size, _, result = self.draws.pop(0)
        assert n == recorded_size
        return result

    def rand(self) -> np.ndarray:
        recorded_size, _, result = self.draws.pop(0)
        assert recorded_size == 0, "a draw of ids was recorded, not of a uniform number"
        return result

    @property
    def used_up(self) -> bool:
        """Whether every recorded draw was asked for."""
        return not self.draws


def recorded(log: np.ndarray, tags: np.ndarray, tag: str = "randsample") -> list[tuple[int, int, Any]]:
    """The draws of one kind in a golden log (cells of structs n, k, y, and their tags)."""
    entries = [entry for entry, name in zip(log_entries(log), cell_texts(tags), strict=True) if name == tag]
    return [(int(e.n.item()), int(e.k.item()), e.y) for e in entries]


def ids(array: Any) -> np.ndarray:
    """1-based ids of a file as 0-based ones, (n,) int64."""
    return np.asarray(array).ravel().astype(np.int64) - 1


def log_entries(log: np.ndarray) -> list[Any]:
    """The structs in a golden log."""
    return [_inner(cell) for cell in log.ravel(order="F")]


def cell_texts(cells: np.ndarray) -> list[str]:
    """A cell array of char rows as a list."""
    return [str(cell.item()) if cell.size else "" for cell in cells.ravel(order="F")]


def _inner(cell: Any) -> Any:
    while isinstance(cell, np.ndarray) and cell.dtype == object:
        cell = cell.flat[0]
    return cell
