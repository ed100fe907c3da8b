"""A full-size network from its file: v7, v7.3, the converted copy; against scipy's reading of the struct."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Settings, Table, in_a_process, require
from scripts.make_released_layout import FILES, write_released

# each in a process of its own, so that its peak of memory is its own (but for the smoke form)
_SCIPY = "import scipy.io; found = scipy.io.loadmat({path!r})['net']; total = found['layers'][0, 0].size"
_OURS = (
    "import deepibl.networks as networks; net = networks.load_network({path!r}, cached_copy={copy});"
    "total = len(net)"
)
_TIMED = """
import torch, numpy, scipy.io, h5py, deepibl.networks, deepibl.networks.build
before = memory("VmRSS")
start = time.perf_counter()
{code}
seconds = time.perf_counter() - start
print(json.dumps([seconds, memory("VmHWM") - before, total]))
"""


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    with tempfile.TemporaryDirectory() as folder:
        forms = ("v7", "v7.3", "struct") if sys.version_info >= (3, 11) else ("struct",)
        paths = dict(zip(forms, write_released(Path(folder), forms, small=settings.smoke), strict=True))
        reference = paths["struct"]
        measured: dict[str, list[Any]] = {}
        for _ in range(max(1, settings.rounds - 1)):
            scipys = _process(_SCIPY.format(path=str(reference)), settings.smoke)
            measured.setdefault("scipy.io.loadmat, struct form (no network yet)", []).append((scipys, scipys))
            for form, path in paths.items():
                result = _process(_OURS.format(path=str(path), copy=False), settings.smoke)
                measured.setdefault(f"load_network, {form} ({FILES[form]})", []).append((result, scipys))
            first = paths[forms[0]]
            if len(measured) == len(paths) + 1:
                _process(_OURS.format(path=str(first), copy=True), settings.smoke)  # makes the copy
            result = _process(_OURS.format(path=str(first), copy=True), settings.smoke)
            measured.setdefault("load_network, converted copy", []).append((result, scipys))
    rows = []
    for name, pairs in measured.items():
        require(len({found[2] for found, _ in pairs}) == 1, f"{name}: layers differ")
        seconds = _median([found[0] for found, _ in pairs])
        ratio = _median([other[0] / found[0] for found, other in pairs])
        memory = _median([found[1] for found, _ in pairs])
        rows.append([name, f"{seconds:.2f}", f"{ratio:.1f}", f"{memory:.0f}"])
    size = "narrow" if settings.smoke else "full size, 0.6 GB"
    return [Table(f"Loading a network ({size})", ["what", "s", "x scipy", "peak MB"], rows)]


def _process(code: str, here: bool) -> Any:
    return json.loads(in_a_process(_TIMED.format(code=code), here).splitlines()[-1])


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]
