"""Whether two MATLAB values are the same: fields in order, shapes, classes, numbers (NaN equals NaN)."""

from typing import Any

import numpy as np
import scipy.sparse

from matlab_compat import matfile


def assert_same(found: Any, want: Any, where: str = "") -> None:
    """Fails where two plain values differ, and says where."""
    if scipy.sparse.issparse(want):
        assert scipy.sparse.issparse(found), where
        assert (found.dtype, found.shape) == (want.dtype, want.shape), where
        np.testing.assert_array_equal(found.toarray(), want.toarray(), where)
    elif isinstance(want, dict):
        assert list(found) == list(want), where
        for name in want:
            assert_same(found[name], want[name], f"{where}.{name}")
    elif isinstance(want, matfile.StructArray):
        assert (found.shape, found.fields) == (want.shape, want.fields), where
        for index, (one, other) in enumerate(zip(found, want, strict=True)):
            assert_same(one, other, f"{where}({index + 1})")
    elif isinstance(want, matfile.MatObject):
        assert found.classname == want.classname, where
        assert_same(found.properties, want.properties, where)
    elif isinstance(want, np.ndarray) and want.dtype == object:
        assert (found.dtype, found.shape) == (want.dtype, want.shape), where
        cells = zip(matfile.cell_list(found), matfile.cell_list(want), strict=True)
        for index, (one, other) in enumerate(cells):
            assert_same(one, other, f"{where}{{{index + 1}}}")
    elif isinstance(want, np.ndarray):
        assert (found.dtype, found.shape) == (want.dtype, want.shape), where
        np.testing.assert_array_equal(found, want, where)
    else:
        assert type(found) is type(want), where
        assert found == want, where
