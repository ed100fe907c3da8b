"""DagNN's blocks of regions, grids and distances, against their definition pixel by pixel."""

import numpy as np
import pytest
import torch

from matlab_compat import nn as blocks
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import NetworkFormatError
from matlab_compat.numeric import maps_to_torch
from tests.tolerances import assert_close
from tests.unit.matlab_compat.test_dagnn import layer, network

RANDOM = np.random.default_rng(0)
MAPS = RANDOM.standard_normal((9, 11, 3, 2))  # MATLAB's H x W x C x N


def run(kind: str, inputs: dict[str, np.ndarray], **block: np.ndarray) -> torch.Tensor:
    net = DagNN.from_matlab(network(layer("l", kind, list(inputs), "y", **block)))
    found = net({name: maps_to_torch(array) for name, array in inputs.items()})
    sizes = {name: (*array.shape, 1, 1)[:4] for name, array in inputs.items()}
    wanted = (*found.shape[2:], found.shape[1], found.shape[0])
    assert net.sizes(sizes)["y"] == wanted  # MATLAB's size of what is computed
    return found


def pooled_regions(
    maps: np.ndarray, regions: np.ndarray, tiles: tuple[int, int], scale: np.ndarray
) -> np.ndarray:
    """5 x K regions, from 1 -> rows x columns x C x K, tile by tile."""
    found = np.zeros((*tiles, maps.shape[2], regions.shape[1]))
    for k, (image, *corners) in enumerate(regions.T):
        x1, y1, x2, y2 = (
            int(np.floor((c - 1) * s + 1.5)) - 1 for c, s in zip(corners, [*scale, *scale], strict=True)
        )
        high, wide = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i in range(tiles[0]):
            for j in range(tiles[1]):
                top, left = i * high // tiles[0] + y1, j * wide // tiles[1] + x1
                bottom, right = -(-(i + 1) * high // tiles[0]) + y1, -(-(j + 1) * wide // tiles[1]) + x1
                tile = maps[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0), :, int(image) - 1]
                found[i, j, :, k] = tile.max((0, 1)) if tile[..., 0].size else 0
    return found


REGIONS = np.array(
    [[1, 1, 1, 11, 9], [2, 3, 2, 8, 7], [2, -4, 6, 30, 20], [1, 5, 5, 5, 5], [1, 40, 40, 50, 50]]
).T


@pytest.mark.parametrize("form", [(5, 5), (1, 1, 5, 5)])
@pytest.mark.parametrize("transform", [1.0, 0.5, np.array([[1.0, 0.5]])])
def test_regions_are_pooled_by_maximum_in_tiles(form: tuple[int, ...], transform: np.ndarray | float) -> None:
    given = REGIONS.astype(np.float64).reshape(form, order="F")
    block = {"subdivisions": np.array([[3.0, 2.0]]), "transform": np.atleast_2d(transform)}
    want = pooled_regions(MAPS, REGIONS, (3, 2), np.resize(transform, 2))
    assert_close(run("dagnn.ROIPooling", {"x": MAPS, "rois": given}, **block), maps_to_torch(want), "op")
    flat = run("dagnn.ROIPooling", {"x": MAPS, "rois": given}, **block, flatten=np.array([[True]]))
    assert_close(flat[..., 0, 0], torch.tensor(want.reshape(-1, 5, order="F").T), "op")


def test_a_region_may_be_transformed_by_a_matrix() -> None:
    swap = np.array([[0.0, 1, 0], [1, 0, 0]])
    turned = REGIONS[[0, 2, 1, 4, 3]].astype(np.float64)
    block = {"subdivisions": np.array([[3.0, 2.0]]), "transform": swap}
    found = run("dagnn.ROIPooling", {"x": MAPS, "rois": turned}, **block)
    assert_close(found, maps_to_torch(pooled_regions(MAPS, REGIONS, (3, 2), np.ones(2))), "op")


@pytest.mark.parametrize("block", [{"method": "avg"}, {"transform": np.ones((1, 4))}])
def test_other_pooling_of_regions_is_refused(block: dict) -> None:
    with pytest.raises(NetworkFormatError, match=r"layer 1 'l'.*the method 'max'"):
        run("dagnn.ROIPooling", {"x": MAPS, "rois": REGIONS.astype(float)}, **block)


def sampled(maps: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Bilinear interpolation at a 2 x rows x columns x M grid of (y, x) in -1..1, zeros outside."""
    height, width, _, images = maps.shape
    found = np.zeros((*grid.shape[1:3], maps.shape[2], grid.shape[3]))
    for n in range(grid.shape[3]):
        for i, j in np.ndindex(grid.shape[1:3]):
            y, x = (grid[:, i, j, n] + 1) / 2 * (height - 1, width - 1)
            for row in (int(np.floor(y)), int(np.floor(y)) + 1):
                for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                    if 0 <= row < height and 0 <= column < width:
                        weight = (1 - abs(y - row)) * (1 - abs(x - column))
                        found[i, j, :, n] += weight * maps[row, column, :, n * images // grid.shape[3]]
    return found


@pytest.mark.parametrize("count", [2, 6])
def test_maps_are_sampled_at_the_points_of_a_grid(count: int) -> None:
    # difference: bilinear-sampler-size
    grid = RANDOM.uniform(-1.3, 1.3, (2, 4, 5, count))
    found = run("dagnn.BilinearSampler", {"x": MAPS, "grid": grid})
    assert_close(found, maps_to_torch(sampled(MAPS, grid)), "op")


def test_a_grid_that_does_not_fit_is_refused() -> None:
    with pytest.raises(
        NetworkFormatError, match=r"layer 1 'l'.*for 2 images a grid of 2 x rows x columns x N"
    ):
        run("dagnn.BilinearSampler", {"x": MAPS, "grid": np.zeros((2, 4, 5, 3))})


def test_distances_are_summed_by_default_and_weighted_by_a_third_input() -> None:
    other, weights = RANDOM.standard_normal(MAPS.shape), RANDOM.random((9, 11, 1, 2))
    x, x0, w = (maps_to_torch(array) for array in (MAPS, other, weights))
    inputs = {"x": MAPS, "x0": other}
    assert_close(
        run("dagnn.PDist", inputs).ravel(), blocks.vl_nnpdist(x, x0, 2, aggregate=True).ravel(), "op"
    )
    options = {"p": np.array([[1.0]]), "aggregate": np.zeros((1, 1), bool), "noRoot": np.ones((1, 1), bool)}
    found = run("dagnn.PDist", {**inputs, "w": weights}, **options)
    assert_close(found, blocks.vl_nnpdist(x, x0, 1, noRoot=True, instanceWeights=w), "op")
