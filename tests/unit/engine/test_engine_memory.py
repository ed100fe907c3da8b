"""How much memory an extraction takes: filters and a few maps, however many images there are."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from deepibl.engine import onednn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc, as Linux has it"),
]
MEGABYTE = 2**20
EXTRACT = """
    import re, sys
    import numpy as np
    from pathlib import Path
    from PIL import Image
    from deepibl.features import extract
    from tests.unit.engine.test_engine import simplenn_of

    def kilobytes(what):
        return int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])

    engine, precision, batch, count, folder = sys.argv[1:]
    widths = [3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 16]  # VGG-16's, and few numbers at the end
    net = simplenn_of(list(zip(widths, widths[1:])), pooled=(1, 3, 6, 9))
    net.meta["normalization"] = {"averageImage": np.full((1, 1, 3), 120, np.float32)}
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    names = [f"{folder}/{i}.jpg" for i in range(int(count))]
    for name in names:
        Image.fromarray(noise).save(name)
    settings = {"engine": engine, "precision": precision, "batch_size": int(batch), "progress": False}
    extract(net, names[:1], engine="torch", resize=32)  # imports
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = kilobytes("VmRSS")
    extract(net, names, num_threads=2, **settings)
    print((kilobytes("VmHWM") - before) * 1024)
"""


def peak(folder: Path, engine: str, precision: str, batch: int, count: int) -> float:
    """MB above what is there before."""
    words = [
        sys.executable,
        "-c",
        textwrap.dedent(EXTRACT),
        engine,
        precision,
        str(batch),
        str(count),
        str(folder),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return int(done.stdout) / MEGABYTE


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 800), ("bf16", 300)])
def test_extraction_takes_filters_and_a_few_maps(tmp_path: Path, precision: str, limit: int) -> None:
    """Of 640 x 480 images. A map of 64 x 480 x 640 is 75 MB in float32; of the fp32 limit 400 MB are the
    filters while they are being transformed. docs/performance.md states the limits.
    """
    if onednn.available() or not onednn.instructions(precision):
        pytest.skip(f"no fused {precision} on this processor")
    one = peak(tmp_path, "fused", precision, batch=1, count=2)
    many = peak(tmp_path, "fused", precision, batch=2, count=8)
    print(f"{precision}: {one:.0f} MB; 8 images, two at a time {many:.0f} MB")
    assert one < limit
    assert many < limit + 300  # another image's maps and what is read ahead, but not eight images'
