"""Builds the small network that ships, weights/toycity_offtheshelf.mat, from nothing but a seed.

The training district of the toy city is photographed; the network's filters are fixed, its PCA, clusters and
whitening are computed from those photos (see deepibl.demo.networks; no training by gradients, no labels).

    python scripts/make_small_network.py                        # some minutes
    python scripts/make_small_network.py --images 400 --out /tmp/net.mat --folder /tmp/city
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deepibl.datasets import load_dbstruct
from deepibl.demo import small_network
from deepibl.images import read_image
from deepibl.networks import network_id, save_network
from deepibl.toycity import make_city

OUT = Path(__file__).resolve().parent.parent / "weights" / "toycity_offtheshelf.mat"
IMAGES, SEED = 1600, 0


def make(out: Path, folder: Path, images: int = IMAGES, seed: int = SEED) -> str:
    """Makes the city in `folder` and the network in `out`; returns the network's identity."""
    mat = make_city(folder, images=images, seed=seed, split="train")
    dataset = load_dbstruct(mat, root=folder)
    files = dataset.image_paths("db") + dataset.image_paths("q")
    net = small_network(files, lambda i: read_image(files[i]), name="toycity_train")
    save_network(net, out)
    return network_id(net)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; see the module."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--out", type=Path, default=OUT, help="the network's file (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="where to keep the photos (default: a temporary folder)")
    parser.add_argument("--images", type=int, default=IMAGES, help="database photos (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="which city (default: %(default)s)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="toycity-") as temporary:
        print(make(given.out, given.folder or Path(temporary), given.images, given.seed))


if __name__ == "__main__":
    main()
