"""MATLAB's generator: shapes, ranges, both branches of randsample, state in and out."""

import numpy as np
import pytest

from matlab_compat.errors import ArgumentError
from matlab_compat.rng import Generator, rng


def test_rand_fills_columns_first() -> None:
    assert rng(3).rand(2, 3).T.ravel().tolist() == rng(3).rand(6, 1).ravel().tolist()


def test_rand_shapes_are_matlabs() -> None:
    assert rng().rand().shape == (1, 1)
    assert rng().rand(3).shape == (3, 3)
    assert rng().rand(2, 3, 4).shape == (2, 3, 4)
    assert rng().rand(0, 5).shape == (0, 5)


def test_seed_0_is_5489() -> None:
    assert rng(0).rand() == rng(5489).rand()


def test_randi_is_floor_of_n_times_a_uniform_plus_1() -> None:
    assert rng(7).randi(10, 1, 50).tolist() == (np.floor(10 * rng(7).rand(1, 50)) + 1).tolist()
    draws = rng(1).randi(6, 1, 1000)
    assert (draws.min(), draws.max()) == (1, 6)


def test_randperm_is_the_order_of_n_uniforms_counted_from_0() -> None:
    found = rng(5).randperm(100)
    assert found.dtype == np.int64
    assert found.tolist() == np.argsort(rng(5).rand(1, 100).ravel(), kind="stable").tolist()
    assert sorted(found) == list(range(100))
    assert rng().randperm(0).shape == (0,)


def test_randsample_of_more_than_a_quarter_begins_a_permutation() -> None:
    assert rng(9).randsample(8, 3).tolist() == rng(9).randperm(8)[:3].tolist()


def test_randsample_of_a_quarter_or_less_marks_and_shuffles() -> None:
    n, k = 12, 3
    generator = rng(9)
    marked: set[int] = set()
    while len(marked) < k:
        marked |= {int(i) - 1 for i in generator.randi(n, 1, k - len(marked)).ravel()}
    want = np.array(sorted(marked))[generator.randperm(k)]
    assert rng(9).randsample(n, k).tolist() == want.tolist()


@pytest.mark.parametrize("k", [0, 1, 3, 12])
def test_randsample_draws_distinct_ids(k: int) -> None:
    found = rng(2).randsample(12, k)
    assert len(set(found.tolist())) == k
    assert all(0 <= i < 12 for i in found)


def test_randsample_of_a_vector_indexes_it() -> None:
    population = np.array([[10, 20, 30, 40, 50, 60, 70, 80]], np.int32)
    found = rng(4).randsample(population, 2)
    assert found.dtype == np.int32
    assert found.tolist() == population.ravel()[rng(4).randsample(8, 2)].tolist()
    assert rng(4).randsample([42], 1).tolist() == [42]  # in MATLAB a lone number would mean 1:42


def test_randsample_with_replacement_is_randi() -> None:
    assert rng(4).randsample(3, 10, replace=True).tolist() == (rng(4).randi(3, 10, 1) - 1).ravel().tolist()
    assert rng(4).randsample([7], 3, replace=True).tolist() == [7, 7, 7]


def test_random_hex_draws_letters_before_digits() -> None:
    letters = "abcdef0123456789"
    want = "".join(letters[int(i) - 1] for i in rng(11).randi(16, 20, 1).ravel())
    assert rng(11).random_hex(20) == want


def test_the_state_is_624_words_and_a_position_and_can_be_put_back() -> None:
    generator = rng(43)
    generator.rand(1, 5)
    state = generator.state
    assert (state.dtype, state.shape) == (np.uint32, (625,))
    drawn = generator.rand(1, 400)
    for form in (state, state.reshape(-1, 1), state.astype(np.float64)):
        generator.state = form
        assert generator.rand(1, 400).tolist() == drawn.tolist()


def test_reading_the_state_draws_nothing() -> None:
    one, other = rng(1), rng(1)
    assert one.state.tolist() == one.state.tolist()
    assert one.rand() == other.rand()


def test_a_new_generators_state_is_numpys() -> None:
    words = np.random.RandomState(5489).get_state(legacy=False)["state"]
    assert rng(0).state.tolist() == [*words["key"].tolist(), words["pos"]]


def test_generators_do_not_disturb_each_other_nor_numpys() -> None:
    np.random.seed(1)
    before = np.random.get_state()[1].tolist()
    one = rng(1)
    rng(2).rand(100)
    assert one.rand() == rng(1).rand()
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize(
    "call",
    [
        lambda: Generator(-1),
        lambda: Generator(2**32),
        lambda: Generator(1.5),
        lambda: rng("a"),
        lambda: rng().randsample(3, 4),
        lambda: rng().randsample(-1, 0),
        lambda: rng().randsample(0, 1, replace=True),
        lambda: rng().randperm(2.5),
        lambda: rng().randi(0),
        lambda: rng().rand(-1, 2),
        lambda: setattr(rng(), "state", np.zeros(624)),
        lambda: setattr(rng(), "state", np.full(625, 625)),
    ],
)
def test_impossible_requests_are_errors(call: object) -> None:
    with pytest.raises(ArgumentError):
        call()  # type: ignore[operator]
