"""How much memory a training step needs, at the sizes of the published training."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

STEP = """
    import sys
    from pathlib import Path
    from types import SimpleNamespace
    import numpy as np
    from PIL import Image
    from deepibl.losses import SARELoss
    from deepibl.training import MinedTuple
    from deepibl.networks import add_pooling; from deepibl.networks.build import plain_layer
    from deepibl.training import Objective
    from deepibl.training.gradients import TupleGradients
    from deepibl.training import TrainingOptions
    from deepibl.training.gradients import TupleReader
    from deepibl.training import Stepper
    from deepibl.features import BackboneCache
    from matlab_compat.simplenn import SimpleNN

    def kilobytes(name):  # of this program; getrusage counts the process that it was forked from, too
        lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
        return int(lines[name].split()[0])

    random, layers, channels = np.random.default_rng(0), [], 3
    for block, (count, filters) in enumerate([(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)], start=1):
        for number in range(1, count + 1):
            weight = random.standard_normal((3, 3, channels, filters), dtype=np.float32)
            weights = [weight / np.sqrt(4.5 * channels), np.zeros((filters, 1), np.float32)]
            layers.append({"type": "conv", "name": f"conv{block}_{number}", "weights": weights,
                           "stride": np.ones((1, 2)), "pad": np.ones((1, 4))})
            if number == count and block < 5:
                layers.append({"type": "pool", "name": f"pool{block}", "method": "max",
                               "pool": np.full((1, 2), 2.0), "stride": np.full((1, 2), 2.0),
                               "pad": np.array([[0.0, 1.0, 0.0, 1.0]])})
            layers.append({"type": "relu", "name": f"relu{block}_{number}"})
            channels = filters
    meta = {"normalization": {"averageImage": np.full((4, 4, 3), 120, np.float32)}}
    net = SimpleNN([plain_layer(fields, i) for i, fields in enumerate(layers[:-1])], meta)
    centres = random.standard_normal((64, 512), dtype=np.float32)
    noise = random.standard_normal((500, 512), dtype=np.float32) / 9
    descriptors = centres[random.integers(0, 64, 500)] + noise
    net = add_pooling(net, "vlad_preL2_intra", centres=centres, descriptors=descriptors)
    folder, store = Path(sys.argv[1]), sys.argv[2]
    names = [f"{number}.jpg" for number in range(12)]
    for name in names:
        Image.fromarray(random.integers(0, 255, (480, 640, 3), dtype=np.uint8)).save(folder / name)
    dataset = SimpleNamespace(
        database_root=folder, database_names=names, query_root=folder, query_names=names
    )
    mined = MinedTuple(0, 1, np.arange(2, 12), np.arange(2, 12))
    stepper = Stepper(net, net.index("conv5_1"))
    cache = BackboneCache(net, stepper.first, store=store, folder=folder / "maps")
    with cache, TupleReader(dataset, TrainingOptions(), cache) as reader:
        compute = TupleGradients(stepper, Objective(SARELoss()), cache, reader, 2.0)
        before = kilobytes("VmRSS")
        (outcome,) = compute([mined])
        most = kilobytes("VmHWM")
    print(most - before, outcome.pairs == 10 and bool(stepper.gradients_are_finite()))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="reads the largest memory in kilobytes, as Linux gives it"
)
@pytest.mark.parametrize("store", ["off", "disk"])
def test_a_tuple_of_twelve_images_needs_less_than_three_gigabytes(tmp_path, store):
    # from the files on, above the weights and what else is in memory before it begins
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(STEP), str(tmp_path), store],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    kilobytes, right = run.stdout.split()
    assert right == "True"
    assert int(kilobytes) / 2**20 < 3, f"{int(kilobytes) / 2**20:.2f} GB above the weights"
    print(f"{int(kilobytes) / 2**20:.2f} GB")
