"""python -m benchmarks.gpu [--only STAGE …] [--output FILE] [--smoke]: is a GPU right, and how fast?

extraction  images/s of every engine and precision, from images on the card and from JPEG files
parity      descriptors and gradients against those of the CPU in float32
epoch       a tenth of an epoch of Pitts30k's size through the training loop; --share 1: the whole

Each stage runs in a process of its own. What fails prints its traceback and the rest goes on; the exit status
is 1 then. --output adds results to a Markdown file as they come. --smoke walks through it on any machine.
"""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.extraction import (
    distance,
    gigaflop,
    image_size,
    network,
    photos,
    without_whitening,
    write_photos,
)
from benchmarks.measure import Settings, Table, command_line, in_a_process, real_options, require, timed
from deepibl.datasets import PlaceDataset, load_dbstruct
from deepibl.engine import choose_engine
from deepibl.engine.batch import extract_prepared
from deepibl.features import extract
from deepibl.losses import SARELoss
from deepibl.runtime import inference
from deepibl.runtime.devices import fastest_convolutions
from deepibl.toycity import make_city
from deepibl.training import BatchReport, Objective, Stepper, TrainingListener, TrainingState
from deepibl.training.session import train

# engine, precision
PLAIN = (("torch", "fp32"), ("torch", "bf16"))
FAST = tuple(("cuda", precision) for precision in ("fp32", "tf32", "bf16", "fp16"))
ENGINES = {"cpu": PLAIN, "cuda": (*PLAIN, *FAST)}
FROM_FILES = {"cpu": (("torch", "fp32"),), "cuda": (("torch", "fp32"), ("cuda", "bf16"), ("cuda", "fp16"))}
LIMITS = {"fp32": 1e-5, "tf32": 1e-5, "bf16": 2e-3, "fp16": 2e-3}  # cosine distance
GRADIENTS = {"fp32": 1e-3, "bf16": 2e-1}  # |a-b| / |b|
FIRST, TUPLE = "conv5_1", 12  # the lowest layer that learns; images of a tuple
SPLITS = {"train": (10_000, 7_416), "val": (10_000, 7_608)}  # Pitts30k: database images, queries
# how an epoch is trained: options of speed, and the part of Pitts30k, at most
WAYS: Mapping[str, tuple[dict[str, Any], float]] = {
    "layers below computed every time, fp32": ({"backbone_cache": "off"}, 0.02),
    "maps kept, fp32": ({"backbone_cache_gb": 100}, 1.0),
    "maps kept, fp16; conv5 in bf16": ({"backbone_cache_dtype": "fp16", "precision": "bf16"}, 1.0),
}


@dataclass(frozen=True)
class StageOptions:
    """What a stage works with: the options of the command line of these names."""

    settings: Settings
    device: torch.device
    batch: int = 32
    share: float = 0.1
    ways: Sequence[int] = (1, 2, 3)
    city: Path | None = None
    output: Path | None = None


def extraction(options: StageOptions) -> Iterator[Table]:
    net, images, device = network(options.settings), photos(options.settings, options.batch), options.device
    flop, peak = gigaflop(net, *images.shape[2:]) / 1e3, convolution_peak(options)
    table = Table(
        f"Extraction, batch of {len(images)}, {images.shape[3]}x{images.shape[2]}",
        ["engine", "precision", "images/s", "TFLOP/s", "of the bf16 peak"],
        note=f"{card(device)}; its bf16 convolution peak: {peak:.1f} TFLOP/s",
    )
    failed: list[str] = []
    for name, precision in ENGINES[device.type]:
        with noting_failure(f"{name} {precision}", failed):
            describe = describer(net, images, name, precision, device)
            speed = len(images) / seconds(describe, device, 10)
            table.rows.append(
                [name, precision, f"{speed:.1f}", f"{speed * flop:.1f}", f"{speed * flop / peak:.0%}"]
            )
    yield table
    count = 8 if options.settings.smoke else 4096
    table = Table(f"{count} JPEG files to descriptors", ["engine", "precision", "images/s"])
    with tempfile.TemporaryDirectory() as folder:
        files = write_photos(options.settings, Path(folder), count)
        for name, precision in FROM_FILES[device.type]:
            with noting_failure(f"files, {name} {precision}", failed):
                how = {"precision": precision, "engine": name, "batch_size": options.batch, "device": device}
                job = partial(extract, net, progress=False, **how)
                job(files[: 6 * options.batch])  # warms up
                some = files[: count // 8] if precision == "fp32" else files
                taken = timed(lambda job=job, some=some: np.array(job(some)))[0]
                table.rows.append([name, precision, f"{len(some) / taken:.1f}"])
    yield table
    require(not failed, f"failed: {failed}")


def parity(options: StageOptions) -> Iterator[Table]:
    """Raises Mismatch for a result that is farther from the CPU's than LIMITS and GRADIENTS allow."""
    net, images = network(options.settings), photos(options.settings, min(4, options.batch))
    want = describer(net, images, "torch", "fp32", torch.device("cpu"))()
    table = Table("Against the CPU, float32", ["engine", "precision", "difference", "at most"])
    failed: list[str] = []
    for name, precision in ENGINES[options.device.type]:
        with noting_failure(f"{name} {precision}", failed):
            describe = describer(net, images, name, precision, options.device)
            found, limit = distance(describe().cpu(), want), LIMITS[precision]
            table.rows.append([name, precision, f"cosine {found:.1e}", limit])
            require(found <= limit, f"{name} {precision}: {found}")
    exact = gradient(options.settings, "fp32", torch.device("cpu"))
    for precision, limit in GRADIENTS.items():
        with noting_failure(f"gradient, {precision}", failed):
            got = gradient(options.settings, precision, options.device)
            away = float((got - exact).norm() / exact.norm())
            table.rows.append([f"gradient of {FIRST}", precision, f"{away:.1e}", limit])
            require(away <= limit, f"gradient, {precision}: {away}")
    yield table
    require(not failed, f"failed: {failed}")


def epoch(options: StageOptions) -> Iterator[Table]:
    """Seconds of an epoch, refreshes and tests included, whose maps are kept already: the test before it has
    computed all of them.
    """
    failed: list[str] = []
    for name, (speed, most) in [list(WAYS.items())[number - 1] for number in options.ways]:
        with noting_failure(name, failed), tempfile.TemporaryDirectory() as folder:
            part, on_gpu = min(options.share, most), options.device.type == "cuda"
            sets = city(options.city or Path(folder), part, options.settings)
            if on_gpu:
                torch.cuda.reset_peak_memory_stats(options.device)
            watch, started = Stopwatch(), time.perf_counter()
            how = {"session": "run", "epochs": 1, "output_prefix": f"{folder}/", "use_gpu": on_gpu}
            how |= {"first_trained_layer": FIRST, "refresh_interval": max(8, round(1000 * part))}
            how |= {"save_interval": 10_000, "extraction_batch_size": 32, **speed}
            train(*sets, without_whitening(network(options.settings)), "gauss-ind", listeners=[watch], **how)
            before = time.perf_counter() - started - watch.taken
            memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else 0.0
            rows = [
                ["images (train+val)", "+".join(str(each.query_count + each.database_size) for each in sets)],
                ["s an epoch", f"{watch.taken:.1f}"],
                ["of these: steps", f"{watch.steps:.1f}"],
                ["before it: maps, first features, first test", f"{before:.1f}"],
                ["s an epoch of Pitts30k's size", f"{watch.taken / part:.0f}"],
                ["most memory of the GPU", f"{memory:.1f} GB"],
                ["maps", watch.note],
            ]
            yield Table(f"Epoch, {part:g} of Pitts30k: {name}", ["what", "measured"], rows)
    require(not failed, f"failed: {failed}")


STAGES: dict[str, Any] = {"extraction": extraction, "parity": parity, "epoch": epoch}


@contextmanager
def noting_failure(what: str, failed: list[str]) -> Iterator[None]:
    """Prints an error inside and adds `what` to what has failed."""
    try:
        yield
    except Exception:
        failed.append(what)
        traceback.print_exc()


def describer(
    net: Any, images: Tensor, name: str, precision: str, device: torch.device
) -> Callable[[], Tensor]:
    """A function that describes images with an engine."""
    engine = choose_engine(net.to(device), name, precision, device)

    def describe() -> Tensor:
        with inference(net, device):
            return extract_prepared(net, prepared, precision, engine)

    with inference(net, device):
        prepared = net.prepare(images.to(device))
    describe()
    return describe


def gradient(settings: Settings, precision: str, device: torch.device) -> Tensor:
    """The gradient of the lowest layer that learns, of one tuple's random maps."""
    net = without_whitening(network(settings)).to(device)
    stepper = Stepper(net, net.index(FIRST), precision=precision)
    size = (3, 4) if settings.smoke else (30, 40)
    random = torch.Generator().manual_seed(0)
    maps = torch.rand(TUPLE, net["conv4_3"].weight.shape[0], *size, generator=random)
    stepper.accumulate(maps.to(device), [TUPLE], Objective(SARELoss()))
    return net[FIRST].weight.grad.cpu()


@dataclass
class Stopwatch(TrainingListener):
    """Seconds of the epoch and of its steps, mining included; the note about kept maps."""

    begun: float = 0.0
    taken: float = 0.0
    steps: float = 0.0
    note: str = ""

    def noted(self, what: str) -> None:
        self.note = what.partition(";")[0].replace(" (", ", ")

    def epoch_started(self, state: TrainingState, rate: float, rate_before: float) -> None:
        self.begun = time.perf_counter()

    def batch_done(self, state: TrainingState, report: BatchReport) -> None:
        self.steps += report.seconds

    def finished(self, state: TrainingState) -> None:
        self.taken = time.perf_counter() - self.begun


def city(folder: Path, part: float, settings: Settings) -> list[PlaceDataset]:
    """Generated training and validation sets of a part of Pitts30k's size; photos that exist are kept."""
    height, width = image_size(settings)
    where, sets = folder / f"city{part:g}", []
    for split, (images, queries) in SPLITS.items():
        counts = {"images": max(40, round(images * part)), "queries": max(8, round(queries * part))}
        workers = 1 if settings.smoke else os.cpu_count() or 1
        path = make_city(where, **counts, size=(width, height), split=split, workers=workers, progress=False)
        sets.append(load_dbstruct(path, root=where))
    return sets


def card(device: torch.device) -> str:
    """The card, and the versions of what drives it."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "no card"
    cudnn = torch.backends.cudnn.version()
    return f"{name}, torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def convolution_peak(options: StageOptions) -> float:
    """TFLOP/s of the best of VGG-16's convolutions in bf16, channels last."""
    images, best = 16, 0.0
    how: dict[str, Any] = {"device": options.device, "dtype": torch.bfloat16}
    for channels, side in ((8, 16),) if options.settings.smoke else ((256, 120), (512, 60), (512, 120)):
        x, filters = (
            torch.randn(*shape, **how).to(memory_format=torch.channels_last)
            for shape in ((images, channels, side, side), (channels, channels, 3, 3))
        )
        with torch.inference_mode(), fastest_convolutions(tf32=False):
            taken = seconds(lambda x=x, filters=filters: torch.conv2d(x, filters, padding=1), options.device)
        best = max(best, 18 * images * side**2 * channels**2 / taken / 1e12)
    return best


def seconds(run: Callable[[], Any], device: torch.device, repeats: int = 20) -> float:
    """Seconds a run, the device's work included, after a few that warm up."""
    warm, count = (5, repeats) if device.type == "cuda" else (1, 1)

    def several(times: int) -> None:
        for _ in range(times):
            run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    several(warm)
    return timed(lambda: several(count))[0] / count


def run_stage(name: str, options: StageOptions) -> None:
    """Prints a stage's tables, and adds them to --output, as they come."""
    say(f"## {name}\n", options.output)
    for table in STAGES[name](options):
        say(table.text(), options.output)


def say(text: str, output: Path | None) -> None:
    print(text, flush=True)
    if output is not None:
        with output.open("a", encoding="utf-8") as file:
            file.write(f"{text}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES), help="these stages")
    parser.add_argument("--output", type=Path, help="Markdown file to which results are added")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, on any device")
    parser.add_argument("--batch", type=int, default=32, help="images at a time")
    parser.add_argument("--share", type=float, default=0.1, help="of the epoch's images: less takes less")
    numbers = range(1, len(WAYS) + 1)
    listed = "; ".join(f"{number}: {name}" for number, name in zip(numbers, WAYS, strict=True))
    parser.add_argument("--ways", type=int, nargs="+", choices=numbers, default=[*numbers], help=listed)
    parser.add_argument("--city", type=Path, help="folder where the epoch's photos stay for the next call")
    real_options(parser)
    given = vars(parser.parse_args(arguments))
    if not torch.cuda.is_available() and not given["smoke"]:
        parser.error("no CUDA device is here; --smoke walks through the script on the CPU")
    names, smoke = given.pop("only"), given.pop("smoke")
    real = {name: given.pop(name) for name in ("network", "clusters", "images")}
    if smoke:
        given |= {"batch": 2, "share": 0.002}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    options, failed = StageOptions(Settings(smoke=smoke, **real), device, **given), list[str]()
    for name in names:
        with noting_failure(name, failed):
            in_a_process(run_stage, name, options, here=smoke)
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
