"""Making an index of geo-tagged images, adding to it, and finding where photos were taken."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from deepibl.datasets.folder import Places
from deepibl.datasets.geo import DEGREES, to_degrees
from deepibl.datasets.positions import refuse_degrees
from deepibl.engine.batch import extract_batch
from deepibl.engine.scales import identity_of
from deepibl.engine.settings import ComputeOptions, ExtractionSettings, ImageOptions
from deepibl.errors import Failure, IndexFileError
from deepibl.features.extraction import extract, extract_to_file, listed, provenance
from deepibl.features.files import read_features
from deepibl.images import AS_STORED, Reading, load_pixels
from deepibl.runtime.devices import device_of, inference, to_batch
from deepibl.runtime.files import RowView, from_plain, read_note, write_note
from deepibl.runtime.processes import require_visible, team
from deepibl.runtime.progress import counted
from deepibl.runtime.provenance import Provenance, file_times, note_of
from deepibl.search.answer import Answer, Position
from deepibl.search.backends import BACKENDS, Index, open_index
from deepibl.search.confidence import THRESHOLD
from deepibl.search.geometry import Reranker
from deepibl.search.index import PlaceIndex, by_place, check_question, names_below
from deepibl.search.milvus import MilvusIndex, is_database
from matlab_compat.errors import ArgumentError
from matlab_compat.files import StrPath

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack

_NEAR = 25.0  # metres, the usual limit of positives


def build_index(
    net: nn.Module,
    places: Places,
    out: StrPath,
    *,
    network_path: StrPath = "",
    backend: str = "exact",
    half: bool = False,
    threshold: float = THRESHOLD,
    known: Places | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ImageOptions],
) -> tuple[Index, list[Failure]]:
    """Extracts the descriptors of the images of `places` and writes the index `out`.

    net: a network (SimpleNN, or any extractor). places: images whose positions may be unknown (NaN).
    backend: 'exact', 'ivfpq', 'hnsw': a file; 'milvus': a database (`deepibl.search.backends`). half: keep
    descriptors in float16. threshold: metres within which a match is right, for the confidence of answers;
    known: query photos with positions that it is fitted on (default: images of the index). settings, options:
    see `ExtractionSettings`; own photos are turned upright and scaled, unless these say otherwise.
    Returns the index, as opened from `out`, and the images that could not be read: those are not in it.
    Killed and started again, it resumes (from partial descriptors beside `out`). Processes that torchrun
    started share the work, if all call it; a database is then opened by process 0 alone, and the others get
    an index in memory.
    Raises ExtractionError when no image at all could be read, ArgumentError for an unknown backend: an older
    index then stays as it was.
    """
    settings = ExtractionSettings.of(build_index, settings, options, on_error="skip")
    if isinstance(settings.resize, Sequence):
        raise ArgumentError(f"an index keeps resize as pixels of the shorter side; got {settings.resize}")
    where = os.fspath(out)
    if backend not in BACKENDS:
        raise ArgumentError(f"backend must be one of {', '.join(BACKENDS)}; got {backend!r}")
    if (backend == "milvus") != is_database(os.fspath(where)):
        others = "FOLDER.db or http://HOST:PORT/COLLECTION is for milvus, any other file for the others"
        raise ArgumentError(f"{where} is not for --backend {backend}: {others}")
    if backend != "milvus" and os.path.isdir(where):
        raise ArgumentError(f"{where} is a folder: name the file of the index, as in {where.rstrip('/')}.idx")
    settings = settings.for_photos(own=not places.as_stored)
    partial = _partial(where)
    found, failures = _extract(net, places, partial, settings, half)
    kept = os.path.exists(network_path)  # else it is the name of a library's model
    where_from = os.path.abspath(network_path) if kept else os.fspath(network_path)
    bare = PlaceIndex(**found, network_path=where_from)
    queries, more = _described(net, known, settings, bare.frame)

    def write() -> None:
        first = os.path.join(bare.root, bare.names[0])
        made = replace(bare, blanks=_blanks(net, first, bare.reading))
        if backend == "milvus":
            MilvusIndex.create(where, made.with_confidence(threshold, queries)).close()
        else:
            made.with_backend(backend).with_confidence(threshold, queries).save(where)
        _done(partial)

    team().lead(write)
    return _opened(where, bare), failures + more


def add_to_index(
    net: nn.Module,
    places: Places,
    where: StrPath,
    *,
    known: Places | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ComputeOptions],
) -> tuple[Index, list[Failure], int]:
    """Adds to an index those images of `places` that are not in it yet.

    The index keeps its backend, how images are scaled and turned, and whether it is in float16. A file is
    written again (to a temporary name) with the confidence fitted anew, on `known` as in `build_index`; to a
    database the new images are added, and its calibration stays. settings, options: see `ExtractionSettings`.
    Returns the index, the images that could not be read, and how many were in it already.
    Raises NetworkMismatchError for another network, IndexFileError where another program has written the file
    meanwhile, and what `build_index` raises.
    """
    settings = ExtractionSettings.of(add_to_index, settings, options, **asdict(AS_STORED), on_error="skip")
    if is_database(os.fspath(where)) and (team().size > 1 or known is not None):
        raise ArgumentError(
            f"{where} is a database: add to it with one process, without torchrun, and without known queries"
        )
    opened, index = file_times(where), open_index(where)  # in this order: another may write it between
    index.require_network(identity_of(net, settings.scales))
    names = names_below(index.root, os.path.abspath(places.root), places.names)
    there = index.holds(names)
    new = places.subset([i for i, name in enumerate(names) if name not in there])
    partial = _partial(os.fspath(where))
    if not len(new) and known is None:
        team().lead(lambda: _done(partial))  # of a run that was killed when the index was whole already
        return index, [], len(there)
    settings = replace(settings, **asdict(index.reading))
    more, failures = index, list[Failure]()
    if len(new):
        found, failures = _extract(net, new, partial, settings, False)
        more = index.merge(PlaceIndex(**found))
    queries, failed = _described(net, known, settings, index.frame)

    def write() -> None:
        if isinstance(more, PlaceIndex):
            made = more.with_confidence(index.calibration.threshold, queries)
            if file_times(where) != opened:
                raise IndexFileError(f"{where} was written by another program meanwhile: add to it again")
            made.save(where)
        _done(partial)

    team().lead(write)
    return _opened(where, more), failures + failed, len(there)


def localize(
    net: nn.Module,
    photos: Iterable[StrPath],
    index: Index,
    *,
    top: int = 5,
    near: Any = None,
    within: float | None = None,
    reranker: Reranker | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ComputeOptions],
) -> tuple[dict[Any, Answer], list[Failure]]:
    """For each photo that can be read the `top` most similar images, and the photos that cannot be read.

    An answer is a list of matches that says how sure the best one is, and where it puts the photo.
    photos: files; `deepibl.serve.PlaceFinder` takes images in memory. near, within: only images within metres
    of one position, or of one for each photo. reranker: orders the first answers by geometry; it reads
    the index's images. settings, options: see `ExtractionSettings`; photos are scaled and turned as these.
    Raises NetworkMismatchError for another network's index, MissingImageError where the index's images are
    needed and not there.
    """
    settings = ExtractionSettings.of(localize, settings, options, **asdict(index.reading), on_error="skip")
    index.require_network(identity_of(net, settings.scales))
    photos = listed(photos)
    check_question(index.dim, np.empty((0, index.dim)), near, within, top)
    if near is not None:
        next(by_place(near, len(photos), index.frame))
    features, kept, failures = extract(net, photos, settings=settings)
    if np.ndim(near) == 2 and len(near) == len(photos):
        near = np.asarray(near)[kept]
    depth = max(top, reranker.first if reranker else 0)
    answers = index.search(features, depth, near=near, within=within) if len(kept) else []
    found = {photos[i]: answer for i, answer in zip(kept, answers, strict=True)}
    if reranker is not None:
        for photo, answer in counted(found.items(), len(found), "comparing photos"):
            order, inliers = reranker.order(photo, [match.path for match in answer])
            found[photo] = answer.ordered(order.tolist(), inliers, top)
    return found, failures


def _blanks(net: nn.Module, like: str, reading: Reading) -> np.ndarray:
    """Descriptors (P, D) of grey cards, of the size of an image file."""
    size = load_pixels(like, reading).shape[1:]
    cards = (to_batch([torch.full((3, *size), grey)], device_of(net)) for grey in (0.0, 64.0, 128.0, 255.0))
    with inference(net):
        rows = np.concatenate([extract_batch(net, card).cpu().numpy() for card in cards])
    return rows[np.isfinite(rows).all(axis=1)]


def _described(
    net: nn.Module, known: Places | None, settings: ExtractionSettings, frame: str | None
) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[Failure]]:
    """Descriptors and positions, in a frame, of queries with positions, and those that cannot be read."""
    if known is None:
        return None, []
    photos = known.known()
    kinds = ["on the globe" if each else "in metres, or unknown" for each in (photos.frame, frame)]
    if not len(photos) or kinds[0] != kinds[1]:
        found = f"the queries' are {kinds[0]}, the index's {kinds[1]}"
        raise ArgumentError(f"queries and index need known positions of one kind; {found}")
    features, kept, failures = extract(net, photos.names, root=photos.root, settings=settings)
    places = photos.positions if frame is None else to_degrees(photos.positions, photos.frame or DEGREES)
    return (features, places[kept]), failures


def _extract(
    net: nn.Module, places: Places, partial: Path, settings: ExtractionSettings, half: bool
) -> tuple[dict[str, Any], list[Failure]]:
    """The fields of an index of the images that can be read; descriptors are mapped from the file `partial`.

    A note beside it says what it holds, so that a run that was killed later starts from it.
    """
    if places.frame != DEGREES:
        refuse_degrees(places.root, places.positions, _NEAR)
    made_of = Provenance.from_dict(
        team().lead(lambda: provenance(net, places.root, places.names, settings, mark=file_times).as_dict())
    )
    note = team().lead(lambda: _noted(partial, made_of))
    if note is None:
        report = extract_to_file(net, places.root, places.names, partial, settings=settings)
        note = asdict(_Note(made_of.as_dict(), report.kept.tolist(), report.failures))
        team().lead(lambda: write_note(note_of(partial), note))
    kept, failures = note["kept"], [Failure(**each) for each in note["failures"]]
    opened: list[np.ndarray] = []  # in all processes, before process 0 removes the file
    team().gather(lambda: opened.append(read_features(partial, count=len(kept), mmap=True)))
    descriptors = opened[0]
    fields: dict[str, Any] = {
        "descriptors": RowView([(descriptors, None)], np.float16) if half else descriptors,
        "names": [places.names[i] for i in kept],
        "positions": places.positions[kept],
        "network_id": made_of.network,
        "root": os.path.abspath(places.root),
        "frame": places.frame,
        "reading": settings.reading,
    }
    return fields, failures


@dataclass(frozen=True)
class _Note:
    made_of: Any
    kept: list[int]
    failures: list[Failure]


def _noted(partial: Path, made_of: Provenance) -> dict[str, Any] | None:
    """Which images an earlier run has extracted, and which failed; None if it did not finish or differs."""
    try:
        older = partial.stat().st_mtime <= note_of(partial).stat().st_mtime
        note: _Note = from_plain(_Note, read_note(note_of(partial)), "the note")
    except (OSError, ValueError):
        return None
    fits = older and note.kept and not Provenance.from_dict(note.made_of).differences(made_of)
    return asdict(note) if fits and all(0 <= i < made_of.count for i in note.kept) else None


def _done(partial: Path) -> None:
    partial.unlink(missing_ok=True)
    note_of(partial).unlink(missing_ok=True)


def _opened(where: StrPath, made: Index) -> Index:
    """The index that process 0 has written, opened; `made` where only process 0 has the database open."""
    if not isinstance(made, PlaceIndex):
        return made
    if is_database(os.fspath(where)):
        return open_index(where) if team().leads else made
    path = Path(where)
    require_visible(path, team().lead(lambda: path.stat().st_size))
    return open_index(path)


def _partial(where: str) -> Path:
    """Where descriptors are until the index is written: beside it, or in this folder for a server."""
    if where.startswith("http"):
        return Path(f"{where.rstrip('/').rpartition('/')[2]}.features.bin")
    return Path(where.rstrip("/") + ".features.bin")


def out_of_range(index: Index, near: Any, within: float) -> str:
    """A sentence: no image is within metres of a position (2,), and how far the nearest is, if known."""
    metres = index.metres_from(near) if isinstance(index, PlaceIndex) else np.array([])
    known = f"; the nearest is {np.nanmin(metres):,.0f} m away" if np.isfinite(metres).any() else ""
    place = ", ".join(f"{each:.10g}" for each in near)
    return f"no image of the index is within {within:g} m of {place}{known}"


def match_table(found: Mapping[str, Answer]) -> str:
    """For each photo its verdict, its position, and its matches, best first.

    A line a match: rank, distance of descriptors, confidence, position, name; then the map link.
    """
    lines = []
    for photo, answer in found.items():
        lines.append(f"{photo}: {answer.summary}")
        if answer.estimate:
            lines += [f"  at  {answer.estimate}", *_link(answer.estimate)]
        for match in answer:
            sure = "" if match.confidence is None else f"{match.confidence:.2f}  "
            sure += "" if match.inliers is None else f"{match.inliers:3d} inliers  "
            lines.append(f"  {match.rank:2d}  {match.distance:.4f}  {sure}{match.position}  {match.name}")
            lines += _link(match)
    return "\n".join(lines)


def _link(place: Position) -> list[str]:
    return [f"      {place.map_link}"] if place.map_link else []
