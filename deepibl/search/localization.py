"""Making an index of geo-tagged images, adding to it, and asking it where photos were taken."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.folder import Places
from deepibl.engine.scales import identity_of
from deepibl.errors import ExtractionError, Failure
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features
from deepibl.features.shards import require_visible
from deepibl.runtime.files import RowView, read_note
from deepibl.runtime.processes import team
from deepibl.search.backends import BACKENDS, Index, open_index
from deepibl.search.index import Match, PlaceIndex, names_below
from deepibl.search.milvus import is_database
from matlab_compat.errors import ArgumentError
from matlab_compat.files import atomic_output


def build_index(
    net: Any,
    places: Places,
    out: str | os.PathLike[str],
    *,
    network_path: str | os.PathLike[str] = "",
    resize: int | None = None,
    backend: str = "exact",
    half: bool = False,
    **settings: Any,
) -> tuple[Index, list[Failure]]:
    """Describes the images of `places` and writes the index `out`; positions may be unknown (NaN).

    net: a network (SimpleNN, or any extractor). resize: shorter side in pixels that images are scaled to.
    backend: 'exact', 'ivfpq', 'hnsw': a file; 'milvus': a database (`deepibl.search.backends`). half: keep
    descriptors in float16. settings: what `extract_to_file` takes (batch_size, device, precision …).
    Returns the index, as opened from `out`, and the images that could not be read: those are not in it.
    Killed and started again, it goes on where it was (partial descriptors lie beside `out`). Processes that
    torchrun started share the work, if all call it; a database is then opened by process 0 alone, and the
    others get an index in memory.
    Errors: ExtractionError when no image at all could be read, ArgumentError for an unknown backend.
    """
    where = os.fspath(out)
    if backend not in BACKENDS:
        raise ArgumentError(f"{backend!r} is no backend; there are {', '.join(BACKENDS)}")
    if (backend == "milvus") != is_database(os.fspath(where)):
        raise ArgumentError(
            f"{where} does not go with --backend {backend}: milvus writes to FOLDER.db or "
            "http://HOST:PORT/COLLECTION, the others to a file"
        )
    partial = _partial(where)
    described, failures = _describe(net, places, partial, resize, half, **settings)
    made = PlaceIndex(**described, network_path=os.path.abspath(network_path) if network_path else "")

    def write() -> None:
        if backend == "milvus":
            from deepibl.search.milvus import MilvusIndex

            MilvusIndex.create(where, made).close()
        else:
            made.with_backend(backend).save(where)
        _done(partial)

    team().lead(write)
    return _opened(where, made), failures


def add_to_index(
    net: Any, places: Places, where: str | os.PathLike[str], **settings: Any
) -> tuple[Index, list[Failure], int]:
    """Describes those images of `places` that are not in the index yet, and adds them to it.

    The index keeps its backend, scale of images and precision. A file is written anew (to a temporary name);
    a database takes the new images alone. settings: as of build_index. Returns the index, the images that
    could not be read, and how many were there already.
    Errors: NetworkMismatchError for another network; as of build_index.
    """
    if team().size > 1 and is_database(os.fspath(where)):
        raise ArgumentError(f"{where} is a database: add to it with one process, without torchrun")
    index = open_index(where)
    index.require_network(identity_of(net, settings.get("scales")))
    names = names_below(index.root, os.path.abspath(places.root), places.names)
    there = index.holds(names)
    new = places.subset([i for i, name in enumerate(names) if name not in there])
    partial = _partial(os.fspath(where))
    if not len(new):
        team().lead(lambda: _done(partial))  # of a run that was killed when the index was whole already
        return index, [], len(there)
    described, failures = _describe(net, new, partial, index.resize, False, **settings)
    more = index.merge(PlaceIndex(**described))

    def write() -> None:
        if isinstance(more, PlaceIndex):
            more.save(where)
        _done(partial)

    team().lead(write)
    return _opened(where, more), failures, len(there)


def localize(
    net: Any,
    photos: Sequence[str],
    index: Index,
    *,
    top: int = 5,
    near: Any = None,
    within: float | None = None,
    **settings: Any,
) -> tuple[dict[str, list[Match]], list[Failure]]:
    """The `top` most similar images of the index for each photo that can be read, and the photos that cannot.

    near, within: only images within metres of a position (UTM east, north), as of PlaceIndex.search.
    Photos are scaled as the index's images were. Errors: NetworkMismatchError for another network's index.
    """
    index.require_network(identity_of(net, settings.get("scales")))
    features, kept, failures = extract(net, list(photos), resize=index.resize, on_error="skip", **settings)
    matches = index.search(features, top, near=near, within=within) if len(kept) else []
    return {photos[i]: found for i, found in zip(kept, matches, strict=True)}, failures


def _describe(
    net: Any, places: Places, partial: Path, resize: int | None, half: bool, **settings: Any
) -> tuple[dict[str, Any], list[Failure]]:
    """The fields of an index of the images that can be read; descriptors are mapped from `partial`.

    What was described stands in a note beside it, so that a run which was killed while the index was being
    built or written starts with that.
    """
    precision = settings.get("precision", "fp32")
    made_by = identity_of(net, settings.get("scales"))
    described = [made_by, os.path.abspath(places.root), places.names, resize, precision]
    identity = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    note = team().lead(lambda: _noted(partial, identity))
    if note is None:
        report = extract_to_file(
            net, places.root, places.names, partial, resize=resize, on_error="skip", **settings
        )
        failed = [asdict(each) for each in report.failures]
        note = {"identity": identity, "kept": report.kept.tolist(), "failures": failed}
        team().lead(lambda: _write_note(partial, note))
    kept, failures = note["kept"], [Failure(**each) for each in note["failures"]]
    if not len(kept):
        raise ExtractionError(f"none of the {len(places)} images under {places.root} could be read")
    opened: list[np.ndarray] = []  # by all processes, before process 0 takes the file away
    team().gather(lambda: opened.append(read_features(partial, count=len(kept), mmap=True)))
    descriptors = opened[0]
    fields: dict[str, Any] = {
        "descriptors": RowView([(descriptors, None)], np.float16) if half else descriptors,
        "names": [places.names[i] for i in kept],
        "positions": places.positions[kept],
        "network_id": made_by,
        "root": os.path.abspath(places.root),
        "utm_zone": places.utm_zone,
        "resize": resize,
    }
    return fields, failures


def _note(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _write_note(partial: Path, note: dict[str, Any]) -> None:
    with atomic_output(_note(partial)) as temporary:
        temporary.write_text(json.dumps(note))


def _noted(partial: Path, identity: str) -> dict[str, Any] | None:
    """What an earlier run noted of the same images: which are described, which failed; None if nothing."""
    try:
        note = read_note(_note(partial))
        if note["identity"] != identity or partial.stat().st_mtime > _note(partial).stat().st_mtime:
            return None
        found = {
            "kept": [int(i) for i in note["kept"]],
            "failures": [asdict(Failure(**each)) for each in note["failures"]],
        }
        return found if found["kept"] else None
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return None


def _done(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    _note(partial).unlink(missing_ok=True)


def _opened(where: str | os.PathLike[str], made: Index) -> Index:
    """The index that process 0 has written, opened; `made` where a database is open in process 0 alone."""
    if not isinstance(made, PlaceIndex):
        return made
    if is_database(os.fspath(where)):
        return open_index(where) if team().leads else made
    path = Path(where)
    require_visible(path, team().lead(lambda: path.stat().st_size))
    return open_index(path)


def _partial(where: str) -> Path:
    """Where descriptors lie until the index is written: beside it, or in this folder for a server."""
    if where.startswith("http"):
        return Path(f"{where.rstrip('/').rpartition('/')[2]}.features.bin")
    return Path(where.rstrip("/") + ".features.bin")


def match_table(found: Mapping[str, Sequence[Match]]) -> str:
    """For each photo its matches, best first: rank, distance of descriptors, position, name, map link."""
    lines = []
    for photo, matches in found.items():
        lines.append(photo)
        for match in matches:
            place = "position unknown"
            if match.east is not None and match.north is not None:
                place = f"{match.east:.1f} E {match.north:.1f} N"
            lines.append(f"  {match.rank:2d}  {match.distance:.4f}  {place}  {match.name}")
            if match.map_link:
                lines.append(f"      {match.map_link}")
    return "\n".join(lines)
