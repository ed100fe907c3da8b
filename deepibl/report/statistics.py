"""What descriptors look like: length, dimensions in use, how alike they are, hubs among them."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

_SAMPLE = 2000  # database descriptors that the statistics are taken from, evenly spread
_BINS = 24


def descriptor_statistics(database: Any, queries: Sequence[Any]) -> dict[str, Any]:
    """Statistics as plain values.

    database: descriptors (N, D). queries: of `deepibl.report.run`, with their answers.

    length: smallest, mean and largest norm; used_dimensions: (sum of the covariance's eigenvalues)^2 / sum
    of their squares, D for a ball and 1 for a line; cosine: mean and largest between two different
    database images; separation: how often the first answer of a query that was right is nearer than that
    of one that was wrong (0.5: the distance tells nothing; None where all are right or all wrong); hub:
    the database image that is most often the first answer, and how often; distances: a histogram of first
    answers' distances (`edges`, `right`, `wrong`).
    """
    rows = np.asarray(database[:: max(1, -(-len(database) // _SAMPLE))], dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.maximum(lengths, 1e-12)[:, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, np.nan)
    firsts = [query.answers[0] for query in queries if query.answers]
    hub = Counter(answer.name for answer in firsts).most_common(1)
    return {
        "sample": len(rows),
        "length": [float(lengths.min()), float(lengths.mean()), float(lengths.max())],
        "used_dimensions": _used_dimensions(rows),
        "cosine": [float(np.nanmean(cosines)), float(np.nanmax(cosines))] if len(rows) > 1 else None,
        "separation": _separation(firsts),
        "hub": [hub[0][0], hub[0][1]] if hub else None,
        "distances": _histogram(firsts),
    }


def _used_dimensions(rows: np.ndarray) -> float:
    centred = rows - rows.mean(axis=0)
    small = centred @ centred.T if len(rows) < rows.shape[1] else centred.T @ centred
    total = float((small**2).sum())
    return float(np.trace(small) ** 2 / total) if total > 0 else 0.0


def _separation(firsts: Sequence[Any]) -> float | None:
    right = np.array([answer.distance for answer in firsts if answer.right])
    wrong = np.sort([answer.distance for answer in firsts if not answer.right])
    if not (len(right) and len(wrong)):
        return None
    beyond = len(wrong) - np.searchsorted(wrong, right, side="right")
    equal = np.searchsorted(wrong, right, side="right") - np.searchsorted(wrong, right, side="left")
    return float((beyond + 0.5 * equal).mean() / len(wrong))


def _histogram(firsts: Sequence[Any]) -> dict[str, list[float]] | None:
    distances = np.array([answer.distance for answer in firsts])
    if not len(distances):
        return None
    right = np.array([answer.right for answer in firsts], bool)
    edges = np.histogram_bin_edges(distances, _BINS)
    counts = {
        name: np.histogram(distances[rows], edges)[0].tolist()
        for name, rows in (("right", right), ("wrong", ~right))
    }
    return {"edges": edges.tolist(), **counts}
