"""`deepibl report compare A B`: two evaluations on one page, and which queries each of them wins."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deepibl.errors import ReportError
from deepibl.report.charts import Line, line_chart
from deepibl.report.html import render
from deepibl.report.retrieval import TABLE_NS, curve, dimension_lines, query_map, thumbnails
from deepibl.report.run import Run

_KINDS = ("both", "only_first", "only_second", "neither")
_CASES = 20  # queries with pictures, of each kind


@dataclass(frozen=True)
class Comparison:
    """Recalls of both runs at common N, and queries by which run's first answer is right.

    both, only_first, only_second, neither: query ids of the first run. p_value: of the two-sided sign test on
    the queries that only one run gets right: how likely so uneven a split is if both are equally good.
    most: the largest N of the table, the size of the smaller database.
    """

    labels: tuple[str, str]
    ns: list[int]
    recalls: tuple[list[float], list[float]]
    both: list[int]
    only_first: list[int]
    only_second: list[int]
    neither: list[int]
    p_value: float
    most: int

    def table(self) -> list[tuple[int, float, float]]:
        """N and both recalls, at those of TABLE_NS that both runs measured; N beyond `most` are left out."""
        rows = zip(self.ns, *self.recalls, strict=True)
        return [row for row in rows if row[0] in TABLE_NS and row[0] <= self.most]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        first, second = self.recalls
        return {
            "runs": list(self.labels),
            "recall": {str(n): [a, b, b - a] for n, a, b in zip(self.ns, first, second, strict=True)},
            "queries": {name: len(getattr(self, name)) for name in _KINDS},
            "sign_test_p": self.p_value,
        }

    def __str__(self) -> str:
        lines = [f"A {self.labels[0]}", f"B {self.labels[1]}", "N       A      B  B - A (percent)"]
        table = ((n, 100 * one, 100 * two) for n, one, two in self.table())
        lines += [f"{n:03d} {one:5.1f}  {two:5.1f}  {two - one:+.1f}" for n, one, two in table]
        lines.append(
            f"right at first: both {len(self.both)}, only A {len(self.only_first)}, "
            f"only B {len(self.only_second)}, neither {len(self.neither)}; sign test p = {self.p_value:.3g}"
        )
        return "\n".join(lines)


def compare_runs(first: Run, second: Run) -> Comparison:
    """Compares two runs query by query, matched by name.

    Raises ReportError when they were not measured on the same queries, by one limit, and at a common N.
    """
    twins = {query.name: query for query in second.queries}
    if set(twins) != {query.name for query in first.queries} or len(twins) != len(second.queries):
        counts = [f"{len(run.queries)} of {run.dataset}" for run in (first, second)]
        raise ReportError(f"the runs have different queries, {' and '.join(counts)}: evaluate one data set")
    if first.threshold != second.threshold:
        limits = f"{first.threshold:g} m in one run and {second.threshold:g} m in the other"
        raise ReportError(f"a match is right within {limits}: evaluate both with one --threshold")
    from scipy.stats import binomtest

    ns = [n for n in first.ns if n in second.ns]
    if not ns:
        raise ReportError("the runs measured recall at no common N")
    found: tuple[list[int], ...] = ([], [], [], [])
    for number, query in enumerate(first.queries):
        found[2 * query.found(1) + twins[query.name].found(1)].append(number)
    neither, only_second, only_first, both = found
    label, other = (
        f"{Path(run.network).stem} ({run.network_id[:8]}, {run.dimensions} dimensions)"
        for run in (first, second)
    )
    labels = (label, other) if label != other else (f"{label}, {first.made}", f"{other}, {second.made}")
    recalls = [first.at(n) for n in ns], [second.at(n) for n in ns]
    one, two = len(only_first), len(only_second)
    p_value = float(binomtest(one, one + two, 0.5).pvalue) if one + two else 1.0
    most = max(1, min(first.database_images, second.database_images))
    return Comparison(labels, ns, recalls, both, only_first, only_second, neither, p_value, most)


def comparison_page(first: Run, second: Run) -> str:
    """The page of two runs as HTML text; raises what `compare_runs` raises."""
    found = compare_runs(first, second)
    curves = [Line(f"A {found.labels[0]}", curve(first)), Line(f"B {found.labels[1]}", curve(second))]
    kinds = {
        "both": ("#9fc9a9", "dot", found.both),
        "neither": ("#8b8f96", "dot", found.neither),
        "only A": ("#0b6e99", "square", found.only_first),
        "only B": ("#d9730d", "square", found.only_second),
    }
    dimensions = [*dimension_lines(first, "A: "), *dimension_lines(second, "B: ")]
    charts = {
        "recall": line_chart("recall", curves, "N", "Recall@N"),
        "dimensions": line_chart("dims", dimensions, "dimensions kept", "Recall@N", log_x=True),
        "map": query_map(first, kinds, {*found.only_first[:_CASES], *found.only_second[:_CASES]}),
    }
    return render(
        "comparison.html",
        first=first,
        second=second,
        found=found,
        charts=charts,
        groups=[name for name in first.groups if name in second.groups],
        most_cases=_CASES,
        twins={query.name: query for query in second.queries},
        thumbnail=thumbnails(),
    )
