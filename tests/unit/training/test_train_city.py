"""Training in batches of a city's photos: what a batch is made of, and a network that learns from it."""

import argparse
import csv
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import typer

from benchmarks.city import NS, found_by
from deepibl.engine import ExtractionSettings, onednn
from deepibl.evaluation import evaluate_network
from deepibl.networks import load_network, save_network
from scripts.train_city import (
    FAR,
    NIGHT,
    Photos,
    Recipe,
    city,
    draw_batch,
    kept_maps,
    mean,
    same_distances,
    start,
    train,
)
from tests.unit.training.test_training_scripts import write_small_vd16, write_street


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streets")
    for seed, split in enumerate(("train", "val")):
        write_street(folder / split, seed)
    return folder


def test_points_have_the_distances_of_the_descriptors() -> None:
    rows = torch.nn.functional.normalize(
        torch.randn(6, 500, generator=torch.Generator().manual_seed(0)), dim=1
    )
    assert torch.allclose(
        torch.cdist(same_distances(rows), same_distances(rows)), torch.cdist(rows, rows), atol=1e-4
    )


def test_a_batch_is_of_far_places_with_positives_of_the_same_side(streets: Path) -> None:
    recipe = Recipe(places=3, alike=2)
    photos = Photos(city(streets / "train"), recipe)
    sketches = np.random.default_rng(0).normal(size=(len(photos), 8)).astype(np.float32)
    queries, positives = draw_batch(photos, sketches, recipe, random.Random(0))
    assert len(queries) == len(positives) == 9
    apart = photos.metres(queries, queries) + np.diag([np.inf] * 9)
    assert apart.min() > FAR
    assert np.diag(photos.metres(queries, positives)).max() <= FAR
    assert (photos.side[queries] == photos.side[positives]).all() and not set(queries) & set(positives)


def test_too_few_places_for_a_batch_are_an_error(streets: Path) -> None:
    recipe = Recipe(places=100)
    photos = Photos(city(streets / "train"), recipe)
    sketches = np.random.default_rng(0).normal(size=(len(photos), 8)).astype(np.float32)
    with pytest.raises(typer.BadParameter, match="of a batch's 400 places are 25 m apart; lower"):
        draw_batch(photos, sketches, recipe, random.Random(0))


def test_photos_too_far_apart_for_metres_are_refused(streets: Path) -> None:
    dataset = city(streets / "train")
    dataset.frame = "degrees"
    with pytest.raises(typer.BadParameter, match="cities of one UTM zone"):
        Photos(dataset, Recipe()).nearby(0)


def test_kept_maps_are_of_one_network_and_of_these_photos_alone(streets: Path, tmp_path: Path) -> None:
    write_small_vd16(tmp_path)
    net, photos = (
        load_network(tmp_path / "imagenet-vgg-verydeep-16.mat"),
        Photos(city(streets / "val"), Recipe()),
    )
    photos.count, photos.sides = 2, 1
    photos.side = photos.side[:2]

    def kept() -> np.ndarray:
        return kept_maps(net, "conv5_2", tmp_path / "plain", photos, photos.read, "fp32")

    before, digest = kept(), photos.digest
    torch.nn.init.zeros_(net["conv5_2"].weight)
    assert np.array_equal(kept(), before) and len(list(tmp_path.glob("*.npy"))) == 1
    torch.nn.init.zeros_(net["conv5_1"].weight)
    assert not np.array_equal(kept(), before)
    dataset = city(streets / "val")
    dataset.database_names.pop()
    dataset.database_positions = dataset.database_positions[:-1]
    assert Photos(dataset, Recipe()).digest != digest == Photos(city(streets / "val"), Recipe()).digest


def test_a_mirrored_photo_is_the_photo_mirrored(streets: Path) -> None:
    photos = Photos(city(streets / "train"), Recipe())
    assert torch.equal(photos.read(3), photos.read(3 + photos.count).flip(2))


def test_a_version_at_night_has_grain_and_no_colours(streets: Path) -> None:
    photos = Photos(city(streets / "train"), Recipe(versions=1, nights=2))
    assert photos.versions == ["plain", "jitter1", "night1", "night2"]
    torch.manual_seed(0)
    plain, night = photos.read(3), photos.read(3, "night1")
    assert torch.equal(night[0], night[1]) and not torch.equal(plain[0], plain[1])
    assert night.shape == (3, 320, 320)
    card = NIGHT(torch.full((3, 320, 320), 100, dtype=torch.uint8)).float()
    assert card.std() > 1


def test_bf16_is_refused_where_the_processor_has_none(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onednn, "instructions", lambda precision: "")
    with pytest.raises(typer.BadParameter, match="leave --bf16 out"):
        train(tmp_path / "none.mat", tmp_path / "out", train=streets, val=streets, bf16=True)
    assert not (tmp_path / "out").exists()


def test_the_mean_of_two_networks_has_the_mean_of_their_weights(tmp_path: Path) -> None:
    write_small_vd16(tmp_path)
    file, other = tmp_path / "imagenet-vgg-verydeep-16.mat", tmp_path / "other.mat"
    net = load_network(file)
    first = net[0].weight.detach().clone()
    torch.nn.init.zeros_(net[0].weight)
    save_network(net, other)
    mean(tmp_path / "mean.mat", [file, other])
    assert torch.allclose(load_network(tmp_path / "mean.mat")[0].weight, first / 2)


@pytest.mark.slow
def test_a_start_has_the_pooling_and_the_clusters_that_are_given(streets: Path, tmp_path: Path) -> None:
    write_small_vd16(tmp_path)
    backbone = tmp_path / "imagenet-vgg-verydeep-16.mat"
    start(tmp_path / "few", streets / "train", backbone, "conv5_3", clusters=8)
    start(tmp_path / "max", streets / "train", backbone, "conv5_3", "max")
    few, largest = (load_network(tmp_path / each / "start.mat") for each in ("few", "max"))
    assert len(few["vlad:core"].assign) == 8
    assert not any(name.startswith("vlad") for name in largest.names)
    dataset = city(streets / "val")
    tested = evaluate_network(few, dataset, max_side=None).result
    for first in ("conv5_2", ""):
        given = argparse.Namespace(first=first, keep=tmp_path / f"kept{first}")
        given.keep.mkdir()
        found = found_by(few, dataset, given, ExtractionSettings(max_side=None))
        assert np.array_equal(found, tested.found[:, [tested.ns.index(n) for n in NS]])
    assert len(list(tmp_path.glob("keptconv5_2/backbone-*/*.npy")))


@pytest.mark.slow
def test_the_script_trains_from_a_backbone_to_a_better_network(streets: Path, tmp_path: Path) -> None:
    write_small_vd16(tmp_path)
    start(tmp_path, streets / "train", tmp_path / "imagenet-vgg-verydeep-16.mat", "conv5_3")
    options = {"rounds": 2, "steps": 15, "places": 3, "alike": 1, "rate": 1e-3, "head_rate": 1e-2}
    folders = {"train": streets / "train", "val": streets / "val"}
    train(
        tmp_path / "start.mat",
        tmp_path / "out",
        **folders,
        first="conv5_3",
        sharpness=10.0,
        bf16=bool(onednn.instructions("bf16")),
        **options,
    )
    with open(tmp_path / "out" / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["round"] for row in rows] == ["0", "1", "2"]
    assert float(rows[2]["loss"]) < float(rows[1]["loss"])
    assert {each.name for each in (tmp_path / "out").glob("*.mat")} == {
        "best.mat",
        *(f"round{number}.mat" for number in range(3)),
    }
