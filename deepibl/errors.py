"""Errors of deepibl. All of them, and those of `matlab_compat.errors`, are `MatlabCompatError`.

MatlabCompatError              (of matlab_compat.errors, with its own branches)
└── DeepIBLError
    ├── ConfigurationError     localPaths that are missing or cannot be parsed
    ├── DatasetError           a dbStruct, CSV or ground truth that cannot be used
    │   └── MissingImageError  images of a data set that are missing
    ├── ExtractionError        images whose descriptors could not be computed, listed
    ├── FeatureFileError       a feature file that does not have the size or content it should
    ├── IndexFileError         an index that cannot be read or is incomplete
    ├── NetworkMismatchError   features or an index made with another network
    ├── DownloadError          a download that failed or has the wrong content
    ├── SessionError           a training session that cannot be read, saved or resumed
    ├── TrainingError          a training that cannot continue
    ├── ProcessError           another process of the job failed or is lost
    ├── PageError              a page that cannot be served, or a request that it refuses
    └── ReportError            a report that cannot be read or made

`Failure` is not an error: it names one image that could not be used in a run that continued without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matlab_compat.errors import MatlabCompatError


class DeepIBLError(MatlabCompatError):
    """Base of the errors of `deepibl`."""


class ConfigurationError(DeepIBLError):
    """localPaths that are missing or cannot be parsed."""


class DatasetError(DeepIBLError):
    """A dbStruct, CSV or ground truth that cannot be used."""


class MissingImageError(DatasetError):
    """Images of a data set that are missing."""


class ExtractionError(DeepIBLError):
    """Images whose descriptors could not be computed: listed in the message, all of them in `failures`."""

    def __init__(self, message: str, failures: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.failures = list(failures)


class FeatureFileError(DeepIBLError):
    """A feature file that does not have the size or content it should."""


class IndexFileError(DeepIBLError):
    """An index that cannot be read or is incomplete."""


class NetworkMismatchError(DeepIBLError):
    """Features or an index made with another network."""


class DownloadError(DeepIBLError):
    """A download that failed or has the wrong content."""


class SessionError(DeepIBLError):
    """A training session that cannot be read, saved or resumed."""


class ProcessError(DeepIBLError):
    """Another process of the same job failed or is lost."""


class TrainingError(DeepIBLError):
    """A training that cannot continue; the message says from where it can be resumed."""


class PageError(DeepIBLError):
    """A page that cannot be served, or a request that it refuses."""


class ReportError(DeepIBLError):
    """A report that cannot be read, or cannot be made from an evaluation."""


@dataclass(frozen=True)
class Failure:
    """An image that failed: its 0-based position in the list, its name, and why, with the file."""

    index: int
    name: str
    reason: str

    def __str__(self) -> str:
        return self.reason


def list_failures(failures: Sequence[Failure], most: int = 20) -> str:
    """The reasons, one a line, indented; of those beyond `most` only the number."""
    lines = [f"  {failure}" for failure in failures[:most]]
    return "\n".join(lines + ([f"  … and {len(failures) - most} more"] if len(failures) > most else []))


def how_many(count: int, noun: str) -> str:
    """A count and its noun, for messages.

    >>> how_many(1, "query"), how_many(3, "query"), how_many(2, "database image")
    ('1 query', '3 queries', '2 database images')
    """
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("y") else f"{count} {noun}s"
