"""The settings of extraction: checked when they are made, and at the door of every public function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from deepibl.engine.settings import ExtractionSettings, SettingsOptions
from deepibl.evaluation.evaluate import evaluate_index, evaluate_network
from deepibl.features.extraction import extract, extract_to_file
from deepibl.features.whitening import add_pca_of_images, pca_of_images
from deepibl.images import Reading
from deepibl.migrate.verify import verify_features
from deepibl.search.localization import add_to_index, build_index, localize
from matlab_compat.errors import ArgumentError
from tests.extractors import make_photos, simplenn

INDEX = SimpleNamespace(reading=Reading())
DOORS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = {
    "extract": (extract, (None, ["a.jpg"]), {}),
    "extract_to_file": (extract_to_file, (None, "", ["a.jpg"], "f.bin"), {}),
    "build_index": (build_index, (None, None, "city.idx"), {}),
    "add_to_index": (add_to_index, (None, None, "city.idx"), {}),
    "localize": (localize, (None, ["a.jpg"], INDEX), {}),
    "evaluate_network": (evaluate_network, (None, None), {}),
    "evaluate_index": (evaluate_index, (None, "city.idx", "photos"), {}),
    "add_pca_of_images": (add_pca_of_images, (None, "", ["a.jpg"], "stem"), {}),
    "pca_of_images": (pca_of_images, (None, "", ["a.jpg"], "stem"), {"dim": 1, "output_dim": 2}),
    "verify_features": (verify_features, (None, ["a.jpg"], np.zeros((1, 2))), {}),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("wrong", "right"), [("batchsize", "batch_size"), ("precison", "precision")])
def test_a_misspelt_keyword_fails_at_the_door_with_the_right_one(door: str, wrong: str, right: str) -> None:
    function, arguments, more = DOORS[door]
    with pytest.raises(ArgumentError, match=f"{door} has no argument '{wrong}': did you mean '{right}'"):
        function(*arguments, **more, **{wrong: 1})


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("option", [{"precision": "fp8"}, {"engine": "steam"}])
def test_an_invalid_value_fails_at_every_door(door: str, option: dict[str, str]) -> None:
    function, arguments, more = DOORS[door]
    (value,) = option.values()
    with pytest.raises(ArgumentError, match=value):
        function(*arguments, **more, **option)


@pytest.mark.parametrize(
    ("door", "option", "hint"),
    [
        ("localize", "tpo", "did you mean 'top'"),
        ("build_index", "bakcend", "did you mean 'backend'"),
        ("evaluate_network", "crop_dim", "did you mean 'crop_to_dim'"),
        ("extract", "zzzz", "its settings are device, batch_size"),
        ("localize", "resize", "localize has no argument 'resize'"),
        ("add_to_index", "resize", "add_to_index has no argument 'resize'"),
        ("evaluate_network", "on_error", "evaluate_network has no argument 'on_error'"),
    ],
)
def test_hints_name_the_functions_own_arguments_and_what_it_decides_itself(
    door: str, option: str, hint: str
) -> None:
    function, arguments, more = DOORS[door]
    with pytest.raises(ArgumentError, match=hint):
        function(*arguments, **more, **{option: 1})


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"batch_size": 0}, "batch_size must be an integer of at least 1; got 0"),
        ({"batch_size": 2.5}, r"got 2\.5"),
        ({"resize": 0}, "resize must be pixels of the shorter side"),
        ({"resize": (1, 2, 3)}, r"got \(1, 2, 3\)"),
        ({"resize": "640"}, "got '640'"),
        ({"precision": "fp16"}, r"tf32 and fp16 with engine 'cuda'\); got 'fp16'"),
        ({"precision": "int8"}, "needs the network's scales"),
        ({"scales": object()}, "scales are for precision int8"),
        ({"on_error": "ignore"}, "on_error must be one of raise, skip; got 'ignore'"),
    ],
)
def test_an_invalid_value_is_named_with_what_is_allowed(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ExtractionSettings(**option)


def test_an_index_keeps_one_number_as_resize() -> None:
    with pytest.raises(ArgumentError, match=r"pixels of the shorter side; got \(30, 40\)"):
        build_index(None, None, "city.idx", resize=(30, 40))  # type: ignore[arg-type]


def test_keywords_replace_the_fields_of_settings() -> None:
    settings = ExtractionSettings(batch_size=3, resize=20)
    found = ExtractionSettings.of(extract, settings, {"batch_size": 5})
    assert found == replace(settings, batch_size=5)


def test_settings_and_keywords_are_the_same_to_a_function(tmp_path: Path) -> None:
    names = make_photos(tmp_path)[:4]
    settings = ExtractionSettings(batch_size=2, resize=30, on_error="skip", progress=False)
    rows, kept, failures = extract(simplenn(), names, root=tmp_path, settings=settings)
    again, *_ = extract(
        simplenn(), names, root=tmp_path, batch_size=2, resize=30, on_error="skip", progress=False
    )
    assert np.array_equal(rows, again) and kept.tolist() == [0, 1, 2, 3] and not failures


def test_settings_cannot_be_changed_and_have_no_positions() -> None:
    with pytest.raises(FrozenInstanceError):
        ExtractionSettings().batch_size = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        ExtractionSettings("cuda")  # type: ignore[misc]


def test_the_typed_keywords_are_the_fields() -> None:
    names = set(SettingsOptions.__annotations__)
    for base in SettingsOptions.__orig_bases__ if hasattr(SettingsOptions, "__orig_bases__") else ():
        names |= set(getattr(base, "__annotations__", {}))
    assert names == {field.name for field in fields(ExtractionSettings)}


def test_what_changes_only_the_order_of_sums_decides_nothing() -> None:
    plain = ExtractionSettings().deciding()
    assert ExtractionSettings(batch_size=3, num_threads=1, device=torch.device("cpu")).deciding() == plain
    assert ExtractionSettings(progress=False, on_error="skip").deciding() == plain


@pytest.mark.parametrize("option", [{"resize": 640}, {"precision": "bf16"}, {"engine": "torch"}])
def test_what_changes_numbers_decides(option: dict[str, Any]) -> None:
    assert ExtractionSettings(**option).deciding() != ExtractionSettings().deciding()


def test_threads_are_shared_by_the_processes_of_a_machine() -> None:
    assert ExtractionSettings(num_threads=5).threads(4) == 5
    assert ExtractionSettings().threads(10**6) == 1
