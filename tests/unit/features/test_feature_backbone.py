"""Descriptors from kept maps: those of the network itself, whatever is kept, in whichever order."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.errors import ExtractionError
from deepibl.features.backbone_cache import BackboneCache
from deepibl.features.extraction import extract, extract_to_file
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import make_photos
from tests.tolerances import assert_close
from tests.unit.engine.test_engine import simplenn_of

FIRST = "conv1"


@pytest.fixture
def net() -> SimpleNN:
    """Three convolutions and a maximum over all pixels."""
    from deepibl.networks.build import add_pooling

    made = simplenn_of([(3, 16), (16, 64), (64, 64)])
    made.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 100, np.float32)}
    return add_pooling(made, "max").eval()


@pytest.fixture
def photos(tmp_path: Path) -> list[str]:
    """Photos of several sizes."""
    return make_photos(tmp_path)


def rows(net: SimpleNN, folder: Path, names: list[str], backbone: BackboneCache, **how: object) -> np.ndarray:
    out = folder / "features.npy"
    extract_to_file(net, folder, names, out, backbone=backbone, progress=False, **how)  # type: ignore[arg-type]
    return np.load(out)


@pytest.mark.parametrize(("precision", "kind"), [("fp32", "net"), ("bf16", "golden bf16")])
def test_descriptors_from_kept_maps_are_those_of_the_network(net, photos, tmp_path, precision, kind) -> None:
    want = extract(net, photos, root=tmp_path, progress=False)
    with BackboneCache(net, FIRST, store="ram") as cache:
        got = [rows(net, tmp_path, photos, cache, precision=precision, batch_size=3) for _ in range(2)]
        assert cache.computed == cache.found == len(photos)
    assert_close(got[0], want, kind)
    np.testing.assert_array_equal(*got)


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_they_have_the_same_bits_whatever_is_kept(net, photos, tmp_path, dtype) -> None:
    one = 1e-9 * 4 * 64 * 64 * 48  # about one image's maps, in gigabytes
    found = []
    for settings in ({"store": "off"}, {"store": "ram"}, {"store": "ram", "limit_gb": 3 * one}):
        with BackboneCache(net, FIRST, dtype=dtype, **settings) as cache:
            cache.maps([tmp_path / photos[2]])
            found.append(rows(net, tmp_path, photos, cache, batch_size=2))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_images_that_cannot_be_used_are_named(net, photos, tmp_path) -> None:
    (tmp_path / photos[1]).write_bytes(b"no image")
    Image.fromarray(np.zeros((1, 1, 3), np.uint8)).save(tmp_path / "dot.png")
    names = [*photos, "dot.png"]
    with torch.no_grad():
        net["conv0"].pad = net["conv0"].pad._replace(top=0, bottom=0)  # a dot is too small for it
    with BackboneCache(net, FIRST, store="ram") as cache, pytest.raises(ExtractionError) as caught:
        rows(net, tmp_path, names, cache)
    assert {Path(failure.name).name for failure in caught.value.failures} == {photos[1], "dot.png"}
    assert "cannot take an image" in str(caught.value)
