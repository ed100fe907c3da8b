"""Small data sets for tests: a street of images, and a dbStruct file of three."""

import numpy as np

from deepibl.datasets.place import PlaceDataset
from matlab_compat import matfile


def names(letter, count):
    return [f"{letter}{i:03d}.jpg" for i in range(count)]


def street(images=40, queries=6, **options):
    """Images every 5 m along a street, queries beside some of them."""
    utm_db = np.stack([585000 + 5.0 * np.arange(images), np.full(images, 4477000.0)], axis=1)
    utm_q = utm_db[:queries] + np.array([2.0, 3.0])
    return PlaceDataset("street", names("d", images), utm_db, names("q", queries), utm_q, **options)


def struct(**changes):
    """MATLAB's fields of a small dbStruct, as matfile saves them."""
    fields = {
        "whichSet": "test",
        "dbImageFns": np.array([["a.jpg"], ["b.jpg"], ["c.jpg"]], dtype=object),
        "utmDb": np.array([[0.0, 10, 100], [0, 0, 0]]),
        "qImageFns": np.array([["q.jpg"]], dtype=object),
        "utmQ": np.array([[3.0], [4.0]]),
        "numImages": np.uint16([[3]]),
        "posDistThr": np.uint8([[25]]),
        "posDistSqThr": np.uint16([[625]]),
        "nonTrivPosDistSqThr": np.uint8([[100]]),
    }
    fields.update(changes)
    return {name: value for name, value in fields.items() if value is not None}


def saved(tmp_path, name="mine", **changes):
    path = tmp_path / f"{name}.mat"
    matfile.save(path, {"dbStruct": struct(**changes)})
    return path
