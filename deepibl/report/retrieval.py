"""`deepibl evaluate … --report DIR`: one page that shows an evaluation, and its figures as report.json.

The page opens from a file and loads nothing: pictures are embedded, charts and the map are drawn here.

Galleries of a report: queries with their answers as small pictures, never more than a page can bear.

Published figures, to set beside measured ones: Recall@1, 5, 10, by data set and method.

All of them after PCA whitening to 4096 dimensions, trained on Pitts30k-train; from the SARE paper's
tables, but where `note` says otherwise. Nothing here was measured by this project.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from deepibl.evaluation.evaluate import Evaluation
from deepibl.evaluation.plots import plot_recall, plot_recall_by_dimension
from deepibl.report.charts import Kind, Line, Mark, line_chart, paired_bars, place_map
from deepibl.report.html import esc, many_rows, note, page, section, table, thumbnail
from deepibl.report.run import DIMENSION_NS, FILE, Answer, Query, Run, collect, write_run
from matlab_compat.files import atomic_output

HITS, FAILURES = 10, 36

_SIDE = 176

Picture = Callable[[str], str | None]


class Thumbnails:
    """Thumbnails of files as data URIs; each file is read once."""

    def __init__(self) -> None:
        self._made: dict[str, str | None] = {}

    def __call__(self, path: str) -> str | None:
        if path not in self._made:
            self._made[path] = thumbnail(path, _SIDE)
        return self._made[path]


def chosen_failures(run: Run, most: int = FAILURES) -> list[int]:
    """Queries whose first answer is wrong: the surest mistakes (smallest distance of descriptors) first."""
    wrong = [i for i, query in enumerate(run.queries) if not query.found(1) and query.answers]
    return sorted(wrong, key=lambda i: run.queries[i].answers[0].distance or 0.0)[:most]


def chosen_hits(run: Run, most: int = HITS) -> list[int]:
    """Queries whose first answer is right, evenly from the surest to the most doubtful."""
    right = [i for i, query in enumerate(run.queries) if query.found(1)]
    right.sort(key=lambda i: run.queries[i].answers[0].distance or 0.0)
    if len(right) <= most:
        return right
    return [right[int(at)] for at in np.linspace(0, len(right) - 1, most)]


def case(run: Run, number: int, picture: Picture, *, answers: int = 3) -> str:
    """One query with its first answers, and where these are wrong with the first right one."""
    query = run.queries[number]
    figures = [_gallery_figure(_path(run.query_root, query.name), _query_caption(query), "", picture)]
    figures += [answer_figure(run, answer, picture) for answer in query.answers[:answers]]
    truth = query.truth
    if truth is not None and not any(answer.right for answer in query.answers[:answers]):
        figures.append(answer_figure(run, truth, picture))
    said = "" if truth else '<p class="soft">The database has no image near this query.</p>'
    return f'<div class="case" id="{anchor(number)}">{"".join(figures)}{said}</div>'


def anchor(number: int) -> str:
    """The id on the page of a query's case."""
    return f"q{number}"


def answer_figure(run: Run, answer: Answer, picture: Picture, title: str = "") -> str:
    """An answer as a small picture with rank, metres and distance, framed by whether it is right."""
    rank = f"answer {answer.rank}" if answer.rank else "nearest right one, not in the first 100"
    kind = "right" if answer.right else "wrong"
    lines = [f'<b class="{kind[0]}">{esc(title or rank)}</b>']
    if answer.metres is not None:
        lines.append(f"{answer.metres:.1f} m away")
    if answer.distance is not None:
        lines.append(f"distance {answer.distance:.3f}")
    return _gallery_figure(_path(run.database_root, answer.name), [*lines, esc(answer.name)], kind, picture)


def query_figure(run: Run, query: Query, picture: Picture) -> str:
    """The query itself as a small picture."""
    return _gallery_figure(_path(run.query_root, query.name), _query_caption(query), "", picture)


def _query_caption(query: Query) -> list[str]:
    lines = ["<b>query</b>", esc(query.name)]
    if query.east is not None:
        lines.append(f"{query.east:.1f} E {query.north:.1f} N")
    return lines


def _gallery_figure(path: str, lines: Sequence[str], kind: str, picture: Picture) -> str:
    data = picture(path)
    image = (
        f'<img alt="" loading="lazy" src="{data}">'
        if data
        else '<div class="missing">picture not found</div>'
    )
    return f'<figure class="{kind}">{image}<figcaption>{"<br>".join(lines)}</figcaption></figure>'


def _path(root: str, name: str) -> str:
    return os.path.join(root, name)


NS = (1, 5, 10)


@dataclass(frozen=True)
class Published:
    """recalls: method -> {N: Recall@N, 0 to 1}; note: what has to be known to compare with them."""

    recalls: Mapping[str, Mapping[int, float]] = field(default_factory=dict)
    note: str = ""


_WHITENED = "Published for networks trained on Pitts30k-train, whitened to 4096 dimensions (SARE paper)."


def _table(*rows: tuple[str, float, float, float]) -> Published:
    return Published(
        {name: dict(zip(NS, (value / 100 for value in values), strict=True)) for name, *values in rows},
        _WHITENED,
    )


PUBLISHED: Mapping[str, Published] = {
    "pitts250k_test": _table(
        ("SARE Our-Ind.", 88.97, 95.50, 96.79),
        ("SARE Our-Joint", 88.43, 95.06, 96.58),
        ("CRN", 85.50, 93.50, 95.50),
        ("NetVLAD", 85.95, 93.20, 95.13),
    ),
    "tokyoTM_val": _table(
        ("SARE Our-Ind.", 94.49, 96.73, 97.30),
        ("SARE Our-Joint", 94.71, 96.87, 97.51),
        ("NetVLAD", 93.85, 96.77, 97.59),
    ),
    "tokyo247": _table(
        ("SARE Our-Ind.", 79.68, 86.67, 90.48),
        ("SARE Our-Joint", 80.63, 87.30, 90.79),
        ("CRN", 75.20, 83.80, 87.30),
        ("NetVLAD", 73.33, 82.86, 86.03),
    ),
    "sf0": _table(
        ("SARE Our-Ind.", 80.60, 86.70, 89.01),
        ("SARE Our-Joint", 77.75, 85.07, 87.52),
        ("NetVLAD", 75.58, 83.31, 85.21),
    ),
    "pitts30k_val": Published(
        {
            "deepIBL's log, off the shelf": {1: 0.80, 5: 0.93, 10: 0.96},
            "deepIBL's log, trained": {1: 0.89, 5: 0.97, 10: 0.98},
        },
        "From the training log in deepIBL's README (session 53e0, best epoch 4 of 7): not whitened, "
        "two decimals.",
    ),
}


def published_for(dataset: str) -> Published:
    """What is published for a data set by its name here (pitts250k_test, tokyo247 …); empty for others."""
    return PUBLISHED.get(dataset.replace("/", "_"), Published())


TABLE_NS = (1, 2, 3, 4, 5, 10, 15, 20, 25, 50, 100)

PLOT_N = 5  # demo.m's, over dimensions

CURVE_END = 25  # the largest N that curves show, as is usual


def write_report(evaluation: Evaluation, folder: str | os.PathLike[str], command: str = "") -> Path:
    """Writes `folder`/index.html and report.json, and figures as demo.m's; returns the page's path.

    The figures are recall.png and, for whitened descriptors, dimensions.png; the page does not need them.
    command: what was typed, for the page. Raises ReportError for an evaluation that keeps no descriptors.
    """
    run = collect(evaluation, command)
    target = Path(folder)
    write_run(run, target / FILE)
    with atomic_output(target / "index.html") as temporary:
        temporary.write_text(report_page(run), encoding="utf-8")
    plot_recall(*zip(*curve(run), strict=True), path=target / "recall.png")
    if run.by_dimension:
        at = DIMENSION_NS.index(PLOT_N)
        by_dimension = {dim: recalls[at] for dim, recalls in run.by_dimension.items()}
        plot_recall_by_dimension(by_dimension, PLOT_N, path=target / "dimensions.png")
    return target / "index.html"


def report_page(run: Run, *, hits: int = HITS, failures: int = FAILURES) -> str:
    """The page of a run as HTML text. hits, failures: the most queries that are shown with pictures."""
    published = published_for(run.dataset)
    pictures = Thumbnails()
    wrong, right = chosen_failures(run, failures), chosen_hits(run, hits)
    missed = sum(not query.found(1) for query in run.queries)
    return page(
        f"{run.dataset}: Recall@N of {Path(run.network).name}",
        [
            headline(run),
            section("Recall@N", recall_beside_published(run, published)),
            section("By time of day", _groups(run)) if _lights(run) else section("By group", _groups(run)),
            section("Recall by dimension", _dimensions(run)),
            section("Where queries are found", _map(run, {*wrong, *right})),
            section(
                f"Not found at first ({missed} of {len(run.queries)})",
                note(f"The {len(wrong)} surest mistakes, smallest distance first.") if wrong else "",
                *(case(run, number, pictures) for number in wrong),
            ),
            section("Found at first", *(case(run, number, pictures) for number in right)),
            section("Descriptors", _statistics(run)),
            section("All queries", _all_queries(run)),
            section("How this was made", provenance(run)),
        ],
    )


def headline(run: Run) -> str:
    """Title and the three figures that people look at first."""
    tiles = "".join(
        f'<div class="tile"><b>{100 * run.at(n):.2f}</b>Recall@{n}, percent</div>'
        for n in DIMENSION_NS
        if n in run.ns
    )
    sizes = (
        f"{run.database_images} database images, {len(run.queries)} queries, {run.dimensions} dimensions; "
        f"an answer is right within {run.threshold:g} m (or by the data set's own rule)."
    )
    heading = table(["", ""], [["data set", run.dataset], ["network", Path(run.network).name]], "left")
    return f"<h1>Place recognition report</h1>{heading}{note(sizes)}<div class='tiles'>{tiles}</div>"


def recall_beside_published(run: Run, published: Published) -> str:
    """Table and curve of Recall@N, published figures beside them."""
    names = list(published.recalls)
    rows = [
        [str(n), f"{run.at(n):.4f}", *(_figure(published.recalls[name].get(n)) for name in names)]
        for n in TABLE_NS
        if n in run.ns
    ]
    lines = [Line("measured here", curve(run))]
    lines += [Line(f"{name} (published)", sorted(published.recalls[name].items()), True) for name in names]
    chart = line_chart(lines, "N", "Recall@N")
    header = ["N", "measured here", *(f"{name} (published)" for name in names)]
    remark = f"{published.note} They were not measured here." if names else ""
    beside = table(header, rows) + (note(remark) if remark else "")
    return f'<div class="beside"><div>{beside}</div><div>{chart}</div></div>'


def curve(run: Run) -> list[tuple[float, float]]:
    """The points of Recall@N up to CURVE_END."""
    return [(n, recall) for n, recall in zip(run.ns, run.recalls, strict=True) if n <= CURVE_END]


def provenance(run: Run) -> str:
    """The command, the network's identity, where things lay, versions."""
    rows = [
        ["command", run.command or "(called from Python)"],
        ["network", run.network],
        ["its identity", run.network_id],
        [
            "its layers",
            f"{len(run.layers)}: {', '.join(run.layers[-6:])} at the end" if run.layers else "not known",
        ],
        ["database images", run.database_root],
        ["query images", run.query_root],
        ["made", run.made],
        ["versions", ", ".join(f"{name} {version}" for name, version in run.versions.items())],
    ]
    return table(["", ""], rows, "left")


def query_kinds(run: Run) -> list[tuple[str, str, str, list[int]]]:
    """Queries by success: label, colour, shape, ids."""
    kinds: list[tuple[str, str, str, list[int]]] = [
        ("right at first", "#0f7b6c", "dot", []),
        ("right among the first 10", "#dfa000", "square", []),
        ("not among the first 10", "#c8372d", "cross", []),
    ]
    for number, query in enumerate(run.queries):
        kinds[0 if query.found(1) else 1 if query.found(10) else 2][3].append(number)
    return kinds


def marks(queries: Sequence[Query], ids: Sequence[int], linked: set[int], said: str = "") -> list[Mark]:
    """Marks for the map of the queries whose position is known; those in `linked` lead to their case."""
    return [
        Mark(query.east, query.north, f"{query.name}{said}", anchor(number) if number in linked else "")
        for number, query in ((i, queries[i]) for i in ids)
        if query.east is not None and query.north is not None
    ]


def _map(run: Run, linked: set[int]) -> str:
    kinds = [
        Kind(f"{label} ({len(ids)})", colour, shape, marks(run.queries, ids, linked))
        for label, colour, shape, ids in query_kinds(run)
    ]
    return place_map(run.database_positions, kinds)


def _lights(run: Run) -> bool:
    return bool({"day", "night"} & set(run.groups))


def _groups(run: Run) -> str:
    if not run.groups:
        return ""
    names = list(run.groups)
    header = ["N", f"all ({len(run.queries)})", *(f"{name} ({run.group_sizes[name]})" for name in names)]
    rows = [
        [str(n), f"{run.at(n):.4f}", *(f"{run.groups[name][run.ns.index(n)]:.4f}" for name in names)]
        for n in TABLE_NS
        if n in run.ns
    ]
    lines = [
        Line(name, [p for p in zip(run.ns, run.groups[name], strict=True) if p[0] <= CURVE_END])
        for name in names
    ]
    return f'<div class="beside">{table(header, rows)}<div>{line_chart(lines, "N", "Recall@N")}</div></div>'


def _dimensions(run: Run) -> str:
    if not run.by_dimension:
        return note(
            "Not measured: keeping the first dimensions makes sense for whitened descriptors only "
            "(a network that ends in WPCA or PCA)."
        )
    dims = sorted(run.by_dimension)
    rows = [[str(dim), *(f"{value:.4f}" for value in run.by_dimension[dim])] for dim in dims]
    header = ["dimensions", *(f"Recall@{n}" for n in DIMENSION_NS)]
    chart = line_chart(dimension_lines(run), "dimensions kept", "Recall@N", log_x=True)
    return f'<div class="beside">{table(header, rows)}<div>{chart}</div></div>' + note(
        "The first dimensions of each descriptor, normalised again (cropToDim)."
    )


def dimension_lines(run: Run, prefix: str = "") -> list[Line]:
    """Recall over the dimensions kept, a line for each N."""
    return [
        Line(f"{prefix}Recall@{n}", [(dim, recalls[at]) for dim, recalls in sorted(run.by_dimension.items())])
        for at, n in enumerate(DIMENSION_NS)
    ]


def _statistics(run: Run) -> str:
    found = run.statistics
    cosine, hub, separation = found["cosine"], found["hub"], found["separation"]
    lengths = " / ".join(f"{value:.6f}" for value in found["length"])
    rows = [
        ["length of descriptors: least / mean / largest", lengths],
        ["dimensions in use (of the covariance)", f"{found['used_dimensions']:.1f} of {run.dimensions}"],
        ["cosine of two database images: mean / largest", _pair(cosine)],
        [
            "a right first answer is nearer than a wrong one",
            "–"
            if separation is None
            else f"in {100 * separation:.1f} % of pairs (50 %: distance tells nothing)",
        ],
        ["most frequent first answer", f"{hub[0]}, for {hub[1]} queries" if hub else "–"],
    ]
    bars = ""
    if found["distances"]:
        values: dict[str, Any] = found["distances"]
        labels = ("first answer right", "first answer wrong")
        bars = paired_bars(
            values["edges"], values["right"], values["wrong"], labels, "squared distance of the first answer"
        )
    remark = note(f"From {found['sample']} database descriptors, evenly spread.")
    return f'<div class="beside"><div>{table(["", ""], rows, "left")}{remark}</div><div>{bars}</div></div>'


def _all_queries(run: Run) -> str:
    rows = []
    for query in run.queries:
        first = query.answers[0] if query.answers else None
        rows.append(
            [
                query.name,
                query.rank if query.rank else None,
                first.name if first else None,
                first.metres if first else None,
                round(first.distance, 4) if first and first.distance is not None else None,
            ]
        )
    kinds = {
        "right at first": [1],
        "wrong at first": [None, *range(2, 101)],
        "not among the first 100": [None],
    }
    header = ["query", "first right at rank", "first answer", "metres away", "squared distance"]
    return many_rows(f"{len(rows)} queries, unfold and search", header, rows, 1, kinds)


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _pair(values: Sequence[float] | None) -> str:
    return "–" if values is None else " / ".join(f"{value:.4f}" for value in values)
