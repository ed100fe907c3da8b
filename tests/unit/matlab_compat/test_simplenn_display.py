"""The table for people: `describe`, which knows custom layers; and options of vl_simplenn_display."""

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.base import FILTERS, WeightSpec
from matlab_compat.simplenn.display import describe, vl_simplenn_display
from matlab_compat.simplenn.layer import Layer, register_custom
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row


@register_custom("flattenForTests")
class Flatten(Layer):
    """Flattens each image, and has 6 weights."""

    weight_specs = (WeightSpec("scale", FILTERS),)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :, None, None]

    def forward_size(self, size: tuple[float, ...]) -> tuple[float, ...]:
        return (1, 1, size[0] * size[1] * size[2], size[3])


def struct() -> dict[str, Any]:
    conv = {"type": "conv", "name": "c", "weights": cell_row([np.zeros((3, 3, 3, 4)), np.zeros((1, 4))])}
    custom = {
        "type": "custom",
        "class__": "flattenForTests",
        "name": "flat",
        "weights": cell_row([np.zeros((2, 3))]),
    }
    meta = {
        "inputSize": np.array([[10.0, 12.0, 3.0, 1.0]]),
        "sessionID": "abc",
        "normalization": {"averageImage": np.zeros((9, 9, 3), np.float32), "border": np.array([[2.0, 3.0]])},
    }
    return {"layers": cell_row([conv, custom]), "meta": meta}


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.split("|") for line in text.splitlines() if "|" in line]
    return {line[0].strip(): [cell.strip() for cell in line[1:-1]] for line in lines}


def test_describe_knows_name_size_and_memory_of_custom_layers() -> None:
    # difference: describe-custom-layers
    info, text = describe(SimpleNN.from_matlab(struct()))
    table = rows(text)
    assert table["name"] == ["n/a", "c", "flat"] and table["data size"] == ["10x12", "8x10", "1"]
    assert table["data depth"] == ["3", "4", "320"] and table["param mem"] == ["n/a", "448B", "24B"]
    assert info["dataSize"][:, -1].tolist() == [1, 1, 320, 1]
    assert (
        info["name"] == ["c", "flat"]
        and info["type"] == ["conv", "custom"]
        and info["parameters"] == [112, 6]
    )


def test_the_original_table_knows_nothing_of_class_objects() -> None:
    table = rows(vl_simplenn_display(SimpleNN.from_matlab(struct()), nargout=2)[1])
    assert table["name"] == ["n/a", "c", ""] and table["data depth"] == ["3", "4", "NaN"]
    assert table["param mem"] == ["n/a", "448B", "0B"]


def test_describe_lists_meta() -> None:
    _, text = describe(SimpleNN.from_matlab(struct()))
    assert "meta.sessionID: abc\n" in text
    assert "meta.normalization.averageImage: 9x9x3 single\n" in text
    assert "meta.normalization.border: [2 3] (1x2)\n" in text
    assert describe({"layers": [{"type": "relu"}]})[1].endswith("meta: empty\n")


def test_describe_takes_size_and_number_of_images() -> None:
    net = SimpleNN.from_matlab(struct())
    assert rows(describe(net, (20, 30), 5)[1])["data size"][:2] == ["20x30", "18x28"]
    info, _ = describe(net, (20, 30), 5)
    assert info["dataSize"][:, 0].tolist() == [20, 30, 3, 5]


def test_an_unknown_depth_is_that_of_the_first_filters() -> None:
    info, _ = describe({"layers": struct()["layers"]}, (7, 8))
    assert info["dataSize"][:, 0].tolist() == [7, 8, 3, 1]


def test_an_input_size_of_three_elements_is_one_image() -> None:
    # difference: display-more-networks
    info = vl_simplenn_display(struct(), "inputSize", [40, 52, 3], nargout=1)
    assert info["dataSize"][:, 0].tolist() == [40, 52, 3, 1]


def test_a_network_without_layers_has_an_input_only() -> None:
    info, text = vl_simplenn_display({"layers": []}, inputSize=[4, 5, 3, 2], nargout=2)
    assert info["dataSize"].T.tolist() == [[4, 5, 3, 2]] and info["support"].shape == (2, 0)
    assert "480B (for batch size 2)" in text


def test_formats_and_options_that_are_not_known_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"ascii, latex, csv; got 'html'"):
        vl_simplenn_display(struct(), format="html")
    with pytest.raises(ArgumentError, match="inputSize"):
        vl_simplenn_display(struct(), inputSise=[1, 2])
    with pytest.raises(ArgumentError, match="5 elements"):
        vl_simplenn_display(struct(), inputSize=[1, 2, 3, 4, 5])


def test_a_layer_that_the_table_cannot_show_is_named() -> None:
    with pytest.raises(NetworkFormatError, match=r"layer 1 'p'.*no field pool"):
        vl_simplenn_display({"layers": [{"type": "pool", "name": "p"}]})
    with pytest.raises(NetworkFormatError, match=r"layer 1 'c'.*pad has 3"):
        bad = struct()
        bad["layers"][0, 0]["pad"] = np.ones((1, 3))
        describe(bad)
