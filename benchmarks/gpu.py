"""python -m benchmarks.gpu [--only STAGE ...] [--output FILE] [--smoke]: what a GPU takes, in one call.

Stages, with the seconds that they are expected to take on an H100 (predicted, not measured):
{stages}
Each runs in a process of its own: one that fails prints its traceback and the others go on; the exit status
is 1 then. --output adds results to a Markdown file as they come. --minutes ends what takes longer. --smoke
walks through it on any machine, on the CPU if there is no GPU.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.gpu_epoch import WAYS, epoch, take_photos
from benchmarks.gpu_extraction import extraction, files, kernels
from benchmarks.gpu_machine import env
from benchmarks.gpu_run import Asked, Stage, run_apart, run_stage
from benchmarks.measure import Settings, real_options

STAGES = (
    Stage("env", "card, driver, libraries; bus, memory and convolution speeds", 30, env),
    Stage("extraction", "images/s of every engine and precision, share of the bf16 peak", 60, extraction),
    Stage("profile", "the 15 kernels that take most, of extraction and of a training step", 60, kernels),
    Stage("files", "images/s from JPEG files, decoded by the processor", 90, files),
    Stage("city", "the photos of the epoch, for --city FOLDER", 40, take_photos),
    Stage("epoch", "a tenth of an epoch of Pitts30k's size; --share 1: the whole", 120, epoch),
)


def main(arguments: Sequence[str] | None = None) -> None:
    about = "\n".join(f"  {each.name:<11}{each.seconds:>4}  {each.what}" for each in STAGES)
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").format(stages=about), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [stage.name for stage in STAGES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="these stages")
    parser.add_argument("--output", type=Path, help="Markdown file to which results are added")
    parser.add_argument("--minutes", type=float, default=60.0, help="for all stages together")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--batch", type=int, default=32, help="images at a time")
    parser.add_argument("--share", type=float, default=0.1, help="of the epoch's images: less takes less")
    numbers = range(1, len(WAYS) + 1)
    listed = "; ".join(f"{number}: {way.name}" for number, way in zip(numbers, WAYS, strict=True))
    parser.add_argument("--ways", type=int, nargs="+", choices=numbers, default=[*numbers], help=listed)
    parser.add_argument("--city", type=Path, help="folder where the epoch's photos stay for the next call")
    real_options(parser)
    options = parser.parse_args(arguments)
    if not torch.cuda.is_available() and not options.smoke:
        parser.error("no CUDA device is here; --smoke walks through the script on the CPU")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    real = {name: getattr(options, name) for name in ("network", "clusters", "images")}
    size = (2, 0.002) if options.smoke else (options.batch, options.share)
    asked = Asked(Settings(smoke=options.smoke, **real), device, *size, options.ways, options.city)
    started, failed = time.monotonic(), []
    for stage in (stage for stage in STAGES if stage.name in options.only):
        left = 60 * options.minutes - (time.monotonic() - started)
        try:
            if options.smoke:
                run_stage(stage, asked, options.output)
            elif not run_apart(stage, asked, options.output, left):
                failed.append(stage.name)
        except SystemExit:
            failed.append(stage.name)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
