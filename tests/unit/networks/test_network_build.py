"""Adding pooling layers, and the fields of training."""

import numpy as np
import pytest
import torch

from deepibl.networks.build import (
    add_pooling,
    add_pre_l2,
    channels,
    parse_method,
    prepare_for_testing,
    prepare_for_training,
)
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.unit.networks.test_networks import struct

WIDTH = 5


def base() -> SimpleNN:
    """A network of five channels out, cropped as loadNet leaves it."""
    net = SimpleNN.from_matlab(struct())
    net.meta |= {"sessionID": "tiny_offtheshelf_conv1", "epoch": np.array([[7.0]])}
    return net.with_layers([net["conv1"]])


def centres(count: int = 4, width: int = WIDTH) -> np.ndarray:
    return np.random.RandomState(0).randn(count, width).astype(np.float32)


def descriptors(width: int = WIDTH) -> np.ndarray:
    found = np.random.RandomState(1).randn(200, width).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def run(net: SimpleNN) -> torch.Tensor:
    with torch.no_grad():
        return net(torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize(
    ("method", "pooling", "pre_l2", "intra"),
    [
        ("max", "max", False, False),
        ("preL2_avg", "avg", True, False),
        ("vlad_preL2_intra", "vlad", True, True),
        ("intra_preL2_vlad", "vlad", True, True),
        ("vladv2", "vladv2", False, False),
    ],
)
def test_methods_are_read_in_any_order(method: str, pooling: str, pre_l2: bool, intra: bool) -> None:
    found = parse_method(method)
    assert (found.pooling, found.pre_l2, found.intra) == (pooling, pre_l2, intra)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("", "names no pooling"),
        ("preL2", "names no pooling; known are avg, gem, max, vlad, vladv2"),
        ("max_intra", "'intra' cannot be used with max"),
        ("vlad_max", "'vlad' cannot be used with max"),
        ("vlad_vladv2", "'vlad' cannot be used with vladv2"),
        ("vlad_bogus", "'bogus' cannot be used with vlad; possible are intra, preL2"),
        ("VLAD", "names no pooling"),
    ],
)
def test_methods_that_make_no_sense_say_why(method: str, message: str) -> None:
    # difference: addlayers-order
    with pytest.raises(ArgumentError, match=message):
        parse_method(method)


@pytest.mark.parametrize(
    ("method", "names", "size"),
    [
        ("max", ["max:core", "postL2"], WIDTH),
        ("preL2_avg", ["preL2", "avg:core", "postL2"], WIDTH),
        ("vlad_preL2_intra", ["preL2", "vlad:core", "vlad:intranorm", "postL2"], 4 * WIDTH),
        ("vladv2", ["vlad:core", "postL2"], 4 * WIDTH),
    ],
)
def test_layers_are_added_and_the_output_is_a_unit_vector(method: str, names: list[str], size: int) -> None:
    net = add_pooling(base(), method, centres=centres(), descriptors=descriptors(), training_set="pitts")
    assert net.names == ["conv1", *names]
    rows = run(net).flatten(1)
    assert rows.shape == (2, size)
    assert torch.allclose(rows.norm(dim=1), torch.ones(2))


def test_the_session_names_the_training_set_only_where_clusters_come_from_it() -> None:
    made = add_pooling(
        base(), "vlad_preL2", centres=centres(), descriptors=descriptors(), training_set="pitts"
    )
    assert made.meta["sessionID"] == "tiny_offtheshelf_conv1_pitts_vlad_preL2"
    assert add_pooling(base(), "max", training_set="pitts").meta["sessionID"] == "tiny_offtheshelf_conv1_max"
    assert made.meta["epoch"] == 0


def test_the_network_that_was_given_stays_as_it_was() -> None:
    net = base()
    built = add_pooling(net, "preL2_max")
    assert net.names == ["conv1"]
    assert net.meta["sessionID"] == "tiny_offtheshelf_conv1"
    assert built["conv1"].weight is net["conv1"].weight


def test_vlad_without_clusters_or_with_others_width_is_refused() -> None:
    with pytest.raises(ArgumentError, match="needs cluster centres"):
        add_pooling(base(), "vlad")
    with pytest.raises(ArgumentError, match=r"centres must be \(K, 5\), .* 5 channels; got \(4, 6\)"):
        add_pooling(base(), "vlad", centres=centres(width=6), descriptors=descriptors(6))


def test_pre_l2_makes_unit_pixels() -> None:
    maps = run(add_pre_l2(base()))
    assert torch.allclose(maps.norm(dim=1), torch.ones(()), atol=1e-5)


def test_channels_are_those_of_the_last_convolution() -> None:
    assert channels(base()) == WIDTH
    assert channels(SimpleNN.from_matlab(struct())) == 1


def test_preparing_shares_weights_and_keeps_the_fields_of_the_one_given() -> None:
    # difference: prepare-in-place
    net = SimpleNN.from_matlab(struct())
    trained = prepare_for_training(net)
    assert "momentum" not in net["conv1"].fields
    assert trained["conv1"].weight is net["conv1"].weight
    assert [m.shape for m in trained["conv1"].fields["momentum"].flat] == [(3, 3, 3, 5), (1, 5)]


def test_layers_below_the_first_trained_one_get_no_state() -> None:
    trained = prepare_for_training(SimpleNN.from_matlab(struct()), "one")
    assert "momentum" not in trained["conv1"].fields
    assert "momentum" in trained["one"].fields
    assert [layer.precious for layer in trained] == [False, True, False]


def test_an_unknown_first_layer_is_refused() -> None:
    with pytest.raises(ArgumentError, match="conv9"):
        prepare_for_training(SimpleNN.from_matlab(struct()), "conv9")


def test_preparing_for_tests_empties_the_momentum_on_request() -> None:
    trained = prepare_for_training(SimpleNN.from_matlab(struct()))
    tested = prepare_for_testing(trained, remove_extras=True)
    assert not any(layer.precious for layer in tested)
    assert tested["conv1"].fields["momentum"].size == 0
    assert trained["conv1"].fields["momentum"].size == 2
