"""Kept maps and groups of images on a CUDA device, on fake tensors (`tests.fake_cuda`): where they are kept,
how they come together, and that nobody waits on the way.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepibl.engine.choose import choose_engine
from deepibl.engine.settings import ExtractionSettings
from deepibl.features import backbone_store as backbone_choice, extraction as features
from deepibl.features.backbone_cache import BackboneCache, Fetched
from deepibl.features.backbone_store import MemoryStore
from deepibl.features.groups import BatchExtractor, MapExtractor
from deepibl.networks.build import LayerVLAD
from matlab_compat.simplenn.network import SimpleNN
from tests.fake_cuda import NAME, placed

assert LayerVLAD  # registers NetVLAD's layers


def photo(height: int = 48, width: int = 64) -> Tensor:
    return torch.empty(3, height, width, dtype=torch.uint8)


def extractor(net: SimpleNN, kind: str) -> tuple[BatchExtractor, Any]:
    settings = ExtractionSettings(batch_size=3, precision="fp32" if kind == "images" else "bf16")
    if kind == "images":
        return BatchExtractor(net, torch.device(NAME), settings), [photo() for _ in range(6)]
    cache = BackboneCache.__new__(BackboneCache)
    cache.__dict__.update(net=net, first=net.index("conv5_1"), device=torch.device(NAME), dtype="fp16")
    cache.__dict__.update(
        computed=0, found=0, _engine=choose_engine(net, "torch", "fp32", torch.device(NAME))
    )
    where = NAME if kind == "maps on the card" else "cpu"
    cache.__dict__.update(_store=MemoryStore(torch.float16, 10**9, where))
    kept = torch.empty(released_channels(net), 3, 4, dtype=torch.float16, device=where)
    loaded = [Fetched("a", maps=kept) if i % 2 else Fetched(f"k{i}", pixels=photo()) for i in range(6)]
    return MapExtractor(cache, settings), loaded


def released_channels(net: SimpleNN) -> int:
    weight = net["conv4_3"].weight
    assert isinstance(weight, Tensor)
    return weight.shape[0]


@pytest.mark.parametrize("kind", ["images", "maps on the card", "maps in memory"])
def test_groups_of_images_are_fetched_once_at_their_end(
    card: Any, released: SimpleNN, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with card() as waits, torch.inference_mode():
        made, loaded = extractor(placed(released, NAME), kind)
        monkeypatch.setattr(made, "load", lambda path: loaded[int(path)])
        monkeypatch.setattr(features, "BatchExtractor", lambda *_: made)
        monkeypatch.setattr(features, "inference", lambda *_: nullcontext(torch.device(NAME)))
        waits.waits.clear()
        found = features.extract(released, list("012345"), batch_size=3, num_threads=1, progress=False)
    assert found.shape == (6, 16)
    fetched = [each for each in waits.waits if each == "to the cpu"]
    assert len(fetched) == 1 + (3 if kind == "maps in memory" else 0)  # those three are kept there
    assert "to the cuda" not in waits.waits


@pytest.mark.parametrize("refused", [False, True])
def test_maps_beyond_the_cards_share_are_kept_in_memory(
    card: Any, monkeypatch: pytest.MonkeyPatch, refused: bool
) -> None:
    with card():
        size = torch.float16.itemsize * 12
        store = MemoryStore(torch.float16, 4 * size, NAME, on_device=3 * size)
        empty = torch.empty

        def full(*shape: Any, **how: Any) -> Tensor:
            if refused and store.used >= size and str(how.get("device", "cpu")) != "cpu":
                raise torch.OutOfMemoryError
            return empty(*shape, **how)

        maps = torch.empty(12, device=NAME)
        monkeypatch.setattr(torch, "empty", full)
        assert [store.put(str(i), maps) for i in range(5)] == [True] * 4 + [False]
        found = [store.get(str(i)).device.type for i in range(4)]  # type: ignore[union-attr]
    assert found == (["cuda", "cpu", "cpu", "cpu"] if refused else ["cuda"] * 3 + ["cpu"])


H100 = (80 * 10**9, 84 * 10**9)  # free and all


@pytest.mark.parametrize(
    ("needed", "limit", "store", "where", "on_device"),
    [
        (43, 50, "ram", NAME, None),  # Pitts30k in fp16, backboneCacheGB as it is
        (86, 100, "ram", NAME, 56),  # in fp32, with backboneCacheGB=100
        (86, 50, "ram", NAME, None),  # no more than was asked for
        (400, 1000, "disk", "cpu", None),
    ],
)
def test_auto_keeps_maps_on_the_card_then_in_memory_too_then_on_disk(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    needed: int,
    limit: int,
    store: str,
    where: str,
    on_device: Any,
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (H100[0] - 9 * 10**9, H100[1]))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 12 * 10**9)  # 9 GB of it unused
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 3 * 10**9)
    monkeypatch.setattr(backbone_choice, "free_memory", lambda: 128 * 10**9)
    monkeypatch.setattr(backbone_choice, "free_disk", lambda folder: 10**12)
    found = backbone_choice.choose_place(needed * 10**9, limit * 10**9, tmp_path, torch.device(NAME))
    assert (found.store, str(found.device)) == (store, where)
    assert found.on_device == (on_device if on_device is None else on_device * 10**9)


def test_maps_in_the_cards_memory_join_without_a_copy_over_the_bus(card: Any, released: SimpleNN) -> None:
    with card() as waits:
        store = MemoryStore(torch.float16, 10**6, NAME)
        maps = torch.empty(12, 3, 4, device=NAME)
        assert store.put("a", maps) and store.get("a").device == torch.device(NAME)  # type: ignore[union-attr]
        assert not waits.waits
