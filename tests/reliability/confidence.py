"""Whether the confidence of answers is what is observed: the table of docs/measuring.md.

    python -m tests.reliability.confidence NET DB.csv=QUERIES.csv … --elsewhere PHOTOS …

An index is made of each database and asked each of its queries, then photos that were taken elsewhere, or
nowhere: grey cards, noise, and the photos of the folders or CSV files given.
"""

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from deepibl.datasets.folder import read_places
from deepibl.networks import find_network, load_network
from deepibl.search import build_index, localize
from deepibl.search.answer import VERDICTS

EDGES = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)


def nowhere(folder: Path, side: int = 320) -> list[str]:
    """Grey cards, noise and blurred colours, as files in a folder."""
    rng, files = np.random.default_rng(0), []
    for number in range(10):
        grey = np.full((side, side, 3), 25 * number)
        coarse = rng.integers(0, 256, (6, 6, 3)).astype(np.uint8)
        soft = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
        for kind, pixels in (("grey", grey), ("noise", rng.integers(0, 256, grey.shape)), ("soft", soft)):
            files.append(str(folder / f"{kind}{number}.png"))
            Image.fromarray(np.asarray(pixels, np.uint8)).save(files[-1])
    return files


def paths(source: str) -> list[str]:
    places = read_places(source)
    return [str(Path(places.root, name)) for name in places.names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("net")
    parser.add_argument("pairs", nargs="+", metavar="DB=QUERIES")
    parser.add_argument("--elsewhere", nargs="*", default=[])
    given = parser.parse_args()
    net = load_network(find_network(given.net))
    with tempfile.TemporaryDirectory() as temporary:
        odd = {"made": nowhere(Path(temporary)), **{each: paths(each) for each in given.elsewhere}}
        for pair in given.pairs:
            db, queries = pair.split("=")
            index, _ = build_index(net, read_places(db), Path(temporary, "a.idx"), batch_size=10)
            print(f"\n{pair}\n{index.calibration}")
            asked = read_places(queries)
            found, _ = localize(net, paths(queries), index, top=1)
            answers = [found[path] for path in paths(queries)]
            places = np.array([[answer[0].east, answer[0].north] for answer in answers])
            right = np.hypot(*(places - asked.positions).T) <= index.calibration.threshold
            sure = np.array([answer.confidence for answer in answers], float)
            brier = np.mean((sure - right) ** 2)
            print(f"right {right.mean():.2f}, confidence {sure.mean():.2f}, Brier {brier:.3f}")
            for low, high in itertools.pairwise(EDGES):
                within = (sure >= low) & ((sure < high) | (high == 1))
                if within.any():
                    shares = f"{sure[within].mean():.2f} predicted, {right[within].mean():.2f} right"
                    print(f"  {low}-{high}: {within.sum()} queries, {shares}")
            for name, photos in odd.items():
                verdicts = [answer.verdict for answer in localize(net, photos, index)[0].values()]
                print(f"  {name}: " + ", ".join(f"{verdicts.count(w)} {w}" for _, w in VERDICTS))


if __name__ == "__main__":
    main()
