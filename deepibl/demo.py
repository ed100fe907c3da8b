"""`deepibl demo`: the main job from end to end, on a generated city and with the small network that ships."""

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
from deepibl.recall import evaluate_network
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
    """Makes a city, measures Recall@N in it, indexes it and localizes photos; returns Recall@1.

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
        say(f"2. Recall@N of the network {NETWORK} that ships (no gradient training), and of raw pixels")
        evaluation = evaluate_network(net, dataset, label=NETWORK)
        say(recall_table(evaluation))
        say(f"raw pixels: Recall@1 {raw_pixel_recall(dataset):.4f}\n")
        say(f"3. An index of the city, and where {_SHOWN} photos of it were taken")
        places = database_places(city, root=city.parent)
        index, _ = build_index(net, places, place / "city.idx", network_path=path)
        photos = dataset.image_paths("q")[:_SHOWN]
        found, _ = localize(net, photos, index, top=3)
        say(match_table(found))
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
