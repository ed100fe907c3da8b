"""Importing the packages is free of consequences, and what they offer can be imported."""

import importlib
import subprocess
import sys

import pytest

HEAVY = [
    "matplotlib",
    "h5py",
    "faiss",
    "pandas",
    "torch",
    "cv2",
    "PIL",
    "scipy",
    "typer",
    "rich",
    "fastapi",
    "pydantic",
]


@pytest.mark.parametrize("package", ["deepibl", "deepibl.matlab", "matlab_compat"])
def test_import_loads_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize("package", ["deepibl", "deepibl.matlab", "matlab_compat"])
def test_all_names_can_be_imported(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    missing = [name for name in module.__all__ if not hasattr(module, name)]
    assert missing == []


def test_original_names_are_importable_from_the_top() -> None:
    import deepibl
    import deepibl.matlab

    for name in deepibl.matlab.__all__:
        assert getattr(deepibl, name) is getattr(deepibl.matlab, name)


def test_unknown_names_are_attribute_errors() -> None:
    import deepibl

    with pytest.raises(AttributeError, match="no_such_name"):
        _ = deepibl.no_such_name
