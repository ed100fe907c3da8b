"""What a report knows of one evaluation, as plain values: kept as report.json, shown or compared later.

What descriptors look like: length, dimensions in use, how alike they are, hubs among them.

Whether plain values, as JSON gives them, are what a dataclass says its fields are.
"""

import dataclasses
import json
import os
import platform
import types
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from deepibl.errors import ReportError
from deepibl.evaluation.evaluate import Evaluation
from deepibl.evaluation.plots import recall_by_dimension
from deepibl.search.exact import BLOCK, BlockSearcher, Searcher
from matlab_compat.files import atomic_output, damage_as

_SAMPLE = 2000  # database descriptors that the statistics are taken from, evenly spread

_BINS = 24


def descriptor_statistics(database: Any, queries: Sequence[Any]) -> dict[str, Any]:
    """Statistics as plain values.

    database: descriptors (N, D). queries: of `deepibl.report.run`, with their answers.

    length: smallest, mean and largest norm; used_dimensions: (sum of the covariance's eigenvalues)^2 / sum
    of their squares, D for a ball and 1 for a line; cosine: mean and largest between two different
    database images; separation: how often the first answer of a query that was right is nearer than that
    of one that was wrong (0.5: the distance tells nothing; None where all are right or all wrong); hub:
    the database image that is most often the first answer, and how often; distances: a histogram of first
    answers' distances (`edges`, `right`, `wrong`).
    """
    rows = np.asarray(database[:: max(1, -(-len(database) // _SAMPLE))], dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1)
    unit = rows / np.maximum(lengths, 1e-12)[:, None]
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, np.nan)
    firsts = [query.answers[0] for query in queries if query.answers]
    hub = Counter(answer.name for answer in firsts).most_common(1)
    return {
        "sample": len(rows),
        "length": [float(lengths.min()), float(lengths.mean()), float(lengths.max())],
        "used_dimensions": _used_dimensions(rows),
        "cosine": [float(np.nanmean(cosines)), float(np.nanmax(cosines))] if len(rows) > 1 else None,
        "separation": _separation(firsts),
        "hub": [hub[0][0], hub[0][1]] if hub else None,
        "distances": _histogram(firsts),
    }


def _used_dimensions(rows: np.ndarray) -> float:
    centred = rows - rows.mean(axis=0)
    small = centred @ centred.T if len(rows) < rows.shape[1] else centred.T @ centred
    total = float((small**2).sum())
    return float(np.trace(small) ** 2 / total) if total > 0 else 0.0


def _separation(firsts: Sequence[Any]) -> float | None:
    right = np.array([answer.distance for answer in firsts if answer.right])
    wrong = np.sort([answer.distance for answer in firsts if not answer.right])
    if not (len(right) and len(wrong)):
        return None
    beyond = len(wrong) - np.searchsorted(wrong, right, side="right")
    equal = np.searchsorted(wrong, right, side="right") - np.searchsorted(wrong, right, side="left")
    return float((beyond + 0.5 * equal).mean() / len(wrong))


def _histogram(firsts: Sequence[Any]) -> dict[str, list[float]] | None:
    distances = np.array([answer.distance for answer in firsts])
    if not len(distances):
        return None
    right = np.array([answer.right for answer in firsts], bool)
    edges = np.histogram_bin_edges(distances, _BINS)
    counts = {
        name: np.histogram(distances[rows], edges)[0].tolist()
        for name, rows in (("right", right), ("wrong", ~right))
    }
    return {"edges": edges.tolist(), **counts}


def require_fields(made: Any) -> None:
    """Raises ValueError naming the first field of a dataclass whose value is of another type."""
    for name, kind in get_type_hints(type(made)).items():
        if not is_of(getattr(made, name), kind):
            raise ValueError(f"{name} is {getattr(made, name)!r:.60}")


def is_of(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type: int, float (whole numbers too), str, bool, None, Any, lists,
    dicts, unions and dataclasses of these.
    """
    outer, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if outer in (Union, types.UnionType):
        return any(is_of(value, each) for each in inner)
    if outer is list:
        return isinstance(value, list) and all(is_of(item, inner[0]) for item in value)
    if outer is dict:
        return isinstance(value, dict) and all(
            is_of(key, inner[0]) and is_of(item, inner[1]) for key, item in value.items()
        )
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(value, kind) or not dataclasses.is_dataclass(kind):
        return isinstance(value, kind)
    return all(is_of(getattr(value, name), each) for name, each in get_type_hints(kind).items())


FORMAT = "deepibl-report/1"

ADVICE = "make one with `deepibl evaluate … --report DIR`"

FILE = "report.json"

DEPTH = 100  # how far down a first right answer is looked for

DIMENSION_NS = (1, 5, 10)

LIGHTS = ("day", "sunset", "night")

_SHOWN = 3  # matches kept of each query

_MAP_POINTS = 4000  # database positions kept for the map

_LIBRARIES = ("deepibl", "torch", "numpy", "faiss-cpu", "pillow")


@dataclass(frozen=True)
class Answer:
    """A database image as an answer. rank from 1 (None: not among the first DEPTH); distance: squared L2 of
    descriptors; metres from the query (None: not known); right: whether it is a positive."""

    name: str
    rank: int | None
    distance: float | None
    metres: float | None
    right: bool


@dataclass(frozen=True)
class Query:
    """A query: its place (UTM metres), its first answers, and the right one: the first that was found, or
    else the nearest positive; None where it has no positive."""

    name: str
    east: float | None
    north: float | None
    answers: list[Answer]
    truth: Answer | None

    @property
    def rank(self) -> int | None:
        """The rank of the first right answer, from 1; None if it is not among the first DEPTH."""
        return self.truth.rank if self.truth else None

    def found(self, n: int) -> bool:
        """Whether a right answer is among the first n."""
        return self.rank is not None and self.rank <= n


@dataclass(frozen=True)
class Run:
    """One evaluation. recalls[i] is Recall@ns[i]; groups: the same by name; by_dimension: dimensions ->
    Recall@DIMENSION_NS; database_positions: some of the database's positions, for the map."""

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
    statistics: dict[str, Any]
    command: str = ""
    made: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    def at(self, n: int) -> float:
        """Recall@n; n has to be one of ns."""
        return self.recalls[self.ns.index(n)]


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
    known = dataset.utmDb[np.isfinite(dataset.utmDb).all(axis=1)]
    every = max(1, -(-len(known) // _MAP_POINTS))
    return Run(
        dataset=dataset.name,
        database_images=dataset.numImages,
        threshold=dataset.posDistThr,
        network=evaluation.network,
        network_id=evaluation.network_id,
        dimensions=evaluation.dim,
        layers=list(evaluation.layers),
        ns=list(result.ns),
        recalls=result.recalls.tolist(),
        groups={name: recalls.tolist() for name, recalls in by_group.items()},
        group_sizes={name: int(np.isin(result.query_ids, groups[name]).sum()) for name in by_group},
        by_dimension=_by_dimension(evaluation),
        queries=queries,
        database_root=os.path.abspath(dataset.dbPath),
        query_root=os.path.abspath(dataset.qPath),
        database_positions=np.round(known[::every], 2).tolist(),
        statistics=descriptor_statistics(evaluation.database_features, queries),
        command=command,
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        versions=versions(),
    )


def write_run(run: Run, path: str | os.PathLike[str]) -> None:
    """Writes the run as JSON."""
    content = json.dumps({"format": FORMAT, **dataclasses.asdict(run)}, separators=(",", ":"))
    with atomic_output(path) as temporary:
        temporary.write_text(content, encoding="utf-8")


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in a report's folder or its report.json. Raises ReportError for anything else."""
    file = Path(path) / FILE if Path(path).is_dir() else Path(path)
    with damage_as(ReportError, file, "is no report that can be read", ADVICE):
        values = json.loads(file.read_text(encoding="utf-8"))
        if values.pop("format") != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}, which this version reads")
        values["queries"] = [_query(query) for query in values["queries"]]
        values["by_dimension"] = {int(dim): recalls for dim, recalls in values["by_dimension"].items()}
        run = Run(**values)
        require_fields(run)
        if not len(run.ns) == len(run.recalls):
            raise ValueError(f"it holds {len(run.recalls)} recalls at {len(run.ns)} N")
        return run


def versions() -> dict[str, str]:
    """Versions of Python, this project and the libraries that decide its figures."""
    found = {"python": platform.python_version(), "system": f"{platform.system()} {platform.machine()}"}
    for library in _LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            found[library] = "not installed"
    return found


def groups_by_name(names: Sequence[str]) -> dict[str, np.ndarray]:
    """Query ids by light, where every name ends in it, like street_07_night.jpg; else nothing."""
    lights = [Path(name).stem.lower().rpartition("_")[2] for name in names]
    if not set(lights) <= set(LIGHTS):
        return {}
    return {
        light: np.flatnonzero([other == light for other in lights]) for light in LIGHTS if light in lights
    }


def dimensions_to_try(dim: int) -> list[int]:
    """Powers of two below `dim`, at most the last six of them and none below 8, and `dim` itself."""
    powers = [2**power for power in range(3, 20) if 2**power < dim]
    return [*powers[-6:], dim]


def _by_dimension(evaluation: Evaluation) -> dict[int, list[float]]:
    """Recalls of cropped descriptors; only of whitened ones, whose first dimensions matter most."""
    if not {"WPCA", "PCA"}.intersection(evaluation.layers[-3:]):
        return {}
    found = recall_by_dimension(
        evaluation.query_features,
        evaluation.database_features,
        evaluation.dataset,
        dimensions_to_try(evaluation.dim),
        DIMENSION_NS,
    )
    return {dim: recalls.tolist() for dim, recalls in found.items()}


def _queries(evaluation: Evaluation) -> list[Query]:
    dataset, order = evaluation.dataset, evaluation.result.query_ids
    searcher = Searcher(evaluation.database_features)
    rows = np.asarray(evaluation.query_features)
    raw = BlockSearcher(searcher, rows, order, dataset.search_depth(DEPTH), BLOCK)
    found = []
    for query in order.tolist():
        ids, distances = dataset.nnSearchPostprocess(raw, query, DEPTH)
        right = np.asarray(dataset.isPosQ(query, ids), bool)
        east, north = _position(dataset.utmQ[query])
        answers = [
            Answer(dataset.dbImageFns[i], rank, float(d), _metres(dataset, query, i), bool(hit))
            for rank, (i, d, hit) in enumerate(
                zip(ids[:DEPTH].tolist(), distances.tolist(), right.tolist(), strict=True), start=1
            )
        ]
        truth = next((answer for answer in answers if answer.right), None) or _nearest_positive(
            dataset, query
        )
        found.append(Query(dataset.qImageFns[query], east, north, answers[:_SHOWN], truth))
    return found


def _nearest_positive(dataset: Any, query: int) -> Answer | None:
    ids = np.asarray(dataset.getPosIDs(query))
    if not len(ids):
        return None
    metres = [_metres(dataset, query, int(i)) for i in ids]
    best = int(np.argmin([np.inf if value is None else value for value in metres]))
    return Answer(dataset.dbImageFns[int(ids[best])], None, None, metres[best], True)


def _metres(dataset: Any, query: int, image: int) -> float | None:
    metres = float(np.linalg.norm(dataset.utmQ[query] - dataset.utmDb[image]))
    return round(metres, 2) if np.isfinite(metres) else None


def _position(utm: np.ndarray) -> tuple[float | None, float | None]:
    return (round(float(utm[0]), 2), round(float(utm[1]), 2)) if np.isfinite(utm).all() else (None, None)


def _query(values: dict[str, Any]) -> Query:
    answers: Sequence[dict[str, Any]] = values.pop("answers")
    truth = values.pop("truth")
    return Query(
        **values, answers=[Answer(**answer) for answer in answers], truth=Answer(**truth) if truth else None
    )
