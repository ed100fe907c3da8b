"""What reading a damaged file can raise, and how it becomes one error of ours."""

import os
import struct
import tokenize
from collections.abc import Iterator
from contextlib import contextmanager

from matlab_compat import inflating
from matlab_compat.errors import MatlabCompatError

DAMAGE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,  # RecursionError too
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    tokenize.TokenError,  # numpy's, of the header of a .npy file
    *inflating.ERRORS,
)


@contextmanager
def damage_as(
    error_class: type[MatlabCompatError], path: str | os.PathLike[str], what: str, advice: str = ""
) -> Iterator[None]:
    """Inside, whatever a damaged file makes libraries raise becomes `error_class`: "PATH WHAT: …; ADVICE".

    what: 'is not an index that can be read'. Errors of ours pass as they are.
    """
    try:
        yield
    except MatlabCompatError:
        raise
    except DAMAGE as problem:
        reason = str(problem).strip() or type(problem).__name__
        if isinstance(problem, KeyError):
            reason = f"it lacks {reason}"
        end = f"; {advice}" if advice else ""
        raise error_class(f"{os.fspath(path)} {what}: {reason[:500]}{end}") from problem
