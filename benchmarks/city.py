"""Recall of networks on real streets: `python -m benchmarks.city REAL NETWORK ...`, the tables of results.md.

REAL is a folder of photos that do not ship (docs/results.md says which). With --whiten each network gets PCA
whitening of the photos of Cambridge's training district, with the most dimensions asked for; fewer are its
first ones. Descriptors are kept in a folder, and used again; with --first the maps of the layers below it
are, too, which networks that differ above it share. The last table tests each row against the first by
McNemar's exact test, over the queries of Cambridge, Gardens Point and Lund together.
"""

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest

from benchmarks.measure import Table
from deepibl.cli.process import keep_buffers
from deepibl.datasets import PlaceDataset, dataset_from_places, query_places
from deepibl.datasets.folder import Places
from deepibl.engine import ExtractionSettings, Scales, calibrate, choose_engine, read_scales
from deepibl.engine.batch import extract_prepared
from deepibl.evaluation import recall_at_n
from deepibl.evaluation.measures import crop_features
from deepibl.features import BackboneCache, add_pca_of_images, extract_to_file, read_features
from deepibl.features.extraction import provenance
from deepibl.images import IMAGE_SUFFIXES
from deepibl.networks import load_network
from deepibl.runtime.provenance import file_content
from matlab_compat.simplenn import SimpleNN

NS = (1, 5, 10)
SETS = ("cambridge", "day", "night", "lund", "corridor")
PAIRED = SETS[:4]
TIMED = 16  # images, after one that warms up
LUND_SIDE = 480  # pixels of the shorter side


@dataclass
class Row:
    """A network in one precision and dimension; found: which queries of each set it finds, (Q, len(NS))."""

    label: str
    found: dict[str, np.ndarray]
    speed: float = 0.0


def data_sets(real: Path) -> dict[str, PlaceDataset]:
    """The five sets by name; right is within 25 m: of Gardens Point and the corridor within two frames."""
    images = real / "images"
    gardens = {each: query_places(images / f"gardens_point/{each}_right.csv") for each in ("day", "night")}
    left = query_places(images / "gardens_point/day_left.csv")
    lund = _lund(images)
    pairs = {
        "cambridge": [query_places(images / f"cambridge/val/{each}.csv") for each in ("db", "query")],
        "day": [left, gardens["day"]],
        "night": [left, gardens["night"]],
        "lund": [lund.subset(range(1, len(lund), 2)), lund.subset(range(0, len(lund), 2))],
        "corridor": [_frames(images / f"corridor/datasets/corridor/{each}") for each in ("ref", "query")],
    }
    return {
        name: dataset_from_places(name, *pair, positive_distance=2.0 if name == "corridor" else 25.0)
        for name, pair in pairs.items()
    }


def training_photos(real: Path) -> list[str]:
    """The files of Cambridge's training district, which no test set shows."""
    places = [query_places(real / f"images/cambridge/train/{each}.csv") for each in ("db", "query")]
    return [str(Path(each.root) / name) for each in places for name in each.names]


def _lund(images: Path) -> Places:
    with open(images / "lund_gps_utm33N.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if "opensfm_lund" in row["file"]]
    names = [row["file"].removeprefix("opensfm_lund/") for row in rows]
    metres = np.array([[float(row["utm_e"]), float(row["utm_n"])] for row in rows])
    return Places(str(images / "lund"), names, metres, "33N", as_stored=True)


def _frames(folder: Path) -> Places:
    """The frames of one walk along the corridor, frame i at i metres."""
    names = sorted((each.name for each in folder.iterdir()), key=lambda name: int(Path(name).stem))
    assert all(Path(name).suffix in IMAGE_SUFFIXES for name in names)
    return Places(str(folder), names, np.array([[i, 0.0] for i in range(len(names))]), None, as_stored=True)


def rows_of(
    file: Path, sets: dict[str, PlaceDataset], training: Sequence[str], keep: Path, given: argparse.Namespace
) -> Iterator[Row]:
    """The rows of one network."""
    net = load_network(file)
    label = f"{file.parent.name}/{file.stem}"
    dimensions = sorted(given.whiten, reverse=True)
    if dimensions:
        rough = "bf16" if "fp32" not in given.precision else "fp32"
        settings = ExtractionSettings(engine="fused", precision=rough, max_side=None)
        stem = keep / f"{file.parent.name}_{file.stem}_{rough}"
        net = add_pca_of_images(net, "/", training, stem, dim=dimensions[0], settings=settings)
    for precision in given.precision:
        scales = _scales(net, label, training, keep) if precision == "int8" else None
        settings = ExtractionSettings(
            engine=given.engine, precision=precision, scales=scales, max_side=None, batch_size=1
        )
        speed = images_per_second(net, settings)
        for dim in dimensions or [0]:
            found = {}
            for name, dataset in sets.items():
                how = replace(settings, resize=LUND_SIDE if name == "lund" else None)
                found[name] = found_by(net, dataset, given, how, dim)
            size = f", {dim}-D" if dim else ""
            yield Row(f"{label}, {precision}{size}", found, speed)


def found_by(
    net: SimpleNN,
    dataset: PlaceDataset,
    given: argparse.Namespace,
    settings: ExtractionSettings,
    dim: int = 0,
) -> np.ndarray:
    """Which queries the network finds (Q, len(NS)) with `dim` dimensions (0: all), from kept descriptors."""
    rows = []
    with ExitStack() as stack:
        cache = None
        if given.first and settings.resize is None:
            kept = {"store": "disk", "folder": given.keep, "keep": True, "engine": "fused"}
            cache = stack.enter_context(BackboneCache(net, given.first, **kept))
        for part in ("q", "db"):
            paths = dataset.image_paths(part)
            made_of = provenance(net, "/", paths, settings, cache, file_content)
            file = given.keep / f"{dataset.name}_{part}_{made_of.digest[:16]}.bin"
            if not file.exists():
                extract_to_file(net, "/", paths, file, backbone=cache, settings=settings)
            rows.append(crop_features(read_features(file, count=len(paths)), dim))
    return recall_at_n(*rows, dataset, ns=NS).found


def _scales(net: SimpleNN, label: str, training: Sequence[str], keep: Path) -> Scales:
    """The network's scales for int8, of a hundred photos of the training district."""
    file = keep / f"{label.replace('/', '_')}_{len(net)}.scales"
    if not file.exists():
        calibrate(net, training[:: max(1, len(training) // 100)]).save(file)
    return read_scales(file)


def images_per_second(net: SimpleNN, settings: ExtractionSettings) -> float:
    """Descriptors a second, one image of 320 x 320 pixels at a time, without reading it."""
    engine = choose_engine(
        net, settings.engine, settings.precision, torch.device("cpu"), scales=settings.scales
    )
    image = net.prepare(torch.rand(1, 3, 320, 320) * 255)
    with torch.inference_mode():
        extract_prepared(net, image, settings.precision, engine)
        began = time.perf_counter()
        for _ in range(TIMED):
            extract_prepared(net, image, settings.precision, engine)
    return TIMED / (time.perf_counter() - began)


def recall_table(rows: Sequence[Row], sets: dict[str, PlaceDataset]) -> Table:
    """Recall@1, 5, 10 in percent of each set, the first with its 95 % interval (Wilson)."""
    table = Table("Recall@1 [95 %], 5, 10", ["network", *sets, "images/s"])
    for row in rows:
        table.rows.append([row.label, *(_cell(row.found[name]) for name in sets), f"{row.speed:.1f}"])
    return table


def _cell(found: np.ndarray) -> str:
    low, high = binomtest(int(found[:, 0].sum()), len(found)).proportion_ci(method="wilson")
    first, *others = (f"{100 * each:.1f}" for each in found.mean(axis=0))
    return f"{first} [{100 * low:.0f}–{100 * high:.0f}], {', '.join(others)}"


def paired_table(rows: Sequence[Row], sets: dict[str, PlaceDataset]) -> Table:
    """Queries that a row answers rightly (Recall@1) and the first row does not, and the other way round."""
    names = [name for name in PAIRED if name in sets]
    table = Table(f"Against {rows[0].label}", ["network", *names, "together", "p"])
    for row in rows[1:]:
        cells, gained, lost = [], 0, 0
        for name in names:
            now, before = row.found[name][:, 0], rows[0].found[name][:, 0]
            plus, minus = int((now & ~before).sum()), int((before & ~now).sum())
            cells.append(f"+{plus} −{minus}")
            gained, lost = gained + plus, lost + minus
        p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        table.rows.append([row.label, *cells, f"+{gained} −{lost}", f"{p:.2g}"])
    return table


def main() -> None:
    """The command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("networks", type=Path, nargs="+")
    parser.add_argument("--keep", type=Path, default=Path("city"), help="folder for descriptors")
    parser.add_argument("--precision", nargs="+", default=["fp32"], choices=["fp32", "bf16", "int8"])
    parser.add_argument("--engine", default="fused")
    parser.add_argument("--whiten", type=int, nargs="+", default=[], metavar="DIM")
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    parser.add_argument("--first", default="", help="a layer; the maps below it are kept and shared")
    given = parser.parse_args()
    if given.first and (given.whiten or "int8" in given.precision):
        parser.error("--first goes neither with --whiten nor with int8")
    real = given.real.resolve()
    given.keep.mkdir(parents=True, exist_ok=True)
    keep_buffers()  # as the command does
    sets = {name: each for name, each in data_sets(real).items() if name in given.sets}
    training = training_photos(real)
    rows = [row for file in given.networks for row in rows_of(file, sets, training, given.keep, given)]
    recall_table(rows, sets).print()
    if len(rows) > 1:
        paired_table(rows, sets).print()


if __name__ == "__main__":
    main()
