"""deepibl.images: order, bounds and errors of what is read ahead."""

import threading
import time

import pytest
import torch

from deepibl.images import batches_by_size, load_in_order
from matlab_compat.errors import ImageReadError


def test_many_sizes_do_not_pile_up_in_memory():
    taken = []

    def images():
        for i in range(40):
            taken.append(i)
            yield i, torch.zeros(1, 1 + i % 5, 1)

    seen = []
    for batch in batches_by_size(images(), 4, hold=6):
        seen += [number for number, _ in batch]
        assert len(taken) - len(seen) <= 6
    assert sorted(seen) == list(range(40))


def test_an_image_that_could_not_be_read_is_a_batch_of_its_own():
    images = [(0, torch.zeros(1, 2, 2)), (1, ImageReadError("no")), (2, torch.zeros(1, 2, 2))]
    batches = list(batches_by_size(images, 2))
    assert [[number for number, _ in batch] for batch in batches] == [[1], [0, 2]]


def test_loading_runs_ahead_but_no_further_than_asked():
    loaded = []

    def load(number):
        loaded.append(number)
        return torch.tensor(number)

    stream = load_in_order(load, range(100), num_threads=3, look_ahead=5)
    assert next(stream)[0] == 0
    deadline = time.monotonic() + 5
    while len(loaded) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert len(loaded) == 6
    stream.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("deepibl-loader")]


def test_loading_gives_errors_in_their_place_and_raises_what_it_does_not_know():
    def load(number):
        if number == 1:
            raise ImageReadError("no. 1")
        if number == 3:
            raise KeyError("a bug")
        return torch.tensor(number)

    stream = load_in_order(load, range(5), 2, 3)
    assert [str(next(stream)[1]) for _ in range(3)] == ["tensor(0)", "no. 1", "tensor(2)"]
    with pytest.raises(KeyError):
        next(stream)


def test_batches_hold_no_more_images_than_fit():
    images = [(i, torch.zeros(1, 10, 10 if i % 2 else 20)) for i in range(12)]
    batches = list(batches_by_size(iter(images), 10, fitting=lambda height, width: 500 // (height * width)))
    sizes = [[tuple(image.shape[1:]) for _, image in batch] for batch in batches]
    assert all(len(set(each)) == 1 for each in sizes)
    assert max(len(each) for each in sizes if each[0] == (10, 20)) == 2
    assert max(len(each) for each in sizes if each[0] == (10, 10)) == 5
    assert sorted(number for batch in batches for number, _ in batch) == list(range(12))


def test_images_of_which_few_fit_do_not_pile_up():
    taken = []

    def images():
        for i in range(30):  # every one of another size
            taken.append(i)
            yield i, torch.zeros(1, 100, 100 + i)

    seen = 0
    for batch in batches_by_size(images(), 10, fitting=lambda height, width: 1):
        seen += len(batch)
        assert len(taken) - seen <= 1


def test_large_images_are_not_read_far_ahead(monkeypatch):
    monkeypatch.setattr("deepibl.images.loading.AHEAD_BYTES", 1000)
    running = []

    def load(number):
        running.append(number)
        return torch.zeros(600, dtype=torch.uint8)

    for taken, _ in enumerate(load_in_order(load, range(30), num_threads=2, look_ahead=20)):
        time.sleep(0.01)
        assert len(running) <= taken + 3
    assert running == list(range(30))
