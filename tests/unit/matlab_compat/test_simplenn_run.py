"""vl_simplenn: what the golden cases do not cover."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.simplenn.base import FILTERS, WeightSpec
from matlab_compat.simplenn.layer import Layer, register_custom
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.run import vl_simplenn
from matlab_compat.simplenn.tidy import cell_row


@register_custom("powerForTests")
class Power(Layer):
    """y = w x^2."""

    weight_specs = (WeightSpec("scale", FILTERS),)
    scale: Tensor

    def forward(self, x: Tensor) -> Tensor:
        return self.scale.reshape(-1, 1, 1) * x.square()


def network(*layers: dict[str, Any]) -> SimpleNN:
    return SimpleNN.from_matlab({"layers": list(layers)})


def power() -> dict[str, Any]:
    weights = cell_row([np.array([[[[2.0, 3.0]]]])])
    return {"type": "custom", "class__": "powerForTests", "name": "p", "weights": weights}


X = torch.arange(8, dtype=torch.float64).reshape(1, 2, 2, 2)


def test_custom_layers_are_differentiated_by_autograd() -> None:
    res = vl_simplenn(network(power()), X, torch.ones_like(X))
    assert torch.equal(res[1].x, torch.tensor([2.0, 3.0]).view(2, 1, 1) * X * X)
    assert torch.equal(res[0].dzdx, torch.tensor([4.0, 6.0]).view(2, 1, 1) * X)
    assert torch.equal(res[0].dzdw[0].flatten(), (X * X).sum((0, 2, 3)))


def test_derivatives_do_not_need_parameters_that_are_being_trained() -> None:
    net = network(power()).requires_grad_(False)
    assert vl_simplenn(net, X, torch.ones_like(X))[0].dzdw[0] is not None


def test_derivatives_of_custom_layers_accumulate_too() -> None:
    # difference: accumulate-custom
    net = network(power())
    res = vl_simplenn(net, X, torch.ones_like(X))
    once = res[0].dzdw[0].clone()
    again = vl_simplenn(net, X, torch.ones_like(X), res, accumulate=True)
    assert torch.equal(again[0].dzdw[0], 2 * once)


def test_nothing_of_a_run_is_part_of_a_graph() -> None:
    res = vl_simplenn(network(power()), X.clone().requires_grad_(), torch.ones_like(X))
    assert not res[1].x.requires_grad and not res[0].dzdw[0].requires_grad


def test_dropout_uses_one_mask_forward_and_backward_in_normal_mode() -> None:
    net = network({"type": "dropout", "rate": np.array([[0.5]])})
    torch.manual_seed(0)
    res = vl_simplenn(net, X + 1, torch.ones_like(X))
    assert torch.equal(res[1].x, (X + 1) * res[1].aux) and torch.equal(res[0].dzdx, res[1].aux)
    res = vl_simplenn(net, X, X, mode="test")
    assert torch.equal(res[1].x, X) and torch.equal(res[0].dzdx, X)


def test_derivatives_may_be_features_or_a_number() -> None:
    net = network({"type": "relu"})
    rows = vl_simplenn(net, X, X.flatten(1))
    assert torch.equal(rows[0].dzdx, X)
    assert torch.equal(vl_simplenn(net, X + 1, 2.0)[0].dzdx, torch.full_like(X, 2))
    with pytest.raises(ArgumentError, match="dzdy has shape"):
        vl_simplenn(net, X, torch.ones(3))


def test_labels_of_a_loss_count_from_one_in_arrays_and_from_zero_in_tensors() -> None:
    scores = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, 5.0]])[:, :, None, None]
    net = network({"type": "softmaxloss"})
    net[0].set_field("class", np.array([[2.0, 3.0]]))
    of_matlab = vl_simplenn(net, scores)[1].x
    net[0].set_field("class", torch.tensor([1, 2]))
    assert torch.equal(vl_simplenn(net, scores)[1].x, of_matlab)
    want = torch.nn.functional.cross_entropy(scores[:, :, 0, 0], torch.tensor([1, 2]))
    torch.testing.assert_close(of_matlab.squeeze(), want)


def test_a_loss_without_labels_says_how_to_give_them() -> None:
    with pytest.raises(NetworkFormatError, match=r"layer 1 'layer1'.*set_field\('class'"):
        vl_simplenn(network({"type": "loss"}), X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "train"}, "'normal' or 'test'"),
        ({"backPropDepth": 0}, "above 0"),
        ({"parameterServer": object()}, "not supported"),
        ({"res": [1]}, "res has 1 elements"),
        ({"x": None}, "no input"),
        ({"conserveMemry": True}, "conserveMemory"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        vl_simplenn(network({"type": "relu"}), **{"x": X, **options})


def test_options_may_be_pairs_as_in_matlab() -> None:
    net = network({"type": "relu"}, {"type": "relu"})
    res = vl_simplenn(net, X, None, None, "ConserveMemory", True, "mode", "TEST")
    assert [result.x is None for result in res] == [True, True, False]


def test_times_are_taken() -> None:
    res = vl_simplenn(network({"type": "sigmoid"}), X, X)
    assert res[0].time > 0 and res[0].backwardTime > 0
