"""NetVLAD's pooling as torch modules: against a residual loop, in memory, at zeros, in half precision."""

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from deepibl.layers import GeM, NetVLAD, TotalAvgPool, TotalMaxPool, WholeL2Normalize, vlad_aggregate
from matlab_compat.errors import ArgumentError


class LargestTensor(TorchDispatchMode):
    """Notes the number of elements of the largest tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def residual_vlad(x: Tensor, layer: NetVLAD) -> Tensor:
    """(N, D, K) by the residual tensor that the layer must never make."""
    pixels = x.flatten(2)  # (N, D, P)
    scores = torch.einsum("ndp,dk->npk", pixels, layer.assign)
    if layer.bias is not None:
        scores = scores + layer.bias
    weights = scores.softmax(2)  # (N, P, K)
    residuals = pixels.transpose(1, 2)[..., None] + layer.offset  # (N, P, D, K)
    return (weights[:, :, None] * residuals).sum(1)


@pytest.mark.parametrize("v2", [False, True])
def test_a_layer_on_the_meta_device_gets_its_weights_later(v2: bool) -> None:
    layer = NetVLAD(4, 8, v2=v2, device="meta")
    assert layer(torch.empty(2, 8, 3, 5, device="meta")).shape == (2, 8, 1, 4)
    layer.to_empty(device="cpu")
    torch.manual_seed(0)
    layer.reset_parameters()
    torch.manual_seed(0)
    made = NetVLAD(4, 8, v2=v2)
    assert all(map(torch.equal, layer.state_dict().values(), made.state_dict().values()))
    x = torch.rand(2, 8, 3, 5)
    assert torch.equal(layer(x), made(x)) and layer(x).isfinite().all()


@pytest.mark.parametrize("v2", [False, True])
def test_two_matrix_products_equal_the_residual_tensor(v2: bool) -> None:
    torch.manual_seed(0)
    layer = NetVLAD(5, 7, v2=v2).double()
    if v2:
        torch.nn.init.normal_(layer.bias)
    x = torch.randn(2, 7, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[:, :, 0], residual_vlad(x, layer))


@pytest.mark.parametrize("v2", [False, True])
def test_gradients_are_the_numerical_ones(v2: bool) -> None:
    torch.manual_seed(0)
    layer = NetVLAD(3, 4, v2=v2).double()
    x = torch.randn(2, 4, 3, 2, dtype=torch.float64, requires_grad=True)
    inputs = [x, layer.assign, layer.offset, *([layer.bias] if v2 else [])]
    assert torch.autograd.gradcheck(lambda x, *w: vlad_aggregate(x, *w), inputs)


def test_no_residual_tensor_is_ever_made_forward_or_backward() -> None:
    clusters, dim, height, width, count = 64, 128, 30, 40, 2
    layer = NetVLAD(clusters, dim)
    x = torch.randn(count, dim, height, width, requires_grad=True)
    with LargestTensor() as seen:
        layer(x).square().sum().backward()
    assert seen.elements <= count * dim * height * width  # the input itself; the residuals were 64 times that


def test_half_precision_maps_are_summed_in_single() -> None:
    torch.manual_seed(0)
    layer = NetVLAD(8, 16)
    x = torch.nn.functional.normalize(torch.randn(1, 16, 30, 40), dim=1).bfloat16()
    out = layer(x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, layer(x.float()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("far, least, most", [(0.0, 0.1, 1.0), (0.1, 0.0, 1e-6)])
@torch.no_grad()
def test_rounding_decides_the_part_of_a_cluster_whose_centre_is_its_descriptor(
    far: float, least: float, most: float
) -> None:
    """far: distance of pixels from their centres; at 0 the residual is the last bit (docs/differences.md)."""
    torch.manual_seed(0)
    centres = torch.nn.functional.normalize(torch.randn(4, 12))
    layer = NetVLAD.from_clusters(centres, alpha=100)
    layer.normalize = True
    pixels = (centres + far * torch.randn(4, 12)).t().reshape(1, 12, 2, 2)
    changed = pixels * (1 + 2.0**-23 * torch.randint(-1, 2, pixels.shape))
    assert least <= float((layer(pixels) - layer(changed)).abs().max()) <= most


@pytest.mark.parametrize("v2", [False, True])
def test_clusters_attract_their_own_pixels(v2: bool) -> None:
    clusters = torch.eye(3, 5) * 2
    layer = NetVLAD.from_clusters(clusters, alpha=100, v2=v2)
    pixel = torch.zeros(1, 5, 1, 1)
    pixel[0, 1] = 2.5  # nearest to the second cluster, 0.5 away from it
    out = layer(pixel)[0, :, 0].detach()  # (D, K)
    want = torch.zeros(5, 3)
    want[1, 1] = 0.5
    torch.testing.assert_close(out, want, atol=1e-6, rtol=0)


def test_whole_normalization_flattens_as_matlab_and_leaves_zeros() -> None:
    x = torch.arange(24.0).reshape(1, 2, 3, 4)  # (N, C, H, W)
    flat = WholeL2Normalize()(x).flatten()
    matlab = x[0].permute(1, 2, 0).numpy().ravel(order="F")  # H x W x C, column by column
    torch.testing.assert_close(flat, torch.from_numpy(matlab.copy()) / x.norm())
    zero = torch.zeros(1, 2, 3, 4, requires_grad=True)
    out = WholeL2Normalize()(zero)
    assert not out.any()
    out.sum().backward()
    torch.testing.assert_close(zero.grad, torch.full_like(zero, 1e12))


def test_total_pooling_gives_ties_to_the_first_in_column_major_order() -> None:
    x = torch.zeros(1, 1, 2, 3)
    x[0, 0, 0, 2] = x[0, 0, 1, 0] = 5.0
    x.requires_grad_()
    TotalMaxPool()(x).sum().backward()
    assert x.grad.nonzero().tolist() == [[0, 0, 1, 0]]
    assert TotalAvgPool()(x).item() == pytest.approx(10 / 6)


def test_sizes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ArgumentError, match="positive"):
        NetVLAD(0, 4)
    for power in (0.0, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match=f"positive; got {power}"):
            GeM(power)
    with pytest.raises(ArgumentError, match=r"expected \(7, K\) both"):
        NetVLAD(4, 8)(torch.zeros(1, 7, 2, 2))
