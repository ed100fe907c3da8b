"""Reads MAT 4 files, which hold numeric, char and sparse matrices only, through scipy."""

from typing import Any, BinaryIO

import numpy as np
import scipy.io
import scipy.sparse

from matlab_compat.mat_classes import chars
from matlab_compat.mat_values import VariableInfo


class Mat4File:
    """An open MAT 4 file."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self._info = {
            name: VariableInfo(classname, tuple(shape)) for name, shape, classname in scipy.io.whosmat(stream)
        }
        self.names = list(self._info)

    def info(self, name: str) -> VariableInfo:
        """Class and shape of a variable."""
        return self._info[name]

    def value(self, name: str) -> Any:
        """The plain value of a variable."""
        self.stream.seek(0)
        value = scipy.io.loadmat(self.stream, variable_names=[name], chars_as_strings=False, mat_dtype=True)[
            name
        ]
        if scipy.sparse.issparse(value):
            return scipy.sparse.csc_matrix(value)
        if value.dtype.kind == "U":
            codes = np.array([ord(letter) if letter else 0 for letter in value.ravel(order="F")], np.uint16)
            return chars(codes, value.shape)
        return value
