"""Commands without a network take the one that ships; a first argument that is not photos is the network."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from deepibl.cli import options
from deepibl.cli.options import split_net
from deepibl.demo.run import copy_photos
from deepibl.networks import DEFAULT_NETWORK, find_network, load_network, network_id
from tests.small_network import SMALL_NETWORK

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("given", "net", "found"),
    [
        ([], None, (DEFAULT_NETWORK, [])),
        (["a.jpg", "b.HEIC"], None, (DEFAULT_NETWORK, ["a.jpg", "b.HEIC"])),
        (["-"], None, (DEFAULT_NETWORK, ["-"])),
        (["places.csv"], None, (DEFAULT_NETWORK, ["places.csv"])),
        (["net.mat", "a.jpg"], None, ("net.mat", ["a.jpg"])),
        (["vd16"], None, ("vd16", [])),
        (["torchvision:resnet50", "a.jpg"], None, ("torchvision:resnet50", ["a.jpg"])),
        (["places.mat"], "net.mat", ("net.mat", ["places.mat"])),
    ],
)
def test_a_network_may_come_before_photos(
    given: list[str], net: str | None, found: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(options, "find_net", Path)  # as if all were there
    assert split_net(given, net) == found


def test_a_folder_is_photos(tmp_path: Path) -> None:
    assert split_net([str(tmp_path)]) == (DEFAULT_NETWORK, [str(tmp_path)])


def test_photos_are_indexed_and_evaluated_by_the_network_that_ships_or_by_the_one_named(
    tmp_path: Path, run: Run
) -> None:
    database, queries = copy_photos(tmp_path)
    for photo in [*sorted(database.glob("*.jpg"))[3:], *sorted(queries.glob("*.jpg"))[2:]]:
        photo.unlink()
    index, small = str(tmp_path / "a.idx"), network_id(load_network(SMALL_NETWORK))
    for arguments, identity in (
        ([str(database)], network_id(load_network(find_network()))),
        ([str(database), "--net", str(SMALL_NETWORK)], small),
        ([str(SMALL_NETWORK), "--images", str(database)], small),
    ):
        code, out, _ = run("index", *arguments, "-o", index, "--resize", "max160", "--json")
        assert code == 0 and json.loads(out)["network_id"] == identity
    code, out, _ = run("evaluate", "--db", database, "--queries", queries, "--resize", "max160", "--json")
    assert code == 0 and json.loads(out)["network"] == DEFAULT_NETWORK


def test_an_index_needs_one_source_of_photos(tmp_path: Path, run: Run) -> None:
    for arguments in ([], [str(SMALL_NETWORK)], [str(tmp_path), "--images", str(tmp_path)]):
        code, _, err = run("index", *arguments)
        assert code == 1 and "exactly one of" in err
