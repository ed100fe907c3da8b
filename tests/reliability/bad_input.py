"""Bad files by the thousand: python -m tests.reliability.bad_input --cases 10000

Every case is a mutated or hand-made file that the project's readers are given, in a process of its own that
is watched. It passes when each reader reads it or refuses it with an error of ours, within 10 s and 500 MB
above its start. Files that fail are kept in --failures with what happened; a case is made again, by itself,
by --only KIND/SEED/NUMBER.
"""

import argparse
import collections
import sys
import tempfile
import time
from pathlib import Path

from tests.golden_data import REAL
from tests.reliability.cases import Case, crafted_cases, mutated_cases
from tests.reliability.readers import KINDS
from tests.reliability.seeds import make_seeds
from tests.reliability.watched import Summary, summarize


def main() -> int:
    """The command line; 1 where a case failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10000, help="mutated files (default 10000)")
    parser.add_argument("--seed", type=int, default=0, help="of all choices (default 0)")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), help="default: all")
    parser.add_argument("--failures", type=Path, help="where to keep files that fail")
    parser.add_argument("--real", type=Path, default=REAL, help="folder of files that MATLAB wrote")
    parser.add_argument(
        "--only", metavar="KIND/SEED/NUMBER", help="one case, or KIND/NAME of a hand-made one"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deepibl-bad-input-") as place:
        folder = Path(place)
        real = given.real if given.real.is_dir() else None
        make_seeds(folder / "seeds", real)
        begun = time.perf_counter()
        if given.only:
            cases = [_named(given.only)]
        else:
            crafted = [case for case in crafted_cases() if not given.kinds or case.kind in given.kinds]
            cases = crafted + mutated_cases(given.cases, given.seed, given.kinds)
        summary = summarize(cases, folder, given.failures)
    _tell(summary, time.perf_counter() - begun, real)
    return 1 if summary.findings else 0


def _named(text: str) -> Case:
    kind, *rest = text.split("/")
    if len(rest) == 2:
        return Case(kind, int(rest[0]), int(rest[1]))
    return next(case for case in crafted_cases() if (case.kind, case.name) == (kind, rest[0]))


def _tell(summary: Summary, seconds: float, real: Path | None) -> None:
    print(f"{summary.cases:,} cases, {summary.reads:,} reads in {seconds:.0f} s; ", end="")
    print(f"seeds {'with' if real else 'without'} MATLAB's own files")
    print(f"slowest read {summary.slowest:.2f} s, largest {summary.largest / 2**20:.0f} MB above its start")
    for kind, outcomes in summary.outcomes.items():
        parts = ", ".join(
            f"{count} {name}" for name, count in sorted(outcomes.items(), key=lambda item: -item[1])
        )
        print(f"  {kind:12} {parts}")
    if summary.unnamed:
        print("messages that do not name the file:", summary.unnamed)
    print(f"{len(summary.findings)} failed")
    grouped = collections.Counter(_place(finding.details, finding.error) for finding in summary.findings)
    for place, count in grouped.most_common():
        print(f"  {count:4} x {place}")
    for finding in summary.findings[:40]:
        print(finding.case, finding.reader, finding.error)


def _place(details: str, error: str) -> str:
    """Error and the last line of ours in a traceback."""
    ours = [line.strip() for line in details.splitlines() if "deepibl/" in line or "matlab_compat/" in line]
    last = [line for line in details.splitlines() if line.strip()][-1:] or [""]
    return f"{error}: {ours[-1] if ours else ''} | {last[0][:150]}"


if __name__ == "__main__":
    sys.exit(main())
