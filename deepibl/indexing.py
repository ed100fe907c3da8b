"""Making an index of geo-tagged images, and asking it where photos were taken."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepibl.dataset_folder import Places
from deepibl.errors import ExtractionError
from deepibl.feature_shards import require_visible
from deepibl.features import Failure, extract, extract_to_file, read_features
from deepibl.index import Match, PlaceIndex
from deepibl.networks import network_id
from deepibl.processes import team


def build_index(
    net: Any,
    places: Places,
    out: str | os.PathLike[str],
    *,
    network_path: str | os.PathLike[str] = "",
    resize: int | None = None,
    **settings: Any,
) -> tuple[PlaceIndex, list[Failure]]:
    """Describes the images of `places` and writes the index `out`; positions may be unknown (NaN).

    net: a network (SimpleNN, or any extractor). resize: shorter side in pixels that images are scaled to.
    settings: what `extract_to_file` takes (batch_size, device, precision, progress …).
    Returns the index, as opened from the file, and the images that could not be read: those are not in it.
    Killed and started again, it goes on where it was (partial descriptors lie beside `out`). Processes that
    torchrun started share the work, if all call it.
    Errors: ExtractionError when no image at all could be read.
    """
    out = Path(out)
    partial = out.with_name(out.name + ".features.bin")
    report = extract_to_file(
        net, places.root, places.names, partial, resize=resize, on_error="skip", **settings
    )
    kept = report.kept
    if not len(kept):
        raise ExtractionError(f"none of the {len(places)} images under {places.root} could be read")

    def save() -> int:
        PlaceIndex(
            descriptors=read_features(partial, count=len(kept)),
            names=[places.names[i] for i in kept],
            positions=places.positions[kept],
            network_id=network_id(net),
            network_path=os.path.abspath(network_path) if network_path else "",
            root=os.path.abspath(places.root),
            utm_zone=places.utm_zone,
            resize=resize,
        ).save(out)
        partial.unlink()
        return out.stat().st_size

    size = team().lead(save)
    require_visible(out, size)
    return PlaceIndex.load(out), report.failures


def localize(
    net: Any, photos: Sequence[str], index: PlaceIndex, *, top: int = 5, **settings: Any
) -> tuple[dict[str, list[Match]], list[Failure]]:
    """The `top` most similar images of the index for each photo that can be read, and the photos that cannot.

    Photos are scaled as the index's images were. Errors: NetworkMismatchError for another network's index.
    """
    index.require_network(network_id(net))
    features, kept, failures = extract(net, list(photos), resize=index.resize, on_error="skip", **settings)
    matches = index.search(features, top) if len(kept) else []
    return {photos[i]: found for i, found in zip(kept, matches, strict=True)}, failures
