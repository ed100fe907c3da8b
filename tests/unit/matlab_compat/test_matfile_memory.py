"""Loading a large network takes little more memory than the network itself."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from matlab_compat import matfile

pytestmark = pytest.mark.slow
MEGABYTE = 1 << 20
MEASURE = """
import re, sys
from matlab_compat import matfile
def kilobytes(what):  # VmHWM is this program's own peak, unlike ru_maxrss, which remembers the parent's
    return int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])
matfile.load(sys.argv[1])  # whatever is imported on first use
before = kilobytes("VmRSS")
net = matfile.load(sys.argv[2], ["net"])
print((kilobytes("VmHWM") - before) * 1024)
"""


def network() -> tuple[dict[str, Any], int]:
    """A net with one large struct layer and one large object layer, and its bytes."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((1, 1, 2048, 3000), dtype=np.float32) for _ in range(2)]
    layer = {"type": "conv", "name": "WPCA", "weights": [weights[0]]}
    vlad = matfile.MatObject("layerVLAD", {"name": "vlad:core", "weights": [weights[1]]})
    return {"layers": [layer, vlad]}, sum(weight.nbytes for weight in weights)


@pytest.mark.parametrize("version", ["plain", "v7", "v7.3"])
def test_loading_takes_less_than_the_network_and_two_fifths_of_the_file(version: str, tmp_path: Path) -> None:
    net, nbytes = network()
    small, large = tmp_path / "small.mat", tmp_path / "large.mat"
    if version == "plain":
        net["layers"][1] = net["layers"][1].properties
        matfile.save(small, {"net": 1})
        matfile.save(large, {"net": net, "other": np.zeros((3000, 3000))})
    else:
        if importlib.util.find_spec("matio") is None:
            pytest.skip("writing class objects needs mat-io, which needs Python 3.11")
        tiny = {"net": [1, matfile.MatObject("layerVLAD", {"name": "x"})]}
        for target, content in ((small, tiny), (large, {"net": net})):
            matfile.save_objects(target, content, version=version, saveobj_classes=["layerVLAD"])
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, small, large], check=True, capture_output=True, text=True
    )
    above = int(done.stdout) - nbytes
    assert above < 0.4 * large.stat().st_size, f"{above / MEGABYTE:.0f} MB above the network"
