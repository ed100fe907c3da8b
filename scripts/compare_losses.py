"""The losses side by side: each trains a random network in a toy city, several times; the table for the docs.

python scripts/compare_losses.py FOLDER --seeds 3          # the table is also kept in FOLDER/losses.md

The same command resumes an interrupted run. The table is written again after every run,
and its second column says how many runs a row is made of.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.demo import train_in_city
from deepibl.demo.training import SPLITS, photograph
from deepibl.training import TRAINERS, Console, Results
from matlab_compat.files import atomic_output

NS = (1, 5, 10)
COMPARED = tuple(TRAINERS)[:8]  # SARE's six, triplet, contrastive


def compare(
    folder: Path,
    seeds: int,
    trainers: Sequence[str] = COMPARED,
    changes: dict[str, Any] | None = None,
    train: tuple[int, int] = SPLITS["train"],
) -> str:
    """Trains by every trainer with every seed; the Markdown table of validation recall at the best epoch.

    changes: options that differ from the demo's. train: database images and queries to learn from.
    All trainers of a seed come before the next seed.
    """
    city = photograph(folder, splits={**SPLITS, "train": train})
    results: dict[str, list[Results]] = {name: [] for name in trainers}
    for seed in range(seeds):
        for name in trainers:
            results[name].append(train_in_city(city, name, seed, changes, [Console(sys.stderr)]))
            with atomic_output(folder / "losses.md") as temporary:
                Path(temporary).write_text(table(results) + "\n", encoding="utf-8")
    return table(results)


def table(results: dict[str, list[Results]]) -> str:
    """Mean and spread (none of one run) of Recall@N in percent, before training and by trainer.

    The row before training holds each seed's network once.
    """
    head = [
        "| trainer | runs | " + " | ".join(f"Recall@{n}" for n in NS) + " |",
        "|---" * (len(NS) + 2) + "|",
    ]
    done = {name: runs for name, runs in results.items() if runs}
    first = next(iter(done.values()))
    before = [run.off_the_shelf for run in first if run.off_the_shelf is not None]
    rows = [("before training", before)] if before else []
    rows += [(name, [run.trained for run in runs]) for name, runs in done.items()]
    ns = list(first[0].options.recall_ns)
    return "\n".join([*head, *(_row(name, recalls, [ns.index(n) for n in NS]) for name, recalls in rows)])


def _row(name: str, recalls: Sequence[np.ndarray], columns: Sequence[int]) -> str:
    values = 100 * np.stack(recalls)[:, columns]
    cells = [f"{mean:.1f}" for mean in values.mean(0)]
    if len(values) > 1:
        cells = [f"{cell} ± {spread:.1f}" for cell, spread in zip(cells, values.std(0), strict=True)]
    return f"| {name} | {len(recalls)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="fewer than the demo's")
    parser.add_argument("--images", type=int, default=SPLITS["train"][0], help="of the training database")
    parser.add_argument("--queries", type=int, default=SPLITS["train"][1], help="to train with")
    parser.add_argument("--trainers", nargs="+", choices=list(TRAINERS), default=list(COMPARED))
    given = parser.parse_args()
    fewer = {} if given.epochs is None else {"epochs": given.epochs}
    learned = given.images, given.queries
    print(compare(given.folder, given.seeds, given.trainers, fewer, learned))
