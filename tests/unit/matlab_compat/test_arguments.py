"""Options: pairs, dicts and keywords in any case; unknown names are errors that help."""

import inspect
from typing import Any

import pytest

from matlab_compat.arguments import name_value, options, vl_argparse
from matlab_compat.errors import ArgumentError

DEFAULTS = {"learningRate": 0.1, "batchSize": 4, "train": {"epochs": 5, "solver": {"m": 1}}}


def test_pairs_dicts_and_keywords_all_set_options() -> None:
    found = options(DEFAULTS, ("BATCHSIZE", 8, {"learningrate": 0.5}), {"Train": {"epochs": 7}})
    assert (found.batchSize, found.learningRate) == (8, 0.5)
    assert found.train == {"epochs": 7, "solver": {"m": 1}}


def test_the_defaults_are_left_alone() -> None:
    options(DEFAULTS, ("train.solver.m", 9))
    assert DEFAULTS["train"] == {"epochs": 5, "solver": {"m": 1}}


def test_a_later_value_wins_and_keywords_come_last() -> None:
    assert options(DEFAULTS, ("batchSize", 1, "batchsize", 2)).batchSize == 2
    assert options(DEFAULTS, ("batchSize", 1), {"batchSize": 3}).batchSize == 3


def test_without_arguments_the_defaults_come_back() -> None:
    assert vars(options(DEFAULTS)) == DEFAULTS


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("learninRate", 1), r"unknown option 'learninRate': did you mean 'learningRate'\? \(options: learn"),
        (("LEARNING", 1), "did you mean 'learningRate'"),
        (("zzz", 1), "no similar one exists"),
        (("batchSize",), "option 'batchSize' has no value"),
        ((3, 4), "argument 1 must be an option's name or a dict, not 3"),
        (("train", 5), "option 'train' takes a dict of epochs, solver, not 5"),
        (("batchSize", {"a": 1}), "option 'batchSize' takes no dict"),
        (("train..x", 1), "empty name between its dots"),
        (("train", {"epoch": 1}), "did you mean 'epochs'"),
    ],
)
def test_a_mistake_is_named(args: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        options(DEFAULTS, args)


def test_a_mistake_is_a_type_error_too() -> None:
    with pytest.raises(TypeError):
        options(DEFAULTS, (), {"nope": 1})


def test_two_names_that_differ_in_case_only_cannot_be_set() -> None:
    with pytest.raises(ArgumentError, match="several options have this name"):
        options({"ab": 1, "AB": 2}, ("ab", 3))


def test_the_rest_comes_back_when_asked_for() -> None:
    opts, rest = vl_argparse({"a": 1}, ["b", 2, "a", 3, {"a": 4, "c": 5}, {}], nargout=2)
    assert opts == {"a": 4}
    assert rest == ["b", 2, {"c": 5}, {}]


def test_flags_are_checked() -> None:
    for flags in (("foo",), ("merge", "merge", "merge")):
        with pytest.raises(ArgumentError, match="flags"):
            vl_argparse({"a": 1}, [], *flags)


def test_defaults_must_be_a_dict() -> None:
    with pytest.raises(ArgumentError, match="options must be a dict; got"):
        vl_argparse(5, [])


@name_value(struct="opts")
def measured(x, opts=None, *, nTestSample=5, paths=None):
    """Returns what it got."""
    return x, nTestSample, paths


def test_name_value_takes_pairs_structs_and_keywords_of_any_case():
    assert measured(1) == (1, 5, None)
    assert measured(1, None, "nTestSample", 7) == measured(1, nTestSample=7) == (1, 7, None)
    assert measured(x=1, NTESTSAMPLE=8) == (1, 8, None)
    assert (
        measured(1, {"nTestSample": 9, "margin": 0.1}) == measured(1, opts={"nTestSample": 9}) == (1, 9, None)
    )
    assert measured(1, {"nTestSample": 9}, "ntestsample", 2) == (1, 2, None)


def test_name_value_hands_on_what_is_given_under_its_exact_name():
    assert measured(1, paths={"outPrefix": "/x"})[2] == {"outPrefix": "/x"}


def test_name_value_refuses_unknown_names():
    with pytest.raises(ArgumentError, match="unknown option 'nTestSamples': did you mean 'nTestSample'"):
        measured(1, None, "nTestSamples", 7)
    with pytest.raises(ArgumentError, match="unknown option 'path'"):
        measured(1, path="x")


def test_name_value_keeps_the_signature():
    assert str(inspect.signature(measured)) == "(x, opts=None, *, nTestSample=5, paths=None)"
    assert measured.__doc__ == "Returns what it got."
