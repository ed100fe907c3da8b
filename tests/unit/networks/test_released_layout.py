"""A network of the released models' layout, read from every form that MATLAB users have it in.

The reference is written out here with torch's functions in float64, from the arrays that the files were
made of. The small network runs always; the full one (three files of 600 MB) is marked slow.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deepibl.networks.identity import network_id
from deepibl.networks.io import layer_specs, load_network, save_network
from deepibl.networks.weights import LAYOUTS, differences
from tests.released_layout import FILES, plain_structs, released_network, write_released

COSINE = 1e-9
FORMS = list(FILES)
OBJECT_FORMS = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="mat-io, which writes class objects, wants 3.11"
)


def photos(count: int = 2, height: int = 75, width: int = 91) -> Tensor:
    """Smooth coloured noise, 0..255, at a size that is no multiple of 16."""
    coarse = torch.rand(count, 3, 9, 11, generator=torch.Generator().manual_seed(1)) * 255
    return F.interpolate(coarse, (height, width), mode="bilinear")


def reference(net: dict[str, Any], images: Tensor) -> Tensor:
    """Descriptors (N, D) in float64, by torch's functions alone; takes the struct with plain layers."""
    x = (
        images.double()
        - torch.tensor(net["meta"]["normalization"]["averageImage"][0, 0].astype(float))[:, None, None]
    )
    for layer in net["layers"].flat:
        x = STEPS[layer["name"].rstrip("0123456789_")](x, layer)
    return x


def tensors(layer: dict[str, Any]) -> list[Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array)) for array in layer["weights"].flat]


def convolve(x: Tensor, layer: dict[str, Any]) -> Tensor:
    filters, biases = tensors(layer)
    return F.conv2d(x, filters.permute(3, 2, 0, 1).double(), biases.ravel().double(), padding=1)


def pool(x: Tensor, layer: dict[str, Any]) -> Tensor:
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 2, 2)


def unit_pixels(x: Tensor, layer: dict[str, Any]) -> Tensor:
    return x / (x.square().sum(1, keepdim=True) + 1e-12).sqrt()


def vlad(x: Tensor, layer: dict[str, Any]) -> Tensor:
    """(N, D, H, W) -> (N, D, 1, K), one cluster after the other, residuals written out."""
    assign, minus_centre = (weight[0, 0].double() for weight in tensors(layer))
    shares = torch.softmax(torch.einsum("dk,ndhw->nkhw", assign, x), 1)
    sums = [
        (shares[:, k, None] * (x + minus_centre[:, k, None, None])).sum((2, 3))
        for k in range(assign.shape[1])
    ]
    return torch.stack(sums, 2)[:, :, None]


def unit_image(x: Tensor, layer: dict[str, Any]) -> Tensor:
    """MATLAB's order: k fastest, then d."""
    flat = x.reshape(len(x), -1)
    return flat / (flat.norm(dim=1, keepdim=True) + 1e-12)


def whiten(x: Tensor, layer: dict[str, Any]) -> Tensor:
    filters, biases = tensors(layer)
    blocks = filters[0, 0].T.split(256)  # in blocks: all of it in float64 would be a gigabyte
    return torch.cat([x @ block.double().T for block in blocks], 1) + biases.ravel().double()


STEPS: dict[str, Callable[[Tensor, dict[str, Any]], Tensor]] = {
    "conv": convolve,
    "relu": lambda x, layer: x.clamp(min=0),
    "pool": pool,
    "preL": unit_pixels,
    "vlad:core": vlad,
    "vlad:intranorm": unit_pixels,
    "postL": unit_image,
    "WPCA": whiten,
    "finalL": unit_image,
}


def cosine_distance(a: Tensor, b: Tensor) -> float:
    """The largest 1 - cos of corresponding rows, without cancellation."""
    a, b = (F.normalize(t.detach().double(), dim=1) for t in (a, b))
    return float(((a - b).square().sum(1) / 2).max())


def describe(net: Any, images: Tensor) -> Tensor:
    with torch.inference_mode():
        return net(net.prepare(images)).flatten(1)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("small")
    write_released(folder, FORMS if sys.version_info >= (3, 11) else ["struct"], small=True)
    yield folder


forms = pytest.mark.parametrize(
    "form", [pytest.param(form, marks=OBJECT_FORMS if form != "struct" else ()) for form in FORMS]
)


@forms
def test_every_form_gives_the_references_descriptors(small: Path, form: str) -> None:
    want = reference(plain_structs(released_network(small=True)), photos())
    got = describe(load_network(small / FILES[form]), photos())
    assert got.shape == want.shape
    assert cosine_distance(got, want) <= COSINE


@OBJECT_FORMS
def test_all_forms_are_one_network(small: Path) -> None:
    nets = [load_network(small / FILES[form]) for form in FORMS]
    assert len({network_id(net) for net in nets}) == 1
    assert layer_specs(nets[0]) == layer_specs(nets[1]) == layer_specs(nets[2])
    first, *others = (describe(net, photos()) for net in nets)
    assert all(torch.equal(first, other) for other in others)


@forms
def test_the_35_layers_are_those_of_the_released_models(small: Path, form: str) -> None:
    specs = layer_specs(load_network(small / FILES[form]))
    wanted = LAYOUTS["vgg16-netvlad-white"].layers
    assert len(specs) == 35
    assert [(spec.name, spec.type) for spec in specs] == [(spec.name, spec.type) for spec in wanted]


def test_other_weights_are_another_network() -> None:
    from matlab_compat.simplenn.network import SimpleNN

    ids = {network_id(SimpleNN.from_matlab(released_network(small=True, seed=seed))) for seed in (0, 0, 1)}
    assert len(ids) == 2


def test_the_reference_sees_a_wrong_order_of_the_vlad_vector(small: Path) -> None:
    net = plain_structs(released_network(small=True))
    want = reference(net, photos())
    whitening = next(layer for layer in net["layers"].flat if layer["name"] == "WPCA")
    clusters = 5
    filters = whitening["weights"][0, 0]
    swapped = filters.reshape(clusters, -1, filters.shape[-1], order="F").transpose(1, 0, 2)
    whitening["weights"][0, 0] = swapped.reshape(filters.shape, order="F")
    assert cosine_distance(reference(net, photos()), want) > 1e-3


@forms
@pytest.mark.parametrize("suffix", [".mat", ".safetensors"])
def test_saving_and_loading_gives_the_same_network(
    small: Path, tmp_path: Path, form: str, suffix: str
) -> None:
    net = load_network(small / FILES[form])
    save_network(net, tmp_path / f"again{suffix}")
    again = load_network(tmp_path / f"again{suffix}")
    assert network_id(again) == network_id(net)
    assert layer_specs(again) == layer_specs(net)


MEASURE = """
import json, re, sys, time
from deepibl.networks import load_network
def kilobytes(what):  # VmHWM is this program's own peak, unlike ru_maxrss, which remembers the parent's
    return int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1])
before, start = kilobytes("VmRSS"), time.perf_counter()
net = load_network(sys.argv[1])
seconds = time.perf_counter() - start
network = sum(p.numel() * p.element_size() for p in net.parameters())
print(json.dumps({"seconds": seconds, "peak": 1024 * (kilobytes("VmHWM") - before), "network": network}))
"""


def measured_load(path: Path) -> dict[str, float]:
    """Seconds and memory (bytes above what was in use before) of loading, in a process of its own."""
    words = [sys.executable, "-c", MEASURE, str(path)]
    result = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(result.stdout)


@pytest.mark.slow
@OBJECT_FORMS
def test_the_full_size_layout(tmp_path: Path) -> None:
    """Writes, loads, measures, compares; prints what the README states (pytest -s)."""
    paths = write_released(tmp_path)
    plain = plain_structs(released_network())
    want = reference(plain, photos(1, 150, 203))
    del plain
    ids = set()
    for form, path in zip(FORMS, paths, strict=True):
        size = path.stat().st_size
        found = measured_load(path)
        over = (found["peak"] - found["network"]) / size
        print(
            f"{form}: file {size / 1e6:.0f} MB, {found['seconds']:.1f} s, {over:.2f} x file above the network"
        )
        assert over <= 1.4
        net = load_network(path)
        assert not differences(layer_specs(net), LAYOUTS["vgg16-netvlad-white"])
        assert cosine_distance(describe(net, photos(1, 150, 203)), want) <= COSINE
        ids.add(network_id(net))
        save_network(net, tmp_path / "net.safetensors")
        again = measured_load(tmp_path / "net.safetensors")
        print(f"{form}: .safetensors {again['seconds']:.2f} s")
        assert again["seconds"] < 1
        path.unlink()
    assert len(ids) == 1
