"""Heatmaps of real street photos by a real backbone: they look at the street, not everywhere alike."""

import numpy as np
import pytest

from deepibl.backbones import with_netvlad
from deepibl.cells import cell_assignment, cell_shares
from deepibl.heatmap import METHODS, heat
from deepibl.images import read_image

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def photos(real):
    names = ["15", "16", *(f"{number:02d}" for number in range(1, 11))]
    return [read_image(real / f"images/lund/data/lund/images/{name}.jpg", 200) for name in names]


@pytest.fixture(scope="module")
def net(real, photos):
    from tests.squeezenet_keras import squeezenet

    return with_netvlad(squeezenet(real), lambda i: photos[i], len(photos), clusters=8, total=1200)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("pair", [False, True])
def test_some_places_matter_more_than_others(net, photos, method, pair):
    settings = {"patch": 50, "step": 25} if method == "occlusion" else {}
    found = np.abs(heat(net, photos[0], method, against=photos[1] if pair else None, **settings))
    assert found.shape == photos[0].shape[1:]
    assert np.percentile(found, 99) > 1.1 * np.percentile(found, 10)


def test_cells_of_a_real_pair_add_up(net, photos):
    found = cell_shares(net, photos[0], photos[1])
    assert found.shares.sum() == pytest.approx(found.similarity, abs=1e-4)
    assert found.similarity > 0


def test_a_street_has_several_kinds_of_cells(net, photos):
    assert len(np.unique(cell_assignment(net, photos[0]).labels)) >= 4
