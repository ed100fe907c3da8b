"""deepibl.engine.winograd: the same convolution with fewer multiplications."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deepibl.engine import onednn
from deepibl.engine.onednn import PackedConvolution, Workers
from deepibl.engine.winograd import POINTS, WinogradConvolution, _rows_at_a_time, transforms
from tests.tolerances import assert_close

pytestmark = pytest.mark.skipif(bool(onednn.available()), reason=f"needs oneDNN: {onednn.available()}")


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("points", [POINTS, (0.0, 1.0, -1.0, 2.0, -2.0)])
def test_the_matrices_filter_a_signal(points: tuple[float, ...]) -> None:
    output, taps, signal = (matrix.numpy() for matrix in transforms(points))
    for i in range(6):
        for j in range(3):
            d, g = np.eye(6)[i], np.eye(3)[j]
            np.testing.assert_allclose(output @ ((taps @ g) * (signal @ d)), np.correlate(d, g), atol=1e-12)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (3, 30, 40), (1, 17, 130), (5, 4, 4)])
def test_it_equals_the_direct_convolution_at_any_size(shape: tuple[int, int, int], relu: bool) -> None:
    x = maps(shape[0], 16, *shape[1:]).contiguous(memory_format=torch.channels_last)
    weight, bias = maps(32, 16, 3, 3), maps(32)
    want = F.conv2d(x, weight, bias, padding=1)
    got = WinogradConvolution(weight, bias, relu=relu, workers=Workers(2))(x)
    assert_close(got, want.relu() if relu else want, "winograd")


@pytest.mark.parametrize(
    ("rows", "columns", "workers", "at_a_time"),
    [
        (8, 10, 2, 4),
        (15, 20, 2, 4),
        (30, 40, 2, 2),
        (60, 80, 2, 1),
        (8, 10, 1, 8),
        (8, 10, 16, 1),
        (1, 300, 2, 1),
    ],
)
def test_every_worker_has_as_much_to_do(rows: int, columns: int, workers: int, at_a_time: int) -> None:
    assert _rows_at_a_time(rows, columns, workers) == at_a_time
    turns = -(-rows // (at_a_time * workers))
    assert turns * at_a_time <= rows / workers + 1  # what the busiest has, in rows


@pytest.mark.parametrize("workers", [2, 3, 5])
def test_the_number_of_workers_changes_no_bit(workers: int) -> None:
    x, weight = maps(2, 32, 30, 40).contiguous(memory_format=torch.channels_last), maps(48, 32, 3, 3)
    alone = WinogradConvolution(weight, None, relu=False, workers=Workers(1))(x)
    assert torch.equal(WinogradConvolution(weight, None, relu=False, workers=Workers(workers))(x), alone)


def test_pooling_inside_equals_pooling_behind() -> None:
    x, weight = maps(2, 16, 18, 22), maps(16, 16, 3, 3)
    convolution = WinogradConvolution(weight, None, relu=True, workers=Workers(1))
    torch.testing.assert_close(convolution(x, pool=True), F.max_pool2d(convolution(x), 2), rtol=0, atol=0)


def test_maps_of_another_size_leave_nothing_behind() -> None:
    weight = maps(16, 16, 3, 3)
    convolution = WinogradConvolution(weight, None, relu=False, workers=Workers(2))
    small = maps(1, 16, 6, 10)
    first = convolution(small)
    convolution(maps(1, 16, 40, 300))
    assert torch.equal(convolution(small), first)


def test_packed_filters_serve_all_sizes_with_few_layouts() -> None:
    weight = maps(32, 16, 3, 3)
    convolution = PackedConvolution(weight, None, pad=(1, 1))
    for size in ((8, 8), (8, 9), (40, 60), (41, 60), (8, 8)):
        x = maps(1, 16, *size)
        assert_close(convolution(x), F.conv2d(x, weight, padding=1), "op")
    held = convolution._packed
    assert len(held) == 4 and len({id(packed) for packed in held.values()}) < 4


def test_what_a_worker_raises_is_raised() -> None:
    def job(item: int, _: onednn.Scratch) -> None:
        if item == 3:
            raise ValueError("job 3")

    with pytest.raises(ValueError, match="job 3"):
        Workers(2).run(job, range(5))


def test_workers_leave_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    Workers(3).run(lambda _, __: None, range(6))
    assert torch.get_num_threads() == before
