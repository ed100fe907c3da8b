"""Which images stand near a position: the original's hash of square cells, whose order decides ties.

The plane is cut into cells one metre wider than the distance limit, so whoever is near stands in one of the
3 x 3 cells around. Positives come in the order of these cells (x fastest), and by id within a cell; training
takes the first of equally near ones, so the order is part of the behaviour.
The cells are a sorted list, not a table: 100,000 positions are hashed in milliseconds, however far apart."""

from typing import Any

import numpy as np

from deepibl.errors import DatasetError


class ClosePosition:
    """Positions (N, 2) in metres, searched by `posDistThr` metres (inclusive). All ids are 0-based.

    limL, limU: the corners (2,) of the hashed area, one metre beyond the outermost positions; delta: a cell's
    side in metres; hashSz: cells in x and in y. A position that is NaN is near nothing.
    Errors: DatasetError for positions that are not (N, 2) or a limit that is not a number >= 0.
    Ported from: netvlad/datasets/closePosition.m
    """

    def __init__(self, utm: Any, posDistThr: float) -> None:
        self.utm = as_positions(utm, "utm")
        # a dbStruct stores the limit as uint8: as a float it cannot wrap when squared
        self.posDistThr = float(posDistThr)
        if not 0 <= self.posDistThr < np.inf:
            raise DatasetError(f"the distance limit must be a number of metres >= 0, not {posDistThr!r}")
        self.posDistSqThr = self.posDistThr**2
        self.delta = self.posDistThr + 1
        known = np.flatnonzero(np.isfinite(self.utm).all(axis=1))
        placed = self.utm[known]
        self.limL = placed.min(axis=0) - 1 if len(placed) else np.zeros(2)
        self.limU = placed.max(axis=0) + 1 if len(placed) else np.zeros(2)
        size = np.ceil((self.limU - self.limL) / self.delta).astype(np.int64)
        self.hashSz = (int(size[0]), int(size[1]))
        keys = self._key(*self._cells(placed).T)
        order = np.argsort(keys, kind="stable")
        self._keys, self._ids = keys[order], known[order]

    @property
    def hashTab(self) -> np.ndarray:
        """The cells as an object array of shape hashSz, each an int64 array of ids; made when asked for."""
        table = np.empty(self.hashSz, dtype=object)
        for x, y in np.ndindex(*self.hashSz):
            table[x, y] = self._run(x, x, y)
        return table

    def getInds(self, utm: Any) -> np.ndarray:
        """The cells (N, 2) int64 of positions (N, 2) or (2,), from 0; outside the area also below 0."""
        return self._cells(np.atleast_2d(np.asarray(utm, dtype=np.float64)))

    def getPosIDs(self, utm: Any) -> tuple[np.ndarray, np.ndarray]:
        """Ids (M,) int64 within the limit of a position (2,), in cell order, and squared metres (M,)."""
        position = one_position(utm)
        if not (np.isfinite(position).all() and len(self._ids)):
            return np.zeros(0, np.int64), np.zeros(0)
        x, y = (int(v) for v in self._cells(position[None])[0])
        rows = range(max(y - 1, 0), min(y + 1, self.hashSz[1] - 1) + 1)
        left, right = max(x - 1, 0), min(x + 1, self.hashSz[0] - 1)
        ids = np.concatenate([np.zeros(0, np.int64), *(self._run(left, right, row) for row in rows)])
        squared = squared_metres(position, self.utm[ids])
        near = squared <= self.posDistSqThr
        return ids[near], squared[near]

    def getPosDbIDs(self, dbID: int) -> tuple[np.ndarray, np.ndarray]:
        """As getPosIDs, around the position of image dbID (the image itself is among them)."""
        return self.getPosIDs(self.utm[dbID])

    def isPos(self, utm: Any, IDs: Any) -> np.ndarray:
        """For each of the ids, whether it lies within the limit of a position (2,): bool, shape of IDs."""
        ids = np.asarray(IDs, dtype=np.int64)
        return squared_metres(np.asarray(utm, dtype=np.float64).ravel(), self.utm[ids]) <= self.posDistSqThr

    def _cells(self, utm: np.ndarray) -> np.ndarray:
        return np.ceil((utm - self.limL) / self.delta).astype(np.int64) - 1

    def _key(self, x: Any, y: Any) -> Any:
        return x + self.hashSz[0] * y

    def _run(self, left: int, right: int, y: int) -> np.ndarray:
        """Ids of the cells left … right of row y: neighbours in the sorted list."""
        if right < left:
            return self._ids[:0]
        ends = np.searchsorted(self._keys, [self._key(left, y), self._key(right, y) + 1])
        return self._ids[ends[0] : ends[1]]


def one_position(utm: Any) -> np.ndarray:
    """A position (2,) float64 in metres. Errors: DatasetError for anything but two numbers."""
    position = np.asarray(utm, dtype=np.float64).ravel()
    if position.shape != (2,):
        raise DatasetError(f"a position is two numbers (east, north), not {np.shape(utm)}")
    return position


def squared_metres(position: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances of positions (…, 2) from one position (2,), shape (…)."""
    difference = position - others
    return difference[..., 0] ** 2 + difference[..., 1] ** 2


def as_positions(utm: Any, what: str, count: int | None = None) -> np.ndarray:
    """Positions as (N, 2) float64. Errors: DatasetError naming `what` when they are not, or not `count`."""
    array = np.array(utm, dtype=np.float64, ndmin=2)
    if array.size == 0:
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise DatasetError(
            f"{what} must hold one (east, north) pair an image, shape (N, 2), found {array.shape}"
        )
    if count is not None and len(array) != count:
        raise DatasetError(f"{what} holds {len(array)} positions for {count} images")
    return array
