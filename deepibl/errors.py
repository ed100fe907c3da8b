"""Errors of the system; all of them, and those of `matlab_compat.errors`, are `MatlabCompatError`.

DeepIBLError
├── ConfigurationError     localPaths that are missing or cannot be parsed
├── DatasetError           a dbStruct, CSV or ground truth that cannot be used
│   └── MissingImageError  images that a data set lists and that are not there
├── ExtractionError        images whose descriptors could not be computed, listed
├── FeatureFileError       a feature file whose size is not what it should be
├── IndexFileError         an index that cannot be read or is not whole
├── NetworkMismatchError   features or an index made by another network
├── DownloadError          a download that failed or is not what was asked for
├── PageError              a page that cannot be served, or a request that it refuses
├── ReportError            a report that cannot be read, or made
├── ProcessError           another process of the job failed, is lost, or does something else
├── SessionError           a training session that cannot be read, saved or gone on with
└── TrainingError          a training that cannot go on

One image that could not be used, in a run that went on without it.
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
    """Images that a data set lists and that are not there."""


class ExtractionError(DeepIBLError):
    """Images whose descriptors could not be computed: listed in the message, all of them in `failures`."""

    def __init__(self, message: str, failures: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.failures = list(failures)


class FeatureFileError(DeepIBLError):
    """A feature file whose size is not what it should be."""


class IndexFileError(DeepIBLError):
    """An index that cannot be read or is not whole."""


class NetworkMismatchError(DeepIBLError):
    """Features or an index that another network made."""


class DownloadError(DeepIBLError):
    """A download that failed or is not what was asked for."""


class SessionError(DeepIBLError):
    """A training session that cannot be read, saved or gone on with."""


class ProcessError(DeepIBLError):
    """Another process of the same job failed, is lost, or was asked for something else."""


class TrainingError(DeepIBLError):
    """A training that cannot go on; the message says from where it can be started again."""


class PageError(DeepIBLError):
    """A page that cannot be served, or a request that it refuses."""


class ReportError(DeepIBLError):
    """A report that cannot be read, or that cannot be made of an evaluation."""


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
