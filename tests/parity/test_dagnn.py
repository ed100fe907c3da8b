"""DagNN networks against the original: order, sizes, receptive fields, values, derivatives, editing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from matlab_compat import matfile
from matlab_compat.dagnn.layer import UnknownBlock, make_dag_layer
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError
from matlab_compat.nn.normalise import vl_nnbnorm_moments
from matlab_compat.numeric import maps_to_matlab, maps_to_torch
from matlab_compat.simplenn.network import SimpleNN
from tests.dagnn_of_simplenn import from_simplenn
from tests.golden_data import golden_files, golden_id
from tests.matlab_same import assert_same
from tests.tolerances import assert_close

NETS = golden_files("dagnn/*_net.mat")
each_net = pytest.mark.parametrize("path", NETS, ids=golden_id)


def values_of(path: Path) -> dict[str, Any]:
    return matfile.load(path.with_name(path.name.replace("_net", "_vals")))


def pairs(cell: Any) -> dict[str, Any]:
    """A MATLAB list name, value, name, value …"""
    found = matfile.cell_list(cell)
    return dict(zip(found[::2], found[1::2], strict=True))


def given(net: DagNN, values: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The inputs: maps; labels, which losses use second, count from 0."""
    labels = {layer.inputs[1] for layer in net if layer.type == "dagnn.Loss"}
    return {
        name: torch.from_numpy(array.ravel("F") - 1) if name in labels else maps_to_torch(array)
        for name, array in pairs(values["inputs"]).items()
    }


def check(found: Any, want: np.ndarray, kind: str = "net") -> None:
    found = found.detach() if isinstance(found, torch.Tensor) else found
    if found.ndim == 4:
        assert_close(maps_to_matlab(found), want.reshape((*want.shape, 1, 1)[:4]), kind)
    else:
        assert_close(np.ravel(found), want.ravel("F"), kind)


@each_net
def test_a_dagnn_comes_back_as_it_was_read(path: Path, tmp_path: Path) -> None:
    want = matfile.load(path)
    written = DagNN.from_matlab(want).to_matlab()
    assert_same(written, want)
    matfile.save(tmp_path / "net.mat", written)
    assert_same(matfile.load(tmp_path / "net.mat"), want)


@each_net
def test_graph_sizes_and_receptive_fields_equal_the_original(path: Path) -> None:
    net, values = DagNN.from_matlab(matfile.load(path)), values_of(path)
    assert [index + 1 for index in net.order] == values["executionOrder"].ravel().astype(int).tolist()
    for found, name in [
        (net.names, "layerNames"),
        (net.variable_names, "varNames"),
        (net.param_names, "paramNames"),
        (net.input_names, "getInputs"),
        (net.output_names, "getOutputs"),
    ]:
        assert found == matfile.cell_list(values[name])
    inputs = {name: np.shape(array) for name, array in pairs(values["inputs"]).items()}
    sizes = net.sizes(inputs)
    grouped = {layer.outputs[0]: layer.numGroups for layer in net if layer.type == "dagnn.ConvTranspose"}
    for name, want in zip(net.variable_names, matfile.cell_list(values["varSizes"]), strict=True):
        want = want.ravel().tolist()
        if name in grouped:  # difference: dagnn-convt-group-channels
            want[2] *= grouped[name]
        assert list(sizes[name]) == want, name
    fields = net.receptive_fields(net.input_names[0])
    for name, want in zip(net.variable_names, values["rf"], strict=True):
        found = fields[name]
        for part in ("size", "stride", "offset"):
            numbers = [] if found is None else getattr(found, part)
            np.testing.assert_array_equal(numbers, want[part].ravel(), err_msg=f"{name} {part}")


@each_net
def test_every_variable_equals_the_original(path: Path) -> None:
    net, values = DagNN.from_matlab(matfile.load(path)), values_of(path)
    inputs = given(net, values)
    with torch.no_grad():
        found = net.variables(inputs)
        kept = net.variables(inputs, conserve_memory=True)
    for name, want in zip(net.variable_names, matfile.cell_list(values["test_values"]), strict=True):
        if name in inputs:
            assert found[name] is inputs[name]
        else:
            check(found[name], want)
    flags = values["test_conserve_kept"].ravel().astype(bool)
    assert list(kept) == [name for name, flag in zip(net.variable_names, flags, strict=True) if flag]


@each_net
def test_conserving_memory_spares_precious_variables(path: Path) -> None:
    struct, values = matfile.load(path), values_of(path)
    struct["vars"][1]["precious"] = np.ones((1, 1), bool)
    net = DagNN.from_matlab(struct)
    with torch.no_grad():
        kept = net.variables(given(net, values), conserve_memory=True)
    flags = values["test_conserve_precious2_kept"].ravel().astype(bool)
    assert list(kept) == [name for name, flag in zip(net.variable_names, flags, strict=True) if flag]


def derivatives(net: DagNN, inputs: dict[str, Any], outputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Runs forward and backward; the variables, with their gradients retained."""
    inputs = {name: x.clone().requires_grad_() if x.ndim == 4 else x for name, x in inputs.items()}
    found = net.variables(inputs)
    for x in found.values():
        if x.requires_grad:
            x.retain_grad()
    total = sum(
        (found[name] * (maps_to_torch(dzdy) if found[name].ndim == 4 else float(dzdy.item()))).sum()
        for name, dzdy in outputs.items()
    )
    total.backward()
    return found


def cancelled(net: DagNN) -> set[str]:
    """Biases of convolutions directly before a batch normalisation: their true gradient is 0."""
    before = {layer.inputs[0] for layer in net if layer.type == "dagnn.BatchNorm"}
    return {
        layer.params[1]
        for layer in net
        if layer.type == "dagnn.Conv" and len(layer.params) > 1 and layer.outputs[0] in before
    }


@each_net
@pytest.mark.parametrize("mode", ["normal", "test"])
def test_autograd_equals_the_original_backward_pass(path: Path, mode: str) -> None:
    net, values = DagNN.from_matlab(matfile.load(path)).train(mode == "normal"), values_of(path)
    want = values.get(f"der_{mode}_frozenmask", values.get(f"der_{mode}_conserve0"))
    if want is None:
        assert not any(name.startswith("der_") for name in values)  # a network that was only run forward
        return
    if "values" not in want:
        # difference: dagnn-bnorm-test-derivative
        assert any(layer.type == "dagnn.BatchNorm" for layer in net) and mode == "test" and want["err"]
        derivatives(net, given(net, values), pairs(values["derOutputs"]))
        return
    for layer in net:
        if "mask" in want and layer.type == "dagnn.DropOut":
            layer.frozen, layer.mask = True, maps_to_torch(want["mask"])
    found = derivatives(net, given(net, values), pairs(values["derOutputs"]))
    for name, value, der in zip(
        net.variable_names, *(matfile.cell_list(want[k]) for k in ("values", "var_ders")), strict=True
    ):
        if name not in net.input_names:
            check(found[name], value)
        if der.size and found[name].grad is not None:
            check(found[name].grad, der)
        else:
            assert not der.size or name in net.output_names
    compared = 0
    for name, der in zip(net.param_names, matfile.cell_list(want["param_ders"]), strict=True):
        layer = next(layer for layer in net if name in layer.params)
        if layer.type == "dagnn.BatchNorm" and name == layer.params[2]:
            if mode == "normal":
                moments = vl_nnbnorm_moments(found[layer.inputs[0]].detach(), layer.epsilon)
                assert_close(net.param_to_matlab(name, moments), der, "net")
        elif name in cancelled(net) and mode == "normal":
            assert np.abs(der).max() < 1e-5 and net.param(name).grad.abs().max() < 1e-5
        else:
            assert_close(net.param_to_matlab(name, net.param(name).grad), der, "net")
            compared += 1
    assert compared


@pytest.mark.parametrize("path", golden_files("dagnn/fromSimpleNN_*_net.mat"), ids=golden_id)
def test_a_simplenn_becomes_the_original_s_dagnn(path: Path, golden: Path) -> None:
    name = path.stem.removeprefix("fromSimpleNN_").removesuffix("_net")
    made = from_simplenn(SimpleNN.from_matlab(matfile.load(golden / "nets" / f"{name}.mat")))
    want = DagNN.from_matlab(matfile.load(path))
    assert (made.names, made.types, made.variable_names) == (want.names, want.types, want.variable_names)
    assert made.param_names == want.param_names
    for param in want.param_names:
        assert torch.equal(made.param(param), want.param(param))
        for field, value in want.param_fields(param).items():
            assert_same(made.param_fields(param)[field], value, f"{param}.{field}")
    for one, other in zip(made, want, strict=True):
        assert (one.inputs, one.outputs, one.params) == (other.inputs, other.outputs, other.params)
        for field in one.fields:
            np.testing.assert_array_equal(np.ravel(one.value(field)), np.ravel(other.value(field)), field)


def test_canonical_names_are_the_original_s(golden: Path) -> None:
    for path in golden_files("dagnn/canonicalNames.mat"):
        want = matfile.load(path)
        net = SimpleNN.from_matlab(matfile.load(golden / "nets" / "tiny.mat"))
        made = from_simplenn(net, canonical_names=True)
        assert made.names == matfile.cell_list(want["layers"])
        assert made.param_names == matfile.cell_list(want["params"])
        assert made.variable_names == matfile.cell_list(want["vars"])
        inputs = [matfile.cell_list(cell) for cell in matfile.cell_list(want["inputs"])]
        assert [layer.inputs for layer in made] == inputs


def test_editing_gives_the_original_s_networks(golden: Path) -> None:
    for path in golden_files("dagnn/editing.mat"):
        want = matfile.load(path)
        net = DagNN.from_matlab(want["before"])
        net.rename_variable("z", "zz")
        assert_same(net.to_matlab(), want["after_renameVar_z_zz"])
        net.rename_param("f", "filt")
        assert_same(net.to_matlab(), want["after_renameParam_f_filt"])
        net.rename_layer("r", "rectify")
        assert_same(net.to_matlab(), want["after_renameLayer_r_rectify"])
        net.set_layer_inputs("p", ["y"])
        assert_same(net.to_matlab(), want["after_setLayerInputs_p_y"])
        net.remove_layer("rectify")
        assert_same(net.to_matlab(), want["after_removeLayer_rectify"])
        assert net.input_names == matfile.cell_list(want["inputs"])
        assert net.output_names == matfile.cell_list(want["outputs"])
        assert [index + 1 for index in net.order] == want["execOrder"].ravel().tolist()


def test_block_defaults_are_the_original_s(golden: Path) -> None:
    ends = {"inputs": ["a", "b"], "outputs": ["c"], "params": ["p", "q", "r"]}
    for path in golden_files("dagnn/editing.mat"):
        for block in matfile.cell_list(matfile.load(path)["blockdefaults"]):
            kind = block.pop("class__")
            layer = make_dag_layer({"name": "l", "type": kind, **ends, "block": {}}, 0)
            if isinstance(layer, UnknownBlock):
                continue
            assert set(layer.properties) == set(block)
            for name, value in block.items():
                assert_same(layer.value(name), value, f"{kind} {name}")


def test_names_that_are_not_there_are_refused_as_in_the_original(golden: Path) -> None:
    net = DagNN.from_matlab(matfile.load(golden_files("dagnn/editing.mat")[0])["before"])
    for attempt in (
        lambda: net.variables({"nope": torch.zeros(1, 3, 8, 8)}),
        lambda: net.remove_layer("nope"),
        lambda: net.param("nope"),
        lambda: net["nope"],
        lambda: net(torch.zeros(1, 3, 8, 8), output="nope"),
        lambda: net.rename_layer("r", "p"),
        lambda: net.sizes({"nope": (1, 1)}),
        lambda: net.receptive_fields("nope"),
        lambda: net.add_layer("c", "dagnn.ReLU", ["z"], ["w2"]),
    ):
        with pytest.raises(ArgumentError):
            attempt()
