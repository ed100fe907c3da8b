"""Small indexes for tests: images every 10 m on a line, whose descriptors have one place each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from deepibl.images import Reading
from deepibl.search.answer import Match
from deepibl.search.index import PlaceIndex


def line_index(first: int, count: int, dim: int = 8, **changes: object) -> PlaceIndex:
    """Images number `first` … of one endless street: the same number has the same descriptor everywhere."""
    numbers = range(first, first + count)
    rows = np.stack([np.random.default_rng(i).standard_normal(dim) for i in numbers]).astype(np.float32)
    values = {
        "descriptors": rows / np.linalg.norm(rows, axis=1, keepdims=True),
        "names": [f'sträße/it\'s "{i}".jpg' for i in numbers],
        "positions": np.stack([np.array(numbers) * 10.0 + 390000, np.full(count, 6170000.0)], axis=1),
        "network_id": "ab" * 32,
        "network_path": "/nets/small.mat",
        "root": "/photos",
        "frame": "33N",
        "reading": Reading(320),
    }
    return PlaceIndex(**{**values, **changes})  # type: ignore[arg-type]


def same_matches(got: Sequence[Sequence[Match]], want: Sequence[Sequence[Match]]) -> bool:
    """Whether two answers agree: distances (which are rounded differently) within 1e-5, the rest exactly."""
    distances = [[[match.distance for match in row] for row in answer] for answer in (got, want)]
    near = all(
        np.allclose(*pair, atol=1e-5) for pair in zip(*distances, strict=True) if len(pair[0]) == len(pair[1])
    )
    bare = [[[replace(match, distance=0.0) for match in row] for row in answer] for answer in (got, want)]
    return near and bare[0] == bare[1]
