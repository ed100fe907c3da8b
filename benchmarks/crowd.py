"""Descriptors of real streets and of a crowd of other photos, for `python -m benchmarks.scale --real`.

    python -m benchmarks.crowd REAL OUT [--network streets] [--images 100000] [--precision fp32]

REAL is the folder of `benchmarks.city`. OUT/rows.npy gets the database photos of Cambridge, Gardens Point (by
day) and Lund first, then random parts of the photos of Cambridge's training district, which no query shows;
OUT/queries.npy the queries by day; OUT/right.npy (Q, D) which database photos are right for each.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from benchmarks.city import LUND_SIDE, data_sets, training_photos
from benchmarks.measure import command_line
from deepibl.engine import choose_engine
from deepibl.engine.batch import extract_prepared
from deepibl.features import extract
from deepibl.networks import load_network
from deepibl.runtime import inference
from matlab_compat.simplenn import SimpleNN

SETS = ("cambridge", "day", "lund")
PARTS = v2.RandomResizedCrop(160, (0.1, 0.6))  # about the scale of the photos, of 320 x 320
AT_ONCE = 16  # parts of a photo that are described together


def city_descriptors(net: SimpleNN, real: Path, precision: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Descriptors of the database and of the queries, and (Q, D) which are right."""
    sets = {name: each for name, each in data_sets(real).items() if name in SETS}
    database, queries, right = [], [], []
    for name, dataset in sets.items():
        resize = LUND_SIDE if name == "lund" else None
        for rows, which in ((database, "db"), (queries, "q")):
            images = dataset.image_paths(which)
            rows.append(extract(net, images, precision=precision, resize=resize, max_side=None))
        right.append(np.zeros((dataset.query_count, dataset.database_size), bool))
        for query in range(dataset.query_count):
            right[-1][query, dataset.positives(query)] = True
    blocks = torch.block_diag(*(torch.from_numpy(each).float() for each in right)).numpy() > 0
    return np.concatenate(database), np.concatenate(queries), blocks


def crowd(net: SimpleNN, photos: list[str], precision: str) -> Iterator[np.ndarray]:
    """Descriptors (AT_ONCE, D) of random parts of each photo, round by round without end."""
    engine = choose_engine(net, "auto", precision, torch.device("cpu"))
    for path in itertools.cycle(photos):
        with Image.open(path) as file:
            pixels = v2.functional.pil_to_tensor(file.convert("RGB"))
        parts = torch.stack([PARTS(pixels) for _ in range(AT_ONCE)]).float()
        yield extract_prepared(net, net.prepare(parts), precision, engine).flatten(1).numpy()


def main() -> None:
    """The command line; see the module."""
    parser = command_line(__doc__)
    parser.add_argument("real", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--network", default="streets")
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    net = load_network(given.network)
    database, queries, right = city_descriptors(net, given.real, given.precision)
    np.save(given.out / "queries.npy", queries)
    np.save(given.out / "right.npy", right)
    rows = np.lib.format.open_memmap(
        given.out / "rows.npy", "w+", np.float32, (given.images, database.shape[1])
    )
    filled = len(database)
    rows[:filled] = database[: given.images]
    with inference(net):
        parts = crowd(net, training_photos(given.real), given.precision)
        while filled < given.images:
            some = next(parts)[: given.images - filled]
            rows[filled : filled + len(some)] = some
            filled += len(some)
    rows.flush()


if __name__ == "__main__":
    main()
