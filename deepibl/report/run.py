"""What a report keeps of one evaluation, as plain values: written as report.json, shown or compared later."""

import dataclasses
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.datasets.geo import DEGREES, map_metres, metres_between, to_degrees
from deepibl.errors import ReportError
from deepibl.evaluation.evaluate import Evaluation
from deepibl.evaluation.plots import recall_by_dimension
from deepibl.runtime.files import from_plain, write_note
from deepibl.search.exact import BLOCK, BlockSearcher, Searcher
from matlab_compat.files import StrPath, damage_as

FORMAT = "deepibl-report/2"
ADVICE = "make one with `deepibl evaluate … --report DIR`"
FILE = "report.json"
DEPTH = 100  # how far down a first right answer is looked for
DIMENSION_NS = (1, 5, 10)
LIGHTS = ("day", "sunset", "night")
_SHOWN = 3  # answers kept of each query
_MAP_POINTS = 4000  # database positions kept for the map
_LIBRARIES = ("deepibl", "torch", "numpy", "faiss-cpu", "pillow")


@dataclass(frozen=True)
class Answer:
    """A database image as an answer.

    rank: from 1, None if it is not among the first DEPTH. distance: squared L2 of the descriptors. metres:
    from the query, None if not known. right: whether it is a positive. degrees: as of `Query`.
    """

    name: str
    rank: int | None
    distance: float | None
    metres: float | None
    right: bool
    degrees: list[float] | None = None


@dataclass(frozen=True)
class Query:
    """A query: its position (metres east and north on the map, None if not known) and its first answers.

    truth: the first right answer; if none was found the nearest positive; None where it has no positive.
    degrees: latitude and longitude, None if not known.
    """

    name: str
    east: float | None
    north: float | None
    answers: list[Answer]
    truth: Answer | None
    degrees: list[float] | None = None

    @property
    def rank(self) -> int | None:
        """The rank of the first right answer, from 1; None if it is not among the first DEPTH."""
        return self.truth.rank if self.truth else None

    def found(self, n: int) -> bool:
        """Whether a right answer is among the first n."""
        return self.rank is not None and self.rank <= n


@dataclass(frozen=True)
class Run:
    """One evaluation.

    recalls: Recall@ns, 0 to 1; groups: the same by the group's name; by_dimension: dimensions kept ->
    Recall@DIMENSION_NS; database_positions: some of the database's (east, north), for the map.
    """

    dataset: str
    database_images: int
    threshold: float
    network: str
    network_id: str
    dimensions: int
    layers: list[str]
    ns: list[int]
    recalls: list[float]
    groups: dict[str, list[float]]
    group_sizes: dict[str, int]
    by_dimension: dict[int, list[float]]
    queries: list[Query]
    database_root: str
    query_root: str
    database_positions: list[list[float]]
    command: str = ""
    made: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def shown_ns(self) -> list[int]:
        """Those of ns that pages and tables show: N beyond the database are left out."""
        return [n for n in self.ns if n <= max(self.database_images, 1)]

    def at(self, n: int, group: str | None = None) -> float:
        """Recall@n of all queries or of a group; n must be one of ns."""
        return (self.recalls if group is None else self.groups[group])[self.ns.index(n)]


def collect(evaluation: Evaluation, command: str = "") -> Run:
    """The run of an evaluation that holds its descriptors; searches again, for `DEPTH` answers a query.

    command: what was typed. Raises ReportError for an evaluation without descriptors.
    """
    if evaluation.query_features is None or evaluation.database_features is None:
        raise ReportError("a report needs the evaluation's descriptors; evaluate again and keep them")
    dataset, result = evaluation.dataset, evaluation.result
    queries = _queries(evaluation)
    groups = result.groups or groups_by_name([query.name for query in queries])
    by_group = replace(result, groups=groups).by_group()
    known = _on_map(dataset, dataset.database_positions)
    known = known[np.isfinite(known).all(axis=1)]
    every = max(1, -(-len(known) // _MAP_POINTS))
    by_dimension: dict[int, Any] = {}
    # only whitened descriptors have their most important dimensions first
    if {"WPCA", "PCA"}.intersection(evaluation.layers[-3:]):
        features = evaluation.query_features, evaluation.database_features
        dims = dimensions_to_try(evaluation.dim)
        by_dimension = recall_by_dimension(*features, dataset, dims, DIMENSION_NS)
    return Run(
        dataset=dataset.name,
        database_images=dataset.database_size,
        threshold=dataset.positive_distance,
        network=evaluation.network,
        network_id=evaluation.network_id,
        dimensions=evaluation.dim,
        layers=list(evaluation.layers),
        ns=list(result.ns),
        recalls=result.recalls.tolist(),
        groups={name: recalls.tolist() for name, recalls in by_group.items()},
        group_sizes={name: int(np.isin(result.query_ids, groups[name]).sum()) for name in by_group},
        by_dimension={dim: recalls.tolist() for dim, recalls in by_dimension.items()},
        queries=queries,
        database_root=os.path.abspath(dataset.database_root),
        query_root=os.path.abspath(dataset.query_root),
        database_positions=np.round(known[::every], 2).tolist(),
        command=command,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        versions=versions(),
    )


def write_run(run: Run, path: StrPath) -> None:
    """Writes the run as JSON."""
    write_note(path, {"format": FORMAT, **dataclasses.asdict(run)})


def read_run(path: StrPath) -> Run:
    """The run in a report's folder, or in its report.json. Raises ReportError for anything else."""
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    with damage_as(ReportError, file, "is not a report that can be read", ADVICE):
        values = json.loads(file.read_bytes())  # UTF-8 or UTF-16, with or without a byte order mark
    try:
        if not isinstance(values, dict) or values.pop("format", None) != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}, which this version reads")
        run: Run = from_plain(Run, values, "it")
        if any(len(recalls) != len(run.ns) for recalls in (run.recalls, *run.groups.values())):
            raise ValueError(f"it does not hold one recall for each of its {len(run.ns)} N")
    except ValueError as problem:
        raise ReportError(f"{file} is not a report that can be read: {problem}; {ADVICE}") from None
    return run


def versions() -> dict[str, str]:
    """Versions of Python, this project and the libraries that its figures depend on."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def groups_by_name(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Query ids by light if every name ends in one of LIGHTS, as in street_07_night.jpg; otherwise empty."""
    lights = [Path(name).stem.lower().rpartition("_")[2] for name in names]
    if not set(lights) <= set(LIGHTS):
        return {}
    return {light: np.flatnonzero([each == light for each in lights]) for light in LIGHTS if light in lights}


def dimensions_to_try(dim: int) -> list[int]:
    """Powers of two below `dim`, at most the last six of them and none below 8, and `dim` itself."""
    powers = [2**power for power in range(3, 20) if 2**power < dim]
    return [*powers[-6:], dim]


def _queries(evaluation: Evaluation) -> list[Query]:
    dataset, order = evaluation.dataset, evaluation.result.query_ids
    rows, depth = np.asarray(evaluation.query_features), dataset.search_depth(DEPTH)
    raw = BlockSearcher(Searcher(evaluation.database_features), rows, order, depth, BLOCK)
    found, places = [], np.round(_on_map(dataset, dataset.query_positions), 2)
    globe, own = (_degrees(dataset, of) for of in (dataset.database_positions, dataset.query_positions))

    def answer(query: int, image: int, rank: int | None, distance: float | None, right: bool) -> Answer:
        metres = _metres(dataset, query, image)
        return Answer(dataset.database_names[image], rank, distance, metres, right, globe(image))

    for query in order.tolist():
        ids, distances = dataset.rank_matches(raw, query, DEPTH)
        right = np.asarray(dataset.is_positive(query, ids), bool)[:DEPTH]
        answers = [
            answer(query, i, rank, float(distances[rank - 1]), bool(right[rank - 1]))
            for rank, i in enumerate(ids[:DEPTH].tolist(), start=1)
            if rank <= _SHOWN or (right[rank - 1] and not right[: rank - 1].any())
        ]
        truth = next((each for each in answers if each.right), None)
        if truth is None and len(positives := np.asarray(dataset.positives(query)).tolist()):
            metres = [_metres(dataset, query, i) for i in positives]
            best = int(np.argmin([np.inf if value is None else value for value in metres]))
            truth = answer(query, positives[best], None, None, True)
        east, north = places[query].tolist() if np.isfinite(places[query]).all() else (None, None)
        found.append(Query(dataset.query_names[query], east, north, answers[:_SHOWN], truth, own(query)))
    return found


def _degrees(dataset: Any, positions: np.ndarray) -> Callable[[int], list[float] | None]:
    """A function of a row of the positions (N, 2): latitude and longitude, None if not known."""
    if dataset.frame is None:
        return lambda row: None
    globe = np.round(positions if dataset.frame == DEGREES else to_degrees(positions, dataset.frame), 6)
    return lambda row: globe[row].tolist() if np.isfinite(globe[row]).all() else None


def _on_map(dataset: Any, positions: np.ndarray) -> np.ndarray:
    """Metres (N, 2) east and north for the map: UTM, or those from the database's first known position."""
    known = np.flatnonzero(np.isfinite(dataset.database_positions).all(axis=1))
    if dataset.frame != DEGREES or not len(known):
        return positions
    return map_metres(positions, dataset.database_positions[known[0]], DEGREES)


def _metres(dataset: Any, query: int, image: int) -> float | None:
    pair = dataset.query_positions[query], dataset.database_positions[image]
    metres = float(metres_between(*pair, dataset.frame))
    return round(metres, 2) if np.isfinite(metres) else None
