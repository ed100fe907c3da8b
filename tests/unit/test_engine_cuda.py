"""deepibl.engine.cuda: its arithmetic on the processor; its graphs on a GPU, where there is one."""

import pytest
import torch
import torch.nn.functional as F

from deepibl.describe import describe_prepared, exact_products, head_start, inference
from deepibl.engine import Engine, choose_engine
from deepibl.engine.cuda import MOST_GRAPHS, SEEN_BEFORE, CudaTrunk
from matlab_compat.errors import ArgumentError
from matlab_compat.simplenn import SimpleNN
from scripts.make_released_layout import released_network
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
def test_the_trunks_arithmetic_is_the_networks(net: SimpleNN, precision: str, limit: str) -> None:
    stop = head_start(net)
    with inference(net):
        engine = Engine("cuda", "here", stop, CudaTrunk(net, stop, precision))
        got, want = describe_prepared(net, photos(), precision, engine), describe_prepared(net, photos())
    assert distance(got, want) <= TOL[limit]


def test_the_networks_own_weights_stay_as_they_are(net: SimpleNN) -> None:
    before = {name: (weight.dtype, weight.stride()) for name, weight in net.state_dict().items()}
    CudaTrunk(net, head_start(net), "bf16")
    assert before == {name: (weight.dtype, weight.stride()) for name, weight in net.state_dict().items()}


def test_the_trunk_keeps_the_weights_of_when_it_was_made() -> None:
    own = SimpleNN.from_matlab(released_network(small=True))
    trunk = CudaTrunk(own, 5, "fp32")
    with torch.inference_mode():
        before = trunk(photos())
        own[0].weight.data.zero_()
        assert torch.equal(trunk(photos()), before)


@pytest.mark.parametrize("allowed", ["tf32", "ieee", "none"])
def test_matrix_products_are_in_full_float32_meanwhile(allowed: str) -> None:
    products = torch.backends.cuda.matmul
    if not hasattr(products, "fp32_precision"):
        pytest.skip("this torch has only allow_tf32")
    before = products.fp32_precision
    try:
        products.fp32_precision = allowed
        with exact_products(torch.device("cuda")):
            assert products.fp32_precision == "ieee"
            assert not torch.backends.cudnn.allow_tf32 and torch.backends.cudnn.deterministic
        assert products.fp32_precision == allowed
    finally:
        products.fp32_precision = before


def test_the_engine_is_refused_on_a_processor(net: SimpleNN) -> None:
    with pytest.raises(ArgumentError, match="on a CUDA device, not on cpu"):
        choose_engine(net, "cuda", "fp32", torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_graphs_of_many_sizes_share_memory_and_give_what_runs_without_them(precision: str) -> None:
    own = SimpleNN.from_matlab(released_network(small=True))
    stop = head_start(own)
    with inference(own, "cuda"):
        graphs, plain = CudaTrunk(own, stop, precision), CudaTrunk(own, stop, precision, graphs=False)
        kept = []
        for turn in range(SEEN_BEFORE + 3):
            for i in range(MOST_GRAPHS + 2):
                x = photos(2, 32 + 16 * i, 48, seed=turn).cuda()
                kept.append((graphs(x), plain(x)))
        assert len(graphs._recorded) == MOST_GRAPHS
        for got, want in kept:  # results of one graph outlive the runs of all others
            assert (
                distance(got.flatten(1), want.flatten(1))
                <= TOL["engine" if precision == "fp32" else "engine bf16"]
            )
