"""What the first image costs with each engine, what another size costs, and how much memory a pass takes.

Each engine runs in a process of its own, so that its peak of memory is its own (but for the smoke form).
"""

from __future__ import annotations

from benchmarks.extraction import CPU, engines, network, photos, scales
from benchmarks.measure import Settings, Table, forget_peak, in_a_process, memory, set_allocator, timed
from deepibl.engine import choose_engine
from deepibl.engine.batch import extract_prepared
from deepibl.runtime import inference


def run(settings: Settings) -> list[Table]:
    """The tables of this benchmark."""
    rows = []
    for batch in settings.batches[:1] if settings.smoke else settings.batches:
        for name, precision in engines():
            if batch > 1 and name != "fused" and not settings.full:
                continue
            took, megabytes = in_a_process(_passes, name, precision, batch, settings, here=settings.smoke)
            made, first, second, other, again = took
            cells = [f"{s:.2f}" for s in (made + first - second, second, other - again)]
            rows.append([f"{name} {precision}", batch, *cells, f"{megabytes:.0f}"])
    columns = ["engine", "images", "s more for the first", "s a pass", "s more for another size", "MB"]
    note = "MB: the process's highest memory, above that with network and images: packed filters and maps."
    return [Table("The first image, another size, memory", columns, rows, note)]


def _passes(name: str, precision: str, batch: int, settings: Settings) -> tuple[list[float], float]:
    """Seconds to make the engine and of two passes of each size, and the MB that they took at most."""
    sizes = ((48, 64), (32, 48)) if settings.smoke else ((480, 640), (448, 608))
    net = network(settings)
    measured = scales(net, precision, *sizes[0])
    first, other = (net.prepare(photos(batch, *size)) for size in sizes)
    set_allocator(True)
    forget_peak()
    ready = memory("VmRSS")
    with inference(net):
        made, engine = timed(lambda: choose_engine(net, name, precision, CPU, scales=measured))
        passes = [
            timed(lambda images=images: extract_prepared(net, images, precision, engine))[0]
            for images in (first, first, other, other)
        ]
    if settings.smoke:
        set_allocator(False)
    return [made, *passes], memory("VmHWM") - ready
