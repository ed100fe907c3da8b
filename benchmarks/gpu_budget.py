"""python -m benchmarks.gpu_budget: what an H100 should take, by arithmetic, not measured.

Operations and bytes are counted from the network and from Pitts30k's size; speeds are assumptions, printed
above the tables, to be replaced by those that `python -m benchmarks.gpu --only env` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.measure import Table, best
from deepibl.evaluation import squared_distances
from deepibl.networks.weights import CLUSTERS, VGG16_BLOCKS, WHITENED
from matlab_compat.yael import yael_nn

HEIGHT, WIDTH, BATCH = 480, 640, 32
MAP = 512 * 30 * 40  # numbers in an image's maps below conv5
QUERIES, BATCH_TUPLES = 7_416, 4
IN_TUPLES = 87_840  # images: 7,320 queries with positives, 12 images each
IN_FEATURES = 8 * 17_416 + 17_608  # refreshes of the training set, one test of the validation set
KEPT = 35_024  # images whose maps are kept
RANKED = 2 * 5_000  # queries of the rank losses of both tests
KERNELS_A_STEP = 400  # launches of a batch's forward, backward and update, about
PASSES = 60  # over a batch's maps, by all that is not a convolution, forward and backward
STEP_TFLOP, FEATURES_TFLOP = 45e-3, 17e-3  # an image through conv5: forward and backward, forward alone


@dataclass(frozen=True)
class Speeds:
    """Assumed: TFLOP/s, GB/s and seconds."""

    bf16: float = 600.0  # TFLOP/s of convolutions, large batches
    bf16_small: float = 300.0  # of conv5, 48 images of 30x40, backward too
    fp32: float = 40.0  # without TF32
    memory: float = 2500.0  # GB/s
    host_copy: float = 8.0  # one thread, into pinned memory
    bus: float = 50.0
    written: float = 1.0  # to disk, synced
    launch: float = 5e-6
    python: float = 150e-6  # a thread's work for one image of a refresh
    cores: int = 16
    mining: float = 0.0  # core seconds a query: these two are measured where it runs
    ranking: float = 0.0


def counts(
    blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS, height: int = HEIGHT, width: int = WIDTH
) -> tuple[float, float, float]:
    """GFLOP of the backbone of these blocks (layers, channels); GB an image in bf16 that bias, ReLU and
    pooling move as operations of their own, and where cuDNN does bias and ReLU in the convolution.
    """
    flop = apart = together = 0.0
    channels = 3
    for number, (layers, filters) in enumerate(blocks):
        last_block = number + 1 == len(blocks)
        for layer in range(layers):
            maps = 2e-9 * filters * height * width
            flop += 18e-9 * channels * filters * height * width
            pooled = layer + 1 == layers and not last_block
            apart += 2 * maps  # bias
            if pooled:
                apart, together = apart + 1.25 * maps, together + 1.25 * maps
            if not (last_block and layer + 1 == layers):
                apart += 2 * maps / (4 if pooled else 1)  # ReLU
            channels = filters
        height, width = (height, width) if last_block else (height // 2, width // 2)
    return flop, apart, together


def extraction(speeds: Speeds) -> Table:
    """Images a second in bf16, a batch on the device."""
    flop, apart, together = counts()
    whitening = 4e-9 * CLUSTERS * VGG16_BLOCKS[-1][1] * WHITENED / BATCH  # GB an image, float32 weights
    rows = []
    for name, moved in (("bias and ReLU apart", apart), ("bias and ReLU in the convolution", together)):
        computing = flop / speeds.bf16
        moving = 1e3 * (moved + whitening) / speeds.memory
        share = f"{computing / (computing + moving):.0%}"
        rows.append([name, f"{computing:.2f}", f"{moving:.2f}", f"{1e3 / (computing + moving):.0f}", share])
    columns = ["way", "ms computing", "ms moving", "images/s", "of the peak"]
    return Table(f"Extraction in bf16, predicted; {flop:.1f} GFLOP an image", columns, rows)


def epoch(speeds: Speeds, half: bool, on_card: float) -> Table:
    """Seconds of an epoch whose maps are kept, that share of them on the card, the rest in memory."""
    size = MAP * (2 if half else 4) * 1e-9
    rate = speeds.bf16_small if half else speeds.fp32
    fetching = (1 - on_card) * size * (1 / speeds.host_copy + 1 / speeds.bus)  # seconds an image
    steps = {
        "steps: 45 GFLOP an image, forward and backward": IN_TUPLES * STEP_TFLOP / rate,
        "steps: all that is not a convolution": IN_TUPLES * PASSES * MAP * 4e-9 / speeds.memory,
        "steps: launches": QUERIES // BATCH_TUPLES * KERNELS_A_STEP * speeds.launch,
        "steps: maps that are not on the card": IN_TUPLES * fetching,
    }
    mining = QUERIES * speeds.mining / BATCH_TUPLES
    computed = IN_FEATURES * (FEATURES_TFLOP / rate + fetching)
    found = {
        **steps,
        f"mining ({mining:.0f}, beside the steps): beyond them": max(0.0, mining - sum(steps.values())),
        "features: the device, or the threads that feed it": max(computed, IN_FEATURES * speeds.python),
        "features: rows to disk": IN_FEATURES * CLUSTERS * 512 * 4e-9 / speeds.written,
        "rank losses of both tests": RANKED * speeds.ranking / speeds.cores,
    }
    rows = [[name, f"{seconds:.0f}"] for name, seconds in {**found, "all": sum(found.values())}.items()]
    kind = "fp16, conv5 in bf16" if half else "fp32, no TF32"
    held = f"{size * KEPT:.0f} GB of maps, {on_card:.0%} of them in the card's memory"
    note = f"{held}. Recall and saving are left out."
    return Table(f"An epoch of Pitts30k's size, predicted: {kind}", ["what", "s"], rows, note)


def measured(candidates: int) -> dict[str, float]:
    """Core seconds of a query on this machine: mining among that many negatives, and the rank loss."""
    random = np.random.default_rng(0)
    database = random.standard_normal((2 * candidates, CLUSTERS * 512), dtype=np.float32)
    ids, query = np.sort(random.choice(2 * candidates, candidates, replace=False)), database[:1] * 0.5
    return {
        "mining": best(lambda: yael_nn(database[ids], query, min(100, candidates)), 5),
        "ranking": best(lambda: squared_distances(query[0], database, ids), 5),
    }


def main(candidates: int = 1000) -> None:
    """Prints the assumptions, what is measured here (with that many negatives a query) and the tables."""
    found = measured(candidates)
    speeds = replace(Speeds(), **found)
    assumed = [[name, value] for name, value in vars(speeds).items() if name not in found]
    Table("Assumed, not measured: TFLOP/s, GB/s, seconds", ["what", "assumed"], assumed).print()
    rows = [[name, f"{1e3 * each:.0f}"] for name, each in found.items()]
    Table(f"Measured here: a query and {candidates} negatives", ["what", "ms"], rows).print()
    extraction(speeds).print()
    epoch(speeds, half=True, on_card=1.0).print()
    epoch(speeds, half=False, on_card=0.65).print()


if __name__ == "__main__":
    main()
