"""What ordering first answers by geometry does to the recall on real photos: the table of docs/results.md.

    python -m tests.reliability.reranking ../shared/real [--net FILE] [--first 20] [--matchers sift lightglue]

Without --net it is SqueezeNet with GeM. A cell is Recall@1 / @5 in percent; seconds are a query's, of
the comparisons alone.
"""

import argparse
import time
from pathlib import Path

from deepibl.datasets import PlaceDataset, database_places, dataset_from_places, query_places
from deepibl.datasets.folder import read_places
from deepibl.evaluation import evaluate_network, recall_at_n
from deepibl.evaluation.evaluate import reranked
from deepibl.networks import find_network, load_network
from deepibl.search import Reranker, make_matcher
from tests.squeezenet_keras import squeezenet


def datasets(images: Path) -> list[PlaceDataset]:
    """Lund's street, Cambridge's smaller district, Gardens Point by day and at night."""
    lund = read_places(images / "lund" / "data" / "lund" / "images")
    halves = (lund.subset(range(first, len(lund), 2)) for first in (0, 1))
    made = [dataset_from_places("Lund", *halves)]
    for name, db, queries in (
        ("Cambridge, small", "cambridge/val/db.csv", "cambridge/val/query.csv"),
        ("Gardens Point, other side", "gardens_point/day_left.csv", "gardens_point/day_right.csv"),
        ("Gardens Point, night", "gardens_point/day_left.csv", "gardens_point/night_right.csv"),
    ):
        made.append(dataset_from_places(name, database_places(images / db), query_places(images / queries)))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("real", type=Path)
    parser.add_argument("--net")
    parser.add_argument("--first", type=int, default=20)
    parser.add_argument("--matchers", nargs="+", default=["sift"])
    given = parser.parse_args()
    net = load_network(find_network(given.net)) if given.net else squeezenet(given.real, "gem")
    print(f"| photos | descriptors alone | {' | '.join(f'{m} | s' for m in given.matchers)} |")
    print(f"|---|---|{'---|---|' * len(given.matchers)}")
    for dataset in datasets(given.real / "images"):
        plain = evaluate_network(net, dataset, label=given.net or "squeezenet")
        results, times = [plain.result], []
        for matcher in given.matchers:
            again = reranked(dataset, Reranker(given.first, make_matcher(matcher)))
            start = time.perf_counter()
            results.append(recall_at_n(plain.query_features, plain.database_features, again))
            times.append((time.perf_counter() - start) / dataset.query_count)
        cells = [f"{100 * each.at(1):.1f} / {100 * each.at(5):.1f}" for each in results]
        timed = [f"{cell} | {seconds:.2f}" for cell, seconds in zip(cells[1:], times, strict=True)]
        print(
            f"| {dataset.name}, {dataset.query_count} queries | {cells[0]} | {' | '.join(timed)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
