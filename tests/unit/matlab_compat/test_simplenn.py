"""The container: reading, addressing, running, writing back."""

import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.matfile.values import MatObject
from matlab_compat.simplenn.base import FILTERS, WeightSpec
from matlab_compat.simplenn.layer import Layer, register_custom
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.matlab_same import assert_same
from tests.simplenn_structs import RNG, conv, image, single, small


def test_layers_are_found_by_name_and_position() -> None:
    net = SimpleNN.from_matlab(small())
    assert net.names == ["c1", "r", "p", "c2"] and net.types == ["conv", "relu", "pool", "conv"]
    assert net["p"] is net[2] is net.layer(-2) is net.layers[2]
    assert net.index("c2") == 3 and len(net) == 4 and [layer.name for layer in net] == net.names
    with pytest.raises(ArgumentError, match="did you mean 'c1'"):
        net["c11"]
    with pytest.raises(ArgumentError, match="no layer is at position 4: the network has 0 to 3"):
        net[4]


def test_a_name_that_two_layers_have_is_refused_but_their_positions_work() -> None:
    struct = small()
    struct["layers"][0, 3]["name"] = "c1"
    net = SimpleNN.from_matlab(struct)
    with pytest.raises(ArgumentError, match=r"2 layers are named 'c1' \(\[0, 3\]\)"):
        net["c1"]
    assert net[3].name == "c1"


def test_start_and_stop_are_included_and_split_the_network() -> None:
    net = SimpleNN.from_matlab(small())
    x = image(2, 3, 6, 7)
    found = net.activations(x)
    assert len(found) == 5 and found[0] is x
    assert torch.equal(net(x), found[-1])
    assert torch.equal(net(x, stop="r"), found[2])
    assert torch.equal(net(found[2], start="p"), found[-1])
    assert torch.equal(net(found[1], start=1, stop=1), found[2])
    with pytest.raises(ArgumentError, match="comes after stop"):
        net(x, start="p", stop="r")


def test_weights_are_parameters_in_torchs_layout() -> None:
    struct = small()
    filters, biases = struct["layers"][0, 0]["weights"].ravel()
    layer = SimpleNN.from_matlab(struct)["c1"]
    np.testing.assert_array_equal(layer.weight.detach(), filters.transpose(3, 2, 0, 1))
    np.testing.assert_array_equal(layer.bias.detach(), biases[0])
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]


def test_the_mean_pixel_is_subtracted_from_every_channel() -> None:
    net = SimpleNN.from_matlab(small())
    assert net.mean_pixel.tolist() == [1, 2, 3]
    assert net.prepare(torch.zeros(1, 3, 2, 2))[0, :, 1, 1].tolist() == [-1, -2, -3]
    assert net.prepare(torch.zeros(1, 1, 2, 2)).shape == (1, 3, 2, 2)
    net.meta = {}
    with pytest.raises(NetworkFormatError, match="no mean to subtract"):
        _ = net.mean_pixel


def test_a_network_in_training_mode_is_only_what_was_asked_for() -> None:
    assert not SimpleNN.from_matlab(small()).training


CLASSES = {"single": np.float32, "double": np.float64}
BIASES = {"row": (1, 4), "column": (4, 1), "maps": (1, 1, 4), "none": (0, 0)}


@pytest.mark.parametrize("dtype", CLASSES.values(), ids=CLASSES)
@pytest.mark.parametrize("shape", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("count", [1, 4])
def test_shapes_classes_and_extra_fields_come_back(dtype: Any, shape: tuple[int, ...], count: int) -> None:
    filters = RNG.standard_normal((3, 3, 2, count))
    shape = tuple(1 if side == 4 else side for side in shape) if count == 1 else shape
    filters = filters[..., 0] if count == 1 else filters  # MATLAB drops the last dimension where it is 1
    weights = cell_row([filters.astype(dtype), RNG.standard_normal(shape).astype(dtype)])
    extra = {"momentum": cell_row([filters * 0]), "mine": "x", "learningRate": np.ones((1, 2), np.float32)}
    layer = {"extra": np.array([[True]]), "weights": weights, "name": "c", **extra, "type": "conv"}
    struct = {"onGPU": np.array([[False]]), "layers": cell_row([layer]), "meta": {"note": "y"}, "z": "last"}
    net = SimpleNN.from_matlab(struct)
    assert net(image(1, 2, 5, 5)).dtype == torch.float32
    assert_same(net.to_matlab(), struct)


def test_changed_weights_are_written_in_the_shape_that_was_read() -> None:
    struct = small()
    net = SimpleNN.from_matlab(struct)
    with torch.no_grad():
        net["c1"].bias += 1
    weights = net.to_matlab()["layers"][0, 0]["weights"]
    np.testing.assert_array_equal(weights[0, 1], struct["layers"][0, 0]["weights"][0, 1] + 1)
    net["c1"].weight = torch.nn.Parameter(torch.zeros(4, 3, 5, 5))
    assert net.to_matlab()["layers"][0, 0]["weights"][0, 0].shape == (5, 5, 3, 4)
    assert net["c1"].weight_shapes() == [(5, 5, 3, 4), (1, 4)]


def test_a_file_that_was_written_is_the_same_network(tmp_path: Any) -> None:
    net = SimpleNN.from_matlab(small())
    matfile.save(tmp_path / "net.mat", {"net": net.to_matlab()})
    again = SimpleNN.from_matlab(matfile.load(tmp_path / "net.mat")["net"])
    x = image(1, 3, 8, 8)
    assert torch.equal(again(x), net(x))
    assert_same(again.to_matlab(), net.to_matlab())


def test_an_old_file_is_read_and_comes_out_in_the_new_form() -> None:
    old = {"type": "conv", "stride": np.array([[1.0]]), "filters": single(3, 3, 1, 2), "biases": single(1, 2)}
    struct = {"layers": cell_row([old, {"type": "relu"}]), "imageMean": np.array([[107.5]], np.float32)}
    net = SimpleNN.from_matlab(struct)
    assert net.names == ["layer1", "layer2"] and net.mean_pixel.tolist() == [107.5]
    written = net.to_matlab()
    assert list(written) == ["layers", "imageMean"]
    first, second = written["layers"].ravel()
    assert list(first) == ["type", "stride", "weights", "name", "precious", "pad", "dilate", "opts"]
    assert list(second) == ["type"]
    net[1].name = "mine"
    assert net.to_matlab()["layers"][0, 1]["name"] == "mine"


def test_reading_does_not_share_memory_unless_the_struct_is_given_up() -> None:
    def wide() -> dict[str, Any]:
        return {"layers": cell_row([conv("c", 1, 6, 7)]), "meta": {}}

    struct = wide()
    source = struct["layers"][0, 0]["weights"][0, 0]
    net = SimpleNN.from_matlab(struct)
    assert not np.may_share_memory(net["c"].weight.detach().numpy(), source)
    struct = wide()
    source = struct["layers"][0, 0]["weights"][0, 0]
    net = SimpleNN.from_matlab(struct, consume=True)
    assert np.shares_memory(net["c"].weight.detach().numpy(), source)
    assert struct == {}


def test_a_struct_that_is_given_up_is_freed_layer_by_layer() -> None:
    alive: list[int] = []
    references: list[weakref.ref] = []

    @register_custom("probeOfLayersAlive")
    class Probe(Layer):
        def configure(self) -> None:
            alive.append(sum(reference() is not None for reference in references))

    struct = {
        "layers": cell_row([*(conv(f"c{i}", 3, 4, 4) for i in range(3)), MatObject("probeOfLayersAlive")])
    }
    for layer in struct["layers"].ravel()[:3]:
        references += [weakref.ref(layer["weights"]), weakref.ref(layer["weights"][0, 0])]
    del layer
    SimpleNN.from_matlab(struct, consume=True)
    assert alive == [0]


def test_no_field_of_a_layer_holds_its_weights() -> None:
    for layer in SimpleNN.from_matlab(small()):
        assert not {"weights", "name", "type"} & set(layer.fields) or not layer.weight_specs


@register_custom("scaleForTests")
class Scale(Layer):
    """y = w x, with w 1 x 1 x 1 x C in MATLAB."""

    weight_specs = (WeightSpec("scale", FILTERS),)
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.reshape(-1, 1, 1)

    @classmethod
    def recognises(cls, fields: Any) -> bool:
        return "scaleMark" in fields


def custom(**fields: Any) -> dict[str, Any]:
    return {"name": "s", "weights": cell_row([single(1, 1, 1, 3)]), "precious": np.array([[False]]), **fields}


def test_a_class_object_is_read_wherever_its_class_is_named() -> None:
    fields = custom(type="custom")
    forms = [
        MatObject("scaleForTests", fields),
        {"class__": "scaleForTests", **fields},
        {**fields, "scaleMark": "x"},
    ]
    x = image(1, 3, 2, 2)
    nets = [SimpleNN.from_matlab({"layers": cell_row([form])}) for form in forms]
    for net in nets:
        assert torch.equal(net(x), nets[0](x))
        assert net[0].classname == "scaleForTests" and net["s"].type == "custom"
    assert_same(nets[0].to_matlab()["layers"][0, 0], forms[1])
    assert_same(nets[1].to_matlab()["layers"][0, 0], forms[1])
    assert_same(nets[2].to_matlab()["layers"][0, 0], forms[2])
    for net in nets[:2]:
        assert_same(net.to_matlab(classes=True)["layers"][0, 0], forms[0])


def test_a_class_object_that_left_out_its_defaults_becomes_a_struct_with_type_and_name() -> None:
    struct = {"layers": cell_row([MatObject("scaleForTests", custom())])}
    net = SimpleNN.from_matlab(struct)
    written = net.to_matlab()["layers"][0, 0]
    assert list(written)[:3] == ["class__", "type", "name"]
    assert SimpleNN.from_matlab({"layers": cell_row([written])}).types == ["custom"]
    assert_same(net.to_matlab(classes=True), struct)


def test_the_network_moves_and_converts_as_modules_do() -> None:
    net = SimpleNN.from_matlab(small())
    x = image(1, 3, 6, 6)
    want = net(x)
    assert net.to(torch.bfloat16)(x.bfloat16()).dtype == torch.bfloat16
    net = SimpleNN.from_matlab(small() | {"layers": net.float().to_matlab()["layers"]})
    assert torch.allclose(net.double()(x.double()).float(), want, atol=0.2)
    names = [name for name, _ in net.named_parameters()]
    assert names == ["c1.weight", "c1.bias", "c2.weight", "c2.bias"]
