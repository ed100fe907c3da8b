"""Files of torch tensors, read without running anything that they hold (`weights_only`)."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

import numpy as np
import torch

from matlab_compat.errors import NetworkFormatError


def load_state(path: str | os.PathLike[str]) -> Any:
    """What a .pth file holds: tensors, numbers (NumPy's too), text, and lists and dicts of them.

    Raises NetworkFormatError for a file that is missing, damaged, or holds more than that.
    """
    if not Path(path).is_file():
        raise NetworkFormatError(f"there is no file {os.fspath(path)}")
    try:
        with torch.serialization.safe_globals(_numpy_scalars()), _opened(path) as file:
            return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle.UnpicklingError, RuntimeError, EOFError and others
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkFormatError(
            f"{os.fspath(path)} cannot be read as a file of tensors: {reason}"
        ) from error


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A zip file by its path; one of the old form mapped: asked for gigabytes, a map gives what is there."""
    if zipfile.is_zipfile(path):
        yield path
        return
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        yield content


def _numpy_scalars() -> list[Any]:
    """What a NumPy number, as training scripts store a best score, is pickled with; under old names too."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4")}
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]
