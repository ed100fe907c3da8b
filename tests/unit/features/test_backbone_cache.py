"""deepibl.features.backbone_cache: maps of layers that do not learn, kept; the same as computed anew."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.errors import FeatureFileError
from deepibl.features import backbone_store as backbone_choice
from deepibl.features.backbone_cache import BackboneCache
from deepibl.images import read_image
from matlab_compat.errors import ArgumentError, ImageReadError
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import make_photos
from tests.tolerances import assert_close
from tests.unit.engine.test_engine import simplenn_of

FIRST = "conv2"


@pytest.fixture
def net() -> SimpleNN:
    made = simplenn_of([(3, 16), (16, 16), (16, 24)])
    made.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 100, np.float32)}
    return made


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Some photos of one size."""
    names = make_photos(tmp_path)
    sizes = [tuple(read_image(tmp_path / name).shape) for name in names]
    return [tmp_path / name for name, size in zip(names, sizes, strict=True) if size == sizes[0]][:5]


def anew(net: SimpleNN, paths: list[Path], flip: bool = False) -> torch.Tensor:
    with torch.no_grad():
        images = torch.stack([torch.as_tensor(read_image(path)) for path in paths])
        images = images.flip(-1) if flip else images
        return torch.cat([net(net.prepare(x[None]), stop=net.index(FIRST) - 1) for x in images])


@pytest.mark.parametrize("store", ["ram", "disk", "off", "auto"])
def test_kept_maps_are_those_computed_anew(net, photos, tmp_path, store) -> None:
    with BackboneCache(net, FIRST, store=store, folder=tmp_path / "out", images=len(photos)) as cache:
        for _ in range(2):
            assert_close(cache.maps(photos), anew(net, photos), "net")
        assert cache.computed == len(photos) * (2 if store == "off" else 1)
        assert cache.store == ("ram" if store == "auto" else store)
        assert_close(cache.maps(photos[::-1]), cache.maps(photos).flip(0), "net")


def test_a_flipped_image_is_another_one(net, photos) -> None:
    with BackboneCache(net, FIRST, store="ram") as cache:
        both = cache.maps([photos[0], photos[0]], [False, True])
        assert_close(both[1:], anew(net, photos[:1], flip=True), "net")
        assert cache.computed == 2 and torch.equal(cache.maps(photos[:1], True), both[1:])


def test_gradients_from_kept_maps_are_exact(net, photos) -> None:
    def gradient(maps: torch.Tensor) -> torch.Tensor:
        net.zero_grad()
        net(maps, start=FIRST).square().sum().backward()
        return net[FIRST].weight.grad.clone()

    with BackboneCache(net, FIRST, store="ram") as cache:
        want = gradient(anew(net, photos))
        cache.maps(photos)
        torch.testing.assert_close(
            gradient(cache.maps(photos)), want, rtol=1e-5, atol=1e-5 * want.abs().max()
        )


def test_half_precision_takes_half_the_space(net, photos, tmp_path) -> None:
    sizes = {}
    for dtype in ("fp32", "fp16"):
        with BackboneCache(
            net, FIRST, store="disk", folder=tmp_path / "out", dtype=dtype, keep=True
        ) as cache:
            cache.maps(photos)
            half = cache.maps(photos)
        files = (tmp_path / "out").rglob(f"*-{dtype}/*.npy")
        sizes[dtype] = sum(path.stat().st_size - 132 for path in files)  # numpy's header, the checksum
    assert sizes["fp32"] == 2 * sizes["fp16"] > 0
    want = anew(net, photos)
    assert 0 < (half - want).abs().max() <= 1e-3 * want.abs().max()


def test_a_killed_run_goes_on_and_a_whole_one_leaves_nothing(net, photos, tmp_path) -> None:
    folder = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt), BackboneCache(net, FIRST, store="disk", folder=folder) as cache:
        cache.maps(photos[:3])
        raise KeyboardInterrupt
    kept = sorted(folder.rglob("*.npy"))
    kept[0].with_name("torn").write_bytes(kept[0].read_bytes()[:50])
    with BackboneCache(net, FIRST, store="disk", folder=folder) as cache:
        got = cache.maps(photos)
        assert cache.computed == len(photos) - 3
        assert_close(got, anew(net, photos), "net")
    assert not any(folder.iterdir())


def test_a_resumed_run_computes_only_what_is_missing(net, photos, tmp_path) -> None:
    for expected in (3, 0):
        with BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out", keep=True) as cache:
            cache.maps(photos[:3])
            assert cache.computed == expected


def test_damage_on_disk_is_noticed_and_mended(net, photos, tmp_path) -> None:
    for damage in (True, False):
        with BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out", keep=True) as cache:
            assert_close(cache.maps(photos), anew(net, photos), "net")
            assert cache.computed == (len(photos) if damage else 1)
        if damage:
            path = next((tmp_path / "out").rglob("*.npy"))
            content = bytearray(path.read_bytes())
            content[138] ^= 255
            path.write_bytes(content)


def test_a_changed_image_or_backbone_is_computed_anew(net, photos) -> None:
    with BackboneCache(net, FIRST, store="ram") as cache:
        cache.maps(photos[:1])
        os.utime(photos[0], ns=(1, 1))  # the same content
        cache.maps(photos[:1])
        assert cache.computed == 1
        photos[0].write_bytes(photos[1].read_bytes())
        cache.maps(photos[:1])
        assert cache.computed == 2
        before = cache.identity
    with torch.no_grad():
        net["conv0"].weight.mul_(2)
    assert BackboneCache(net, FIRST).identity != before
    with torch.no_grad():
        net[FIRST].weight.mul_(2)
        net["conv0"].weight.div_(2)
    assert BackboneCache(net, FIRST).identity == before  # what learns does not enter


@pytest.mark.parametrize("store", ["ram", "disk"])
def test_the_limit_is_never_exceeded(net, photos, tmp_path, store) -> None:
    one = anew(net, photos[:1]).numel() * 4
    settings = {"store": store, "folder": tmp_path / "out", "limit_gb": 2.5 * one / 1e9}
    with BackboneCache(net, FIRST, **settings) as cache:
        for _ in range(2):
            assert_close(cache.maps(photos), anew(net, photos), "net")
        assert cache._store.used == 2 * one
        assert cache.found == 2


def test_auto_takes_memory_then_disk_then_nothing(net, photos, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(backbone_choice, "free_memory", lambda: 10_000)
    for settings, want in (
        ({"images": 10**4, "folder": tmp_path / "out"}, "disk"),
        ({"images": 10**4}, "off"),
        ({"images": 10**4, "limit_gb": 1e-6}, "off"),
        ({"images": 0}, "ram"),
    ):
        with BackboneCache(net, FIRST, **settings) as cache:
            cache.maps(photos[:1])
            assert (cache.store, bool(cache.reason)) == (want, True)


def test_auto_keeps_a_part_where_not_all_fits(net, photos, tmp_path, monkeypatch) -> None:
    one = anew(net, photos[:1]).numel() * 4
    monkeypatch.setattr(backbone_choice, "free_memory", lambda: 5 * one)
    with BackboneCache(net, FIRST, images=len(photos)) as cache:
        for _ in range(2):
            assert_close(cache.maps(photos), anew(net, photos), "net")
        assert cache.store == "ram" and cache._store.used == 2 * one and cache.found == 2
    with BackboneCache(net, FIRST, images=len(photos), folder=tmp_path / "out") as cache:
        cache.maps(photos)
        assert cache.store == "disk" and cache._store.used == len(photos) * one
    with BackboneCache(net, FIRST, images=1000, folder=None) as cache:
        cache.maps(photos)
        assert cache.store == "off"  # hardly any would be found again


def test_two_runs_do_not_share_a_folder(net, photos, tmp_path) -> None:
    with BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out") as cache:
        cache.maps(photos[:1])
        other = BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out")
        with pytest.raises(FeatureFileError, match="another run"):
            other.maps(photos[:1])


def test_wrong_settings_and_files_are_named(net, photos, tmp_path) -> None:
    for settings, says in (
        ({"store": "tape"}, "auto, ram, disk, off"),
        ({"store": "disk"}, "needs a folder"),
        ({"limit_gb": 0}, "limit_gb"),
    ):
        with pytest.raises(ArgumentError, match=says):
            BackboneCache(net, FIRST, **settings)
    with pytest.raises(ArgumentError, match="is the first"):
        BackboneCache(net, 0)
    with BackboneCache(net, FIRST, store="ram") as cache:
        with pytest.raises(ImageReadError, match="none"):
            cache.maps([tmp_path / "none.jpg"])
        with pytest.raises(ArgumentError, match="one flip per image"):
            cache.maps(photos, [True])


def test_a_full_disk_keeps_what_fits(net, photos, tmp_path) -> None:
    resource = pytest.importorskip("resource", reason="limits the size of files as Unix does")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    one = anew(net, photos[:1]).numel() * 4
    with BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out", keep=True) as cache:
        cache.maps(photos[:1])
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (one // 2, limits[1]))
            assert_close(cache.maps(photos), anew(net, photos), "net")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert cache._store.used == one
    with BackboneCache(net, FIRST, store="disk", folder=tmp_path / "out") as cache:
        assert_close(cache.maps(photos), anew(net, photos), "net")
        assert (cache.found, cache.computed) == (1, len(photos) - 1)
