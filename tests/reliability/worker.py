"""A process that reads bad files one after the other and says what came of each (see `watched`).

`python -m tests.reliability.worker FOLDER` runs in FOLDER/NAME, takes the seeds from FOLDER/seeds, and reads
cases as JSON lines. Its address space is limited, so that a file that claims gigabytes fails here and does
no harm; what each case needs above the start is measured as the peak of resident memory.
"""

import contextlib
import faulthandler
import gc
import json
import os
import resource
import shutil
import sys
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

from tests.reliability.bad_readers import BAD_READERS
from tests.reliability.cases import Case, write_case
from tests.reliability.crafted import MARKER
from tests.reliability.readers import KINDS, Reader, accepted

MEGABYTE = 2**20
MEMORY = 500 * MEGABYTE
SECONDS = 10.0  # of the processor
SLACK = 150 * MEGABYTE  # address space that is reserved, not used: stacks, arenas


def run_case(case: Case, seeds: Path) -> list[dict[str, Any]]:
    """What each reader of the case's kind made of it."""
    kind = KINDS[case.kind]
    results = []
    for reader in kind.readers:
        folder = Path("case")
        folder.mkdir()
        path = folder / f"bad{kind.suffix}"
        write_case(case, seeds, path)
        print(json.dumps({"begins": reader.__name__}), file=REPLIES, flush=True)
        results.append({"reader": reader.__name__, **_read(reader, path)})
        shutil.rmtree(folder)
    return results


def _read(reader: Reader, path: Path) -> dict[str, Any]:
    gc.collect()
    before = _resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts here
    begun = time.process_time()
    outcome: dict[str, Any] = {"outcome": "read"}
    try:
        reader(path)
    except Exception as error:
        named = path.name in str(error)
        outcome = {
            "outcome": "refused",
            "error": type(error).__name__,
            "message": str(error)[:300],
            "named": named,
        }
        if not accepted(error):
            outcome |= {"outcome": "failed", "trace": traceback.format_exc()[-3000:]}
    seconds = time.process_time() - begun
    memory = _resident("VmHWM") - before
    if outcome["outcome"] != "failed" and (seconds > SECONDS or memory > MEMORY):
        outcome |= {"outcome": "failed", "error": "Slow" if seconds > SECONDS else "Large"}
    if Path(MARKER).exists():
        Path(MARKER).unlink()
        outcome |= {"outcome": "failed", "error": "RanCode"}
    return {**outcome, "seconds": round(seconds, 3), "memory": memory}


def _resident(what: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {what}")


def _warm_up(name: str, seeds: Path) -> None:
    """Reads one good file of a kind, so that what is loaded once is not counted as a case's."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    kind = KINDS[name]
    for reader in kind.readers:
        Path("warm").mkdir()
        path = Path("warm") / f"good{kind.suffix}"
        shutil.copyfile(sorted((seeds / name).iterdir())[0], path)
        with contextlib.suppress(Exception):
            if reader not in BAD_READERS:
                reader(path)
        shutil.rmtree("warm")
    gc.collect()
    gc.freeze()  # what is loaded stays; collecting before each case is then quick
    limit = _resident("VmSize") + MEMORY + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))


def main(folder: Path) -> None:
    """Answers cases until there are no more."""
    seeds = folder.resolve() / "seeds"
    place = folder / f"worker{os.getpid()}"
    place.mkdir()
    os.chdir(place)
    warm: set[str] = set()
    print(json.dumps({"ready": _resident("VmRSS")}), file=REPLIES, flush=True)
    for line in sys.stdin:
        case = Case(**json.loads(line))
        if case.kind not in warm:
            warm.add(case.kind)
            _warm_up(case.kind, seeds)
            print(json.dumps({"begins": "warm"}), file=REPLIES, flush=True)
        print(json.dumps({"case": str(case), "results": run_case(case, seeds)}), file=REPLIES, flush=True)


if __name__ == "__main__":
    faulthandler.enable()
    warnings.simplefilter("ignore")
    REPLIES = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    main(Path(sys.argv[1]))
