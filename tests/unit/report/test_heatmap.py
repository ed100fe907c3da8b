"""Heatmaps are what they should be: gradients equal differences, occlusion equals a plain loop."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepibl.networks.backbones import BeforeLastNormalisation
from deepibl.report.heatmap import fit, frozen, gradient_map, heat, occlusion_map
from matlab_compat.errors import ArgumentError
from tests.extractors import Extractor, simplenn
from tests.tolerances import assert_close


class _Chain(nn.Module):
    """Any modules as an extractor of raw pixels."""

    def __init__(self, *modules):
        super().__init__()
        self.body = nn.Sequential(*modules)

    def prepare(self, images):
        return images

    def forward(self, x):
        return self.body(x)


class _UnitLength(nn.Module):
    def forward(self, x):
        return F.normalize(x.flatten(1))


def _image(height=21, width=30, seed=0):
    return torch.rand((3, height, width), generator=torch.Generator().manual_seed(seed)) * 255


def _cosine(net, image, other):
    one, two = (net(net.prepare(picture[None])).flatten() for picture in (image, other))
    return float(F.cosine_similarity(one, two, dim=0))


def _difference(function, image, y, x, step):
    """The length of the numeric gradient over the three colours of a pixel."""
    slopes = []
    for colour in range(3):
        up, down = image.clone(), image.clone()
        up[colour, y, x] += step
        down[colour, y, x] -= step
        slopes.append((function(up) - function(down)) / (2 * step))
    return float(np.linalg.norm(slopes))


@pytest.mark.parametrize("make", [simplenn, Extractor])
def test_gradient_of_the_similarity_equals_differences(make):
    net = make().double()
    image, other = _image().double(), _image(25, 33, seed=1).double()
    found = gradient_map(net, image, against=other)
    for y, x in ((3, 5), (10, 12), (17, 26)):
        with torch.no_grad():
            wanted = _difference(lambda picture: _cosine(net, picture, other), image, y, x, 1e-3)
        assert found[y, x] == pytest.approx(wanted, rel=1e-3, abs=1e-12)


def test_gradient_without_another_photo_is_that_of_the_length_before_the_last_normalisation():
    net, image = simplenn(), _image()
    pixels = image[None].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(net(net.prepare(pixels), stop="WPCA").norm(), pixels)
    assert_close(gradient_map(net, image), wanted[0].norm(dim=0).numpy(), "net")


def test_several_normalisations_at_the_end_are_all_passed_over():
    whole = simplenn()
    net, image = whole.with_layers(list(whole)[: whole.index("postL2") + 1]), _image()
    pixels = image[None].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(net(net.prepare(pixels), stop="vlad:core").norm(), pixels)
    assert_close(gradient_map(net, image), wanted[0].norm(dim=0).numpy(), "net")
    assert wanted.abs().max() > 1e-6


def test_a_network_that_ends_in_no_normalisation_is_taken_as_it_is():
    net, image = _Chain(nn.Conv2d(3, 4, 3)), _image()
    pixels = image[None].clone().requires_grad_()
    (wanted,) = torch.autograd.grad(net(pixels).norm(), pixels)
    assert_close(gradient_map(net, image), wanted[0].norm(dim=0).numpy(), "op")


def test_a_normalisation_that_is_not_known_is_refused_rather_than_drawn_as_noise():
    net = _Chain(nn.Conv2d(3, 4, 3), _UnitLength())
    with pytest.raises(ArgumentError, match="another photo"):
        gradient_map(net, _image())
    assert gradient_map(net, _image(), against=_image(seed=1)).max() > 0


def test_normalisation_in_the_middle_does_not_count_as_the_last():
    net = simplenn()
    prepared = net.prepare(_image()[None])
    with BeforeLastNormalisation(net) as watched, torch.no_grad():
        net(prepared, stop="WPCA")
        assert watched.result is None
        net(prepared)
    assert torch.equal(watched.result, net(prepared, stop="WPCA"))


def test_the_smoothed_gradient_is_the_mean_over_noisy_copies():
    net, image, other = Extractor(), _image(), _image(24, 24, seed=1)
    with torch.no_grad():
        target = net(net.prepare(other[None])).flatten(1)
    noise, total = torch.Generator().manual_seed(0), torch.zeros_like(image)
    for _ in range(3):
        sigma = 0.15 * float(image.max() - image.min())
        pixels = (image + sigma * torch.randn(image.shape, generator=noise))[None].requires_grad_()
        score = F.cosine_similarity(net(net.prepare(pixels)).flatten(1), target).sum()
        total += torch.autograd.grad(score, pixels)[0][0]
    found = gradient_map(net, image, against=other, copies=3, progress=False)
    assert_close(found, (total / 3).norm(dim=0).numpy(), "net")
    assert not np.allclose(found, gradient_map(net, image, against=other), rtol=0.1)


def test_guided_gradients_pass_only_positive_ones_through_each_relu():
    net = _Chain(nn.Conv2d(3, 2, 1, bias=False), nn.ReLU(), nn.Conv2d(2, 1, 1, bias=False))
    first, last = net.body[0].weight, net.body[2].weight
    with torch.no_grad():
        first[:, :, 0, 0] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
        last[0, :, 0, 0] = torch.tensor([1.0, -0.01])  # the second channel pulls the output down
    image = torch.ones(3, 1, 1)
    assert gradient_map(net, image, guided=True)[0, 0] == pytest.approx(np.linalg.norm([1, 2, 3]))
    plain = np.array([1, 2, 3]) - 0.01 * np.array([4, 5, 6])
    assert gradient_map(net, image)[0, 0] == pytest.approx(np.linalg.norm(plain))


@pytest.mark.parametrize("inplace", [False, True])
def test_guided_gradients_work_for_relus_in_place(inplace):
    torch.manual_seed(0)
    net = _Chain(nn.Conv2d(3, 8, 3), nn.ReLU(inplace), nn.Conv2d(8, 4, 3), nn.ReLU(inplace))
    reference = _Chain(*(nn.ReLU() if isinstance(m, nn.ReLU) else m for m in net.body))
    assert_close(
        gradient_map(net, _image(), guided=True), gradient_map(reference, _image(), guided=True), "op"
    )


def test_guided_gradients_without_a_relu_are_refused():
    with pytest.raises(ArgumentError, match="none"):
        gradient_map(_Chain(nn.Conv2d(3, 4, 3)), _image(), guided=True)


def test_weights_stay_as_they_are_and_get_no_gradients():
    net = simplenn().train()
    net["conv1"].weight.requires_grad_(False)
    before = [(weight.clone(), weight.requires_grad) for weight in net.parameters()]
    for method in ("gradient", "guided", "occlusion"):
        heat(net, _image(), method)
    for weight, (value, flag) in zip(net.parameters(), before, strict=True):
        assert torch.equal(weight, value)
        assert weight.requires_grad == flag
        assert weight.grad is None
    assert net.training
    assert not any(module._forward_hooks for module in net.modules())


def test_weights_are_thawed_after_an_error_too():
    net = simplenn()
    with pytest.raises(RuntimeError), frozen(net):
        raise RuntimeError
    assert all(weight.requires_grad for weight in net.parameters())


@pytest.mark.parametrize("pair", [False, True])
def test_occlusion_equals_covering_patch_by_patch(pair):
    net, image, other = Extractor(), _image(), _image(24, 24, seed=1)
    found = occlusion_map(net, image, against=other if pair else None, patch=8, step=5)
    total, count = np.zeros((21, 30)), np.zeros((21, 30))
    with torch.inference_mode():
        plain = net(net.prepare(image[None])).flatten()
        target = net(net.prepare(other[None])).flatten() if pair else plain
        for y in (0, 5, 10, 13):
            for x in (0, 5, 10, 15, 20, 22):
                covered = image.clone()
                covered[:, y : y + 8, x : x + 8] = 128
                moved = (net(net.prepare(covered[None])).flatten() - target).norm() - (plain - target).norm()
                total[y : y + 8, x : x + 8] += float(moved)
                count[y : y + 8, x : x + 8] += 1
    assert count.min() > 0
    np.testing.assert_allclose(found, total / count, atol=3e-6)


def test_occlusion_does_not_depend_on_the_batch_size():
    net, image = simplenn(), _image()
    one, many = (occlusion_map(net, image, batch_size=size) for size in (1, 7))
    np.testing.assert_allclose(one, many, atol=3e-6)


def test_occlusion_covers_with_the_mean_pixel_of_the_network():
    image = torch.full((3, 20, 20), 120.0)  # simplenn's mean: covering changes nothing
    assert np.abs(occlusion_map(simplenn(), image)).max() < 1e-5


def test_occlusion_is_zero_where_the_network_does_not_look():
    net = _Chain(nn.Conv2d(3, 2, (1, 4), stride=(1, 40)))  # sees the first four columns only
    found = occlusion_map(net, _image(20, 40), patch=4, step=2)
    assert found[:, 8:].max() < 1e-5 * found[:, :4].min()


def test_large_photos_are_covered_fewer_at_a_time(monkeypatch):
    net = Extractor()
    monkeypatch.setattr("deepibl.report.heatmap.PIXELS_AT_ONCE", 2 * 21 * 30)
    occlusion_map(net, _image(), patch=10, batch_size=10)
    assert max(shape[0] for shape in net.batches) == 2


@pytest.mark.parametrize("settings", [{"patch": 22}, {"patch": 0}, {"step": 0}, {"batch_size": 0}])
def test_occlusion_settings_out_of_range_are_refused(settings):
    with pytest.raises(ArgumentError, match="patch"):
        occlusion_map(Extractor(), _image(), **settings)


def test_progress_of_occlusion_ends_at_all_patches():
    seen = []
    occlusion_map(Extractor(), _image(), patch=8, step=8, progress=seen.append)
    assert seen[-1].done == seen[-1].total == 3 * 4
    assert [now.done for now in seen] == sorted(now.done for now in seen)


@pytest.mark.parametrize("size", [(20, 20), (37, 53), (64, 21)])
def test_any_size_gives_a_map_of_that_size(size):
    for method in ("smooth", "gradient", "guided", "occlusion"):
        found = heat(simplenn(), _image(*size), method)
        assert found.shape == size
        assert found.dtype == np.float32
        assert np.isfinite(found).all()


def test_an_unknown_method_is_refused():
    with pytest.raises(ArgumentError, match="smooth, gradient, guided, occlusion"):
        heat(simplenn(), _image(), "gradcam")


def test_fit_bounds_the_pixels_and_keeps_the_shape():
    large = fit(_image(300, 400), 30_000)
    assert large.shape[1] * large.shape[2] <= 30_000
    assert large.shape[2] / large.shape[1] == pytest.approx(4 / 3, rel=0.02)
    small = _image(30, 40)
    assert fit(small, 30_000) is small


@pytest.mark.parametrize("method", ["guided", "gradient", "occlusion", "smooth"])
@pytest.mark.parametrize(
    "around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16)]
)
def test_what_surrounds_the_call_changes_no_heatmap(method, around):
    net = simplenn()
    want = heat(net, _image(), method, against=_image(25, 33, seed=1))
    with around():
        found = heat(net, _image(), method, against=_image(25, 33, seed=1))
    assert np.array_equal(found, want)
