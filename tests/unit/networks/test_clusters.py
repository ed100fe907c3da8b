"""Local descriptors, clusters in files, and the sharpness of the assignment."""

import math
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from deepibl.errors import DatasetError
from deepibl.matlab.networks import getClusters
from deepibl.networks.clusters import (
    get_clusters,
    local_descriptors,
    training_descriptors,
    vlad_alpha,
    vlad_weights,
)
from deepibl.runtime.progress import Progress
from matlab_compat import matfile
from matlab_compat.errors import ArgumentError
from matlab_compat.rng import rng
from matlab_compat.simplenn.network import SimpleNN
from tests.extractors import make_photos
from tests.released_layout import released_network


class Coordinates:
    """An extractor whose maps hold, for each pixel, the image's value, the row and the column."""

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        return images

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        rows, columns = torch.meshgrid(torch.arange(4.0), torch.arange(3.0), indexing="ij")
        return torch.stack([torch.full((4, 3), float(x[0, 0, 0, 0])), rows, columns])[None]


def image(i: int) -> torch.Tensor:
    return torch.full((3, 8, 8), float(i))


def points(count: int = 300, width: int = 6, seed: int = 0) -> np.ndarray:
    found = np.random.RandomState(seed).randn(count, width)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def test_the_first_images_are_read_and_the_drawn_ones_are_not() -> None:
    read: list[int] = []

    def reading(i: int) -> torch.Tensor:
        read.append(i)
        return image(i)

    local_descriptors(Coordinates(), reading, 40, total=30, per_image=10)
    assert read == [0, 1, 2]


def test_pixels_are_drawn_by_matlabs_generator_counting_down_the_columns() -> None:
    got = local_descriptors(Coordinates(), image, 40, total=10, per_image=5)
    draws = rng(43)
    draws.randsample(40, 2)  # the draw of images comes first
    for i in range(2):
        ids = draws.randsample(12, 5)
        want = np.stack([np.full(5, i), ids % 4, ids // 4], axis=1)
        assert np.array_equal(got[5 * i : 5 * i + 5], want)


def test_small_maps_give_all_their_pixels_and_the_total_is_not_exceeded() -> None:
    assert len(local_descriptors(Coordinates(), image, 5, total=300, per_image=100)) == 3 * 12
    assert len(local_descriptors(Coordinates(), image, 5, total=17, per_image=10)) == 17


def test_fewer_images_than_500_are_no_error() -> None:
    # difference: getclusters-few-images
    assert len(local_descriptors(Coordinates(), image, 2)) == 2 * 12


def test_asked_for_a_gpu_it_computes_on_the_cpu_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # difference: usegpu-fallback
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    names = make_photos(tmp_path)[:3]
    photos = SimpleNamespace(database_root=str(tmp_path), database_names=names, database_size=len(names))
    whole = SimpleNN.from_matlab(released_network(small=True))
    net = whole.with_layers(list(whole)[:5])
    files = f"{tmp_path}/clusters.mat", f"{tmp_path}/descriptors.mat"
    assert getClusters(net, {"useGPU": True}, files[0], 5, photos, files[1]).shape == (5, 4)


def test_progress_counts_images() -> None:
    seen: list[Progress] = []
    local_descriptors(Coordinates(), image, 9, total=30, per_image=10, progress=seen.append)
    assert [(now.done, now.total) for now in seen] == [(1, 3), (2, 3), (3, 3)]


def test_no_images_are_an_error() -> None:
    with pytest.raises(DatasetError, match="0 images"):
        local_descriptors(Coordinates(), image, 0)


def test_clusters_and_descriptors_are_kept_as_columns_and_read_again(tmp_path: Path) -> None:
    files = {"cluster_file": tmp_path / "clst.mat", "descriptor_file": tmp_path / "descs.mat"}
    made = get_clusters(points, k=4, **files)
    assert matfile.load(files["cluster_file"])["clsts"].shape == (6, 4)
    assert np.array_equal(matfile.load(files["descriptor_file"])["trainDescs"], points().T)
    again = get_clusters(lambda: pytest.fail("computed again"), k=4, **files)
    assert np.array_equal(again, made)
    files["cluster_file"].unlink()
    from_descriptors = get_clusters(lambda: pytest.fail("computed again"), k=4, **files)
    assert np.array_equal(from_descriptors, made)


def test_without_files_nothing_is_kept() -> None:
    assert get_clusters(points, k=4).shape == (4, 6)
    assert np.array_equal(training_descriptors(points), points())


def test_a_file_with_another_number_of_clusters_is_refused(tmp_path: Path) -> None:
    get_clusters(points, k=4, cluster_file=tmp_path / "clst.mat")
    with pytest.raises(DatasetError, match="holds 4 clusters, not 5"):
        get_clusters(points, k=5, cluster_file=tmp_path / "clst.mat")


@pytest.mark.parametrize("v2", [False, True])
def test_alpha_is_the_naive_loops(v2: bool) -> None:
    centres, rows = points(5, seed=1) * 0.7, points(50)
    gaps = []
    for row in rows.astype(np.float64):
        if v2:
            near = sorted(((row - centre) ** 2).sum() for centre in centres)
            gaps.append(near[1] - near[0])
        else:
            near = sorted((row @ (centre / np.linalg.norm(centre)) for centre in centres), reverse=True)
            gaps.append(near[0] - near[1])
    assert math.isclose(vlad_alpha(centres, rows, v2=v2), -math.log(0.01) / np.mean(gaps), rel_tol=1e-5)


def test_with_two_centres_and_equal_gaps_the_second_gets_a_hundredth() -> None:
    centres, rows = np.eye(2, dtype=np.float32), np.array([[0.8, 0.6], [0.6, 0.8]], dtype=np.float32)
    assign = vlad_weights(centres, vlad_alpha(centres, rows))[0][0, 0]
    scores = rows[0] @ assign
    assert math.isclose(math.exp(scores[1] - scores[0]), 0.01, rel_tol=1e-4)


def test_alpha_of_equal_centres_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="two centres equal"):
        vlad_alpha(np.ones((2, 3), np.float32), points(10, 3))


@pytest.mark.parametrize(("centres", "rows"), [((1, 3), (9, 3)), ((4, 3), (9, 2)), ((4,), (9, 4))])
def test_shapes_that_do_not_fit_are_an_error(centres: tuple, rows: tuple) -> None:
    with pytest.raises(ArgumentError, match=r"expected \(K, D\) and \(N, D\)"):
        vlad_alpha(np.ones(centres, np.float32), np.ones(rows, np.float32))


@pytest.mark.parametrize("v2", [False, True])
def test_weights_have_matlabs_shapes(v2: bool) -> None:
    weights = vlad_weights(points(4), 10.0, v2=v2)
    assert [w.shape for w in weights] == [(1, 1, 6, 4), *([(1, 4)] if v2 else []), (1, 1, 6, 4)]
    assert np.array_equal(weights[-1][0, 0], -points(4).T)


@pytest.mark.real
def test_netvlads_own_cluster_files_are_read(real: Path) -> None:
    for file, width in (
        ("pitts30k_train_vd16_conv5_3_preL2_k064_clst.mat", 512),
        ("pitts30k_train_caffe_conv5_preL2_k064_clst.mat", 256),
    ):
        centres = get_clusters(points, k=64, cluster_file=real / "initdata" / file)
        assert centres.shape == (64, width)
        lengths = np.linalg.norm(centres, axis=1)
        assert 0.1 < lengths.min() <= lengths.max() <= 1  # means of unit vectors
