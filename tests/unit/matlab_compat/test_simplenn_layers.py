"""Layer types: what each reads from its fields, its modes, and its derivative."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.layer import Layer, make_layer
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row, tidy_layer

RNG = np.random.default_rng(3)


def layer(kind: str, weights: list[np.ndarray] | None = None, **fields: Any) -> Layer:
    """One layer in eval mode; numbers and lists among the fields become MATLAB's arrays."""
    arrays = {
        k: v if isinstance(v, str | np.ndarray | Tensor) else np.atleast_2d(v) for k, v in fields.items()
    }
    description = {"type": kind, "name": "x", **arrays}
    if weights is not None:
        description["weights"] = cell_row(weights)
    return make_layer(tidy_layer(description, 0), 0).eval()


def maps(*shape: int) -> Tensor:
    return torch.from_numpy(RNG.standard_normal(shape))


def filters(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape)


def torch_filters(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.reshape(array.shape + (1,) * (4 - array.ndim)).transpose(3, 2, 0, 1).copy())


def test_conv_takes_stride_dilation_groups_and_asymmetric_pads_from_its_fields() -> None:
    weights = [filters(3, 2, 2, 6), filters(1, 6)]
    x = maps(2, 4, 9, 8)
    found = layer("conv", weights, pad=[1, 2, 3, 0], stride=[2, 1], dilate=[1, 2])(x)
    padded = F.pad(x, (3, 0, 1, 2))
    bias = torch.from_numpy(weights[1].ravel())
    want = F.conv2d(padded, torch_filters(weights[0]), bias, (2, 1), 0, (1, 2), groups=2)
    torch.testing.assert_close(found, want)


def test_a_single_output_map_that_matlab_dropped_comes_back() -> None:
    weights = [filters(3, 3, 5), filters(1, 1)]
    found = layer("conv", weights, pad=1)(maps(1, 5, 4, 4))
    assert found.shape == (1, 1, 4, 4)


def test_conv_without_filters_pads_subsamples_and_adds_biases() -> None:
    x = maps(1, 3, 5, 5)
    found = layer("conv", [np.zeros((0, 0)), np.array([[1.0, 2.0, 3.0]])], stride=2)(x)
    torch.testing.assert_close(found, x[:, :, ::2, ::2] + torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1))


def test_options_for_cudnn_are_accepted() -> None:
    opts = cell_row(["CudnnWorkspaceLimit", np.array([[1e9]])])
    weights = [filters(1, 1, 2, 2), filters(1, 2)]
    x = maps(1, 2, 3, 3)
    torch.testing.assert_close(layer("conv", weights, opts=opts)(x), layer("conv", weights)(x))


def test_convt_takes_upsample_crop_and_groups_from_its_fields() -> None:
    weights = [filters(3, 3, 2, 4), filters(1, 4)]
    x = maps(1, 4, 3, 5)
    found = layer("convt", weights, upsample=[2, 1], crop=[1, 0, 0, 2], numGroups=2)(x)
    whole = F.conv_transpose2d(
        x, torch_filters(weights[0]), torch.from_numpy(weights[1].ravel()), (2, 1), groups=2
    )
    torch.testing.assert_close(found, whole[:, :, 1:, :-2])


def test_pool_takes_method_window_stride_and_pad_from_its_fields() -> None:
    x = maps(1, 2, 5, 6)
    found = layer("pool", method="max", pool=[2, 3], stride=[2, 1], pad=[0, 1, 0, 1])(x)
    torch.testing.assert_close(found, F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), (2, 3), (2, 1)))
    found = layer("pool", method="avg", pool=2, stride=2, pad=[0, 1, 0, 0])(x)
    torch.testing.assert_close(found[:, :, -1], F.avg_pool2d(x[:, :, -1:], (1, 2)).squeeze(2))


def test_pool_without_a_method_is_max() -> None:
    # difference: pool-without-method
    x = maps(1, 1, 4, 4)
    torch.testing.assert_close(layer("pool", pool=2)(x), layer("pool", pool=2, method="max")(x))


def test_relu_leaks_as_its_field_says() -> None:
    x = torch.tensor([-2.0, 3.0]).view(1, 2, 1, 1)
    assert layer("relu")(x).flatten().tolist() == [0, 3]
    assert layer("relu", leak=0.5)(x).flatten().tolist() == [-1, 3]


def test_lrn_with_the_default_param_and_l2() -> None:
    x = maps(2, 6, 3, 3)
    torch.testing.assert_close(layer("lrn")(x), layer("normalize", param=[5, 1, 0.0001 / 5, 0.75])(x))
    unit = layer("normalize", param=[12, 1e-12, 1, 0.5])(x)
    torch.testing.assert_close(unit, F.normalize(x, dim=1))


def test_spnorm_noffset_sigmoid_and_softmax_run() -> None:
    x = maps(2, 4, 5, 5)
    assert layer("spnorm", param=[3, 3, 1, 0.5])(x).shape == x.shape
    assert layer("noffset", param=[0.1, 0.5])(x).shape == x.shape
    torch.testing.assert_close(layer("sigmoid")(x), torch.sigmoid(x))
    torch.testing.assert_close(layer("softmax")(x), torch.softmax(x, 1))


def bnorm() -> Layer:
    moments = np.stack([RNG.standard_normal(3), RNG.uniform(0.5, 2, 3)], axis=1)
    return layer("bnorm", [filters(3, 1), filters(3, 1), moments]).double()


def test_bnorm_uses_the_stored_moments_as_constants_in_eval_mode() -> None:
    net = bnorm()
    x = maps(2, 3, 4, 4)
    mean, sigma = net.moments.unbind(1)
    want = net.weight.view(3, 1, 1) * (x - mean.view(3, 1, 1)) / sigma.view(3, 1, 1) + net.bias.view(3, 1, 1)
    torch.testing.assert_close(net(x), want)


def test_the_derivative_of_bnorm_in_eval_mode_is_the_true_one() -> None:
    # difference: bnorm-test-derivative
    net = bnorm()
    assert torch.autograd.gradcheck(net, maps(2, 3, 3, 2).requires_grad_())
    assert not net.moments.requires_grad


def test_bnorm_uses_the_batchs_own_moments_in_training_mode() -> None:
    net = bnorm().train()
    stored = net.moments.clone()
    y = (net(maps(4, 3, 5, 5)) - net.bias.view(3, 1, 1)) / net.weight.view(3, 1, 1)
    torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(3).double(), atol=1e-6, rtol=0)
    assert torch.equal(net.moments, stored)


def test_a_bnorm_layer_of_two_weights_gets_moments() -> None:
    found = layer("bnorm", [filters(3, 1), filters(3, 1)])
    assert found.weight_shapes() == [(3, 1), (3, 1), (3, 2)]


def test_dropout_does_nothing_in_eval_mode_and_drops_in_training_mode() -> None:
    net = layer("dropout", rate=0.25)
    x = torch.ones(1, 1, 50, 50)
    assert torch.equal(net(x), x)
    torch.manual_seed(0)
    y = net.train()(x)
    assert 0.15 < (y == 0).float().mean() < 0.35 and torch.allclose(y[y != 0], torch.tensor(4 / 3))


@pytest.mark.parametrize("kind", ["loss", "softmaxloss", "pdist"])
def test_losses_pass_features_on(kind: str) -> None:
    x = maps(1, 3, 2, 2)
    assert layer(kind)(x) is x


def test_pdist_with_a_reference_measures_the_distance() -> None:
    x = maps(2, 3, 4, 4)
    target = RNG.standard_normal((1, 1, 3, 2))
    found = layer("pdist", **{"class": target})(x)
    want = (x - torch.from_numpy(target.transpose(3, 2, 0, 1))).square().sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(found, want)


def test_setting_a_field_changes_what_the_layer_does_and_is_written_back() -> None:
    net = layer("relu")
    x = torch.tensor([-1.0]).view(1, 1, 1, 1)
    net.set_field("leak", np.array([[0.25]]))
    assert net(x).item() == -0.25
    net.set_field("mine", "new")
    assert list(net.to_matlab()) == ["type", "name", "weights", "precious", "leak", "mine"]
    net.set_field("mine", None)
    assert "mine" not in net.to_matlab()
    with pytest.raises(ArgumentError, match="1 weights; expected 0"):
        net.set_field("weights", [np.zeros(1)])
    with pytest.raises(TypeError):
        net.fields["leak"] = 1  # type: ignore[index]


def test_double_weights_run_on_single_images_and_the_other_way() -> None:
    net = layer("conv", [filters(3, 3, 2, 2), filters(1, 2)])
    assert net.weight.dtype == torch.float64
    x = maps(1, 2, 5, 5)
    assert net(x).dtype == torch.float64 and net(x.float()).dtype == torch.float32


def test_integer_weights_are_computed_with_and_come_back_as_integers() -> None:
    weights = [np.arange(8, dtype=np.uint8).reshape(1, 1, 2, 4), np.zeros((1, 4), np.int16)]
    net = layer("conv", weights)
    assert net(maps(1, 2, 3, 3).float()).shape == (1, 4, 3, 3)
    for found, want in zip(net.weights_to_matlab(), weights, strict=True):
        np.testing.assert_array_equal(found, want)
        assert found.dtype == want.dtype


def test_a_whole_network_has_the_true_gradient() -> None:
    descriptions = [
        {
            "type": "conv",
            "weights": cell_row([filters(3, 3, 2, 3), filters(1, 3)]),
            "pad": np.array([[0, 1, 1, 0]]),
        },
        {"type": "bnorm", "weights": cell_row([filters(3, 1), filters(3, 1), np.abs(filters(3, 2)) + 0.5])},
        {"type": "relu", "leak": np.array([[0.1]])},
        {"type": "pool", "method": "max", "pool": np.array([[2, 2]]), "stride": np.array([[1]])},
        {
            "type": "convt",
            "weights": cell_row([filters(2, 2, 3, 3), filters(1, 3)]),
            "upsample": np.array([[2]]),
        },
        {"type": "pool", "method": "avg", "pool": np.array([[2, 2]]), "pad": np.array([[1, 0, 0, 1]])},
        {"type": "sigmoid"},
        {"type": "spnorm", "param": np.array([[3, 3, 1, 0.5]])},
        {"type": "noffset", "param": np.array([[0.1, 0.5]])},
        {"type": "normalize", "param": np.array([[6, 1e-12, 1, 0.5]])},
        {"type": "softmax"},
    ]
    net = SimpleNN.from_matlab({"layers": descriptions}).double()
    names, weights = zip(*net.named_parameters(), strict=True)

    def run(x: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(net, dict(zip(names, values, strict=True)), (x,))

    assert torch.autograd.gradcheck(run, (maps(2, 2, 4, 4).requires_grad_(), *weights))
