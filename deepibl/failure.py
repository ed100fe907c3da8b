"""One image that could not be used, in a run that went on without it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """An image, its position in the list that was given (from 0), and why it failed, with the file's name."""

    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return self.reason


def list_failures(failures: Sequence[Failure], most: int = 20) -> str:
    """The reasons, one a line, indented; beyond `most` only their number."""
    lines = [f"  {failure}" for failure in failures[:most]]
    return "\n".join(lines + ([f"  … and {len(failures) - most} more"] if len(failures) > most else []))
