"""Extraction, indexes and evaluation by several processes: the bytes of one, however many there are."""

import json
import os
import time
from contextlib import contextmanager

import numpy as np
import pytest

from deepibl.datasets.folder import Places, dataset_from_places
from deepibl.errors import FeatureFileError
from deepibl.evaluation.evaluate import evaluate_network
from deepibl.features import extraction as features_module
from deepibl.features.extraction import extract, extract_to_file
from deepibl.runtime import processes
from deepibl.runtime.processes import require_visible
from deepibl.search import localization as indexing
from deepibl.search.index import PlaceIndex
from deepibl.search.localization import build_index
from tests.extractors import Extractor, simplenn
from tests.teams import die, needs_fork, run_team, values

pytestmark = needs_fork
GROUP = 4


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """A folder with what one process writes: f.bin, f.npy, f.h5."""
    folder, names = photos
    out = tmp_path_factory.mktemp("whole")
    for suffix in ("bin", "npy", "h5"):
        extract_all(folder, names, out / f"f.{suffix}")
    return out


@contextmanager
def small_groups():
    before, features_module.group_length = features_module.group_length, lambda batch_size: GROUP
    try:
        yield
    finally:
        features_module.group_length = before


def extract_all(folder, names, out, lose=None, on_error="skip", progress=False):
    """Extracts in groups of 4; lose: (process, batches) after which that process is killed.

    Gives the failures, the images that this process computed, and the progress it was told.
    """
    net, seen = Extractor(), []
    if lose is not None and processes.team().rank == lose[0]:
        net.register_forward_pre_hook(lambda *_: die() if len(net.batches) >= lose[1] else None)
    told = (lambda now: seen.append((now.done, now.total))) if progress else False
    with small_groups():
        report = extract_to_file(
            net, folder, names, out, batch_size=2, on_error=on_error, progress=told, num_threads=1
        )
    failed = [(each.index, each.reason) for each in report.failures]
    return failed, sum(shape[0] for shape in net.batches), seen


@pytest.mark.parametrize(("size", "suffix"), [(2, "bin"), (3, "npy"), (4, "h5"), (4, "bin")])
def test_any_number_of_processes_writes_the_bytes_of_one(photos, whole, tmp_path, size, suffix):
    folder, names = photos
    out = tmp_path / f"f.{suffix}"
    found = values(run_team(size, extract_all, folder, names, out))
    assert out.read_bytes() == (whole / out.name).read_bytes()
    assert os.listdir(tmp_path) == [out.name]
    shares = [computed for _, computed, _ in found]
    assert sum(shares) == 30 and max(shares) <= -(-8 // size) * GROUP


def test_more_processes_than_groups_are_no_error(photos, tmp_path):
    folder, names = photos
    values(run_team(4, extract_all, folder, names[:5], tmp_path / "f.bin"))
    extract_all(folder, names[:5], tmp_path / "one.bin")
    assert (tmp_path / "f.bin").read_bytes() == (tmp_path / "one.bin").read_bytes()


def with_bad_images(photos, folder, bad):
    source, names = photos
    for number, name in enumerate(names):
        (folder / name).write_bytes(b"" if number in bad else (source / name).read_bytes())
    return names


def test_failures_are_everyones_and_progress_is_told_by_one(photos, tmp_path):
    bad = [4, 5, 6, 7, 13, 29]  # a whole group, and one each of two
    (tmp_path / "in").mkdir()
    names = with_bad_images(photos, tmp_path / "in", bad)
    args = (tmp_path / "in", names)
    alone = extract_all(*args, tmp_path / "one.npy")
    found = values(run_team(3, extract_all, *args, tmp_path / "f.npy", None, "skip", True))
    assert [index for index, _ in alone[0]] == bad
    assert [failed for failed, _, _ in found] == [alone[0]] * 3
    assert (tmp_path / "f.npy").read_bytes() == (tmp_path / "one.npy").read_bytes()
    assert found[1][2] == found[2][2] == [] and found[0][2][-1] == (30, 30)
    assert [done for done, _ in found[0][2]] == sorted(done for done, _ in found[0][2])


def test_with_on_error_raise_all_raise_and_a_repaired_run_computes_the_rest(photos, whole, tmp_path):
    (tmp_path / "in").mkdir()
    names = with_bad_images(photos, tmp_path / "in", [6])
    out = tmp_path / "f.bin"
    for ended in run_team(2, extract_all, tmp_path / "in", names, out, None, "raise"):
        assert ended.error.startswith("ExtractionError: 1 of 30 images could not be used; mend")
        assert names[6] in ended.error
    assert not out.exists()
    (tmp_path / "in" / names[6]).write_bytes((photos[0] / names[6]).read_bytes())
    found = values(run_team(3, extract_all, tmp_path / "in", names, out))
    assert sum(computed for _, computed, _ in found) == GROUP
    assert out.read_bytes() == (whole / "f.bin").read_bytes()


@pytest.mark.parametrize(("lost", "size", "then"), [(1, 2, 3), (0, 2, 1), (2, 4, 2), (0, 3, 4)])
def test_a_lost_process_leaves_what_any_number_can_go_on_with(photos, whole, tmp_path, lost, size, then):
    folder, names = photos
    out = tmp_path / "f.bin"
    patience = {"DEEPIBL_LOST_AFTER": "2"}
    ended = run_team(size, extract_all, folder, names, out, (lost, 3), environment=patience)
    assert ended[lost].signal == 9
    for rank in set(range(size)) - {lost}:
        assert f"process {lost} of {size} (pid" in ended[rank].error
        assert "is lost: it gave no sign of life for 2 seconds. Start the same" in ended[rank].error
    assert not out.exists() and (tmp_path / "f.bin.part").exists()
    found = values(run_team(then, extract_all, folder, names, out))
    assert 0 < sum(computed for _, computed, _ in found) < 30
    assert out.read_bytes() == (whole / "f.bin").read_bytes()
    assert os.listdir(tmp_path) == ["f.bin"]


def test_a_file_that_another_machine_wrote_and_this_one_does_not_see_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "VISIBLE_SECONDS", 0.2)
    path = tmp_path / "f.bin.part"
    with pytest.raises(FeatureFileError, match=r"f\.bin\.part.*no such file: give a path on a file system"):
        require_visible(path)
    path.write_bytes(b"abc")
    require_visible(path, 3)
    with pytest.raises(FeatureFileError, match="one of 3 bytes, not 4"):
        require_visible(path, 4)


def extract_otherwise(folder, names, out):
    rank = processes.team().rank
    extract_all(folder, names[rank:], out)


def test_processes_that_ask_for_different_images_are_told_so(photos, tmp_path):
    folder, names = photos
    for ended in run_team(2, extract_otherwise, folder, names, tmp_path / "f.bin"):
        assert "ArgumentError: extraction to" in ended.error and "runtime.alone()" in ended.error
    assert os.listdir(tmp_path) == []


def extract_each_alone(folder, names, out):
    rank = processes.team().rank
    with processes.alone():
        extract_all(folder, names[rank:], out / f"{rank}.bin")


def test_within_alone_each_process_works_by_itself(photos, tmp_path):
    folder, names = photos
    values(run_team(2, extract_each_alone, folder, names, tmp_path))
    first, second = ((tmp_path / f"{rank}.bin").stat().st_size for rank in range(2))
    assert (first, second) == (30 * 64 * 4, 29 * 64 * 4)


def rows_in_memory(folder, names):
    net = Extractor()
    with small_groups():
        rows, kept, failed = extract(net, names, root=folder, batch_size=2, on_error="skip", progress=False)
    return rows, kept.tolist(), [each.index for each in failed], sum(shape[0] for shape in net.batches)


def test_rows_in_memory_are_everyones(photos, whole, tmp_path):
    names = with_bad_images(photos, tmp_path, [3])
    want = np.delete(np.load(whole / "f.npy"), 3, axis=0)
    found = values(run_team(3, rows_in_memory, tmp_path, names))
    for rows, kept, failed, _ in found:
        assert np.array_equal(rows, want)
        assert kept == [number for number in range(30) if number != 3] and failed == [3]
    assert sum(computed for *_, computed in found) == 29


def index_and_recall(folder, names, out, keep):
    """An index of the images, and the recall of a data set of them, as (bytes, dict)."""
    positions = np.array([[7.0 * number, 0.0] for number in range(len(names))])
    net = simplenn()
    with small_groups():
        made, failures = build_index(net, Places(folder, names, positions), out / "city.idx", progress=False)
    split = [Places(folder, names[at::2], positions[at::2]) for at in range(2)]
    dataset = dataset_from_places("streets", *split)
    kept = out / "kept" if keep else None
    with small_groups():
        result = evaluate_network(net, dataset, label="small", features=kept, progress=False)
    return made.descriptors.shape, len(failures), json.dumps(result.as_dict()), result.query_features is None


def index_slowly(folder, names, out):
    """Process 1 is a second late when it opens the descriptors that an index is made of."""
    if processes.team().rank == 1:
        read = indexing.read_features
        indexing.read_features = lambda *args, **how: time.sleep(1) or read(*args, **how)
    made, _ = build_index(simplenn(), Places(folder, names, np.zeros((len(names), 2))), out, progress=False)
    return made.descriptors.shape


def test_a_late_process_still_finds_the_descriptors_of_an_index(photos, tmp_path):
    folder, names = photos
    found = values(run_team(2, index_slowly, folder, names[:6], tmp_path / "city.idx"))
    assert found == [PlaceIndex.load(tmp_path / "city.idx").descriptors.shape] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["city.idx"]


@pytest.mark.parametrize("keep", [True, False])
def test_indexes_and_recalls_are_those_of_one_process(photos, tmp_path, keep):
    folder, names = photos
    for where in ("one", "team"):
        (tmp_path / where).mkdir()
    alone = index_and_recall(folder, names, tmp_path / "one", keep)
    found = values(run_team(2, index_and_recall, folder, names, tmp_path / "team", keep))
    assert [each[:3] for each in found] == [alone[:3]] * 2
    assert [each[3] for each in found] == [False, True]
    one, team = (PlaceIndex.load(tmp_path / where / "city.idx") for where in ("one", "team"))
    assert np.array_equal(one.descriptors, team.descriptors) and one.names == team.names
    kept = [sorted(p.read_bytes() for p in (tmp_path / w / "kept").glob("*")) for w in ("one", "team")]
    assert kept[0] == kept[1] and len(kept[0]) == (2 if keep else 0)
