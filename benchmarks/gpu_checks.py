"""For `python -m benchmarks.gpu`: descriptors from JPEG files, and the tests that need a GPU."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from PIL import Image

from benchmarks.extraction import distance, network, photos
from benchmarks.gpu_run import Asked, Trials
from benchmarks.measure import Settings, Table, require
from deepibl.features import extract

ROOT = Path(__file__).parents[1]
PICTURES = 32  # different ones; more files are copies
OTHER_PIXELS = 2e-2  # cosine distance allowed to descriptors of nvJPEG's pixels


def files(asked: Asked) -> Iterator[Table]:
    """Images a second from JPEG files to descriptors in memory, decoded beside computing."""
    settings, device, batch = asked.settings, asked.device, asked.batch
    net, count = network(settings), 8 if settings.smoke else 4096
    ways = [("torch", "fp32", "cpu")]
    if device.type == "cuda":
        ways += [("cuda", precision, decode) for precision in ("bf16", "fp16") for decode in ("cpu", "gpu")]
    rows, trials = [], Trials()
    with tempfile.TemporaryDirectory() as folder:
        names = _jpegs(Path(folder), count, settings)
        want = None
        for engine, precision, decode in ways:
            with trials.trial(f"{engine} {precision}, decoded by the {decode}"):
                how: dict[str, Any] = {"precision": precision, "engine": engine, "decode": decode}
                how |= {"batch_size": batch, "device": device, "progress": False}
                extract(net, names[: min(count, 6 * batch)], **how)  # warms up
                some = names[: count // 8] if precision == "fp32" else names
                start = time.perf_counter()
                found = torch.from_numpy(np.array(extract(net, some, **how)))
                seconds = time.perf_counter() - start
                want = found if want is None else want
                error = distance(found[: len(want)], want)
                limit = 1e-9 if precision == "fp32" else OTHER_PIXELS if decode == "gpu" else 2e-3
                rows.append([engine, precision, decode, f"{len(some) / seconds:.1f}", f"{error:.1e}"])
                require(error <= limit, f"{engine} {precision}, decoded on the {decode}: {error}")
    columns = ["engine", "precision", "decoded by", "images/s", "cosine distance"]
    yield Table(f"JPEG files to descriptors, batch of {batch}, {count} files", columns, rows)
    trials.finish()


def tests_on_the_gpu(asked: Asked) -> Iterator[Table]:
    """The tests marked `gpu`: the golden networks and trainings among them. Any failure fails the stage."""
    where = ["tests/parity/test_engines.py"] if asked.settings.smoke else ["tests"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-q", "-p", "no:cacheprovider", "-m", "gpu", f"--junitxml={report}", *where]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words], cwd=ROOT, text=True, capture_output=True
        )
        require(report.is_file(), f"pytest wrote no report: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    tests, bad, skipped = (
        sum(int(suite.get(name, 0)) for name in names)
        for names in (("tests",), ("failures", "errors"), ("skipped",))
    )
    yield Table("Tests marked gpu", ["run", "passed", "skipped"], [[tests, tests - bad - skipped, skipped]])
    require(not bad, f"{bad} of {tests} tests on the GPU failed:\n{done.stdout[-20000:]}")
    require(tests > skipped or asked.device.type != "cuda", "no test ran: torch's CUDA device is not seen")


def _jpegs(folder: Path, count: int, settings: Settings) -> list[Path]:
    height, width = (48, 64) if settings.smoke else (480, 640)
    paths = [folder / f"{i:05d}.jpg" for i in range(count)]
    for i, image in enumerate(photos(min(count, PICTURES), height, width)):
        Image.fromarray(image.permute(1, 2, 0).byte().numpy()).save(paths[i], quality=90)
    for i in range(PICTURES, count):
        shutil.copyfile(paths[i % PICTURES], paths[i])
    return paths
