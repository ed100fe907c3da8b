"""`deepibl demo`: the main job from end to end, on a generated city and with the small network that ships."""

import math
import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.evaluation import recall_at_n
from deepibl.images import read_image
from deepibl.indexing import build_index, localize
from deepibl.match_page import match_page
from deepibl.networks import load_network
from deepibl.recall import evaluate_index
from deepibl.shipped import find_network
from deepibl.sources import database_places
from deepibl.tables import match_table, recall_table
from deepibl.toycity import make_city

NETWORK = "toycity_offtheshelf"
_SHOWN = 3  # photos that are localized and printed


def run_demo(
    folder: str | os.PathLike[str] | None = None,
    *,
    images: int = 200,
    seed: int = 0,
    say: Callable[[str], object] = print,
) -> float:
    """Makes a city, indexes it, measures Recall@N in it and localizes photos; returns Recall@1.

    folder: where to keep images, index and page (default: a temporary folder). images: of the database, 40 to
    20,000; a third as many queries. seed: which city. say: called with each line to print.
    """
    path = find_network(NETWORK)
    net = load_network(path)
    with ExitStack() as stack:
        temporary = stack.enter_context(tempfile.TemporaryDirectory(prefix="deepibl-demo-"))
        place = Path(folder) if folder is not None else Path(temporary)
        say(f"1. A toy city of {images} images, seed {seed} (day, sunset and night; see deepibl.toycity)")
        city = make_city(place / "city", images=images, seed=seed)
        dataset = load_dbstruct(city, root=city.parent)
        say(
            f"2. An index of it, by the network {NETWORK} that ships (nothing in it was trained by gradients)"
        )
        index, _ = build_index(net, database_places(city, city.parent), place / "city.idx", network_path=path)
        say(f"   {len(index)} images, {index.dim} numbers each\n")
        say("3. Recall@N: how often one of the first N answers is within 25 m of the photo asked for")
        evaluation = evaluate_index(net, place / "city.idx", city, root=city.parent, label=NETWORK)
        say(recall_table(evaluation, most=25))
        say(f"   tiny grey pictures compared instead: Recall@1 {raw_pixel_recall(dataset):.4f}\n")
        say(f"4. Where {_SHOWN} photos of it were taken")
        photos = dataset.image_paths("q")[:_SHOWN]
        found, _ = localize(net, photos, index, top=3)
        say(match_table(found))
        for photo, (east, north) in zip(photos, dataset.utmQ, strict=False):
            best = found[photo][0]
            metres = (
                math.hypot(best.east - east, best.north - north) if best.east and best.north else math.nan
            )
            say(f"{Path(photo).name}: the best match is {metres:.0f} m from where the photo was taken")
        if folder is not None:
            page = place / "matches.html"
            page.write_text(match_page(list(found.items())), encoding="utf-8")
            say(f"\nimages, index and a page of the matches: {place}")
    return float(evaluation.result.at(1))


def raw_pixel_recall(dataset: PlaceDataset, size: tuple[int, int] = (24, 32)) -> float:
    """Recall@1 of comparing tiny grey pictures (height, width), mean and contrast removed: what to beat."""
    import torch

    def describe(paths: list[str]) -> torch.Tensor:
        tiny = torch.stack([read_image(path, size).mean(0).flatten() for path in paths])
        tiny = tiny - tiny.mean(1, keepdim=True)
        return tiny / tiny.norm(dim=1, keepdim=True).clamp_min(1e-6)

    queries, database = (describe(dataset.image_paths(which)).numpy() for which in ("q", "db"))
    return float(recall_at_n(queries, database, dataset, [1]).at(1))
