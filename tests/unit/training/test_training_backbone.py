"""Training with kept maps, tuples together, or in bfloat16: the same training, and what is left on disk."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepibl.errors import TrainingError
from deepibl.features.backbone_cache import BackboneCache
from deepibl.images import read_image
from deepibl.training import tuples as mining
from deepibl.training.gradients import TupleGradients, open_backbone
from deepibl.training.listeners import TrainingListener
from deepibl.training.options import OPTIONS, TrainingOptions
from deepibl.training.step import Stepper
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.tiny_training import Log, Workplace

ROOT = Path(__file__).resolve().parents[3]
FROZEN = {"sessionID": "run", "backPropToLayer": "conv2"}  # conv1 and its ReLU do not learn
KILLED_RUN = """
    import os, signal, sys
    import torch
    from pathlib import Path
    from deepibl.training import TrainingListener
    from tests.tiny_training import Workplace

    torch.set_num_threads(1)

    class Death(TrainingListener):
        left = int(sys.argv[2])

        def tuple_done(self, state, mined, outcome):
            Death.left -= 1
            if not Death.left:
                os.kill(os.getpid(), signal.SIGKILL)

    Workplace(Path(sys.argv[1])).train(
        Death(), sessionID="run", backPropToLayer="conv2", jitterFlip=True, backboneCache="disk"
    )
"""


class Notes(Log):
    """Also notes what is said about the backbone, and how many maps were computed and found."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def noted(self, what):
        self.notes.append(what)


@pytest.fixture
def caches(monkeypatch) -> list[BackboneCache]:
    """All caches that trainings open."""
    found: list[BackboneCache] = []
    opening = BackboneCache.__enter__
    monkeypatch.setattr(BackboneCache, "__enter__", lambda self: found.append(self) or opening(self))
    return found


@pytest.fixture(scope="module")
def uncached(tmp_path_factory) -> Workplace:
    """A training with flips whose frozen layers run every time."""
    place = Workplace(tmp_path_factory.mktemp("uncached"))
    torch.set_num_threads(1)
    place.train(**FROZEN, jitterFlip=True, backboneCache="off")
    return place


def assert_same(one: Workplace, other: Workplace) -> None:
    for mine, theirs in zip(one.weights("run"), other.weights("run"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    first, second = one.load("run"), other.load("run")
    for which in ("train", "val"):
        for name in ("loss", "recall", "rankloss"):
            np.testing.assert_array_equal(first["obj"][which][name], second["obj"][which][name])


def left(place: Workplace) -> list[str]:
    return [path.name for path in (place.folder / "out").rglob("*") if "backbone" in path.as_posix()]


@pytest.mark.parametrize("store", ["auto", "ram", "disk"])
def test_kept_maps_give_the_same_bits_and_leave_nothing(uncached, tmp_path, caches, store):
    place, notes = Workplace(tmp_path), Notes()
    place.train(notes, **FROZEN, jitterFlip=True, backboneCache=store)
    assert_same(place, uncached)
    (cache,) = caches
    images = sum(each.database_size + each.query_count for each in place.sets)
    flipped = sum(each.database_size + each.query_count for each in place.sets[:1])
    assert images < cache.computed <= images + flipped and cache.found > cache.computed
    assert [note.startswith("maps below conv2: ") for note in notes.notes] == [True]
    assert not left(place)


def test_a_limit_that_holds_a_part_gives_the_same_bits(uncached, tmp_path, caches):
    place = Workplace(tmp_path)
    place.train(**FROZEN, jitterFlip=True, backboneCache="ram", backboneCacheGB=2e-5)
    assert_same(place, uncached)
    assert 0 < caches[0].found < caches[0].computed


def test_killed_with_maps_on_disk_it_goes_on_with_them(uncached, tmp_path, caches):
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED_RUN), str(tmp_path), "5"], env=env)
    assert killed.returncode == -signal.SIGKILL
    place = Workplace(tmp_path)
    assert left(place)
    before = len([*(tmp_path / "out").rglob("*.npy")])
    notes = Notes()
    place.train(notes, **FROZEN, jitterFlip=True)  # auto finds them
    assert_same(place, uncached)
    assert "an earlier run has left" in notes.notes[0] and caches[0].store == "disk"
    train, val = (each.database_size + each.query_count for each in place.sets)
    assert before and caches[0].computed <= 2 * train + val - before
    assert not left(place)


def test_kept_maps_stay_when_asked_and_serve_the_next_training(uncached, tmp_path, caches):
    place = Workplace(tmp_path)
    place.train(**FROZEN, jitterFlip=True, backboneCache="disk", backboneCacheKeep=True)
    assert left(place)
    for number in (1, 2):
        place.train(**{**FROZEN, "sessionID": f"again{number}"}, jitterFlip=True)
        assert caches[number].computed == 0 and caches[number].found > 0
        assert left(place)  # the first one asked them to stay


def test_two_trainings_at_once_have_files_of_their_own(tmp_path, caches):
    place = Workplace(tmp_path)

    class Second(TrainingListener):
        done = False

        def batch_done(self, state, report):
            if not self.done:
                self.done = True
                place.train(**{**FROZEN, "sessionID": "second"}, backboneCache="disk")

    place.train(Second(), **FROZEN, backboneCache="disk")
    assert [cache.store for cache in caches] == ["disk", "disk"]
    for mine, theirs in zip(place.weights("run"), place.weights("second"), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert not left(place)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"jitterScale": [0.75, 1.0]}, "no backbone cache: with jitter_scales"),
        ({"backboneCacheGB": 1e-9}, "maps below conv2: off, fp32 (0.0 of 0.0 GB"),
        ({"backPropToLayer": 1}, ""),
        ({"backboneCache": "off"}, ""),
        ({"backboneCacheGB": 0}, ""),
    ],
)
def test_it_is_off_where_it_cannot_help_and_says_so(tmp_path, changes, says):
    place, notes = Workplace(tmp_path), Notes()
    place.train(notes, **{**FROZEN, **changes}, nEpoch=1)
    assert len(notes.notes) == bool(says) and all(says in note for note in notes.notes)
    assert not left(place)


def test_half_precision_maps_give_the_same_bits_kept_or_not(tmp_path, uncached):
    kept, anew = Workplace(tmp_path / "kept"), Workplace(tmp_path / "anew")
    kept.train(**FROZEN, jitterFlip=True, backboneCacheDtype="fp16", backboneCache="ram")
    anew.train(**FROZEN, jitterFlip=True, backboneCacheDtype="fp16", backboneCache="off")
    assert_same(kept, anew)
    apart = [np.abs(a - b).max() for a, b in zip(kept.weights("run"), uncached.weights("run"), strict=True)]
    assert 0 < max(apart) < 1e-2


def test_bf16_trains_nearly_the_same(tmp_path, uncached):
    place = Workplace(tmp_path)
    place.train(**FROZEN, jitterFlip=True, trainPrecision="bf16")
    pairs = list(zip(place.weights("run"), uncached.weights("run"), strict=True))
    for got, want in pairs:
        assert got.dtype == np.float32 and np.abs(got - want).max() <= 0.2 * np.abs(want).max()
    assert not all(np.array_equal(got, want) for got, want in pairs)


@pytest.mark.parametrize("changes", [{}, {"backPropToLayer": 1}, {"method": "vlad_preL2_intra"}])
def test_tuples_together_step_as_one_by_one(tmp_path, changes, monkeypatch):
    # batches of 4: one forward and backward, or four
    places, logs, passes = [], [], []
    together = TupleGradients._together
    monkeypatch.setattr(
        TupleGradients, "_together", lambda self, t: (passes.append(len(g)) or g for g in together(self, t))
    )
    for limit in (2.0, 0.0):
        place, log = Workplace(tmp_path / str(limit)), Log()
        place.train(log, **{**FROZEN, **changes}, batchSize=4, nEpoch=1, stepGB=limit)
        places.append(place)
        logs.append((log, list(passes)))
        passes.clear()
    assert max(logs[0][1]) == 4 and set(logs[1][1]) == {1}
    for got, want in zip(*(place.weights("run") for place in places), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=3e-5 * np.abs(want).max())
    one, other = ([outcome.loss for outcome in log.outcomes] for log, _ in logs)
    np.testing.assert_allclose(one, other, rtol=3e-5)
    mined = [[each.query for each in log.mined if each.trains] for log, _ in logs]
    assert mined[0] == mined[1] and len(one) == len(mined[0])


def test_a_bad_image_is_named_and_training_goes_on_once_it_is_mended(tmp_path, uncached):
    place = Workplace(tmp_path)

    class Breaking(TrainingListener):
        path: Path | None = None

        def tuple_mined(self, state, mined):
            if self.path is None and state.batch == 2 and mined.trains and not mined.flip:
                self.path = tmp_path / "train" / place.sets[0].query_names[mined.query]
                self.kept, self.times = self.path.read_bytes(), self.path.stat()
                self.path.write_bytes(b"no image")

    breaking = Breaking()
    with pytest.raises(TrainingError, match=r"q\d\d_0\.jpg.*not an image") as caught:
        place.train(breaking, **FROZEN, jitterFlip=True)
    assert breaking.path is not None and breaking.path.name in str(caught.value)
    breaking.path.write_bytes(breaking.kept)
    place.train(**FROZEN, jitterFlip=True)
    assert_same(place, uncached)


def test_speed_options_that_change_digits_are_saved_and_gone_on_with(tmp_path):
    place, log = Workplace(tmp_path), Log()
    place.train(**FROZEN, nEpoch=1, trainPrecision="bf16", backboneCacheDtype="fp16", stepGB=0.5)
    saved = place.load("run")
    assert not set(saved["opts"]) & {
        each.matlab for each in OPTIONS.values() if each.ours
    }  # MATLAB's options are the original's
    place.train(log, **FROZEN, nEpoch=2, startEpoch=2)
    options = log.state.options
    assert (options.precision, options.backbone_cache_dtype, options.step_gb) == ("bf16", "fp16", 0.5)
    place.train(log, **FROZEN, nEpoch=2, startEpoch=2, trainPrecision="fp32")
    assert log.state.options.precision == "fp32" and log.state.stepper.precision == "fp32"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"backboneCache": "tape"}, r"backboneCache\) must be one of auto, ram, disk, off; got 'tape'"),
        ({"backboneCacheDtype": "fp8"}, "fp32, fp16"),
        ({"trainPrecision": "fp16"}, "fp32, bf16"),
        ({"backboneCacheGB": -1}, r"backboneCacheGB\) must be a number of gigabytes, at least 0; got -1"),
        ({"stepGB": "much"}, r"stepGB\) must be auto or a number of gigabytes, at least 0; got 'much'"),
        ({"backboneCacheKeep": "yes"}, "True or False"),
        ({"backboneCach": "ram"}, "did you mean 'backboneCache'"),
    ],
)
def test_options_that_cannot_be_meant_are_named(tmp_path, changes, says):
    with pytest.raises(ArgumentError, match=says):
        Workplace(tmp_path).train(**changes)


@pytest.mark.parametrize("kind", ["bnorm", "dropout"])
def test_frozen_layers_of_a_batch_run_on_the_whole_tuple_and_keep_nothing(tmp_path, kind):
    random = np.random.default_rng(0)
    weights = {"bnorm": [np.ones((3, 1)), np.zeros((3, 1)), np.ones((3, 2))], "dropout": []}[kind]
    conv = {"type": "conv", "name": "conv", "weights": [random.normal(size=(3, 3, 3, 2)), np.zeros((2, 1))]}
    middle = {"type": kind, "name": "middle", "weights": weights}
    meta = {"normalization": {"averageImage": np.full((1, 1, 3), 128.0)}}
    net = SimpleNN.from_matlab({"layers": [middle, conv], "meta": meta}).float().train()
    place, notes = Workplace(tmp_path), []
    stepper = Stepper(net, 1)
    with open_backbone(stepper, TrainingOptions(), place.sets, notes.append) as backbone:
        paths = [str(tmp_path / "train" / name) for name in place.sets[0].database_names[:3]]
        torch.manual_seed(0)
        got = backbone.stack([backbone.fetch(path) for path in paths])
    torch.manual_seed(0)
    want = net(net.prepare(torch.stack([read_image(path) for path in paths])), stop=0)
    assert torch.equal(got, want) and not got.requires_grad
    assert notes == ["no backbone cache: layer middle does not treat each image by itself"]


def test_queries_that_are_compared_at_once_give_the_same_tuples(tmp_path, monkeypatch):
    places = [Workplace(tmp_path / name) for name in ("one", "many")]
    logs = [Log(), Log()]
    places[0].train(logs[0], **FROZEN, batchSize=4)
    monkeypatch.setattr(mining, "os", SimpleNamespace(cpu_count=lambda: 8))
    places[1].train(logs[1], **FROZEN, batchSize=4)
    assert_same(*places)
    for one, many in zip(logs[0].mined, logs[1].mined, strict=True):
        assert (one.query, one.positive) == (many.query, many.positive)
        np.testing.assert_array_equal(one.negatives, many.negatives)
