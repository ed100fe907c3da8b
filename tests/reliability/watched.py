"""Watching a worker: a case that crashes it, hangs it or is killed is known by name, and the next goes on."""

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.reliability.cases import Case, write_case
from tests.reliability.readers import KINDS

ROOT = Path(__file__).resolve().parents[2]
START = 180.0  # seconds in which a worker has to be ready, on a busy machine
PATIENCE = 60.0  # seconds by the clock before a worker is killed: others may use the processor, too
CASES_A_WORKER = 2000


@dataclass
class Finding:
    """A case that broke the contract with one reader."""

    case: Case
    reader: str
    error: str
    details: str

    def __str__(self) -> str:
        return f"{self.case} by {self.reader}: {self.error}\n{self.details}"


@dataclass
class Summary:
    """What came of many cases. outcomes: kind -> outcome or error type -> how often, by reader."""

    cases: int = 0
    reads: int = 0
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    unnamed: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def note(self, case: Case, result: dict[str, Any]) -> None:
        """Counts what one reader said."""
        self.reads += 1
        which = result.get("error", "read") if result["outcome"] != "failed" else "FAILED"
        of_kind = self.outcomes.setdefault(case.kind, {})
        of_kind[which] = of_kind.get(which, 0) + 1
        self.slowest = max(self.slowest, result["seconds"])
        self.largest = max(self.largest, result["memory"])
        if result["outcome"] == "failed":
            details = result.get("trace") or f"{result['seconds']} s, {result['memory']:,} bytes"
            self.findings.append(Finding(case, result["reader"], result["error"], details))
        elif not result.get("named", True):
            self.unnamed[f"{case.kind} {result['reader']}"] = (
                self.unnamed.get(f"{case.kind} {result['reader']}", 0) + 1
            )


class Worker:
    """One process that reads; `read` gives its results, or a finding where it did not survive."""

    def __init__(self, folder: Path) -> None:
        environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS="1", MALLOC_ARENA_MAX="1")
        environment |= {"HOME": str(folder), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.reliability.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            cwd=folder,
            env=environment,
        )
        self.unread = b""
        if self._reply(START) is None:
            self.end()
            raise RuntimeError(f"the worker did not start: {self.said}")

    def read(self, case: Case) -> list[dict[str, Any]] | Finding:
        """What the readers said of a case."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asdict(case)).encode() + b"\n")
        self.process.stdin.flush()
        reader = ""
        while (reply := self._reply(PATIENCE if reader else START)) is not None:
            if "results" in reply:
                return reply["results"]
            reader = reply["begins"]
        what = "Hang"
        with contextlib.suppress(subprocess.TimeoutExpired):  # the pipe is closed before the process is gone
            what = f"Crash {self.process.wait(1)}"
        self.end()
        return Finding(case, reader, what, self.said)

    def end(self) -> None:
        """Ends the process."""
        if self.errors.closed:
            return
        self.process.kill()
        self.process.wait()
        self.said = self._read_errors()
        self.errors.close()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and not pipe.closed:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _reply(self, seconds: float) -> dict[str, Any] | None:
        assert self.process.stdout is not None
        pipe, until = self.process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self.unread:
            ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
            more = os.read(pipe, 2**16) if ready else b""
            if not more:
                return None
            self.unread += more
        line, self.unread = self.unread.split(b"\n", 1)
        return json.loads(line)

    def _read_errors(self) -> str:
        self.errors.seek(0)
        return self.errors.read()[-3000:].decode(errors="replace")


def read_all(cases: Iterable[Case], folder: Path) -> Iterator[tuple[Case, list[dict[str, Any]] | Finding]]:
    """Reads every case by a worker; a worker that died is replaced. folder: with `seeds` in it."""
    worker, count = Worker(folder), 0
    try:
        for case in cases:
            if worker.process.poll() is not None or count == CASES_A_WORKER:
                worker.end()
                worker, count = Worker(folder), 0
            count += 1
            yield case, worker.read(case)
    finally:
        worker.end()


def summarize(cases: Iterable[Case], folder: Path, failures: Path | None = None) -> Summary:
    """Reads all cases and counts; failures: a folder into which the files of findings are written."""
    summary = Summary()
    for case, results in read_all(cases, folder):
        summary.cases += 1
        before = len(summary.findings)
        if isinstance(results, Finding):
            summary.findings.append(results)
        else:
            for result in results:
                summary.note(case, result)
        if summary.cases % 250 == 0:
            print(f"{summary.cases} cases, {len(summary.findings)} failed", file=sys.stderr, flush=True)
        if failures is not None and len(summary.findings) > before:
            _keep(case, summary.findings[before:], folder, failures)
    return summary


def _keep(case: Case, findings: list[Finding], folder: Path, failures: Path) -> None:
    failures.mkdir(parents=True, exist_ok=True)
    stem = failures / str(case).replace("/", "_")
    with tempfile.TemporaryDirectory() as place:
        before = os.getcwd()
        os.chdir(place)  # some mutations write a file on the way
        try:
            path = Path(f"bad{KINDS[case.kind].suffix}")
            write_case(case, folder / "seeds", path)
            shutil.copyfile(path, f"{stem}{path.suffix}")
        finally:
            os.chdir(before)
    Path(f"{stem}.txt").write_text("\n".join(map(str, findings)))
