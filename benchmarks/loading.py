"""A full-size network from its file: v7, v7.3, .safetensors; against scipy's reading of the struct."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import scipy.io

import deepibl.networks.build  # registers NetVLAD's layers
from benchmarks.measure import Settings, Table, in_a_process, memory, require, timed
from deepibl.networks import convert, load_network
from tests.released_layout import FILES, write_released

assert h5py and deepibl.networks.build  # imported before anything is timed
SCIPY, MAPPED = (
    "scipy.io.loadmat, struct form (no network yet)",
    "load_network, .safetensors (`deepibl convert` once)",
)


def run(settings: Settings) -> list[Table]:
    forms = ("v7", "v7.3", "struct") if sys.version_info >= (3, 11) else ("struct",)
    with tempfile.TemporaryDirectory() as folder:
        paths = dict(zip(forms, write_released(Path(folder), forms, small=settings.smoke), strict=True))
        jobs: dict[str, tuple[Any, ...]] = {SCIPY: (_measured, _scipy, paths["struct"])}
        jobs |= {
            f"load_network, {form} ({FILES[form]})": (_measured, load_network, paths[form]) for form in forms
        }
        jobs[MAPPED] = (_measured, load_network, Path(folder) / "net.safetensors")
        convert(paths[forms[0]], Path(folder) / "net.safetensors")
        found: dict[str, list[Any]] = {name: [] for name in jobs}
        for _ in range(max(1, settings.rounds - 1)):
            for name, job in jobs.items():
                found[name].append(in_a_process(*job, here=settings.smoke))
    rows = []
    for name, runs in found.items():
        require(len({layers for _, _, layers in runs}) == 1, f"{name}: layers differ")
        ratio = statistics.median(a[0] / b[0] for a, b in zip(found[SCIPY], runs, strict=True))
        seconds, peak = (statistics.median_high(each[i] for each in runs) for i in range(2))
        rows.append([name, f"{seconds:.2f}", f"{ratio:.1f}", f"{peak:.0f}"])
    size = "narrow" if settings.smoke else "full size, 0.6 GB"
    return [Table(f"Loading a network ({size})", ["what", "s", "x scipy", "peak MB"], rows)]


def _scipy(path: Path) -> Any:
    return scipy.io.loadmat(path)["net"]["layers"][0, 0].T


def _measured(load: Callable[[Path], Any], path: Path) -> tuple[float, float, int]:
    """Seconds, MB at the peak above the start, and the number of layers."""
    before = memory("VmRSS")
    seconds, found = timed(lambda: load(path))
    return seconds, memory("VmHWM") - before, len(found)
