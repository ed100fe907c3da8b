"""Editing: what the golden cases do not cover."""

from typing import Any

import numpy as np
import pytest
import torch

from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.edit import (
    relja_cropToLayer,
    relja_layerTypes,
    relja_netOutputDim,
    relja_netSave,
    relja_simplenn_move,
    relja_swapLayersForEfficiency,
)
from matlab_compat.simplenn.network import SimpleNN
from matlab_compat.simplenn.tidy import cell_row
from tests.matlab_same import assert_same


def network(**meta: Any) -> SimpleNN:
    weights = cell_row([np.ones((3, 3, 3, 4), np.float32), np.ones((1, 4), np.float32)])
    pool = {"type": "pool", "pool": np.array([[2.0]]), "stride": np.array([[2.0]])}
    layers = [
        {"type": "conv", "name": "c", "weights": weights},
        {"type": "relu", "name": "r1"},
        {**pool, "name": "p1", "method": "avg"},
        {"type": "relu", "name": "r2"},
        {**pool, "name": "p2", "method": "max"},
        {"type": "dropout", "name": "d"},
    ]
    return SimpleNN.from_matlab({"layers": layers, "meta": meta, "mine": "kept"})


def test_editing_shares_layers_and_keeps_everything_else() -> None:
    net = network(note="x")
    cropped = relja_cropToLayer(net, "r1")
    assert cropped["c"].weight is net["c"].weight and len(net) == 6
    assert cropped.meta == net.meta and cropped.meta is not net.meta
    assert list(cropped.to_matlab()) == list(net.to_matlab()) == ["layers", "meta", "mine"]
    assert not cropped.training


def test_only_max_pools_go_before_their_relu() -> None:
    assert relja_swapLayersForEfficiency(network()).names == ["c", "r1", "p1", "p2", "r2", "d"]
    assert relja_layerTypes(network()) == ["conv", "relu", "pool", "relu", "pool", "dropout"]


def test_output_dimension_for_sizes_and_images() -> None:
    net = network(normalization={"averageImage": np.zeros((10, 14, 3))})
    assert relja_netOutputDim(net) == (2 * 3 * 4, (2, 3, 4))
    assert relja_netOutputDim(net, [6, 6, 3]) == (4, (1, 1, 4))
    assert relja_netOutputDim(net, (6, 10, 3, 2)) == (16, (1, 2, 4, 2))
    assert relja_netOutputDim(net, torch.zeros(1, 3, 6, 10)) == (8, (1, 2, 4))
    assert relja_netOutputDim(net, np.zeros((6, 10, 3))) == (8, (1, 2, 4))
    one_pixel = {"averageImage": np.zeros((1, 1, 3)), "imageSize": np.array([[6.0, 10.0, 3.0, 10.0]])}
    assert relja_netOutputDim(network(normalization=one_pixel)) == (8, (1, 2, 4))
    net.train()
    relja_netOutputDim(net)
    assert net.training
    with pytest.raises(ArgumentError, match="averageImage"):
        relja_netOutputDim(network())
    with pytest.raises(ArgumentError, match="imDim"):
        relja_netOutputDim(net, [6])


def test_moving_takes_matlabs_names_and_refuses_others() -> None:
    net = network()
    assert relja_simplenn_move(net, "cpu") is net
    with pytest.raises(ArgumentError, match="'cpu' or 'gpu'"):
        relja_simplenn_move(net, "nowhere")


@pytest.mark.gpu
def test_a_network_gives_the_same_on_the_gpu() -> None:
    x = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    net = network()
    want = net(x)
    torch.testing.assert_close(relja_simplenn_move(net, "gpu")(x.cuda()).cpu(), want, rtol=1e-4, atol=1e-4)


def test_saving_keeps_what_else_the_file_holds(tmp_path: Any) -> None:
    path = tmp_path / "net.mat"
    net = network(note="x")
    relja_netSave(net, path)
    matfile.save(path, {**matfile.load(path), "opts": {"a": np.array([[1.0]])}})
    relja_netSave(relja_cropToLayer(net, "r1"), path)
    content = matfile.load(path)
    assert set(content) == {"net", "opts"}
    assert_same(SimpleNN.from_matlab(content["net"]).to_matlab(), relja_cropToLayer(net, "r1").to_matlab())


@pytest.mark.parametrize("function", [relja_layerTypes, relja_netOutputDim, relja_swapLayersForEfficiency])
def test_a_struct_is_refused_with_the_way_to_make_it_a_network(function: Any) -> None:
    with pytest.raises(ArgumentError, match=r"takes a SimpleNN; SimpleNN\.from_matlab"):
        function({"layers": []})
