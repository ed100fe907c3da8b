"""What the first image costs with each engine, what another size costs, and how much memory a pass takes.

Each engine runs in a process of its own, so that its peak of memory is its own (but for the smoke form).
"""

from __future__ import annotations

import json
from typing import Any

from benchmarks.extraction import engines
from benchmarks.measure import Settings, Table, in_a_process

_CODE = """
import torch
from benchmarks.extraction import CPU, network, photos, scales
from benchmarks.measure import Settings
from deepibl.cli.process import keep_buffers
from deepibl.engine.choose.describe import describe_prepared; from deepibl.runtime import inference
from deepibl.engine import choose_engine

net = network(Settings(smoke={smoke}))
measured = scales(net, {precision!r}, *{sizes}[0])
first, other = (net.prepare(photos({batch}, *size)) for size in {sizes})
forget_peak()
ready = memory("VmRSS")
if {engine!r} != "torch":
    keep_buffers()  # as the command does

with inference(net):
    engine = timed(lambda: choose_engine(net, {engine!r}, {precision!r}, CPU, scales=measured))
    for images in (first, first, other, other):
        timed(lambda: describe_prepared(net, images, {precision!r}, engine))
print(json.dumps([took, memory("VmHWM") - ready]))
"""


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    rows = []
    for batch in settings.batches[:1] if settings.smoke else settings.batches:
        for name, precision in engines():
            if batch > 1 and name != "fused" and not settings.full:
                continue
            took, megabytes = _measured(name, precision, batch, settings)
            made, first, second, other, again = took
            cells = [f"{s:.2f}" for s in (made + first - second, second, other - again)]
            rows.append([f"{name} {precision}", batch, *cells, f"{megabytes:.0f}"])
    columns = ["engine", "images", "s more for the first", "s a pass", "s more for another size", "MB"]
    note = "MB: the process's highest memory, above that with network and images: packed filters and maps."
    return [Table("The first image, another size, memory", columns, rows, note)]


def _measured(engine: str, precision: str, batch: int, settings: Settings) -> Any:
    sizes = ((48, 64), (32, 48)) if settings.smoke else ((480, 640), (448, 608))
    what = {"engine": engine, "precision": precision, "batch": batch, "sizes": sizes, "smoke": settings.smoke}
    return json.loads(in_a_process(_CODE.format(**what), here=settings.smoke))
