"""The page under load: storms of good and bad uploads, then sustained queries; and the index by itself.

    python -m tests.reliability.page_load            # prints what docs/reliability.md shows

Everything happens on this machine's loopback address, with a toy city and the network that ships.
"""

import argparse
import functools
import os
import tempfile
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from deepibl.datasets.catalog import database_places
from deepibl.networks.io import load_network
from deepibl.networks.weights import find_network
from deepibl.search.localization import build_index
from deepibl.toycity.city import make_city
from tests.page_server import Served, serving
from tests.reliability.index_load import index_report
from tests.reliability.load import MemoryWatch, Outcome, ask_for
from tests.reliability.uploads import Kind, kinds, post

MB = 1e6


@dataclass
class Storm:
    """What came of storms: answers by kind and status, wrong ones, memory and files after each."""

    answers: dict[str, Counter[int]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    peak: int = 0
    left: list[str] = field(default_factory=list)


def make_index(folder: Path, images: int) -> Path:
    """An index of a toy city's photos, read as own photos are."""
    mat = make_city(folder / "city", images=images, queries=12, workers=os.cpu_count() or 1, progress=False)
    path = find_network()
    places = replace(database_places(mat, mat.parent), as_stored=False)
    build_index(load_network(path), places, folder / "city.idx", network_path=path, progress=False)
    return folder / "city.idx"


def storm(page: Served, temporary: Path, rounds: int, uploads: int = 50) -> Storm:
    """`rounds` times `uploads` uploads at once, of every kind in turn. temporary: the page's TMPDIR."""
    found, sent = Storm(), kinds()
    found.answers = {kind.name: Counter() for kind in sent}
    chosen = [sent[i % len(sent)] for i in range(uploads)]
    with MemoryWatch(page.process.pid) as watch, ThreadPoolExecutor(uploads) as pool:
        for _ in range(rounds):
            send = functools.partial(_send, page.url, threading.Barrier(uploads))
            for kind, answer in zip(chosen, list(pool.map(send, chosen)), strict=True):
                _judge(kind, answer, found)
            found.memory.append(page.resident())
            found.left += [str(path) for path in temporary.rglob("*")]
            found.left += [name for name in page.open_files() if str(temporary) in name]
    found.peak = watch.peak
    return found


def _send(url: str, gate: threading.Barrier, kind: Kind) -> tuple[int, dict[str, object]] | Exception:
    gate.wait()
    try:
        return post(url, kind.data)[:2]
    except Exception as problem:  # a page that breaks off is what this looks for
        return problem


def _judge(kind: Kind, answered: tuple[int, dict[str, object]] | Exception, found: Storm) -> None:
    if isinstance(answered, Exception):
        found.wrong.append(f"{kind.name}: {type(answered).__name__}: {answered}")
        return
    status, answer = answered
    found.answers[kind.name][status] += 1
    if status not in (*kind.right, 503):
        found.wrong.append(f"{kind.name}: {status} {answer}")
    elif status != 200 and not {"error", "what_to_do"} <= answer.keys():
        found.wrong.append(f"{kind.name}: {status} without error and what_to_do")


def sustained(page: Served, photos: list[bytes], users: int, seconds: float) -> tuple[Outcome, MemoryWatch]:
    """`users` ask one photo after the other; who is refused comes back when told."""

    def question(number: int) -> tuple[str, float]:
        status, _, pause = post(page.url, photos[number % len(photos)])
        return ("ok" if status == 200 else str(status)), pause

    with MemoryWatch(page.process.pid) as watch:
        outcome = ask_for(seconds, users, question)
    return outcome, watch


def storm_report(found: Storm, uploads: int) -> str:
    """The storms as Markdown."""
    rows = [
        f"| {name} | {', '.join(f'{status}: {count}' for status, count in sorted(counts.items()))} |"
        for name, counts in found.answers.items()
    ]
    held = [f"{value / MB:.0f}" for value in found.memory]
    shown = held if len(held) <= 10 else held[:: -(-len(held) // 10)] + held[-1:]
    return "\n".join(
        [
            "| upload | answers (status: count) |",
            "|---|---|",
            *rows,
            "",
            f"{len(found.memory)} storms of {uploads} uploads at once: {len(found.wrong)} wrong answers or "
            f"broken connections; {len(found.left)} temporary files. Memory of the page after storms, MB: "
            f"{' '.join(shown)}; at most {found.peak / MB:.0f}.",
            *(f"- {line}" for line in found.wrong[:20]),
        ]
    )


def sustained_report(users: int, outcome: Outcome, watch: MemoryWatch) -> str:
    """A line of Markdown of a sustained run."""
    quarters = [f"{watch.mean(i / 4, (i + 1) / 4) / MB:.0f}" for i in range(4)]
    return f"| {users} | {outcome} | {' '.join(quarters)} |"


def load_page(folder: Path, chosen: argparse.Namespace) -> None:
    """Prints the page's half of the report."""
    index, temporary = make_index(folder, chosen.images), folder / "tmp"
    temporary.mkdir()
    photos = [path.read_bytes() for path in sorted((folder / "city/queries").iterdir())]
    with serving(index, environment={**os.environ, "TMPDIR": str(temporary)}) as page:
        post(page.url, photos[0])
        print(f"Memory of the page after its first answer: {page.resident() / MB:.0f} MB.\n")
        print(storm_report(storm(page, temporary, chosen.rounds, chosen.uploads), chosen.uploads))
        print("\n| users | answers | memory, MB, mean of each quarter |\n|---|---|---|")
        for users in chosen.users:
            print(sustained_report(users, *sustained(page, photos, users, chosen.seconds)), flush=True)
    print()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="storms of uploads")
    parser.add_argument("--uploads", type=int, default=50, help="uploads of a storm, at once")
    parser.add_argument("--seconds", type=float, default=60, help="of each sustained run")
    parser.add_argument("--users", type=int, nargs="+", default=[1, 8, 32], help="of the sustained runs")
    parser.add_argument("--images", type=int, default=400, help="of the toy city")
    parser.add_argument("--rows", type=int, default=20_000, help="of the index that is asked by itself")
    parser.add_argument("--only", choices=["page", "index"], help="one half of it")
    chosen = parser.parse_args()
    if chosen.only != "index":
        with tempfile.TemporaryDirectory(prefix="deepibl-load-") as work:
            load_page(Path(work), chosen)
    if chosen.only != "page":
        print(index_report(chosen.rows, 512, chosen.users, chosen.seconds / 4))


if __name__ == "__main__":
    main()
