"""Runs programs in Octave and, migrated, in Python, and counts: equal, marked, wrong.

    python -m tests.unit.migrate.differential 5000

One Octave process runs hundreds of programs; each is a function of one file.
"""

import contextlib
import io
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from deepibl.migrate.translate import migrate
from tests.unit.migrate.programs import program

BATCH = 300
BEGIN, FAILED = "@@@ ", "!!! "


class Outcome(NamedTuple):
    """What became of a program: equal, marked, refused (an error that Octave does not have) or wrong."""

    verdict: str
    source: str
    octave: str
    python: str


def in_octave(sources: list[str]) -> list[str]:
    """What each program prints in Octave; an error ends it with a line that begins with !!!."""
    functions = "\n".join(f"function p{i}()\n{source}\nend" for i, source in enumerate(sources))
    calls = "\n".join(
        f"printf('{BEGIN}{i}\\n'); try, p{i}(); catch e_, printf('{FAILED}%s\\n', e_.message); end"
        for i in range(len(sources))
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "programs.m")
        file.write_text(f"1;\n{functions}\nwarning('off', 'all');\n{calls}\n")
        done = subprocess.run(
            ["octave-cli", "--no-init-file", "-q", str(file)], capture_output=True, text=True, check=True
        )
    parts = done.stdout.split(BEGIN)[1:]
    return [part.partition("\n")[2] for part in parts]


def in_python(source: str) -> tuple[bool, str]:
    """Whether a program is migrated without marks, and what it prints."""
    result = migrate(source, "p.m")
    if result.marks:
        return False, result.marks[0].reason
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            exec(compile(result.text, "p.py", "exec"), {"__name__": "script"})
        except Exception as problem:
            print(f"{FAILED}{type(problem).__name__}: {problem}")
    return True, out.getvalue()


def _lines(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def compare(sources: list[str]) -> list[Outcome]:
    """The outcome of each program. One that fails in Octave has to fail in Python too, after the same
    output."""
    outcomes = []
    for source, octave in zip(sources, in_octave(sources), strict=True):
        whole, python = in_python(source)
        theirs, ours = _lines(octave), _lines(python)
        both_fail = (
            bool(theirs and ours)
            and theirs[-1].startswith(FAILED.strip())
            and ours[-1].startswith(FAILED.strip())
        )
        if not whole:
            verdict = "marked"
        elif theirs == ours or (both_fail and theirs[:-1] == ours[:-1]):
            verdict = "equal"
        else:
            refused = ours and ours[-1].startswith(FAILED.strip()) and ours[:-1] == theirs[: len(ours) - 1]
            verdict = "refused" if refused else "wrong"
        outcomes.append(Outcome(verdict, source, octave, python))
    return outcomes


def main(count: int, first: int = 0) -> int:
    """Compares this many programs and prints the figures; the exit code is 1 where any is wrong."""
    counts: Counter[str] = Counter()
    for begin in range(first, first + count, BATCH):
        for outcome in compare([program(seed) for seed in range(begin, min(begin + BATCH, first + count))]):
            counts[outcome.verdict] += 1
            if outcome.verdict in ("wrong", "refused") and counts[outcome.verdict] <= 10:
                print(
                    f"---- {outcome.verdict}\n{outcome.source}\n-- octave\n{outcome.octave}-- python\n"
                    f"{outcome.python}"
                )
    print(
        f"{sum(counts.values())} programs: "
        + ", ".join(f"{counts[v]} {v}" for v in ("equal", "marked", "refused", "wrong"))
    )
    return 1 if counts["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0))
