"""Whether two MATLAB values are the same: fields in order, shapes, classes, numbers."""

from typing import Any

import numpy as np

from matlab_compat import matfile


def assert_same(found: Any, want: Any, where: str = "") -> None:
    """Fails where the values differ; a logical may be stored as uint8, as Octave's files come back from
    scipy.
    """
    if isinstance(want, dict):
        assert list(found) == list(want), where
        for name in want:
            assert_same(found[name], want[name], f"{where}.{name}")
    elif isinstance(want, matfile.MatObject):
        assert found.classname == want.classname, where
        assert_same(found.properties, want.properties, where)
    elif isinstance(want, np.ndarray) and want.dtype == object:
        assert found.shape == want.shape, where
        cells = zip(matfile.cell_list(found), matfile.cell_list(want), strict=True)
        for index, (one, other) in enumerate(cells):
            assert_same(one, other, f"{where}{{{index + 1}}}")
    elif isinstance(want, np.ndarray):
        logical = {np.dtype(bool), np.dtype(np.uint8)}
        assert found.dtype == want.dtype or {found.dtype, want.dtype} == logical, where
        assert found.shape == want.shape, where
        np.testing.assert_array_equal(found, want, where)
    else:
        assert found == want, where
