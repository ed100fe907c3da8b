"""Networks in use: the caller's modes, threads and autocast change nothing, and are left as they were."""

from contextlib import ExitStack
from threading import Barrier, Thread

import numpy as np
import pytest
import torch
from torch import nn

from deepibl.engine.batch import extract_batch
from deepibl.features.extraction import extract
from deepibl.report.heatmap import frozen
from deepibl.runtime.devices import inference
from matlab_compat.simplenn.edit import relja_netOutputDim
from tests.extractors import Extractor, simplenn


def partly_frozen():
    """A network in training whose batch normalisation stays in eval mode, as in fine-tuning."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.Dropout(), nn.ReLU())).train()
    net[1].eval()
    net[2].eval()
    net[2][0].train()
    return net


@pytest.mark.parametrize("use", [inference, frozen])
def test_each_module_has_its_own_mode_again(use):
    net = partly_frozen()
    before = [module.training for module in net.modules()]
    with pytest.raises(KeyError), use(net):
        assert not any(module.training for module in net.modules())
        raise KeyError
    assert [module.training for module in net.modules()] == before


def test_threads_that_share_a_network_compute_in_eval_mode_and_leave_its_own():
    net = partly_frozen()
    before, modes = [module.training for module in net.modules()], []
    first, second = ExitStack(), ExitStack()
    entered, left = Barrier(2, timeout=20), Barrier(2, timeout=20)

    def other():
        with second:
            second.enter_context(inference(net))
            entered.wait()
            left.wait()
            modes.extend(module.training for module in net.modules())

    thread = Thread(target=other)
    with first:
        first.enter_context(inference(net))
        thread.start()
        entered.wait()
    left.wait()
    thread.join()
    assert modes and not any(modes)  # the first has left
    assert [module.training for module in net.modules()] == before


def test_the_size_of_an_output_is_found_without_a_change_of_modes():
    net = simplenn().train()
    net[3].eval()
    relja_netOutputDim(net, [48, 48, 3])
    assert [layer.training for layer in net] == [at != 3 for at in range(len(net))]


@pytest.mark.parametrize("engine", ["auto", "torch"])
@pytest.mark.parametrize("make", [Extractor, simplenn])
def test_autocast_around_a_call_changes_no_descriptor(photos, make, engine):
    folder, names = photos
    net = make().eval()
    want = extract(net, names[:3], root=folder, engine=engine)
    images = torch.rand(2, 3, 40, 40) * 255
    with torch.no_grad():
        batch = extract_batch(net, images)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(extract_batch(net, images), batch)
            assert np.array_equal(extract(net, names[:3], root=folder, engine=engine), want)
