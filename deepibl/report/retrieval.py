"""`deepibl evaluate … --report DIR`: one page that shows an evaluation, and its figures as report.json.

The page opens from a file and loads nothing: pictures are embedded, charts and the map are SVG. Only some
queries are shown with pictures, never more than a page can hold.

Beside the measured Recall@1, 5, 10 are published ones by data set and method, from the SARE paper's tables
and deepIBL's log. None of them was measured by this project.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.evaluation.evaluate import Evaluation
from deepibl.report.charts import Drawing, Kind, Line, Mark, line_chart, place_map
from deepibl.report.html import render, thumbnail
from deepibl.report.run import DIMENSION_NS, FILE, Query, Run, collect, write_run
from deepibl.runtime.progress import working
from matlab_compat.files import StrPath, write_text

HITS, FAILURES = 10, 36


def thumbnails() -> Callable[[str, str], str | None]:
    """A function of a folder and a name in it: `thumbnail` of that file, which is read once."""
    return functools.cache(lambda root, name: thumbnail(os.path.join(root, name)))


def chosen_failures(run: Run, most: int = FAILURES) -> list[int]:
    """Queries whose first answer is wrong: the most confident mistakes (smallest distance) first."""
    wrong = [i for i, query in enumerate(run.queries) if not query.found(1) and query.answers]
    return sorted(wrong, key=lambda i: run.queries[i].answers[0].distance or 0.0)[:most]


def chosen_hits(run: Run, most: int = HITS) -> list[int]:
    """Queries whose first answer is right, evenly from the most confident to the least."""
    right = [i for i, query in enumerate(run.queries) if query.found(1)]
    right.sort(key=lambda i: run.queries[i].answers[0].distance or 0.0)
    if len(right) <= most:
        return right
    return [right[int(at)] for at in np.linspace(0, len(right) - 1, most)]


NS = (1, 5, 10)
_WHITENED = "Published for networks trained on Pitts30k-train, whitened to 4096 dimensions (SARE paper)."
_LOG = "From the training log in deepIBL's README (session 53e0, best epoch 4 of 7); not whitened."
PUBLISHED: dict[str, dict[str, tuple[float, float, float]]] = {  # Recall@1, 5 and 10 in percent
    "pitts250k_test": {
        "SARE Our-Ind.": (88.97, 95.50, 96.79), "SARE Our-Joint": (88.43, 95.06, 96.58),
        "CRN": (85.50, 93.50, 95.50), "NetVLAD": (85.95, 93.20, 95.13),
    },
    "tokyoTM_val": {
        "SARE Our-Ind.": (94.49, 96.73, 97.30), "SARE Our-Joint": (94.71, 96.87, 97.51),
        "NetVLAD": (93.85, 96.77, 97.59),
    },
    "tokyo247": {
        "SARE Our-Ind.": (79.68, 86.67, 90.48), "SARE Our-Joint": (80.63, 87.30, 90.79),
        "CRN": (75.20, 83.80, 87.30), "NetVLAD": (73.33, 82.86, 86.03),
    },
    "sf0": {
        "SARE Our-Ind.": (80.60, 86.70, 89.01), "SARE Our-Joint": (77.75, 85.07, 87.52),
        "NetVLAD": (75.58, 83.31, 85.21),
    },
    "pitts30k_val": {
        "deepIBL's log, off the shelf": (80, 93, 96), "deepIBL's log, trained": (89, 97, 98),
    },
}  # fmt: skip


def published_for(dataset: str) -> dict[str, dict[int, float]]:
    """The published Recall@N of a data set (tokyo247 …), 0 to 1, by method and N; empty for others."""
    found = PUBLISHED.get(dataset.replace("/", "_"), {})
    return {name: {n: each / 100 for n, each in zip(NS, of, strict=True)} for name, of in found.items()}


TABLE_NS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 50, 100)
CURVE_END = 25  # the largest N of curves, as in the papers


@working("making the page")
def write_report(evaluation: Evaluation, folder: StrPath, command: str = "") -> Path:
    """Writes `folder`/index.html and report.json; returns the page's path.

    command: what was typed, for the page. Raises ReportError for an evaluation that keeps no descriptors.
    """
    run = collect(evaluation, command)
    target = Path(folder)
    write_run(run, target / FILE)
    write_text(target / "index.html", report_page(run))
    return target / "index.html"


def report_page(run: Run, *, hits: int = HITS, failures: int = FAILURES) -> str:
    """The page of a run as HTML text. hits, failures: the most queries that are shown with pictures."""
    published = published_for(run.dataset)
    wrong, right = chosen_failures(run, failures), chosen_hits(run, hits)
    recall_lines = [
        Line("measured here", curve(run)),
        *(Line(f"{name} (published)", sorted(of.items()), True) for name, of in published.items()),
    ]
    ids = range(len(run.queries))
    first = [i for i in ids if run.queries[i].found(1)]
    later = [i for i in ids if run.queries[i].found(10) and not run.queries[i].found(1)]
    kinds = {
        "right at first": ("#0f7b6c", "dot", first),
        "right among the first 10": ("#dfa000", "square", later),
        "not among the first 10": ("#c8372d", "cross", sorted({*ids} - {*first, *later})),
    }
    groups = [Line(name, curve(run, name)) for name in run.groups]
    charts = {
        "recall": line_chart("recall", recall_lines, "N", "Recall@N"),
        "groups": line_chart("groups", groups, "N", "Recall@N"),
        "dimensions": line_chart("dims", dimension_lines(run), "dimensions kept", "Recall@N", log_x=True),
        "map": query_map(run, kinds, {*wrong, *right}),
    }
    choices = {
        "right at first": [1],
        "wrong at first": [None, *range(2, 101)],
        "not among the first 100": [None],
    }
    return render(
        "report.html",
        run=run,
        network=Path(run.network).name,
        published=published,
        charts=charts,
        headline_ns=[n for n in DIMENSION_NS if n in run.shown_ns],
        table_ns=[n for n in TABLE_NS if n in run.shown_ns],
        dimension_ns=dimension_ns(run),
        missed=len(run.queries) - len(first),
        wrong=wrong,
        right=right,
        published_note=_LOG if run.dataset.startswith("pitts30k") else _WHITENED,
        thumbnail=thumbnails(),
        rows=[_table_row(query) for query in run.queries],
        kinds=choices,
    )


def curve(run: Run, group: str | None = None) -> list[tuple[float, float]]:
    """The points of Recall@N up to CURVE_END, of all queries or of a group."""
    return [(n, run.at(n, group)) for n in run.shown_ns if n <= CURVE_END]


def dimension_ns(run: Run) -> list[int]:
    """Those of DIMENSION_NS that the database has images for, at least the first."""
    return [n for n in DIMENSION_NS if n <= max(run.database_images, 1)]


def dimension_lines(run: Run, prefix: str = "") -> list[Line]:
    """Recall over the dimensions kept, a line for each N."""
    return [
        Line(f"{prefix}Recall@{n}", [(dim, recalls[at]) for dim, recalls in sorted(run.by_dimension.items())])
        for at, n in enumerate(dimension_ns(run))
    ]


def query_map(
    run: Run, kinds: Mapping[str, tuple[str, str, Sequence[int]]], linked: set[int]
) -> Drawing | None:
    """The map of the queries whose position is known; None where none is.

    kinds: label -> colour, shape, query ids. Queries in `linked` lead to their case on the page.
    """

    def marks(ids: Sequence[int]) -> list[Mark]:
        return [
            Mark(query.east, query.north, query.name, f"q{number}" if number in linked else "")
            for number, query in ((i, run.queries[i]) for i in ids)
            if query.east is not None and query.north is not None
        ]

    drawn = [
        Kind(f"{label} ({len(ids)})", colour, shape, marks(ids))
        for label, (colour, shape, ids) in kinds.items()
    ]
    return place_map(run.database_positions, drawn)


def _table_row(query: Query) -> list[Any]:
    """Name, rank of the first right answer, and the first answer: name, metres, distance; None: not known."""
    if not query.answers:
        return [query.name, query.rank, None, None, None]
    first = query.answers[0]
    distance = None if first.distance is None else round(first.distance, 4)
    return [query.name, query.rank, first.name, first.metres, distance]
