"""deepibl.engine.cuda: its arithmetic on the processor."""

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from deepibl.engine.backbone import head_start
from deepibl.engine.batch import extract_prepared
from deepibl.engine.choose import Engine, choose_engine
from deepibl.engine.cuda import CudaBackbone
from deepibl.runtime.devices import inference
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn.network import SimpleNN
from tests.released_layout import released_network
from tests.tolerances import TOL


@pytest.fixture(scope="module")
def net() -> SimpleNN:
    return SimpleNN.from_matlab(released_network(small=True))


def photos(count: int = 2, height: int = 48, width: int = 64, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed)) * 255 - 120


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((1 - F.cosine_similarity(a.double(), b.double())).max())


@pytest.mark.parametrize(
    ("precision", "limit"),
    [("fp32", "engine"), ("tf32", "engine"), ("bf16", "engine bf16"), ("fp16", "engine bf16")],
)
def test_the_backbones_arithmetic_is_the_networks(net: SimpleNN, precision: str, limit: str) -> None:
    stop = head_start(net)
    with inference(net):
        engine = Engine("cuda", "here", stop, CudaBackbone(net, stop, precision))
        got, want = extract_prepared(net, photos(), precision, engine), extract_prepared(net, photos())
    assert distance(got, want) <= TOL[limit]


def test_the_networks_own_weights_stay_as_they_are(net: SimpleNN) -> None:
    before = {name: (weight.dtype, weight.stride()) for name, weight in net.state_dict().items()}
    CudaBackbone(net, head_start(net), "bf16")
    assert before == {name: (weight.dtype, weight.stride()) for name, weight in net.state_dict().items()}


def test_the_backbone_keeps_the_weights_of_when_it_was_made() -> None:
    own = SimpleNN.from_matlab(released_network(small=True))
    backbone = CudaBackbone(own, 5, "fp32")
    with torch.inference_mode():
        before = backbone(photos())
        own[0].weight.data.zero_()
        assert torch.equal(backbone(photos()), before)


PROGRAMS = {
    "says nothing": "",
    "old names": "torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True",
    "high": "torch.set_float32_matmul_precision('high')",
    "matrix products": "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "convolutions": "torch.backends.cudnn.conv.fp32_precision = 'tf32'",
    "cuDNN": "torch.backends.cudnn.fp32_precision = 'tf32'",
    "all": "torch.backends.fp32_precision = 'tf32'",
}
ASKED = """
import torch
from deepibl.runtime import exact_products; from deepibl.runtime.devices import fastest_convolutions

cudnn, products = torch.backends.cudnn, torch.backends.cuda.matmul

def now():
    flags = [cudnn.enabled, cudnn.benchmark, cudnn.deterministic]
    return [products.fp32_precision, cudnn.conv.fp32_precision, cudnn.rnn.fp32_precision, *flags]

before = now()
with exact_products(torch.device("cuda")):
    inside = now()
    assert not cudnn.allow_tf32  # torch itself asks by the old name
    with fastest_convolutions(tf32=True):
        fast = now()
    with fastest_convolutions(tf32=False):
        half = now()
    assert now() == inside
assert now() == before, (now(), before)
for late in (exact_products(torch.device("cuda")), fastest_convolutions(tf32=True)):
    early = exact_products(torch.device("cuda"))  # as two threads would, whose work overlaps
    early.__enter__()
    late.__enter__()
    while_both = now()
    early.__exit__(None, None, None)
    assert now() == while_both, (now(), while_both)
    late.__exit__(None, None, None)
    assert now() == before, (now(), before)
assert inside == ["ieee", "ieee", "ieee", True, False, True], inside
assert fast == ["ieee", "tf32", "tf32", True, True, False], fast
assert half == ["ieee", "ieee", "ieee", True, True, False], half
"""


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch is older")
def test_no_tf32_whatever_a_program_has_allowed_and_cudnn_stays_on() -> None:
    code = f"""
import os, traceback
import deepibl.runtime.devices
for name, program in {PROGRAMS!r}.items():  # a process for each: such settings are of a whole process
    child = os.fork()
    if not child:
        try:
            exec("import torch\\n" + program + {ASKED!r}, {{}})
        except BaseException:
            print("a program that sets", name, flush=True)
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stdout + done.stderr


def test_the_engine_is_refused_on_a_processor(net: SimpleNN) -> None:
    with pytest.raises(ArgumentError, match="on a CUDA device, not on cpu"):
        choose_engine(net, "cuda", "fp32", torch.device("cpu"))
