"""getClusters' training descriptors against the original: whose pixels they are, and, with its draws,
which.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from deepibl.images import read_image
from deepibl.networks.build import add_pre_l2
from deepibl.networks.clusters import local_descriptors
from deepibl.networks.pretrained import load_pretrained
from matlab_compat import matfile
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files, golden_id
from tests.tolerances import assert_close, error

DESCRIPTORS = golden_files("train/initdata/*_traindescs.mat")
Setting = tuple[np.ndarray, SimpleNN, Callable[[int], torch.Tensor], int]


@pytest.fixture(params=DESCRIPTORS, ids=golden_id)
def setting(request: pytest.FixtureRequest, golden: Path) -> Setting:
    """The original's descriptors (N, D), the network that gave them, its images and how many there are."""
    path = request.param
    data_set, net_id, *layer = path.stem.removesuffix("_traindescs").split("_")
    pre_l2 = layer[-1] == "preL2"
    net = load_pretrained(
        net_id, "_".join(layer[:-1] if pre_l2 else layer), folder=golden / "train/pretrained"
    )
    listed = matfile.load(golden / f"train/datasets/{data_set}.mat")["dbStruct"]
    names = matfile.image_names(listed["dbImageFns"])
    root = golden / "train/data" / data_set / "images"
    wanted = matfile.load(path)["trainDescs"].T
    return wanted, add_pre_l2(net) if pre_l2 else net, lambda i: read_image(root / names[i]), len(names)


class Replay:
    """The draws that the original made in getClusters, in their order."""

    def __init__(self, golden: Path):
        self.left: list[dict] = []
        for path in sorted((golden / "train").glob("run_*.mat")):
            run = matfile.load(path, ["draws", "draws_stack"])
            draws = zip(run["draws"].ravel(), run["draws_stack"].ravel(), strict=True)
            self.left = self.left or [d for d, stack in draws if str(stack).startswith("getClusters<")]

    def randsample(self, population: int, k: int) -> np.ndarray:
        draw = self.left.pop(0)
        assert (matfile.scalar(draw["n"]), matfile.scalar(draw["k"])) == (population, k)
        return draw["y"].ravel().astype(np.int64) - 1


def test_descriptors_are_pixels_of_the_first_images_in_order(setting: Setting) -> None:
    want, net, images, count = setting
    done = 0
    for i in range(count):
        with torch.no_grad():
            maps = net(net.prepare(images(i)[None]))
        pixels = maps.flatten(2)[0].T.numpy()
        while done < len(want):
            nearest = pixels[np.abs(pixels - want[done]).max(axis=1).argmin()]
            if error(nearest, want[done]) > 1e-4:
                break
            done += 1
    assert done == len(want)


def test_with_the_originals_draws_descriptors_are_the_originals(setting: Setting, golden: Path) -> None:
    want, net, images, count = setting
    draws = Replay(golden)
    if not draws.left:
        pytest.skip("the recorded training runs are not in this copy of the golden data")
    per_image = draws.left[1]["y"].size
    got = local_descriptors(net, images, count, total=len(want), per_image=per_image, draws=draws)
    assert_close(got, want, "net")
    assert not draws.left
