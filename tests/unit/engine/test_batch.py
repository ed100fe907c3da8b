"""deepibl.engine.batch: precision, mode and device of the forward pass."""

import numpy as np
import pytest
import torch
from torch import nn

from deepibl.engine.backbone import head_start
from deepibl.engine.batch import extract_batch
from deepibl.features.extraction import extract
from deepibl.runtime.devices import inference
from matlab_compat.errors import ArgumentError
from tests.extractors import Extractor, simplenn


def test_bf16_leaves_vlad_and_what_follows_in_float32():
    net = simplenn()
    assert net.names[head_start(net)] == "preL2"
    seen = {}
    for layer in net:
        layer.register_forward_hook(lambda layer, _, out: seen.__setitem__(layer.name, out.dtype))
    images = torch.rand(2, 3, 32, 32) * 255
    with inference(net):
        low, exact = extract_batch(net, images, "bf16"), extract_batch(net, images)
    # the hooks ran twice; look at the first pass again
    with inference(net):
        extract_batch(net, images, "bf16")
    assert {seen[name] for name in ("conv1", "pool1", "relu1", "conv2")} == {torch.bfloat16}
    assert {seen[name] for name in net.names[head_start(net) :]} == {torch.float32}
    assert (low != exact).any()
    distance = 1 - (low.double() * exact.double()).sum(1)
    assert distance.max() < 1e-2
    assert torch.allclose(low.norm(dim=1), torch.ones(2), atol=1e-6)


def test_bf16_of_a_network_of_ones_own_is_close_to_fp32(photos):
    folder, names = photos
    low = extract(Extractor(), names, root=folder, precision="bf16")
    exact = extract(Extractor(), names, root=folder)
    assert low.dtype == np.float32 and 0 < np.abs(low - exact).max() < 2e-2


def test_the_training_mode_is_put_back_and_dropout_is_off(photos):
    folder, names = photos
    net = Extractor()
    net.body.insert(0, nn.Dropout(0.5))
    net.train()
    first = extract(net, names[:3], root=folder)
    assert net.training and np.array_equal(first, extract(net, names[:3], root=folder))


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without CUDA")
def test_a_device_that_is_not_there_is_refused(photos):
    with pytest.raises(ArgumentError, match="no CUDA device"):
        extract(Extractor(), ["a.jpg"], device="cuda")


@pytest.mark.gpu
def test_cuda_gives_the_cpus_descriptors(photos):
    folder, names = photos
    want = extract(simplenn(), names, root=folder)
    assert np.abs(extract(simplenn(), names, root=folder, device="cuda") - want).max() < 1e-5
    low = extract(simplenn(), names, root=folder, device="cuda", precision="bf16")
    assert (1 - (low * want).sum(1)).max() < 1e-2
