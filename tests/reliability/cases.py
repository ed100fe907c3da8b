"""Which case is which: a kind, a seed and a number name the bytes of a bad file, today and tomorrow."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from tests.reliability.crafted import CRAFTED
from tests.reliability.mutations import Mutation, mutate_bytes
from tests.reliability.readers import KINDS


@dataclass(frozen=True)
class Case:
    """One bad file. name: of the crafted file, or '' for a mutated one."""

    kind: str
    seed: int
    number: int
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind}/{self.name or f'{self.seed}/{self.number}'}"


def crafted_cases() -> list[Case]:
    """All files that were made by hand."""
    return [
        Case(kind, 0, number, maker.__name__)
        for kind, makers in CRAFTED.items()
        for number, maker in enumerate(makers)
    ]


def mutated_cases(count: int, seed: int, kinds: list[str] | None = None) -> list[Case]:
    """`count` cases, all kinds in turn."""
    wanted = kinds or list(KINDS)
    return [Case(wanted[number % len(wanted)], seed, number // len(wanted)) for number in range(count)]


def write_case(case: Case, seeds: Path, path: Path) -> None:
    """Writes the bytes of a case to `path`; seeds: the folder that `make_seeds` filled."""
    if case.name:
        CRAFTED[case.kind][case.number](path)
        return
    random = Random(f"{case.seed}/{case.kind}/{case.number}")
    data = random.choice(_seeds_of(seeds / case.kind))
    path.write_bytes(mutated(random, data, KINDS[case.kind].mutations))


def mutated(random: Random, data: bytes, mutations: Sequence[Mutation]) -> bytes:
    """The bytes after one of these mutations; plain bytes change where it needs another kind of file."""
    try:
        return random.choice(mutations)(random, data)
    except Exception:  # an old checkpoint is no zip file, a MAT 7.3 file no MAT 5 file
        return mutate_bytes(random, data)


@cache
def _seeds_of(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.iterdir())]
