"""The original's descriptors under every engine and precision, each within its own tolerance."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import deepibl.networks.build  # noqa: F401  # registers NetVLAD's layers
from deepibl.engine import onednn, quantised
from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import ENGINES, choose_engine
from deepibl.engine.cuda import PRECISIONS
from deepibl.engine.scales import measure
from deepibl.runtime.devices import inference
from matlab_compat import matfile
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn.network import SimpleNN
from tests.golden_data import golden_files, golden_id
from tests.tolerances import TOL, assert_close

# engine -> its precisions, by device; docs/performance.md has them with their tolerances
ON_A_CPU = {name: ("fp32", "bf16") for name in ENGINES if name not in ("auto", "cuda")}
ON_A_CPU["fused"] += ("int8",)
ON_A_GPU = {"torch": ("fp32", "bf16"), "cuda": tuple(PRECISIONS)}
WAYS = [
    *((name, precision, "cpu") for name, several in ON_A_CPU.items() for precision in several),
    *(
        pytest.param(name, precision, "cuda", marks=pytest.mark.gpu)
        for name, several in ON_A_GPU.items()
        for precision in several
    ),
]
LIMITS = {"bf16": "golden bf16", "int8": "golden int8", "fp16": "golden bf16", "tf32": "golden tf32"}


@pytest.mark.parametrize(("engine", "precision", "device"), WAYS)
@pytest.mark.parametrize("path", golden_files("nets/net_*.mat"), ids=golden_id)
def test_descriptors_equal_the_original(path: Path, engine: str, precision: str, device: str) -> None:
    if engine != "torch" and device == "cpu" and (onednn.available() or not onednn.instructions(precision)):
        pytest.skip(f"no fused {precision} on this processor")
    if precision == "int8" and quantised.available():
        pytest.skip(quantised.available())
    content = matfile.load(path)
    net = SimpleNN.from_matlab(content["net"])
    want = torch.from_numpy(content["feats"].T.copy())
    with inference(net, device) as where:
        x = maps_to_torch(content["x"]).to(where)
        scales = measure(net, [x]) if precision == "int8" else None
        chosen = choose_engine(net, engine, precision, where, scales=scales)
        got = extract_prepared(net, x, precision, chosen).cpu()
    if precision == "fp32":
        assert_close(got, want, "net")
    else:
        distance = float((1 - F.cosine_similarity(got.double(), want.double())).max())
        assert distance <= TOL[LIMITS[precision]]


def test_the_documents_table_is_that_of_the_tests() -> None:
    page = (Path(__file__).parents[2] / "docs" / "performance.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) (\w+) (cpu|cuda) \| (\S+) ", page, re.MULTILINE)
    ways = [tuple(getattr(way, "values", way)) for way in WAYS]
    assert sorted(row[:3] for row in rows) == sorted(ways)
    for _, precision, _, limit in rows:
        tolerance = TOL["net" if precision == "fp32" else LIMITS[precision]]
        assert float(limit) == float(f"{tolerance:.0e}")
