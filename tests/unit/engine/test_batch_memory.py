"""Batches are bounded by pixels and by the memory that is free; what does not fit is refused before."""

import numpy as np
import pytest
import torch
from PIL import Image

from deepibl.engine import memory
from deepibl.engine.memory import CPU_PIXELS, BatchMemory
from deepibl.features.extraction import extract
from deepibl.runtime import devices as free
from matlab_compat.errors import ImageReadError
from tests.extractors import Extractor, simplenn

CPU = torch.device("cpu")


def test_the_layers_are_measured_on_a_small_image():
    # conv1: 3 channels in, 16 out, float32, at full size; relu and conv2 come after pooling
    assert BatchMemory(simplenn(), CPU).bytes_a_pixel == pytest.approx(256 + 4 * (3 + 16), rel=0.05)
    assert 256 < BatchMemory(Extractor(), CPU).bytes_a_pixel < 256 + 4 * (3 + 16)  # any module; stride 2


def test_a_network_that_cannot_take_the_probe_gets_a_guess():
    class Fixed(torch.nn.Module):
        def prepare(self, images):
            raise ValueError("224 x 224 pixels alone")

    assert BatchMemory(Fixed(), CPU).bytes_a_pixel > 1000


def test_a_batch_on_a_cpu_is_bounded_by_pixels(monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda: 10**12)
    room = BatchMemory(simplenn(), CPU)
    assert room.fitting(480, 640) == 5
    assert room.fitting(3000, 4000) == 1
    assert room.fitting(768, 1024) == CPU_PIXELS // (768 * 1024)
    assert room.fitting(100, 100) > 1000


def test_a_batch_is_bounded_by_the_memory_that_is_free(monkeypatch):
    room = BatchMemory(simplenn(), CPU)
    one = 480 * 640 * room.bytes_a_pixel
    for images, fits in ((8.1, 4), (2.1, 1), (0.5, 1)):
        monkeypatch.setattr(memory, "free_memory", lambda n=images: int(n * one))
        assert room.fitting(480, 640) == fits
    monkeypatch.setattr(memory, "free_memory", lambda: 0)  # not reported: not bounded
    assert room.fitting(480, 640) == 5
    room.require(10**5, 10**5)


def test_an_image_that_does_not_fit_is_named_and_the_others_are_used(tmp_path, monkeypatch):
    for name, size in (("a", (64, 48)), ("large", (1200, 900)), ("b", (64, 48))):
        Image.effect_noise(size, 50).convert("RGB").save(tmp_path / f"{name}.png")
    monkeypatch.setattr(memory, "free_memory", lambda: 10**6)
    names = ["a.png", "large.png", "b.png"]
    rows, kept, failures = extract(simplenn(), names, root=tmp_path, on_error="skip", progress=False)
    assert kept.tolist() == [0, 2] and len(rows) == 2
    assert "large.png: an image of 1200 x 900 pixels takes about" in failures[0].reason
    assert "--resize max640" in failures[0].reason
    small = extract(simplenn(), names, root=tmp_path, max_side=300, progress=False)
    assert small.shape == (3, 12)


def test_smaller_batches_give_the_same_descriptors(tmp_path, monkeypatch):
    for i in range(6):
        Image.effect_noise((640, 480), 20 + 10 * i).convert("RGB").save(tmp_path / f"{i}.png")
    names = [f"{i}.png" for i in range(6)]
    want = extract(simplenn(), names, root=tmp_path, progress=False)
    monkeypatch.setattr(BatchMemory, "fitting", lambda *_: 1)
    got = extract(simplenn(), names, root=tmp_path, progress=False)
    assert np.abs(got - want).max() < 1e-6


def test_a_containers_limit_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(free, "_CGROUP", tmp_path)
    unlimited = free.free_memory()
    if not unlimited:
        pytest.skip("this system does not report its free memory")
    for name, text in (("max", "max\n"), ("current", "900"), ("stat", "anon 7\ninactive_file 100\n")):
        (tmp_path / f"memory.{name}").write_text(text)
    assert abs(free.free_memory() - unlimited) < unlimited / 2
    (tmp_path / "memory.max").write_text("1000\n")
    assert free.free_memory() == 200


def test_refusals_are_of_images():
    with pytest.raises(ImageReadError):
        BatchMemory(simplenn(), CPU).require(10**6, 10**6)
