"""Fixtures for all tests: where golden and real data lie, and marks that explain why a test was skipped."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.browser import chromium
from tests.golden_data import GOLDEN, REAL


@pytest.fixture(scope="session")
def golden() -> Path:
    """The directory of the golden data."""
    if not GOLDEN.is_dir():
        pytest.fail(f"no golden data at {GOLDEN}; unset DEEPIBL_GOLDEN or point it at a copy of tests/golden")
    return GOLDEN


@pytest.fixture(scope="session")
def real() -> Path:
    """The directory of real files; only tests marked `real` ask for it."""
    return REAL


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread, as each process of several has: rounding depends on their number, and bits are compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A context manager, `card(device)`: fake tensors on a CUDA device (tests.fake_cuda)."""
    from tests.fake_cuda import BACKWARD, NAME, fake_device

    return lambda device=NAME: fake_device(monkeypatch, gradients=device == BACKWARD)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips marked tests whose need is not met, and says which need."""
    reasons = {
        "real": None if REAL.is_dir() else "needs ../shared/real (files MATLAB wrote), which a clone lacks",
        "octave": None if shutil.which("octave-cli") else "needs GNU Octave: apt-get install octave",
        "browser": None if chromium() else "needs Chromium: apt-get install chromium chromium-driver",
        "gpu": None if torch.cuda.is_available() else "needs a CUDA device",
    }
    for item in items:
        for mark, reason in reasons.items():
            if reason and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))
