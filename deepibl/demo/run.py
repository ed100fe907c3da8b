"""`deepibl demo`: index, localize, Recall@N, map and page, by the default network.

Real street photos: lund/ of this package, 29 of one street, by mapillary (lund/README.md, lund/LICENSE).
Every other one is in the database, the rest are queries. `--city`: the same on photos of the toy city. Each
step calls what the command printed before it calls.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from deepibl import toycity  # its modules are loaded when they are used
from deepibl.datasets.catalog import database_places, query_places
from deepibl.datasets.geo import metres_between
from deepibl.datasets.place import PlaceDataset
from deepibl.errors import how_many
from deepibl.evaluation.evaluate import evaluate_index, recall_lines
from deepibl.evaluation.measures import recall_at_n
from deepibl.images import read_image
from deepibl.networks.io import load_network
from deepibl.networks.weights import DEFAULT_NETWORK, find_network
from deepibl.report.retrieval import write_report
from deepibl.search.localization import build_index, localize, match_table
from matlab_compat.files import StrPath

Say = Callable[[str], object]
_SHOWN = (3, 8)  # of the queries: whose answers are printed


def run_demo(folder: StrPath, *, say: Say = print) -> float:
    """Indexes photos of a street, localizes others of it, measures; returns Recall@1 within 25 m.

    folder: where photos, index and page are left; those of an earlier run are replaced. say: prints a line.
    """
    say("29 photos of a street in Lund, Sweden, with GPS (mapillary/OpenSfM, BSD-2-Clause)")
    return _show(Path(folder), "lund", *copy_photos(folder), say)


def copy_photos(folder: StrPath) -> tuple[Path, Path]:
    """Copies the photos to folder/database and folder/queries, in turn; returns these two folders."""
    parts = Path(folder) / "database", Path(folder) / "queries"
    for number, photo in enumerate(sorted((Path(__file__).parent / "lund").glob("*.jpg"))):
        parts[number % 2].mkdir(parents=True, exist_ok=True)
        shutil.copyfile(photo, parts[number % 2] / photo.name)
    return parts


def run_city_demo(folder: StrPath, *, images: int = 200, seed: int = 0, say: Say = print) -> float:
    """As `run_demo`, with `images` database photos of a generated city and a third as many queries.

    seed: which city. The queries are of other dates, by day, at sunset and at night.
    """
    say(f"A toy city of {images} database images, seed {seed} (day, sunset and night; see deepibl.toycity)")
    place = toycity.make_city(Path(folder) / "city", images=images, seed=seed).parent
    sources = place / "toycity_test_images.csv", place / "toycity_test_queries.csv"
    return _show(Path(folder), "toycity", *sources, say)


def _show(place: Path, name: str, database: Path, queries: Path, say: Say) -> float:
    """Both demos' steps from sources (a folder or CSV each) to the page."""
    path, index_file = find_network(), place / f"{name}.idx"
    net = load_network(path)
    say(f"\n1. An index of the database, by the network {DEFAULT_NETWORK}")
    say(f"$ deepibl index {database} -o {index_file}")
    index, _ = build_index(net, database_places(database), index_file, network_path=path)
    say(f"{how_many(len(index), 'image')}, {index.dim} numbers each")

    say(f"\n2. Where {len(_SHOWN)} of the queries were taken")
    known = query_places(queries).subset(_SHOWN)
    asked = [str(Path(known.root, each)) for each in known.names]
    say(f"$ deepibl localize {' '.join(asked)} --index {index_file} --top 3")
    found, _ = localize(net, asked, index, top=3)
    say(match_table(found))
    for photo, position in zip(asked, known.positions, strict=True):
        best = found[photo][0]
        answer = np.array([best.latitude, best.longitude], float)
        metres = metres_between(position, answer, known.frame)
        say(f"{Path(photo).name}: the best match is {metres:.0f} m from where the photo was taken")

    say("\n3. Recall@N: how often one of the first N answers is within 25 m of the query")
    command = f"deepibl evaluate --index {index_file} --queries {queries} --report {place / 'report'}"
    say(f"$ {command}")
    evaluation = evaluate_index(net, index_file, queries, label=DEFAULT_NETWORK)
    say(recall_lines(evaluation))
    dataset = evaluation.dataset
    right = [len(dataset.positives(query)) for query in range(dataset.query_count)]
    chance, pixels = np.mean(right) / dataset.database_size, raw_pixel_recall(dataset)
    say(f"Recall@1 of a random answer: {100 * chance:.1f}; of tiny grey pictures: {100 * pixels:.1f}")

    page = write_report(evaluation, place / "report", command)
    say(f"\n4. A page with the map, and pictures of right and wrong answers: {page.resolve()}")
    say(f"\nAll is left in {place.resolve()}: the photos, {index_file.name}, report/")
    say(f"Drop photos on a page: deepibl serve --index {index_file}; your own: deepibl index PHOTOS")
    return float(evaluation.result.at(1))


def raw_pixel_recall(dataset: PlaceDataset, size: tuple[int, int] = (24, 32)) -> float:
    """Recall@1 of comparing tiny grey pictures (height, width) without mean and contrast: the baseline."""

    def describe(paths: list[str]) -> np.ndarray:
        tiny = np.stack([np.asarray(read_image(path, size)).mean(0).ravel() for path in paths])
        tiny -= tiny.mean(1, keepdims=True)
        return tiny / np.linalg.norm(tiny, axis=1, keepdims=True).clip(1e-6)

    queries, database = (describe(dataset.image_paths(which)) for which in ("q", "db"))
    return float(recall_at_n(queries, database, dataset, [1]).at(1))
