"""The original's descriptors under every engine and precision, each within its own tolerance."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import deepibl.network_layers  # noqa: F401  # registers NetVLAD's layers
from deepibl.describe import describe_prepared, inference
from deepibl.engine import choose_engine, onednn
from matlab_compat import matfile
from matlab_compat.layout import maps_to_torch
from matlab_compat.simplenn import SimpleNN
from tests.golden_data import golden_files, golden_id
from tests.tolerances import TOL, assert_close

ENGINES = ["torch", "fused", *(["openvino"] if find_spec("openvino") else [])]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("path", golden_files("nets/net_*.mat"), ids=golden_id)
def test_descriptors_equal_the_original(path: Path, engine: str, precision: str, device: str) -> None:
    name = "cuda" if device == "cuda" and engine == "fused" else engine
    if name == "openvino" and device == "cuda":
        pytest.skip("OpenVINO computes on the CPU")
    if name != "torch" and device == "cpu" and (onednn.available() or not onednn.instructions(precision)):
        pytest.skip(f"no fused {precision} on this processor")
    content = matfile.load(path)
    net = SimpleNN.from_matlab(content["net"])
    want = torch.from_numpy(content["feats"].T.copy())
    with inference(net, device) as where:
        x = maps_to_torch(content["x"]).to(where)
        got = describe_prepared(net, x, precision, choose_engine(net, name, precision, where)).cpu()
    if precision == "fp32":
        assert_close(got, want, "net")
    else:
        distance = float((1 - F.cosine_similarity(got.double(), want.double())).max())
        assert distance <= TOL["golden bf16"]
