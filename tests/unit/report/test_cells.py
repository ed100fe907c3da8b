"""NetVLAD's cells: assignments, and shares that add up to the similarity."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deepibl.layers import NetVLAD
from deepibl.networks.backbones import from_torch, netvlad_head
from deepibl.networks.clusters import vlad_alpha
from deepibl.report.cells import cell_assignment, cell_shares, legible, matching_parts
from matlab_compat.errors import ArgumentError
from tests.extractors import Extractor, simplenn
from tests.tolerances import assert_close


def _image(height=41, width=30, seed=0):
    coarse = torch.rand((1, 3, height // 6, width // 6), generator=torch.Generator().manual_seed(seed)) * 255
    return F.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)[0]


class _PixelL2Extractor(nn.Module):
    """preL2, NetVLAD without v2's biases, intra-normalisation, L2, as deepibl.networks.backbones makes it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        generator = np.random.default_rng(0)
        centres = generator.standard_normal((4, 16)).astype(np.float32)
        centres /= np.linalg.norm(centres, axis=1, keepdims=True)
        points = generator.standard_normal((50, 16)).astype(np.float32)
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        layer = NetVLAD.from_clusters(torch.from_numpy(centres), vlad_alpha(centres, points))
        self.backbone, self.head = nn.Conv2d(3, 16, 5, stride=2), netvlad_head(layer)

    def prepare(self, images):
        return images / 255 - 0.5

    def forward(self, x):
        return self.head(self.backbone(x))


class _OwnLoop(nn.Module):
    """A model whose NetVLAD normalises by itself; then what `more` says, as people write it."""

    def __init__(self, more=lambda x: x):
        super().__init__()
        torch.manual_seed(2)
        self.conv, self.head, self.more = nn.Conv2d(3, 16, 5, stride=2), NetVLAD(4, 16, normalize=True), more

    def forward(self, x):
        return self.more(self.head(self.conv(x)).flatten(1))


def own_loop():
    return from_torch(_OwnLoop())


def functional():
    torch.manual_seed(3)
    matrix = torch.randn(7, 64)
    return from_torch(_OwnLoop(lambda x: F.normalize(F.normalize(x, p=2, dim=1) @ matrix.t() - 0.1)))


NETWORKS = [simplenn, Extractor, _PixelL2Extractor, own_loop, functional]


@pytest.mark.parametrize("make", NETWORKS)
def test_shares_of_the_cells_add_up_to_the_cosine(make):
    net, image, other = make(), _image(), _image(33, 47, seed=1)
    with torch.inference_mode():
        one, two = (net(net.prepare(picture[None])).flatten() for picture in (image, other))
    wanted = float(F.cosine_similarity(one, two, dim=0))
    found = cell_shares(net, image, other)
    assert found.similarity == pytest.approx(wanted, abs=1e-5)
    assert found.shares.sum() + found.constant == pytest.approx(wanted, abs=1e-5)
    if make not in (simplenn, functional):  # without whitening there is no mean to subtract
        assert found.constant == pytest.approx(0, abs=1e-5)


def test_shares_equal_the_sum_written_out():
    net, image, other = Extractor(), _image(), _image(seed=1)
    with torch.inference_mode():
        maps = net.body[:2](net.prepare(image[None]))[0]
        layer = net.body[2]
        raw, target = (
            layer(maps[None])[0, :, 0],
            net(net.prepare(other[None])).flatten().view(16, 4),
        )  # (D, K)
        wanted = np.zeros(maps.shape[1:])
        for y, x in np.ndindex(*wanted.shape):
            weights = torch.softmax(layer.assign.t() @ maps[:, y, x], 0)
            for k in range(4):
                residual = maps[:, y, x] + layer.offset[:, k]
                wanted[y, x] += float(weights[k] * (residual @ target[:, k]) / raw.norm())
    assert_close(cell_shares(net, image, other).shares, wanted, "net")


def test_a_photo_against_itself_is_alike():
    assert cell_shares(simplenn(), _image(), _image()).similarity == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("make", NETWORKS)
def test_the_clusters_shares_of_a_cell_add_up_to_one(make):
    found = cell_assignment(make(), _image())
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-6)


def test_a_cell_belongs_to_the_centre_that_it_is_most_like():
    net = simplenn()
    maps = net(net.prepare(_image()[None]), stop="preL2")[0].detach()
    scores = torch.einsum("kd,dhw->khw", net["vlad:core"].assign.detach().flatten(1), maps)
    np.testing.assert_array_equal(cell_assignment(net, _image()).argmax(0), scores.argmax(0).numpy())


def test_the_layers_own_normalisation_gives_what_modules_around_it_give():
    net = own_loop()
    plain = NetVLAD.from_weights(net.backbone.head.assign, net.backbone.head.offset)
    apart = from_torch(net.backbone.conv, head=netvlad_head(plain))
    image, other = _image(41, 41), _image(41, 41, seed=1)
    for of in (cell_assignment, lambda *pair: cell_shares(*pair, other).shares):
        assert_close(of(net, image), of(apart, image), "net")
    for one, two in zip(matching_parts(net, image, other), matching_parts(apart, image, other), strict=True):
        assert (one.here, one.there) == (two.here, two.there) and one.share == pytest.approx(
            two.share, rel=1e-4
        )
    assert net.backbone.head.normalize


def test_a_normalisation_that_is_not_known_is_refused():
    net = from_torch(_OwnLoop(lambda x: x / x.norm(dim=1, keepdim=True)))
    with pytest.raises(ArgumentError, match=r"not affine.*normalize=True.*guided"):
        cell_shares(net, _image(), _image(seed=1))


@pytest.mark.parametrize("make", [Extractor, _PixelL2Extractor, own_loop])
def test_a_match_of_parts_is_the_term_of_their_cells_in_the_cosine(make, monkeypatch):
    """With one block a picture its term is the whole cosine."""
    net, image, other = make(), _image(41, 41), _image(41, 41, seed=1)
    several = matching_parts(net, image, other)
    assert [part.share for part in several] == sorted((part.share for part in several), reverse=True)
    assert len({part.here for part in several}) == len({part.there for part in several}) == len(several) > 1
    monkeypatch.setattr("deepibl.report.cells._ROWS", 1)
    (part,) = matching_parts(net, image, other)
    assert part.here == part.there == (0.0, 0.0, 1.0, 1.0)
    assert part.share == pytest.approx(cell_shares(net, image, other).similarity, abs=1e-5)


def test_what_is_in_both_photos_is_found_in_both_where_it_is():
    """A patch of the first photo, put into another place of the second, which is flat otherwise."""
    net = Extractor()
    image, other = torch.full((3, 96, 96), 90.0), torch.full((3, 96, 96), 90.0)
    patch = _image(24, 24, seed=3)
    image[:, 12:36, 60:84], other[:, 60:84, 12:36] = patch, patch
    (best, *_) = matching_parts(net, image, other)
    assert 0 <= best.here[0] < 0.45 and best.here[1] > 0.5
    assert best.there[0] > 0.5 and best.there[1] < 0.45


def test_blocks_of_cells_keep_the_sum_and_are_few():
    field = np.random.default_rng(0).random((2, 61, 83), np.float32)
    drawn = legible(field, 30)
    assert drawn.shape == (2, 21, 28)
    assert drawn.sum() == pytest.approx(field.sum(), rel=1e-5)
    np.testing.assert_array_equal(legible(field, 61), field)


def test_a_network_without_netvlad_is_refused():
    class Plain(nn.Module):
        def prepare(self, images):
            return images

    with pytest.raises(ArgumentError, match="NetVLAD"):
        cell_assignment(Plain(), _image())


def test_nothing_is_left_on_the_network():
    net = simplenn()
    cell_shares(net, _image(), _image(seed=1))
    cell_assignment(net, _image())
    assert not any(module._forward_hooks for module in net.modules())
    assert all(weight.requires_grad and weight.grad is None for weight in net.parameters())
