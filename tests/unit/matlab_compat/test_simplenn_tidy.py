"""Tidying: what the golden cases do not cover."""

import numpy as np
import pytest

from matlab_compat.errors import NetworkFormatError
from matlab_compat.matfile.values import MatObject
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row, relja_simplenn_tidy, vl_simplenn_tidy


def test_the_input_is_left_as_it_was() -> None:
    layer = {"type": "conv", "filters": np.ones((1, 1, 2, 3)), "biases": np.ones((1, 3))}
    normalization = {"imageSize": np.array([[8.0, 8.0, 3.0]]), "border": np.array([[2.0, 2.0]])}
    struct = {"layers": cell_row([layer]), "meta": {"normalization": normalization}, "netID": "x"}
    relja_simplenn_tidy(struct)
    assert list(layer) == ["type", "filters", "biases"]
    assert list(normalization) == ["imageSize", "border"] and list(struct["meta"]) == ["normalization"]


def test_class_objects_pass_untouched() -> None:
    layer = MatObject("layerVLAD", {"name": "vlad"})
    assert vl_simplenn_tidy({"layers": [layer]})["layers"][0, 0] is layer


def test_an_empty_meta_stays_empty() -> None:
    empty = np.zeros((0, 0))
    assert vl_simplenn_tidy({"layers": [], "meta": empty})["meta"] is empty
    assert relja_simplenn_tidy({"layers": [], "meta": empty, "epoch": 3})["meta"] == {"epoch": 3}


def test_a_loaded_network_is_tidy_already() -> None:
    net = SimpleNN.from_matlab({"layers": [{"type": "relu"}]})
    assert vl_simplenn_tidy(net) is net and relja_simplenn_tidy(net) is net


def test_one_layer_needs_no_cell() -> None:
    assert vl_simplenn_tidy({"layers": {"type": "relu"}})["layers"].shape == (1, 1)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (["text"], "layer 1 is a 1x4 char 'text', not a struct"),
        (
            [{"type": "relu"}, {"name": "a"}],
            "layer 2 is not a struct with a field type: found struct with fields name",
        ),
        ([{"type": "conv", "name": "c", "biases": 1}], r"layer 1 'c' \(conv\) has no field filters"),
    ],
)
def test_a_layer_without_sense_is_named(layers: list[object], message: str) -> None:
    with pytest.raises(NetworkFormatError, match=message):
        vl_simplenn_tidy({"layers": layers})


def test_a_meta_that_is_no_struct_is_refused() -> None:
    with pytest.raises(NetworkFormatError, match="meta is not a struct"):
        vl_simplenn_tidy({"layers": [], "meta": np.ones((1, 2))})
