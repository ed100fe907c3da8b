"""The golden trainings step by step: from the original's state before a batch to its state after it.

Rounding grows in a free run (parity/test_training.py); here each batch starts from the original's own weights
and momenta, so that only the step itself is compared.
"""

import pytest
import torch

from deepibl.engine import winograd as winograd_gradients
from matlab_compat import matfile
from tests.golden_data import GOLDEN, golden_id
from tests.parity.training_runs import RUNS, Outcome, Watch, beside, items, run, tensors, weights_of
from tests.tolerances import TOL, error


class Guided(Watch):
    """Puts the original's weights and momenta in place after every batch, once ours are noted."""

    def __init__(self, batches):
        super().__init__()
        self.wanted = batches

    def batch_done(self, state, report):
        super().batch_done(state, report)
        batch = self.wanted[len(self.batches) - 1]
        with torch.no_grad():
            for have, want in [
                *beside(state, weights_of(state), batch["weights"]),
                *beside(state, state.stepper.momentum, batch["momentum"]),
            ]:
                have.copy_(want)


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((path, name, speed), id=f"{golden_id(path)}-{name}", marks=marks)
        for path in RUNS
        for name, speed, marks in (
            ("one by one", {"stepGB": 0}, ()),
            ("together", {"stepGB": 2}, ()),
            ("winograd", {"stepGB": 2}, ()),
            ("gpu", {"useGPU": True}, pytest.mark.gpu),
        )
    ],
)
def outcome(request, tmp_path_factory) -> Outcome:
    """Tuples one by one, as the original, and a batch's together; by Winograd's gradients; on a GPU."""
    path, name, speed = request.param
    watch = Guided(items(matfile.load(path, ["batches"])["batches"]))
    calls, compute = [], winograd_gradients.filter_gradient
    with pytest.MonkeyPatch.context() as patch:
        for limit in ("LEAST_CHANNELS", "LEAST_TILES", "BLOCK"):
            patch.setattr(winograd_gradients, limit, 1 if name == "winograd" else 10**9)
        patch.setattr(winograd_gradients, "filter_gradient", lambda *a: calls.append(1) or compute(*a))
        found = run(path, tmp_path_factory.mktemp(path.stem), GOLDEN, watch, **speed)
    assert bool(calls) == (name == "winograd" and winograd_gradients._available())
    return found


def test_every_step_from_the_originals_state_gives_its_weights(outcome):
    # difference: winograd-gradients
    for got, batch in zip(outcome.watch.batches, items(outcome.want["batches"]), strict=True):
        assert max(error(*pair) for pair in tensors(outcome, got["weights"], batch["weights"])) <= TOL["op"]


def test_every_step_from_the_originals_state_gives_its_momenta(outcome):
    worst = 0.0
    for got, batch in zip(outcome.watch.batches, items(outcome.want["batches"]), strict=True):
        pairs = tensors(outcome, got["momenta"], batch["momentum"])
        worst = max(worst, *(error(*pair) for pair in pairs))
    print(f"{outcome.run}: worst momentum tensor {worst:.1e}")
    assert worst <= TOL["momentum tensor"]
