"""Writes the fixtures beside this file by mat-io: python -m tests.unit.matlab_compat.matfile_objects.make"""

from pathlib import Path

import numpy as np

from matlab_compat import matfile


def content() -> dict[str, object]:
    """A net as NetVLAD saves it, and two objects that refer to each other."""
    weights = [np.arange(12, dtype=np.float32).reshape(1, 1, 4, 3), -np.ones((1, 1, 4, 3), np.float32)]
    vlad = matfile.MatObject("layerVLAD", {"type": "custom", "name": "vlad:core", "K": 3, "weights": weights})
    norm = matfile.MatObject("layerWholeL2Normalize", {"name": "postL2", "precious": False})
    conv = {
        "type": "conv",
        "name": "conv1",
        "weights": [np.ones((3, 3, 3, 4), np.float32), np.zeros((1, 4), np.float32)],
    }
    first = matfile.MatObject("pkg.Node", {"label": "first", "number": np.array([[7]], np.uint8)})
    second = matfile.MatObject("pkg.Node", {"label": "second", "other": first})
    first.properties["other"] = second
    net = {
        "layers": [conv, vlad, norm, norm],
        "meta": {"normalization": {"imageSize": np.array([[4.0, 4, 3]])}},
    }
    return {"net": net, "first": first, "plain": np.array([[1.0, 2.0]])}


if __name__ == "__main__":
    for version in ("v7", "v7.3"):
        target = Path(__file__).parent / f"objects_{version.replace('.', '')}.mat"
        matfile.save_objects(target, content(), version=version, saveobj_classes=["layerVLAD"])
