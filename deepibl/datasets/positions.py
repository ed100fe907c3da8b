"""Which images are near a position: the original's hash of square cells, whose order decides ties.

The plane is divided into cells one metre wider than the distance limit, so all images within the limit are
in the 3 x 3 cells around. Positives are in the order of these cells (x fastest), and by id within a cell.
Training takes the first of equally near ones, so the order is part of the behaviour.
The cells are a sorted list instead of a table, so that memory does not depend on the area.

Positions in degrees (`GlobePositions`) are searched by a tree of points in space; ids ascend.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from deepibl.datasets.geo import DEGREES, in_space, metres_between
from deepibl.errors import DatasetError


class _Positions:
    """Positions (N, 2), searched by `positive_distance` metres (inclusive). Ids are 0-based."""

    def __init__(self, positions: ArrayLike, positive_distance: float) -> None:
        self.positions = as_positions(positions, "positions")
        # a dbStruct stores the limit as uint8: as a float it cannot overflow when squared
        self.positive_distance = float(positive_distance)
        if not 0 <= self.positive_distance < np.inf:
            raise DatasetError(f"the distance limit must be 0 metres or more, not {positive_distance!r}")
        self.positive_distance_squared = self.positive_distance**2
        self._known = np.flatnonzero(np.isfinite(self.positions).all(axis=1))

    def positives(self, position: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Ids (M,) int64 within the limit of a position (2,), and squared metres (M,)."""
        raise NotImplementedError

    def positives_of_image(self, image: int) -> tuple[np.ndarray, np.ndarray]:
        """As positives, around the position of an image, itself included."""
        return self.positives(self.positions[image])


class ClosePosition(_Positions):
    """Positions in metres; positives are in the order of the original's cells.

    lower_limit, upper_limit: the corners (2,) of the hashed area, one metre beyond the outermost positions.
    delta: a cell's side in metres; grid_size: the number of cells in x and in y. NaN positions are not
    near any other. Raises DatasetError for positions that are not (N, 2), and a limit that is not a number
    >= 0.
    Ported from: netvlad/datasets/closePosition.m
    """

    def __init__(self, positions: ArrayLike, positive_distance: float) -> None:
        super().__init__(positions, positive_distance)
        self.delta = self.positive_distance + 1
        placed = self.positions[self._known]
        self.lower_limit = placed.min(axis=0) - 1 if len(placed) else np.zeros(2)
        self.upper_limit = placed.max(axis=0) + 1 if len(placed) else np.zeros(2)
        size = np.ceil((self.upper_limit - self.lower_limit) / self.delta).astype(np.int64)
        self.grid_size = (int(size[0]), int(size[1]))
        keys = self._key(*self._cells(placed).T)
        order = np.argsort(keys, kind="stable")
        self._keys, self._ids = keys[order], self._known[order]

    @property
    def grid(self) -> np.ndarray:
        """The cells as a new object array of shape grid_size, each an int64 array of ids."""
        table = np.empty(self.grid_size, dtype=object)
        for x, y in np.ndindex(*self.grid_size):
            table[x, y] = self._run(x, x, y)
        return table

    def cells_of(self, positions: ArrayLike) -> np.ndarray:
        """The cells (N, 2) int64, from 0, of positions (N, 2) or (2,); outside the area also negative."""
        return self._cells(np.atleast_2d(np.asarray(positions, dtype=np.float64)))

    def positives(self, position: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Ids (M,) int64 within the limit of a position (2,), in cell order, and squared metres (M,)."""
        position = one_position(position)
        if not (np.isfinite(position).all() and len(self._ids)):
            return np.zeros(0, np.int64), np.zeros(0)
        x, y = (int(v) for v in self._cells(position[None])[0])
        rows = range(max(y - 1, 0), min(y + 1, self.grid_size[1] - 1) + 1)
        left, right = max(x - 1, 0), min(x + 1, self.grid_size[0] - 1)
        ids = np.concatenate([np.zeros(0, np.int64), *(self._run(left, right, row) for row in rows)])
        squared = squared_metres(position, self.positions[ids])
        near = squared <= self.positive_distance_squared
        return ids[near], squared[near]

    def near(self, position: ArrayLike, images: ArrayLike) -> np.ndarray:
        """For each id, whether its image is within the limit of a position (2,): bool, shape of images."""
        others = self.positions[np.asarray(images, dtype=np.int64)]
        return squared_metres(np.ravel(position), others) <= self.positive_distance_squared

    def _cells(self, positions: np.ndarray) -> np.ndarray:
        return np.ceil((positions - self.lower_limit) / self.delta).astype(np.int64) - 1

    def _key(self, x: Any, y: Any) -> Any:
        return x + self.grid_size[0] * y

    def _run(self, left: int, right: int, y: int) -> np.ndarray:
        """Ids in the cells left … right of row y, which are consecutive in the sorted list."""
        if right < left:
            return self._ids[:0]
        ends = np.searchsorted(self._keys, [self._key(left, y), self._key(right, y) + 1])
        return self._ids[ends[0] : ends[1]]


class GlobePositions(_Positions):
    """As ClosePosition, for positions (N, 2) in degrees anywhere on the globe; the ids found ascend."""

    def __init__(self, positions: ArrayLike, positive_distance: float) -> None:
        from scipy.spatial import cKDTree

        super().__init__(positions, positive_distance)
        self._tree = cKDTree(in_space(self.positions[self._known], DEGREES))

    def positives(self, position: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """Ids (M,) int64 within the limit of a position (2,), and squared metres (M,)."""
        position = one_position(position)
        if not (np.isfinite(position).all() and len(self._known)):
            return np.zeros(0, np.int64), np.zeros(0)
        reach = self.positive_distance + 1e-3  # in a straight line, which is shorter; `near` decides
        found = self._tree.query_ball_point(in_space(position, DEGREES), reach)
        ids = np.sort(self._known[np.asarray(found, np.int64)])
        ids = ids[self.near(position, ids)]
        return ids, metres_between(position, self.positions[ids], DEGREES) ** 2

    def near(self, position: ArrayLike, images: ArrayLike) -> np.ndarray:
        """For each id, whether its image is within the limit of a position (2,): bool, shape of images."""
        others = self.positions[np.asarray(images, dtype=np.int64)]
        return metres_between(one_position(position), others, DEGREES) <= self.positive_distance


def refuse_degrees(name: str, positions: np.ndarray, limit: float) -> None:
    """Raises DatasetError for positions (N, 2) given as metres that are clearly latitudes and longitudes.

    Clearly: within 90 and 180, not whole numbers, and either most within 5 cm of another one, or all within
    the limit of one another and none near 0, 0, where local maps begin and no city is.
    """
    from scipy.spatial import cKDTree

    known = np.unique(positions[np.isfinite(positions).all(axis=1)], axis=0)
    largest = np.abs(known).max(axis=0, initial=0)
    on_globe = (largest <= (90, 180)).all() or (largest <= (180, 90)).all()
    if not (len(known) and on_globe and (known % 1).any()):
        return
    size = float(np.linalg.norm(np.ptp(known, axis=0)))
    together = size <= limit and np.abs(known).max(axis=1).min() >= 1
    if not together and (len(known) < 2 or np.median(cKDTree(known).query(known, 2)[0][:, 1]) > 0.05):
        return
    raise DatasetError(
        f"{name}: positions must be in metres, and these look like latitudes and longitudes: one is "
        f"{known[-1, 0]:g}, {known[-1, 1]:g}, and all lie within {size:.3g}. Convert them with "
        "deepibl.datasets.latlon_to_utm, or give columns lat and lon; add 1000 to metres of a local map"
    )


def one_position(position: ArrayLike) -> np.ndarray:
    """A position (2,) float64 in metres. Raises DatasetError for anything but two numbers."""
    array = np.asarray(position, dtype=np.float64).ravel()
    if array.shape != (2,):
        raise DatasetError(f"a position is two numbers (east, north), not {np.shape(position)}")
    return array


def squared_metres(position: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Squared distances of positions (…, 2) from one position (2,), shape (…)."""
    difference = position - others
    return difference[..., 0] ** 2 + difference[..., 1] ** 2


def as_positions(positions: ArrayLike, what: str, count: int | None = None) -> np.ndarray:
    """Positions as (N, 2) float64. Raises DatasetError, with `what`, for another shape or number."""
    array = np.array(positions, dtype=np.float64, ndmin=2)
    if array.size == 0:
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise DatasetError(
            f"{what} must hold one (east, north) pair for each image, shape (N, 2); found {array.shape}"
        )
    if count is not None and len(array) != count:
        raise DatasetError(f"{what} holds {len(array)} positions for {count} images")
    return array
