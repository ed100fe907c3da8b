"""What a SimpleNN refuses, and that it names the layer."""

from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile
from matlab_compat.errors import NetworkFormatError
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.simplenn_structs import conv, image, single, small

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "channels": (conv("odd", 1, 3, 4), "filters of depth 3 on 4 channels"),
    "groups": (conv("odd", 1, 2, 5), "5 filters of depth 2 on 4 channels"),
    "biases": (
        {**conv("odd", 1, 4, 4), "weights": cell_row([single(1, 1, 4, 4), single(1, 3)])},
        "3 biases for 4",
    ),
    "pad": (conv("odd", 1, 4, 4) | {"pad": np.ones((1, 3))}, "pad has 3 elements"),
    "stride": (conv("odd", 1, 4, 4, stride=np.array([[0.0]])), "stride is .*at least 1"),
    "weights": ({**conv("odd", 1, 4, 4), "weights": cell_row([single(1, 1, 4, 4)])}, "1 weights; expected 2"),
    "five dimensions": (
        {**conv("odd", 1, 4, 4), "weights": cell_row([single(1, 1, 1, 4, 4), single(1, 4)])},
        "at most 4",
    ),
    "no weights": ({"type": "conv", "name": "odd"}, "no field filters or biases"),
    "no window": ({"type": "pool", "name": "odd"}, "no field pool"),
    "pool method": (
        {"type": "pool", "name": "odd", "pool": np.ones((1, 1)), "method": "min"},
        "'max' or 'avg'.*'min'",
    ),
    "lrn": ({"type": "lrn", "name": "odd", "param": np.ones((1, 3))}, "param has 3 elements: expected 4"),
    "bnorm": (
        {"type": "bnorm", "name": "odd", "weights": cell_row([single(4, 1), single(3, 1)])},
        "weights of shapes",
    ),
    "bnorm channels": (
        {"type": "bnorm", "name": "odd", "weights": cell_row([single(3, 1), single(3, 1)])},
        "3 multipliers on 4 channels",
    ),
    "text": ({"type": "relu", "name": "odd", "leak": "a"}, "expected one number"),
}


@pytest.mark.parametrize(("layer", "message"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_refused_with_the_layers_name(layer: dict[str, Any], message: str) -> None:
    struct = small()
    struct["layers"][0, 3] = layer
    with pytest.raises(NetworkFormatError, match=f"layer 4 'odd'.*{message}"):
        SimpleNN.from_matlab(struct)


def test_maps_that_a_layer_cannot_take_are_refused_with_its_name() -> None:
    net = SimpleNN.from_matlab(small())
    with pytest.raises(NetworkFormatError, match=r"layer 1 'c1' \(conv\).*2 channels"):
        net(image(1, 2, 6, 6))
    with pytest.raises(NetworkFormatError, match=r"layer 3 'p'.*larger images"):
        net(image(1, 3, 1, 1))


def test_what_is_no_simplenn_says_what_it_is() -> None:
    with pytest.raises(NetworkFormatError, match="found struct with fields a, b"):
        SimpleNN.from_matlab({"a": 1, "b": 2})
    with pytest.raises(NetworkFormatError, match="DagNN"):
        SimpleNN.from_matlab({"layers": matfile.StructArray((1, 0), ["block"], []), "vars": {}, "params": {}})
