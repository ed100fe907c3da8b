"""The original's layer constructors."""

import numpy as np
import pytest
import torch

from deepibl.matlab import layerTotalAvgPool, layerTotalMaxPool, layerVLAD, layerVLADv2, layerWholeL2Normalize
from matlab_compat.errors import ArgumentError


def naive_vlad(x: np.ndarray, assign: np.ndarray, centres: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """(D, P) pixels -> (D, K): residuals to each centre, weighted by the soft assignment, in a loop."""
    out = np.zeros(assign.shape)
    for pixel in x.T:
        scores = pixel @ assign + bias
        weights = np.exp(scores - scores.max())
        weights /= weights.sum()
        for k, weight in enumerate(weights):
            out[:, k] += weight * (pixel - centres[:, k])
    return out


@pytest.mark.parametrize("with_bias", [False, True])
def test_vlad_layers_keep_minus_the_centres_and_pool_as_a_loop_does(with_bias: bool) -> None:
    draw = np.random.default_rng(0).standard_normal
    assign, centres, bias, x = draw((5, 3)), draw((5, 3)), draw((1, 3)), draw((5, 4, 6))
    layer = layerVLADv2("v", (assign, bias, -centres)) if with_bias else layerVLAD("v", (assign, centres))
    assert (layer.name, layer.type) == ("v", "custom")
    stored = layer.weights_to_matlab()[-1]
    assert stored.shape == (1, 1, 5, 3)
    np.testing.assert_allclose(stored[0, 0], -centres, rtol=1e-6)
    got = layer(torch.tensor(x[None], dtype=torch.float64))
    want = naive_vlad(x.reshape(5, -1), assign, centres, bias[0] if with_bias else np.zeros(3))
    assert got.shape == (1, 5, 1, 3)
    np.testing.assert_allclose(got[0, :, 0].detach().numpy(), want, rtol=1e-5, atol=1e-5)


def test_pooling_and_normalization_layers_compute_what_their_names_say() -> None:
    x = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(layerTotalMaxPool()(x)[:, :, 0, 0], x.amax((2, 3)))
    torch.testing.assert_close(layerTotalAvgPool()(x)[:, :, 0, 0], x.mean((2, 3)))
    torch.testing.assert_close(layerWholeL2Normalize()(x).flatten(1).norm(dim=1), torch.ones(2))


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ArgumentError, match="layerVLAD takes 2 weights"):
        layerVLAD("v", (np.zeros((5, 3)), np.zeros((5, 4))))
    with pytest.raises(ArgumentError, match="layerVLADv2 takes 3 weights"):
        layerVLADv2("v", (np.zeros((5, 3)), np.zeros((5, 3))))
