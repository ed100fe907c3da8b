"""What is kept is used again only for what it was made of: every kept kind, every setting, one by one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from deepibl.datasets.folder import Places, dataset_from_places
from deepibl.engine.scales import Scales
from deepibl.engine.settings import ExtractionSettings
from deepibl.errors import FeatureFileError, NetworkMismatchError
from deepibl.evaluation import evaluate as recall
from deepibl.evaluation.evaluate import evaluate_network
from deepibl.features import extraction as features
from deepibl.features.backbone_cache import BackboneCache
from deepibl.features.extraction import extract_to_file
from deepibl.features.whitening import pca_of_images
from deepibl.networks import clusters
from deepibl.networks.identity import network_id
from deepibl.runtime.provenance import Provenance, file_content, file_times, misfit, note_of
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import add_to_index, build_index, localize
from deepibl.training.cached_features import FeatureMaker
from tests.extractors import make_photos, simplenn

COUNT = 9
Change = Callable[["Work"], None]


class Work:
    """A folder of photos, a network and settings, all to be changed; `extracted` counts images asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.photos = folder, folder / "photos"
        self.photos.mkdir()
        self.names = make_photos(self.photos)[:COUNT]
        self.net = simplenn()
        self.settings: dict[str, Any] = {}
        self.extracted: list[int] = []

    @property
    def how(self) -> ExtractionSettings:
        return ExtractionSettings(**self.settings)


def other_content(work: Work) -> None:
    """Another picture under the same name, of the same size in bytes and with the same time."""
    path = work.photos / work.names[3]
    before, length = path.stat(), len(path.read_bytes())
    Image.fromarray(np.full((40, 40, 3), 200, np.uint8)).save(path)
    path.write_bytes(path.read_bytes().ljust(length, b"\0"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == length


def other_names(work: Work) -> None:
    """The same pictures in another order."""
    work.names = work.names[::-1]


def other_network(work: Work) -> None:
    """One weight is another one."""
    work.net["conv1"].weight.data[0, 0, 0, 0] += 1


def setting(**changes: Any) -> Change:
    def change(work: Work) -> None:
        work.settings |= changes

    return change


IMAGES = {"content": other_content, "names": other_names, "network": other_network}
CHANGES: dict[str, Change] = {
    **IMAGES,
    "resize": setting(resize=30),
    "resize to a shape": setting(resize=(30, 40)),
    "precision": setting(precision="bf16"),
    "engine": setting(engine="torch"),
    "rule": lambda work: None,  # see `another_rule`
}
NOTHING: dict[str, Change] = {
    "nothing": lambda work: None,
    "batch_size": setting(batch_size=3),
    "num_threads": setting(num_threads=1),
    "device": setting(device="cpu"),
    "time": lambda work: os.utime(work.photos / work.names[0], (0, 0)),
}


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    made = Work(tmp_path)
    real = features._run

    def counting(net: Any, paths: list[str], sink: Any, *rest: Any) -> Any:
        made.extracted.append(sum(len(group) for _, group in sink.todo))
        return real(net, paths, sink, *rest)

    monkeypatch.setattr(features, "_run", counting)
    return made


def apply(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    {**CHANGES, **NOTHING}[change](work)
    if change == "rule":
        another_rule(monkeypatch)
    work.extracted.clear()


def another_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a release that computes other numbers from the same inputs."""
    of = Provenance.of.__func__  # type: ignore[attr-defined]
    later = classmethod(lambda cls, *args, **how: replace(of(cls, *args, **how), rule=2))
    monkeypatch.setattr(Provenance, "of", later)


# ---- wrong recalls


def test_queries_replaced_by_others_of_the_same_names_are_extracted_again(tmp_path: Path) -> None:
    places = {}
    for which, seed in (("db", 0), ("q", 0), ("wrong", 1)):
        folder = tmp_path / which
        folder.mkdir()
        for number in range(4):
            random = np.random.default_rng(100 * seed + number)
            picture = Image.fromarray(random.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((64, 48))
            picture.save(folder / f"{number}.png")
        names = [f"{number}.png" for number in range(4)]
        places[which] = Places(folder, names, np.array([[100.0 * number, 0.0] for number in range(4)]))
    dataset = dataset_from_places("streets", places["db"], places["q"])
    how: dict[str, Any] = {"features": tmp_path / "kept", "progress": False}
    assert evaluate_network(simplenn(), dataset, **how).result.at(1) == 1.0
    for number in range(4):  # each query is now the picture of the next place
        (tmp_path / "q" / f"{number}.png").write_bytes(
            (tmp_path / "db" / f"{(number + 1) % 4}.png").read_bytes()
        )
    assert evaluate_network(simplenn(), dataset, **how).result.at(1) == 0.0


# ---- features of an evaluation


def evaluated(work: Work) -> list[int]:
    positions = np.arange(2.0 * COUNT).reshape(COUNT, 2)
    places = Places(work.photos, work.names, positions)
    dataset = dataset_from_places("streets", places, places)
    evaluate_network(work.net, dataset, features=work.folder / "kept", settings=work.how)
    return work.extracted


@pytest.mark.parametrize("change", CHANGES)
def test_kept_features_of_an_evaluation(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated(work)
    apply(work, change, monkeypatch)
    assert evaluated(work)[0] == COUNT


@pytest.mark.parametrize("change", NOTHING)
def test_kept_features_are_taken(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated(work)
    apply(work, change, monkeypatch)
    assert evaluated(work) == []


# ---- an unfinished file of features


def unfinished(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stops an extraction in groups of 3 when all is computed."""
    monkeypatch.setattr(features, "group_length", lambda batch_size: 3)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(features.PartialFeatures, "finish", stop)
        extract_to_file(work.net, work.photos, work.names, work.folder / "f.bin", settings=work.how)


@pytest.mark.parametrize(("change", "again"), [(c, 3 if c == "content" else COUNT) for c in CHANGES])
def test_an_unfinished_file(
    work: Work, change: str, again: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unfinished(work, monkeypatch)
    apply(work, change, monkeypatch)
    extract_to_file(work.net, work.photos, work.names, work.folder / "f.bin", settings=work.how)
    assert work.extracted == [again]
    assert ("f.bin.part is replaced: " in caplog.text) == (again == COUNT)
    extract_to_file(work.net, work.photos, work.names, work.folder / "anew.bin", settings=work.how)
    assert (work.folder / "f.bin").read_bytes() == (work.folder / "anew.bin").read_bytes()


def test_an_unfinished_file_is_finished_from_another_folder_and_with_smaller_batches(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfinished(work, monkeypatch)
    work.extracted.clear()
    link = work.folder / "link"
    link.symlink_to(work.photos)
    extract_to_file(work.net, link, work.names, work.folder / "f.bin", batch_size=2)
    assert work.extracted == [0]


# ---- whitening


def whitened(work: Work) -> list[int]:
    how: dict[str, Any] = {"dim": 3, "output_dim": 12, "settings": work.how}
    pca_of_images(work.net, work.photos, work.names, work.folder / "w", **how)
    return work.extracted


@pytest.mark.parametrize("change", CHANGES)
def test_a_whitening(
    work: Work, change: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whitened(work)
    apply(work, change, monkeypatch)
    assert whitened(work) == [COUNT]
    assert caplog.text.count("is computed again: ") == 2  # components and descriptors


@pytest.mark.parametrize("change", NOTHING)
def test_a_whitening_is_taken(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whitened(work)
    apply(work, change, monkeypatch)
    assert whitened(work) == []


# ---- an unfinished index, and a finished one


def indexed(work: Work) -> list[int]:
    places = Places(work.photos, work.names, np.zeros((COUNT, 2)))
    build_index(work.net, places, work.folder / "city.idx", settings=work.how)
    return work.extracted


@pytest.mark.parametrize("change", [change for change in CHANGES if change != "resize to a shape"])
def test_an_unfinished_index(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(PlaceIndex, "save", stop)
        indexed(work)
    apply(work, change, monkeypatch)
    assert indexed(work) == [COUNT]


@pytest.mark.parametrize("door", [add_to_index, localize, recall.evaluate_index])
def test_an_index_of_another_network_is_refused(work: Work, door: Any) -> None:
    indexed(work)
    other_network(work)
    places = Places(work.photos, work.names, np.zeros((COUNT, 2)))
    file = work.folder / "city.idx"
    arguments: dict[Any, tuple[Any, ...]] = {
        add_to_index: (places, file),
        localize: (work.names, PlaceIndex.load(file)),
        recall.evaluate_index: (file, work.photos),
    }
    with pytest.raises(NetworkMismatchError):
        door(work.net, *arguments[door])


def test_an_index_keeps_its_resize(work: Work) -> None:
    work.settings["resize"] = 30
    indexed(work)
    index = PlaceIndex.load(work.folder / "city.idx")
    found, _ = localize(work.net, [str(work.photos / work.names[0])], index, top=1)
    ((match,),) = found.values()
    assert match.name == work.names[0] and match.distance < 1e-6


# ---- maps of the layers below


OF_MAPS = ["content", "network", "engine", "dtype", "flip", "nothing", "time", "folder"]


@pytest.mark.parametrize("change", OF_MAPS)
def test_maps_of_the_layers_below(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[str, Any] = {"store": "disk", "folder": work.folder / "maps", "keep": True}
    paths = [work.photos / name for name in work.names[3:4]]
    with BackboneCache(work.net, "conv2", **kept) as cache:
        cache.maps(paths)
    if change in ("content", "network", "time", "nothing"):
        {**IMAGES, **NOTHING}[change](work)
    if change == "folder":
        (work.folder / "copy").mkdir()
        paths = [Path(work.folder / "copy" / path.name) for path in paths]
        paths[0].write_bytes((work.photos / paths[0].name).read_bytes())
    if change == "dtype":
        kept["dtype"] = "fp16"
    if change == "engine":
        monkeypatch.setattr(BackboneCache, "description", "other, fp32")
    with BackboneCache(work.net, "conv2", **kept) as cache:
        cache.maps(paths, change == "flip")
        assert (cache.found, cache.computed) == (
            (1, 0) if change in ("nothing", "time", "folder") else (0, 1)
        )


# ---- features before training


class Maker(FeatureMaker):
    """Of the photos as queries and database."""

    def of(self, work: Work) -> None:
        dataset = SimpleNamespace(
            database_root=work.photos,
            database_names=work.names,
            query_root=work.photos,
            query_names=work.names,
            database_size=COUNT,
            query_count=COUNT,
        )
        self.shared(dataset, str(work.folder / "q.bin"), str(work.folder / "db.bin"))


def maker(work: Work) -> Maker:
    options = SimpleNamespace(extraction_batch_size=work.how.batch_size)
    return Maker(work.net, options, lambda words: None, precision=work.how.precision)  # type: ignore[arg-type]


WORDS = {
    "content": "images of the same names have changed",
    "names": r"made of other images \(9; now 9\)",
    "network": "made by another network",
    "rule": "another version of deepibl",
}


@pytest.mark.parametrize("change", WORDS)
def test_features_before_training_are_refused(
    work: Work, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker(work).of(work)
    apply(work, change, monkeypatch)
    said = rf"q\.bin holds features of another training \(.*{WORDS[change]}"
    with pytest.raises(FeatureFileError, match=said):
        maker(work).of(work)


@pytest.mark.parametrize("change", ["nothing", "batch_size", "time"])
def test_features_before_training_are_taken(work: Work, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maker(work).of(work)
    apply(work, change, monkeypatch)
    maker(work).of(work)
    assert work.extracted == []


def test_features_before_training_of_rounded_maps_are_others(work: Work) -> None:
    maker(work).of(work)
    replace(maker(work), backbone=BackboneCache(work.net, "conv2", store="ram")).of(work)
    assert work.extracted == [COUNT, COUNT]  # queries and database, once
    replace(maker(work), backbone=BackboneCache(work.net, "conv2", store="ram", dtype="fp16")).of(work)
    assert work.extracted == [COUNT] * 4


def test_features_before_training_of_another_precision_are_computed_again(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker(work).of(work)
    apply(work, "precision", monkeypatch)
    maker(work).of(work)
    assert work.extracted == [COUNT, COUNT]


def test_features_without_a_note_are_matlabs_and_a_note_that_cannot_be_read_is_not_believed(
    work: Work,
) -> None:
    maker(work).of(work)
    note_of(work.folder / "q.bin").unlink()
    other_network(work)
    with pytest.raises(FeatureFileError, match=r"db\.bin"):
        maker(work).of(work)
    note_of(work.folder / "db.bin").write_text("{")
    with pytest.raises(FeatureFileError, match="what it was made of cannot be read"):
        maker(work).of(work)


# ---- clusters


def clustered(work: Work) -> int:
    """How often local descriptors were computed."""
    asked: list[int] = []

    def compute() -> np.ndarray:
        asked.append(1)
        return np.random.default_rng(0).random((40, 6), dtype=np.float32)

    clusters.get_clusters(
        compute,
        k=4,
        cluster_file=work.folder / "clst.mat",
        descriptor_file=work.folder / "descs.mat",
        made_of=lambda: clusters.descriptors_made_of(work.net, work.photos, work.names),
    )
    return len(asked)


@pytest.mark.parametrize("change", [*IMAGES, "rule"])
def test_clusters(
    work: Work, change: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # difference: clusters-checked
    assert clustered(work) == 1
    apply(work, change, monkeypatch)
    assert clustered(work) == 1
    assert caplog.text.count("is computed again: ") == 2


@pytest.mark.parametrize("change", ["nothing", "time"])
def test_clusters_are_taken_and_those_without_a_note_by_their_name(
    work: Work, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clustered(work)
    apply(work, change, monkeypatch)
    assert clustered(work) == 0
    for name in ("clst.mat", "descs.mat"):
        note_of(work.folder / name).unlink()
    other_network(work)
    assert clustered(work) == 0


# ---- the record itself


def test_scales_are_part_of_the_network(work: Work) -> None:
    how = [Scales(network_id(work.net), ((0, 0.0, high),), 3) for high in (1.0, 2.0)]
    settings = [ExtractionSettings(precision="int8", scales=each) for each in how]
    one, other = (features.provenance(work.net, work.photos, work.names, each) for each in settings)
    assert one.differences(other) == "it was made by another network"


def test_differences_are_said_in_words_and_all_of_them() -> None:
    one = Provenance("a", 2, "x", "", {"resize": None, "precision": "fp32"})
    other = Provenance("b", 3, "y", "", {"resize": 640, "precision": "fp32"})
    assert one.differences(one) == ""
    assert one.differences(other) == (
        "it was made by another network; it was made of other images (2; now 3); resize was None, now 640"
    )


def test_it_is_plain_json_and_comes_back_the_same() -> None:
    made = Provenance.of("net", "root", ["a", "b"], {"resize": (3, 4)}, file_content)
    back = Provenance.from_dict(json.loads(json.dumps(made.as_dict())))
    assert back == made and back.digest == made.digest and len(made.digest) == 64


@pytest.mark.parametrize("damage", [None, {}, [], {"network": "a", "nonsense": 1}, {"settings": 3}])
def test_a_damaged_record_differs_from_every_other(damage: Any) -> None:
    found = Provenance.from_dict(damage)
    assert found.differences(Provenance()) or damage == {}


def test_a_note_is_written_and_read(tmp_path: Path) -> None:
    made = Provenance("net", 1, "x")
    made.write(tmp_path / "f.bin")
    assert note_of(tmp_path / "f.bin").name == "f.bin.json"
    assert Provenance.read(tmp_path / "f.bin") == made and misfit(tmp_path / "f.bin", made) == ""
    assert Provenance.read(tmp_path / "g.bin") is None and misfit(tmp_path / "g.bin", made) == ""


def test_marks_of_files(tmp_path: Path) -> None:
    file, copy = tmp_path / "a", tmp_path / "b"
    for path in (file, copy):
        path.write_bytes(b"abc")
    assert file_content(file) == file_content(copy)
    assert file_times(file) != file_times(copy)
    assert file_content(tmp_path / "none") == file_times(tmp_path / "none") == ""
    large = bytes(2**20)
    file.write_bytes(large)
    before = file_content(file), file.stat().st_mtime_ns
    for changed in (b"x" + large[1:], large[:-1] + b"x", large + b"x"):
        file.write_bytes(changed)
        os.utime(file, ns=(before[1], before[1]))
        assert file_content(file) != before[0]
    file.write_bytes(large)
    os.utime(file, ns=(before[1], before[1]))
    assert file_content(file) == before[0]
