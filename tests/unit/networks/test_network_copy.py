"""The converted copy of a .mat network: used, mapped, tied to the file that it was made from."""

import logging
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from deepibl.networks import io as network_copy
from deepibl.networks.identity import network_id
from deepibl.networks.io import load_network, read_mat_network
from tests.released_layout import write_released


def describe(net: Any) -> Tensor:
    images = 255 * torch.rand(1, 3, 40, 50, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return net(net.prepare(images)).flatten(1)


@pytest.fixture
def with_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network_copy, "WORTH_IT", 0)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (path,) = write_released(tmp_path, ["struct"], small=True)
    return path


@pytest.mark.usefixtures("with_copies")
def test_a_second_load_takes_the_converted_copy(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = load_network(file)
    assert network_copy.copy_path(file).exists()
    monkeypatch.setattr(
        "deepibl.networks.io.read_mat_network", lambda path: pytest.fail("the .mat file was read")
    )
    second = load_network(file)
    assert network_id(second) == network_id(first)
    assert second.names == first.names
    assert torch.equal(describe(first), describe(second))


@pytest.mark.usefixtures("with_copies")
def test_weights_of_the_copy_are_mapped_and_changing_them_changes_no_file(file: Path) -> None:
    load_network(file)
    before = network_copy.copy_path(file).read_bytes()
    net = load_network(file)
    assert all(is_mapped(weight) for weight in (net["conv1_1"].weight, net["WPCA"].weight))
    with torch.no_grad():
        net["conv1_1"].weight.add_(1)
    assert network_copy.copy_path(file).read_bytes() == before
    assert network_id(load_network(file)) != network_id(net)


def is_mapped(weight: Tensor) -> bool:
    """Whether a tensor's memory belongs to a mapped file (of this process)."""
    address = weight.data_ptr()
    for line in Path("/proc/self/maps").read_text().splitlines():
        first, last = (int(side, 16) for side in line.split()[0].split("-"))
        if first <= address < last:
            return line.endswith(".safetensors")
    return False


@pytest.mark.usefixtures("with_copies")
def test_a_copy_of_another_file_is_made_again(file: Path) -> None:
    old = network_id(load_network(file))
    write_released(file.parent, ["struct"], small=True, seed=5)
    new = network_id(load_network(file))
    assert new == network_id(read_mat_network(file)) != old
    assert network_id(network_copy.find_copy(file)) == new


@pytest.mark.usefixtures("with_copies")
def test_a_copy_still_holds_when_only_the_files_time_is_new(file: Path) -> None:
    load_network(file)
    file.touch()
    assert network_copy.find_copy(file) is not None


@pytest.mark.usefixtures("with_copies")
def test_a_change_that_keeps_size_and_time_is_seen(file: Path) -> None:
    load_network(file)
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    content = bytearray(file.read_bytes())
    content[20] ^= 1  # in the header's text
    file.write_bytes(content)
    os.utime(file, ns=times)
    assert network_copy.find_copy(file) is None
    assert network_copy.find_copy(file, verify=True) is None


@pytest.mark.usefixtures("with_copies")
@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_copy_is_replaced(file: Path, damage: bytes | None) -> None:
    want = network_id(load_network(file))
    copy = network_copy.copy_path(file)
    copy.write_bytes(copy.read_bytes()[:-100] if damage is None else damage)
    assert network_id(load_network(file)) == want
    assert network_id(network_copy.find_copy(file)) == want


@pytest.mark.usefixtures("with_copies")
def test_a_folder_that_takes_no_copy_is_only_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    network_copy.copy_path(
        file
    ).mkdir()  # stands for a folder without write permission, which root has anyway
    caplog.set_level(logging.INFO)
    assert len(load_network(file)) == 35
    assert "no converted copy" in caplog.text
    assert not [path for path in file.parent.iterdir() if path.name.startswith(".")]


def test_small_files_get_no_copy_and_none_is_made_when_not_wanted(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_network(file)
    monkeypatch.setattr(network_copy, "WORTH_IT", 0)
    load_network(file, cached_copy=False)
    assert not network_copy.copy_path(file).exists()
