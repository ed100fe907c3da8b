"""From a network and a data set, or an index, to Recall@N and its table: what `deepibl evaluate` does."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from copy import copy
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepibl.datasets.catalog import asked_places, threshold_of
from deepibl.datasets.folder import Places, dataset_from_places
from deepibl.datasets.place import ListedPositives, Neighbours, PlaceDataset
from deepibl.engine.scales import identity_of
from deepibl.engine.settings import ComputeOptions, ExtractionSettings, ImageOptions
from deepibl.errors import ExtractionError, Failure, how_many, list_failures
from deepibl.evaluation.measures import PRINT_N, RECALL_NS, RecallResult, crop_features, recall_at_n
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features, stored_names
from deepibl.images import AS_STORED
from deepibl.runtime.processes import team
from deepibl.runtime.progress import apart, counting
from deepibl.runtime.provenance import Provenance, file_content
from deepibl.search.backends import open_index_file
from deepibl.search.geometry import Reranker
from matlab_compat.files import StrPath, file_name

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack


Described = tuple[np.ndarray, Sequence[int], Sequence[Failure]]  # rows, ids of their images, the others


@dataclass(frozen=True)
class Evaluation:
    """Recall@N of a network on a data set, and what was measured.

    dataset: without the images that could not be used, the `failures`. layers: the network's layer names;
    query_features, database_features: the descriptors, for a report.
    """

    dataset: PlaceDataset
    network: str
    network_id: str
    dim: int
    result: RecallResult
    layers: Sequence[str] = ()
    query_features: np.ndarray | None = field(default=None, repr=False)
    database_features: np.ndarray | None = field(default=None, repr=False)
    failures: Sequence[Failure] = ()

    @property
    def without_positives(self) -> list[int]:
        """The ids of the tested queries that have no positive: no search can find one."""
        return [query for query in self.result.query_ids.tolist() if not len(self.dataset.positives(query))]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: recall by N, by group, and what was measured."""
        result, dataset = self.result, self.dataset

        def by_n(values: np.ndarray) -> dict[str, Any]:
            found = zip(result.ns, values.tolist(), strict=True)  # as printed, none beyond the database
            return {str(n): value for n, value in found if n <= dataset.database_size}

        return {
            "dataset": dataset.name,
            "database_images": dataset.database_size,
            "queries": dataset.query_count,
            "query_resize": dataset.query_resize,
            "queries_without_positives": len(self.without_positives),
            "network": self.network,
            "network_id": self.network_id,
            "dimensions": self.dim,
            "recall": by_n(result.recalls),
            "interval_95": by_n(result.intervals()),
            "failures": len(self.failures),
            "recall_by_group": {group: by_n(recalls) for group, recalls in result.by_group().items()},
        }


def evaluate_network(
    net: nn.Module,
    dataset: PlaceDataset,
    *,
    label: str = "",
    features: StrPath | None = None,
    crop_to_dim: int = 0,
    reranker: Reranker | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ImageOptions],
) -> Evaluation:
    """Extracts the descriptors of a data set's images and measures Recall@N by the data set's rules.

    net: a network (SimpleNN, or any extractor). label: what the result calls it. features: a folder to keep
    descriptors in (default: a temporary one); they are used again for the same network, settings and images,
    by name and content. crop_to_dim: keep that many dimensions (0: all). reranker: orders the first answers
    by geometry. settings, options: see `ExtractionSettings`; a data set's own resize of queries (Tokyo 24/7:
    640) comes before resize. A data set of own photos is turned upright and scaled, unless the settings say
    otherwise; those that cannot be read are left out, as of an index.

    For other data sets raises MissingImageError before anything is computed, and ExtractionError when an
    image cannot be read: a recall on fewer images would not be comparable. Processes that torchrun started
    share the work, if all call it; all get the result, only process 0 the descriptors.
    """
    settings = ExtractionSettings.of(evaluate_network, settings, options, on_error="raise")
    own = not dataset.as_stored
    on_error, suffix = ("skip", "h5") if own else ("raise", "bin")  # a .h5 file has the names of its rows
    settings = replace(settings, on_error=on_error).for_photos(own)
    processes = team()
    if not own:
        processes.lead(dataset.check_images)
    identity = identity_of(net, settings.scales)
    with ExitStack() as stack:
        folder = Path(features) if features is not None else None
        if folder is None and processes.size == 1:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepibl-")))
        parts: Any = []
        for which, names, root, size in (
            ("db", dataset.database_names, dataset.database_root, settings.resize),
            ("q", dataset.query_names, dataset.query_root, dataset.query_resize or settings.resize),
        ):
            how = replace(settings, resize=size, max_side=None if size else settings.max_side)
            file = None if folder is None else folder / f"{which}.{suffix}"
            if file is not None and features is not None:
                digest = processes.lead(partial(_digest, identity, root, names, how))
                stem = file_name(f"{Path(label).stem or 'net'}_{dataset.name}_{which}_{digest[:16]}")
                file = file.with_name(f"{stem}.{suffix}")
            parts.append(_described(net, names, root, how, file))
    return _evaluation(settings, dataset, label, identity, net, parts[0], parts[1], crop_to_dim, reranker)


def _described(
    net: nn.Module, names: Sequence[str], root: str, settings: ExtractionSettings, file: Path | None
) -> Described:
    """Descriptors of those images that can be used, their ids, and the others; by way of a file, if given.

    Only process 0 has the rows of a file. A file that is there is used as it is.
    """
    processes, failures = team(), list[Failure]()
    if file is None:  # a temporary folder of one machine is not seen by others
        rows, ids, failures = extract(net, names, root=root, settings=replace(settings, on_error="skip"))
        if failures and (settings.on_error == "raise" or not len(ids)):
            head = f"{len(failures)} of {len(names)} images could not be used"
            raise ExtractionError(f"{head}:\n{list_failures(failures)}", failures)
        return rows, ids.tolist(), failures
    if not processes.lead(file.exists):
        failures = extract_to_file(net, root, names, file, settings=settings).failures
    there = set(processes.lead(partial(stored_names, file)) if file.suffix == ".h5" else names)
    kept = [i for i, name in enumerate(names) if name in there]
    if not failures:
        lost = sorted({*range(len(names))}.difference(kept))
        failures = [Failure(i, names[i], f"{names[i]}: could not be used when {file} was made") for i in lost]
    rows = read_features(file, count=len(kept)) if processes.leads else np.zeros((0, 0))
    return rows, kept, failures


def reranked(dataset: PlaceDataset, reranker: Reranker) -> PlaceDataset:
    """A copy of the data set that orders the first answers of each query by geometry, in every measure."""
    database, queries = dataset.image_paths("db"), dataset.image_paths("q")

    def rank_matches(searcher: Any, query: int, top: int) -> Neighbours:
        ids, distances = dataset.rank_matches(searcher, query, max(top, reranker.first))
        order, _ = reranker.order(queries[query], [database[i] for i in ids])
        return ids[order[:top]], distances[order[:top]]

    made = copy(dataset)
    made.rank_matches = rank_matches  # type: ignore[method-assign]
    return made


def evaluate_index(
    net: nn.Module,
    index_file: StrPath,
    queries: StrPath,
    *,
    label: str = "",
    threshold: float | None = None,
    root: StrPath | None = None,
    index_root: StrPath | None = None,
    crop_to_dim: int = 0,
    skip_unknown: bool = False,
    reranker: Reranker | None = None,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ComputeOptions],
) -> Evaluation:
    """Recall@N of queries (folder, CSV or dbStruct) against an index, of its images with a position.

    net: the network that made the index. threshold: metres within which a match is right (`threshold_of` the
    queries). root: of the names in a CSV or dbStruct. index_root: of the index's photos, if they were moved.
    skip_unknown: whether to leave out queries without a position. reranker: orders the first answers by
    geometry. settings, options: see `ExtractionSettings`; queries are scaled and turned as the index's images
    were, and those that cannot be read are left out. Raises NetworkMismatchError for another network,
    ArgumentError for an index in a database.
    """
    settings = ExtractionSettings.of(evaluate_index, settings, options, **asdict(AS_STORED), on_error="skip")
    index = open_index_file(index_file, "an evaluation")
    index.require_network(identity_of(net, settings.scales))
    index = index if index_root is None else index.at(os.fspath(index_root))
    known = np.flatnonzero(np.isfinite(index.positions).all(axis=1))
    database = Places(index.root, [index.names[i] for i in known], index.positions[known], index.frame)
    rules: Any = {"positive_distance": threshold_of(threshold, queries), "skip_unknown": skip_unknown}
    dataset = dataset_from_places(Path(index_file).stem, database, asked_places(queries, root), **rules)
    how = replace(settings, **asdict(index.reading))
    described: Described = index.descriptors[known], range(len(known)), []
    asked = _described(net, dataset.query_names, dataset.query_root, how, None)
    named = label or index.network_path, index.network_id, net
    return _evaluation(settings, dataset, *named, described, asked, crop_to_dim, reranker)


def _evaluation(
    settings: ExtractionSettings,
    dataset: PlaceDataset,
    network: str,
    identity: str,
    net: nn.Module,
    database: Described,
    queries: Described,
    crop_to_dim: int,
    reranker: Reranker | None,
) -> Evaluation:
    """What is measured on the images that could be used, of both parts as `_described` returns them."""
    failures = [*database[2], *queries[2]]
    if failures:
        dataset = dataset.subset(database[1], queries[1])
    if reranker is not None:
        dataset = reranked(dataset, reranker)
    described, asked = (crop_features(r, crop_to_dim) if team().leads else r for r, *_ in (database, queries))
    layers = list(getattr(net, "names", []))  # only a SimpleNN has them
    found: list[RecallResult] = []

    def measure() -> list[Any]:
        with counting(apart(settings.progress), "searching, queries") as count:
            found.append(recall_at_n(asked, described, dataset, report=count))
        return [asked.shape[1], found[0].found.tolist(), found[0].found_print.tolist(), found[0].seconds]

    dim, hits, hits_print, seconds = team().lead(measure)
    if found:
        return Evaluation(dataset, network, identity, dim, found[0], layers, asked, described, failures)
    ids, groups = np.arange(dataset.query_count), dataset.query_groups()
    hits = np.array(hits, bool).reshape(-1, len(RECALL_NS))
    result = RecallResult(RECALL_NS, ids, hits, PRINT_N, np.array(hits_print, bool), seconds, groups)
    return Evaluation(dataset, network, identity, dim, result, layers, failures=failures)


def _digest(identity: str, root: str, names: Sequence[str], settings: ExtractionSettings) -> str:
    shown = apart(settings.progress)
    return Provenance.of(identity, root, names, settings.deciding(), file_content, shown).digest


def _unfindable(evaluation: Evaluation) -> list[str]:
    """A line that says how many queries have no positive, if any, and how far their database images are."""
    dataset, ids, count = evaluation.dataset, evaluation.without_positives, len(evaluation.result.query_ids)
    if not ids:
        return []
    metres = dataset.nearest_metres()[ids]
    lack = "does not have" if len(ids) == 1 else "do not have"
    line = "no query has" if len(ids) == count else f"{len(ids)} of {count} queries {lack}"
    line += " a positive"
    if not isinstance(dataset, ListedPositives):
        line += f", a database image within {dataset.positive_distance:g} m"
    if np.isfinite(metres).any():
        smallest, median = (f"{measure(metres):,.1f}" for measure in (np.nanmin, np.nanmedian))
        line += f": the nearest is {median} m away (median), {smallest} m at least"
    return [line]


def recall_lines(evaluation: Evaluation, ns: Sequence[int] = (1, 5, 10, 20)) -> str:
    """What was measured, and Recall@N in percent with its 95 % interval; groups of queries a line each.

    N beyond the database are left out.
    """
    result = evaluation.result
    most = evaluation.dataset.database_size
    columns = [column for column, n in enumerate(result.ns) if n in ns and n <= max(most, 1)]

    def line(found: RecallResult) -> str:
        values = zip(100 * found.recalls[columns], 100 * found.intervals()[columns], columns, strict=True)
        return "  ".join(f"R@{found.ns[c]} {at:.1f} ({low:.1f}–{high:.1f})" for at, (low, high), c in values)

    groups = [f"{name}: {line(result.only(ids))}" for name, ids in result.tested_groups().items()]
    return "\n".join([*_head(evaluation), f"{line(result)}  in percent, 95 % intervals by Wilson", *groups])


def recall_table(evaluation: Evaluation) -> str:
    """Recall@N in the original's lines (N of three digits), up to the database's size; groups beside it."""
    result, most = evaluation.result, max(evaluation.dataset.database_size, 1)
    groups = result.by_group()
    lines = _head(evaluation)
    if groups:
        lines.append("N   " + "".join(f" {name:>7}" for name in ["all", *groups]))
    for row, n in enumerate(n for n in result.ns if n <= most):
        values = [result.recalls[row], *(recalls[row] for recalls in groups.values())]
        lines.append(f"{n:03d} " + " ".join(f"{value:{7 if groups else 6}.4f}" for value in values))
    return "\n".join(lines) + "\n"


def _head(evaluation: Evaluation) -> list[str]:
    """What was measured, and how many queries no search can answer."""
    dataset = evaluation.dataset
    queries = how_many(len(evaluation.result.query_ids), "query")
    images = f"{how_many(dataset.database_size, 'database image')}, {queries}"
    network = f"{evaluation.dim} dimensions, network {evaluation.network_id[:12]}"
    return [f"{dataset.name}: {images}, {network}", *_unfindable(evaluation)]
