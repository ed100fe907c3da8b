"""Errors that this package raises on purpose.

MatlabCompatError
├── ArgumentError          an invalid option or argument (also a TypeError)
├── MatFileError           a .mat file that cannot be read or written
├── NetworkFormatError     a MatConvNet network whose description is invalid
│   └── UnknownLayerError  an unknown layer type or class
├── ImageReadError         an image file that cannot be decoded; names the file
└── NotMigratedError       a line that `deepibl migrate` could not translate was reached
"""

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


class MatlabCompatError(Exception):
    """Base of every error that the project raises on purpose."""


class ArgumentError(MatlabCompatError, TypeError):
    """An invalid option or argument."""


class MatFileError(MatlabCompatError):
    """A .mat file that cannot be read or written."""


class NetworkFormatError(MatlabCompatError):
    """A MatConvNet network whose description is invalid."""


class UnknownLayerError(NetworkFormatError):
    """An unknown layer type or custom class."""


class ImageReadError(MatlabCompatError):
    """An image file that cannot be decoded; the message names the file."""


@contextmanager
def located(label: str) -> Iterator[None]:
    """Turns ArgumentError and MatFileError into NetworkFormatError, after the label of what is invalid.

    An UnknownLayerError stays one.
    """
    try:
        yield
    except UnknownLayerError as error:
        raise UnknownLayerError(f"{label}: {error}") from error
    except (ArgumentError, MatFileError) as error:
        raise NetworkFormatError(f"{label}: {error}") from error


class NotMigratedError(MatlabCompatError):
    """A line of a migrated script was reached that `deepibl migrate` could not translate."""


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Returns the end of a message about an unknown name; "" if no candidate is similar.

    Upper and lower case do not matter.

    >>> did_you_mean("dbpits", ["dbPitts", "dbTokyoTM"])
    "; did you mean 'dbPitts'?"
    """
    by_lower = {candidate.lower(): candidate for candidate in candidates}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[close[0]]!r}?" if close else ""
