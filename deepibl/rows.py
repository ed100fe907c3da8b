"""Rows of one or several matrices, chosen and joined without copying them.

An index that is merged, cut down or searched near a position is such a view: what is larger than memory
stays in its files, and only the rows that are looked at are read.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

BLOCK_BYTES = 1 << 26  # of a matrix that are in memory at a time, where it is read from end to end


class RowView:
    """Rows of matrices (N_i, D), as if they stood in one matrix (N, D).

    parts: pairs of a matrix (mapped, in memory, or itself a view) and the 0-based rows of it to take, in
    their order (None: all). dtype: what rows are given as; default: that of the first matrix.
    A slice gives consecutive rows, an array of ids (M,) those rows in that order, both as new arrays.

    >>> RowView([(np.eye(3), np.array([2, 0])), (np.zeros((1, 3)), None)])[np.array([0, 2])]
    array([[0., 0., 1.],
           [0., 0., 0.]])
    """

    def __init__(self, parts: Sequence[tuple[Any, np.ndarray | None]], dtype: Any = None) -> None:
        self.parts = list(parts)
        sizes = [len(matrix) if rows is None else len(rows) for matrix, rows in self.parts]
        self._ends = np.cumsum(sizes)
        first = self.parts[0][0]
        self.dtype = np.dtype(first.dtype if dtype is None else dtype)
        self.shape = (int(self._ends[-1]), int(first.shape[1]))
        self.ndim, self.size = 2, self.shape[0] * self.shape[1]
        self.nbytes = self.dtype.itemsize * self.size

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, wanted: Any) -> np.ndarray:
        if isinstance(wanted, slice):
            wanted = np.arange(*wanted.indices(len(self)))
        ids = np.asarray(wanted)
        found = np.empty((len(ids), self.shape[1]), self.dtype)
        which = np.searchsorted(self._ends, ids, side="right")
        for number in np.unique(which):
            matrix, rows = self.parts[number]
            here = which == number
            local = ids[here] - (self._ends[number - 1] if number else 0)
            found[here] = matrix[local if rows is None else rows[local]]
        return found

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


def blocks(rows: Any, size: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
    """A matrix (N, D), or a view, in consecutive blocks of about `size` bytes."""
    step = max(1, size // max(1, rows.dtype.itemsize * int(np.prod(rows.shape[1:]))))
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
