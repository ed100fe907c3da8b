"""`deepibl report compare A B`: two evaluations on one page, and which queries each of them wins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.errors import ReportError
from deepibl.report.charts import Kind, Line, line_chart, place_map
from deepibl.report.html import esc, note, page, section, table
from deepibl.report.retrieval import (
    TABLE_NS,
    Thumbnails,
    anchor,
    answer_figure,
    curve,
    dimension_lines,
    marks,
    provenance,
    query_figure,
)
from deepibl.report.run import Query, Run

_CASES = 20  # queries with pictures, of each kind


@dataclass(frozen=True)
class Comparison:
    """Recalls of both runs at common N, and queries by who is right at first; ids are those of the first run.

    p_value: two-sided sign test on the queries that only one of the runs gets right: how likely so uneven
    a split is if both are equally good.
    """

    labels: tuple[str, str]
    ns: list[int]
    recalls: tuple[list[float], list[float]]
    both: list[int]
    only_first: list[int]
    only_second: list[int]
    neither: list[int]
    p_value: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        first, second = self.recalls
        return {
            "runs": list(self.labels),
            "recall": {str(n): [a, b, b - a] for n, a, b in zip(self.ns, first, second, strict=True)},
            "queries": {
                "both": len(self.both), "only_first": len(self.only_first),
                "only_second": len(self.only_second), "neither": len(self.neither),
            },
            "sign_test_p": self.p_value,
        }  # fmt: skip

    def __str__(self) -> str:
        lines = [f"A {self.labels[0]}", f"B {self.labels[1]}", "N         A       B    B - A"]
        for n, one, two in zip(self.ns, *self.recalls, strict=True):
            if n in TABLE_NS:
                lines.append(f"{n:03d}  {one:.4f}  {two:.4f}  {two - one:+.4f}")
        lines.append(
            f"right at first: both {len(self.both)}, only A {len(self.only_first)}, "
            f"only B {len(self.only_second)}, neither {len(self.neither)}; sign test p = {self.p_value:.3g}"
        )
        return "\n".join(lines)


def compare_runs(first: Run, second: Run) -> Comparison:
    """Compares two runs query by query, matched by name.

    Raises ReportError when they were not measured on the same queries, or at no common N.
    """
    places = {query.name: query for query in second.queries}
    if set(places) != {query.name for query in first.queries} or len(places) != len(second.queries):
        raise ReportError(
            f"the runs asked different queries ({first.dataset}: {len(first.queries)}, {second.dataset}: "
            f"{len(second.queries)}): only evaluations of one data set can be compared"
        )
    ns = [n for n in first.ns if n in second.ns]
    if not ns:
        raise ReportError("the runs measured recall at no common N")
    found: tuple[list[int], ...] = ([], [], [], [])
    for number, query in enumerate(first.queries):
        kind = (not query.found(1)) + 2 * (not places[query.name].found(1))
        found[kind].append(number)
    both, only_second, only_first, neither = found
    recalls = [first.at(n) for n in ns], [second.at(n) for n in ns]
    p_value = _sign_test(len(only_first), len(only_second))
    return Comparison(_labels(first, second), ns, recalls, both, only_first, only_second, neither, p_value)


def comparison_page(first: Run, second: Run) -> str:
    """The page of two runs as HTML text; raises what `compare_runs` raises."""
    found = compare_runs(first, second)
    linked = {*found.only_first[:_CASES], *found.only_second[:_CASES]}
    pictures = Thumbnails()
    twins = {query.name: query for query in second.queries}
    cases = [
        section(
            f"Only {label} is right at first: {len(ids)} queries",
            *(_case(first, second, i, twins[first.queries[i].name], pictures) for i in ids[:_CASES]),
        )
        for label, ids in (("A", found.only_first), ("B", found.only_second))
    ]
    return page(
        f"{first.dataset}: two runs",
        [
            "<h1>Two runs compared</h1>",
            table(
                ["", ""],
                [["A", found.labels[0]], ["B", found.labels[1]], ["data set", first.dataset]],
                "left",
            ),
            section("Recall@N", _recalls(first, second, found)),
            section("By group", _groups(first, second)),
            section("Recall by dimension", _dimensions(first, second)),
            section("Who finds which query", _who(found), _map(first, found, linked)),
            *cases,
            section("How A was made", provenance(first)),
            section("How B was made", provenance(second)),
        ],
    )


def _labels(first: Run, second: Run) -> tuple[str, str]:
    names = [
        f"{Path(run.network).stem} ({run.network_id[:8]}, {run.dimensions} dimensions)"
        for run in (first, second)
    ]
    return (
        (names[0], names[1])
        if names[0] != names[1]
        else (f"{names[0]}, {first.made}", f"{names[1]}, {second.made}")
    )


def _recalls(first: Run, second: Run, found: Comparison) -> str:
    rows = [
        [str(n), f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}"]
        for n, one, two in zip(found.ns, *found.recalls, strict=True)
        if n in TABLE_NS
    ]
    chart = line_chart(
        [Line(f"A {found.labels[0]}", curve(first)), Line(f"B {found.labels[1]}", curve(second))],
        "N",
        "Recall@N",
    )
    return f'<div class="beside">{table(["N", "A", "B", "B − A"], rows)}<div>{chart}</div></div>'


def _groups(first: Run, second: Run) -> str:
    names = [name for name in first.groups if name in second.groups]
    if not names:
        return ""
    rows = []
    for name in names:
        one, two = (run.groups[name][run.ns.index(1)] for run in (first, second))
        rows.append([name, str(first.group_sizes[name]), f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}"])
    return table(["group", "queries", "A: Recall@1", "B: Recall@1", "B − A"], rows)


def _dimensions(first: Run, second: Run) -> str:
    lines = [line for label, run in (("A: ", first), ("B: ", second)) for line in dimension_lines(run, label)]
    return line_chart([line for line in lines if line.points], "dimensions kept", "Recall@N", log_x=True)


def _who(found: Comparison) -> str:
    rows = [
        ["both are right at first", str(len(found.both))],
        ["only A", str(len(found.only_first))],
        ["only B", str(len(found.only_second))],
        ["neither", str(len(found.neither))],
    ]
    said = f"Sign test on the queries that only one finds: p = {found.p_value:.3g}."
    return table(["", "queries"], rows) + note(said)


def _map(run: Run, found: Comparison, linked: set[int]) -> str:
    kinds = (
        ("both", "#9fc9a9", "dot", found.both),
        ("neither", "#8b8f96", "dot", found.neither),
        ("only A", "#0b6e99", "square", found.only_first),
        ("only B", "#d9730d", "square", found.only_second),
    )
    return place_map(
        run.database_positions,
        [
            Kind(f"{label} ({len(ids)})", colour, shape, marks(run.queries, ids, linked))
            for label, colour, shape, ids in kinds
        ],
    )


def _case(first: Run, second: Run, number: int, twin: Query, picture: Any) -> str:
    query = first.queries[number]
    figures = [query_figure(first, query, picture)]
    for label, run, asked in (("A", first, query), ("B", second, twin)):
        if asked.answers:
            rank = "not in the first 100" if asked.rank is None else f"right at rank {asked.rank}"
            figures.append(answer_figure(run, asked.answers[0], picture, f"{label}: first answer ({rank})"))
    return f'<div class="case" id="{esc(anchor(number))}">{"".join(figures)}</div>'


def _sign_test(first: int, second: int) -> float:
    """Two-sided: the chance of a split at least as uneven of first + second fair coin flips."""
    if first + second == 0:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(first, first + second, 0.5).pvalue)
