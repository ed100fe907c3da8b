"""The losses side by side: each trains a random network in a toy city, several times; the table for the docs.

python scripts/compare_losses.py FOLDER --seeds 3 > docs/results_losses.md

A run that was interrupted goes on when the command is given again.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from deepibl.demo_training import photograph, train_in_city
from deepibl.sessions import Results
from deepibl.trainers import TRAINERS
from deepibl.training.console import Console

NS = (1, 5, 10)


def compare(folder: Path, seeds: int, epochs: int | None = None) -> str:
    """Trains by every trainer and seed; the Markdown table of validation recall at the best epoch."""
    city = photograph(folder)
    changes = {} if epochs is None else {"nEpoch": epochs}
    results = {
        name: [train_in_city(city, name, seed, changes, [Console(sys.stderr)]) for seed in range(seeds)]
        for name in TRAINERS
    }
    return table(results)


def table(results: dict[str, Sequence[Results]]) -> str:
    """Mean and spread over seeds of Recall@N (in percent), before training and by trainer."""
    head = ["| trainer | " + " | ".join(f"Recall@{n}" for n in NS) + " |", "|---" * (len(NS) + 1) + "|"]
    first = next(iter(results.values()))
    before = [run.off_the_shelf for run in first if run.off_the_shelf is not None]
    rows = [("before training", before, first[0])] if before else []
    rows += [(name, [run.trained for run in runs], runs[0]) for name, runs in results.items()]
    return "\n".join([*head, *(_row(name, recalls, run) for name, recalls, run in rows)])


def _row(name: str, recalls: Sequence[np.ndarray], run: Results) -> str:
    columns = [list(run.options.recallNs).index(n) for n in NS]
    values = 100 * np.stack(recalls)[:, columns]
    cells = (f"{mean:.1f} ± {spread:.1f}" for mean, spread in zip(values.mean(0), values.std(0), strict=True))
    return f"| {name} | {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    given = parser.parse_args()
    print(compare(given.folder, given.seeds, given.epochs))
