"""Files of torch tensors, read without running anything that they hold (`weights_only`)."""

import os
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
        with torch.serialization.safe_globals(_numpy_scalars()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises pickle.UnpicklingError, RuntimeError, EOFError and others
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise NetworkFormatError(
            f"{os.fspath(path)} cannot be read as a file of tensors: {reason}"
        ) from error


def _numpy_scalars() -> list[Any]:
    """What a NumPy number, as training scripts store a best score, is pickled with; under old names too."""
    scalar = np.float64(0).__reduce__()[0]
    kinds = {type(np.dtype(code)) for code in ("f8", "f4", "i8", "i4")}
    return [scalar, (scalar, "numpy.core.multiarray.scalar"), np.dtype, *kinds]
