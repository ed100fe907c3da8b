"""Tables that the command line prints."""

from collections.abc import Mapping, Sequence

from deepibl.index import Match
from deepibl.recall import Evaluation


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


def recall_table(evaluation: Evaluation, most: int = 100) -> str:
    """Recall@N up to `most` in the original's lines (N of three digits, four decimals), groups beside it."""
    result, dataset = evaluation.result, evaluation.dataset
    groups = result.by_group()
    header = (
        f"{dataset.name}: {dataset.numImages} database images, {len(result.query_ids)} queries, "
        f"{evaluation.dim} dimensions, network {evaluation.network_id[:12]}"
    )
    lines = [header]
    if groups:
        lines.append("N   " + "".join(f" {name:>7}" for name in ["all", *groups]))
    for row, n in enumerate(n for n in result.ns if n <= most):
        values = [result.recalls[row], *(recalls[row] for recalls in groups.values())]
        lines.append(f"{n:03d} " + " ".join(f"{value:{7 if groups else 6}.4f}" for value in values))
    return "\n".join(lines) + "\n"
