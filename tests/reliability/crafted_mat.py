""".mat files made to hurt: claims of gigabytes, nesting without end, networks and data sets of nonsense."""

import importlib.util
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from matlab_compat import matfile
from matlab_compat.matfile.values import MatObject
from tests.mat5_bytes import CELL, CHAR, DOUBLE, F8, I1, I4, SPARSE, STRUCT, Builder
from tests.reliability.crafted_hdf5 import CRAFTED_HDF5

HAS_MATIO = importlib.util.find_spec("matio") is not None  # which needs Python 3.11
Maker = Callable[[Path], object]
B = Builder()


def mat4_claims_10_gb(path: Path) -> None:
    path.write_bytes(struct.pack("<5i", 0, 40000, 32000, 0, 2) + b"x\0" + bytes(160))


def mat4_sparse_with_a_billion_columns(path: Path) -> None:
    path.write_bytes(struct.pack("<5i", 2, 2, 3, 0, 2) + b"x\0" + struct.pack("<6d", 1, 3, 1, 1e9, 5, 0))


def mat5_of_200_bytes_claims_10_gb(path: Path) -> None:
    B.write(path, B.matrix(DOUBLE, (40000, 32000), B.element(F8, bytes(8)), "x"))


def mat5_packed_claims_4_gb(path: Path) -> None:
    content = zlib.compress(struct.pack("<II", 14, 2**32 - 16) + bytes(64))
    B.write(path, B.pack("II", 15, len(content)) + content)


def mat5_cells_nested_20000_deep(path: Path) -> None:
    inner = B.matrix(DOUBLE, (1, 1), B.element(F8, bytes(8)))
    for _ in range(20000):
        inner = B.matrix(CELL, (1, 1), inner)
        if len(inner) > 900_000:
            break
    B.write(path, B.packed(B.matrix(CELL, (1, 1), inner, "x")))


def mat5_a_billion_structs_without_fields(path: Path) -> None:
    fields = B.small(I4, B.pack("i", 1)) + B.element(I1, b"")
    B.write(path, B.matrix(STRUCT, (1, 10**9), fields, "x"))


def mat5_a_billion_rows_of_no_characters(path: Path) -> None:
    B.write(path, B.matrix(CHAR, (10**9, 0), B.element(4, b""), "x"))


def mat5_with_60_dimensions(path: Path) -> None:
    B.write(path, B.matrix(DOUBLE, (1,) * 60, B.element(F8, bytes(8)), "x"))


def mat5_with_30000_variables(path: Path) -> None:
    B.write(path, *(B.matrix(DOUBLE, (1, 1), B.element(F8, bytes(8)), f"x{i}") for i in range(30000)))


def _tall_sparse() -> bytes:
    return B.element(I4, b"") + B.element(I4, B.pack("2i", 0, 0)) + B.element(F8, b"")


def mat5_sparse_of_two_billion_rows(path: Path) -> None:
    B.write(path, B.matrix(SPARSE, (2**31 - 1, 1), _tall_sparse(), "x"))


def dbstruct_with_a_sparse_threshold_of_two_billion_rows(path: Path) -> None:
    names = B.matrix(CELL, (1, 1), B.text((1, 1), 16, b"a"))
    tall = B.matrix(SPARSE, (2**31 - 1, 1), _tall_sparse())
    two = B.matrix(DOUBLE, (2, 1), B.element(F8, bytes(16)))
    values = {"dbImageFns": names, "qImageFns": names, "utmDb": two, "utmQ": two}
    values |= {"posDistThr": tall, "nonTrivPosDistSqThr": tall}
    _write_struct(path, "dbStruct", values)


def dbstruct_with_sparse_positions_of_two_billion_columns(path: Path) -> None:
    names = B.matrix(CELL, (1, 1), B.text((1, 1), 16, b"a"))
    tall = B.matrix(SPARSE, (2**31 - 1, 1), _tall_sparse())
    one = B.matrix(DOUBLE, (1, 1), B.element(F8, bytes(8)))
    values = {"dbImageFns": names, "qImageFns": names, "utmDb": tall, "utmQ": tall}
    _write_struct(path, "dbStruct", values | {"posDistThr": one, "nonTrivPosDistSqThr": one, "posIDs": tall})


def dbstruct_a_metre_apart_and_a_lightyear(path: Path) -> None:
    far = np.array([[0.0, 1e300], [0.0, -1e300]])
    names = np.array([["a.jpg"], ["b.jpg"]], dtype=object)
    struct_ = {"dbImageFns": names, "qImageFns": names, "utmDb": far, "utmQ": far}
    matfile.save(path, {"dbStruct": struct_ | {"posDistThr": 1e-300, "nonTrivPosDistSqThr": 1.0}})


def _write_struct(path: Path, name: str, values: dict[str, bytes]) -> None:
    width = 32
    fields = B.small(I4, B.pack("i", width))
    fields += B.element(I1, b"".join(key.encode().ljust(width, b"\0") for key in values))
    B.write(path, B.matrix(STRUCT, (1, 1), fields + b"".join(values.values()), name))


def network_that_is_its_own_layer(path: Path) -> None:
    net = MatObject("dagnn.DagNN", {"layers": None})
    net.properties["layers"] = net
    matfile.save_objects(path, {"net": net})


def network_with_a_layer_that_contains_itself(path: Path) -> None:
    layer = MatObject("layerVLAD", {"type": "custom", "name": "a"})
    layer.properties["weights"] = layer
    layers = np.empty((1, 1), dtype=object)
    layers[0, 0] = layer
    matfile.save_objects(path, {"net": {"layers": layers, "meta": {}}})


def network_with_meta_nested_190_deep(path: Path) -> None:
    meta: dict[str, Any] = {"x": 1.0}
    for _ in range(190):
        meta = {"normalization": meta}
    layers = np.empty((1, 1), dtype=object)
    layers[0, 0] = {"type": "relu", "name": "r"}
    matfile.save(path, {"net": {"layers": layers, "meta": meta}})


def network_that_pads_by_a_billion(path: Path) -> None:
    layers = np.empty((1, 1), dtype=object)
    weights = np.empty((1, 2), dtype=object)
    weights[0, 0], weights[0, 1] = np.ones((1, 1, 3, 1), np.float32), np.zeros((1, 1), np.float32)
    layers[0, 0] = {"type": "conv", "name": "c", "weights": weights, "pad": 1e9, "stride": 1.0, "dilate": 1.0}
    matfile.save(path, {"net": {"layers": layers, "meta": {}}})


CRAFTED_MAT: dict[str, list[Maker]] = {
    "mat4": [mat4_claims_10_gb, mat4_sparse_with_a_billion_columns],
    "mat5": [
        mat5_of_200_bytes_claims_10_gb,
        mat5_packed_claims_4_gb,
        mat5_cells_nested_20000_deep,
        mat5_a_billion_structs_without_fields,
        mat5_a_billion_rows_of_no_characters,
        mat5_with_60_dimensions,
        mat5_with_30000_variables,
        mat5_sparse_of_two_billion_rows,
    ],
    "dbstruct": [
        dbstruct_with_a_sparse_threshold_of_two_billion_rows,
        dbstruct_with_sparse_positions_of_two_billion_columns,
        dbstruct_a_metre_apart_and_a_lightyear,
    ],
    "network": [
        *([network_that_is_its_own_layer, network_with_a_layer_that_contains_itself] if HAS_MATIO else []),
        network_with_meta_nested_190_deep,
        network_that_pads_by_a_billion,
    ],
    "mat73": CRAFTED_HDF5,
}
