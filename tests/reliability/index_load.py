"""The index's search by itself, from many threads at once: latencies, memory, the same answers as alone."""

from collections.abc import Sequence

import numpy as np

from deepibl.search.index import PlaceIndex
from tests.reliability.load import MemoryWatch, Outcome, ask_for

MB = 1e6
ASKED = 64  # different queries
TOP = 10
BACKENDS = ("exact", "hnsw", "ivfpq")


def random_index(rows: int, dim: int) -> PlaceIndex:
    """Unit vectors around a hundred centres, in a square kilometre."""
    generator = np.random.default_rng(0)
    centres = generator.standard_normal((100, dim), dtype=np.float32)
    vectors = centres[generator.integers(0, 100, rows)]
    vectors = vectors + 0.7 * generator.standard_normal((rows, dim), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    positions = generator.uniform(0, 1000, (rows, 2)) + np.array([400_000.0, 6_000_000.0])
    return PlaceIndex(vectors, [f"{i}.jpg" for i in range(rows)], positions, "none", frame="33N")


def searched(index: PlaceIndex, users: int, seconds: float) -> tuple[Outcome, MemoryWatch]:
    """`users` threads search for so many seconds; an answer other than alone ends as 'different'."""
    rows = np.asarray(index.descriptors[:: max(1, len(index) // ASKED)][:ASKED], np.float32)
    alone = [[match.row for match in index.search(row[None], TOP)[0]] for row in rows]

    def question(number: int) -> tuple[str, float]:
        asked = number % len(rows)
        found = [match.row for match in index.search(rows[asked][None], TOP)[0]]
        return ("ok" if found == alone[asked] else "different"), 0.0

    with MemoryWatch() as watch:
        outcome = ask_for(seconds, users, question)
    return outcome, watch


def index_report(rows: int, dim: int, users: Sequence[int], seconds: float) -> str:
    """Every backend under every number of users, as Markdown."""
    lines = ["| backend | users | answers | memory, MB, first and last quarter |", "|---|---|---|---|"]
    index = random_index(rows, dim)
    for backend in BACKENDS:
        asked = index.with_backend(backend)
        for count in users:
            outcome, watch = searched(asked, count, seconds)
            held = f"{watch.mean(0, 0.25) / MB:.0f} {watch.mean(0.75, 1) / MB:.0f}"
            lines.append(f"| {backend} | {count} | {outcome} | {held} |")
    return "\n".join(lines)
