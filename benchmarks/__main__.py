"""python -m benchmarks [--full | --smoke] [--only NAME ...] [--network FILE.mat --images FOLDER]

Prints every table of docs/performance.md as Markdown. The short form takes up to 10 minutes on two cores.
--smoke: tiny sizes; results are compared, no time is asserted (what CI runs). With --network and --images the
figures of extraction and training are of that network and of these photos.
"""

import importlib
import platform
import time
from collections.abc import Sequence

import torch

from benchmarks.measure import Settings, Table, command_line, peaks, real_options
from deepibl.engine import onednn
from matlab_compat.faiss_library import choose_kernels

BENCHMARKS = ("extraction", "training", "search", "growth", "scale", "loading")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--full", action="store_true", help="the largest sizes; takes long")
    how.add_argument("--smoke", action="store_true", help="tiny sizes, results compared")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    parser.add_argument("--rounds", type=int, default=0, help="interleaved rounds (usually 3, with --full 7)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4], help="of extraction")
    real_options(parser)
    given = vars(parser.parse_args(arguments))
    names = given.pop("only")
    settings = Settings(**{**given, "batches": tuple(given["batches"])})
    choose_kernels()  # as the command does
    rows = [
        ["processor", f"{_processor()}, {torch.get_num_threads()} threads"],
        *([f"instructions, {of}", onednn.instructions(of) or "none"] for of in ("fp32", "bf16", "int8")),
        ["torch", torch.__version__],
        *([name, f"{speed:.0f} GFLOP/s"] for name, speed in peaks(settings).items()),
    ]
    Table("This machine", ["what", "measured"], rows).print()
    for name in names:
        start = time.perf_counter()
        for table in importlib.import_module(f"benchmarks.{name}").run(settings):
            table.print()
        print(f"({name}: {time.perf_counter() - start:.0f} s)")


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
