"""From a network and a data set, or an index, to Recall@N and its table: what `deepibl evaluate` does."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepibl.datasets.catalog import query_places
from deepibl.datasets.folder import Places, dataset_from_places
from deepibl.datasets.place import ListedPositives, PlaceDataset
from deepibl.engine.scales import identity_of
from deepibl.engine.settings import ComputeOptions, ExtractionSettings, ImageOptions
from deepibl.evaluation.measures import RecallResult, crop_features, recall_at_n
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.files import read_features
from deepibl.images import AS_STORED
from deepibl.runtime.processes import team
from deepibl.runtime.progress import apart, counting
from deepibl.runtime.provenance import Provenance, file_content
from deepibl.search.backends import open_index_file
from matlab_compat.files import StrPath

if TYPE_CHECKING:
    from torch import nn
    from typing_extensions import Unpack


@dataclass(frozen=True)
class Evaluation:
    """Recall@N of a network on a data set, and what was measured.

    layers: the network's layer names; query_features, database_features: the descriptors, for a report.
    """

    dataset: PlaceDataset
    network: str
    network_id: str
    dim: int
    result: RecallResult
    layers: Sequence[str] = ()
    query_features: np.ndarray | None = field(default=None, repr=False)
    database_features: np.ndarray | None = field(default=None, repr=False)

    @property
    def without_positives(self) -> list[int]:
        """The ids of the tested queries that have no positive: no search can find one."""
        return [query for query in self.result.query_ids.tolist() if not len(self.dataset.positives(query))]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON: recall by N, by group, and what was measured."""
        ns = [str(n) for n in self.result.ns]
        return {
            "dataset": self.dataset.name,
            "database_images": self.dataset.database_size,
            "queries": self.dataset.query_count,
            "query_resize": self.dataset.query_resize,
            "queries_without_positives": len(self.without_positives),
            "network": self.network,
            "network_id": self.network_id,
            "dimensions": self.dim,
            "recall": dict(zip(ns, self.result.recalls.tolist(), strict=True)),
            "recall_by_group": {
                group: dict(zip(ns, recalls.tolist(), strict=True))
                for group, recalls in self.result.by_group().items()
            },
        }


def evaluate_network(
    net: nn.Module,
    dataset: PlaceDataset,
    *,
    label: str = "",
    features: StrPath | None = None,
    crop_to_dim: int = 0,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ImageOptions],
) -> Evaluation:
    """Extracts the descriptors of a data set's images and measures Recall@N by the data set's rules.

    net: a network (SimpleNN, or any extractor). label: what the result calls it. features: a folder to keep
    descriptors in (default: a temporary one); they are used again for the same network, settings and images,
    by name and content. crop_to_dim: keep that many dimensions (0: all). settings, options: see
    `ExtractionSettings`; a data set's own resize of queries (Tokyo 24/7: 640) comes before resize. A data set
    of own photos is turned upright and scaled, unless the settings say otherwise.

    Raises MissingImageError before anything is computed, and ExtractionError when an image cannot be read: a
    recall on fewer images would not be comparable. Processes that torchrun started share the work, if all
    call it; all get the result, only process 0 the descriptors.
    """
    settings = ExtractionSettings.of(evaluate_network, settings, options, on_error="raise")
    settings = settings.for_photos(own=not dataset.as_stored)
    processes = team()
    processes.lead(dataset.check_images)
    identity = identity_of(net, settings.scales)
    with ExitStack() as stack:
        folder = Path(features) if features is not None else None
        if folder is None and processes.size == 1:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deepibl-")))
        parts = {}
        for which, names, root, size in (
            ("db", dataset.database_names, dataset.database_root, settings.resize),
            ("q", dataset.query_names, dataset.query_root, dataset.query_resize or settings.resize),
        ):
            how = replace(settings, resize=size, max_side=None if size else settings.max_side)
            if folder is None:  # a temporary folder of one machine is not seen by others
                rows = extract(net, names, root=root, settings=how)
            else:
                file = folder / f"{which}.bin"
                if features is not None:
                    digest = processes.lead(partial(_digest, identity, root, names, how))
                    file = folder / f"{Path(label).stem or 'net'}_{dataset.name}_{which}_{digest[:16]}.bin"
                if not processes.lead(file.exists):
                    extract_to_file(net, root, names, file, settings=how)
                rows = read_features(file, count=len(names)) if processes.leads else np.zeros((0, 0))
            parts[which] = crop_features(rows, crop_to_dim) if processes.leads else rows
    shown = apart(settings.progress)
    return _evaluation(shown, dataset, label, identity, net, parts["q"], parts["db"])


def evaluate_index(
    net: nn.Module,
    index_file: StrPath,
    queries: StrPath,
    *,
    label: str = "",
    threshold: float = 25.0,
    root: StrPath | None = None,
    crop_to_dim: int = 0,
    skip_unknown: bool = False,
    settings: ExtractionSettings | None = None,
    **options: Unpack[ComputeOptions],
) -> Evaluation:
    """Recall@N of queries (folder, CSV or dbStruct) against an index, of its images with a position.

    net: the network that made the index. threshold: metres within which a match is right. root: of the names
    in a CSV or dbStruct. skip_unknown: whether to leave out queries without a position. settings, options:
    see `ExtractionSettings`; queries are scaled and turned as the index's images were. Raises
    NetworkMismatchError for another network, ArgumentError for an index in a database.
    """
    settings = ExtractionSettings.of(evaluate_index, settings, options, **asdict(AS_STORED), on_error="raise")
    index = open_index_file(index_file, "an evaluation")
    index.require_network(identity_of(net, settings.scales))
    known = np.flatnonzero(np.isfinite(index.positions).all(axis=1))
    database = Places(index.root, [index.names[i] for i in known], index.positions[known], index.frame)
    how: Any = {"positive_distance": threshold, "skip_unknown": skip_unknown}
    dataset = dataset_from_places(Path(index_file).stem, database, query_places(queries, root), **how)
    asked = extract(net, dataset.image_paths("q"), settings=replace(settings, **asdict(index.reading)))
    cropped = [crop_features(rows, crop_to_dim) for rows in (asked, index.descriptors[known])]
    shown, label = apart(settings.progress), label or index.network_path
    return _evaluation(shown, dataset, label, index.network_id, net, *cropped)


def _evaluation(
    progress: bool | None,
    dataset: PlaceDataset,
    network: str,
    identity: str,
    net: nn.Module,
    queries: np.ndarray,
    database: np.ndarray,
) -> Evaluation:
    layers = list(getattr(net, "names", []))  # only a SimpleNN has them
    found: list[RecallResult] = []

    def measure() -> list[Any]:
        with counting(progress, "searching, queries") as count:
            found.append(recall_at_n(queries, database, dataset, report=count))
        return [queries.shape[1], found[0].as_plain()]

    dim, plain = team().lead(measure)
    if found:
        return Evaluation(dataset, network, identity, dim, found[0], layers, queries, database)
    return Evaluation(dataset, network, identity, dim, RecallResult.from_plain(plain), layers)


def _digest(identity: str, root: str, names: Sequence[str], settings: ExtractionSettings) -> str:
    shown = apart(settings.progress)
    return Provenance.of(identity, root, names, settings.deciding(), file_content, shown).digest


def _unfindable(evaluation: Evaluation) -> list[str]:
    """A line that says how many queries have no positive, if any, and how far their database images are."""
    dataset, ids, count = evaluation.dataset, evaluation.without_positives, len(evaluation.result.query_ids)
    if not ids:
        return []
    metres = dataset.nearest_metres()[ids]
    line = "no query has" if len(ids) == count else f"{len(ids)} of {count} queries do not have"
    line += " a positive"
    if not isinstance(dataset, ListedPositives):
        line += f", a database image within {dataset.positive_distance:g} m"
    if np.isfinite(metres).any():
        smallest, median = (f"{measure(metres):,.1f}" for measure in (np.nanmin, np.nanmedian))
        line += f": the nearest is {median} m away (median), {smallest} m at least"
    return [line]


def recall_table(evaluation: Evaluation, most: int = 100) -> str:
    """Recall@N up to `most` in the original's lines (N of three digits, four decimals), groups beside it."""
    result, dataset = evaluation.result, evaluation.dataset
    groups = result.by_group()
    header = (
        f"{dataset.name}: {dataset.database_size} database images, {len(result.query_ids)} queries, "
        f"{evaluation.dim} dimensions, network {evaluation.network_id[:12]}"
    )
    lines = [header, *_unfindable(evaluation)]
    if groups:
        lines.append("N   " + "".join(f" {name:>7}" for name in ["all", *groups]))
    for row, n in enumerate(n for n in result.ns if n <= most):
        values = [result.recalls[row], *(recalls[row] for recalls in groups.values())]
        lines.append(f"{n:03d} " + " ".join(f"{value:{7 if groups else 6}.4f}" for value in values))
    return "\n".join(lines) + "\n"
