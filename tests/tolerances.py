"""The one table of tolerances, by kind of comparison, and the comparison itself."""

from typing import Any

import numpy as np

TOL = {
    "exact": 0.0,  # ids, bytes, defaults
    "op": 1e-6,  # one float32 operation, relative to the largest value
    "sums": 3e-6,  # float32 sums over all pixels and images: their order
    "saturated": 1e-5,  # derivative of a saturated softmax: a difference of near-equals (2.7e-6 seen)
    "double": 1e-12,  # one operation in float64
    "few samples": 1e-4,  # batch normalisation over few or equal values: rounding is enlarged (6e-5 seen)
    "few samples double": 1e-9,
    "loss": 2e-6,  # a tuple's loss and its gradient in float32; the original's own rounding is that large
    "loss double": 1e-9,
    "vlad": 5e-6,  # NetVLAD forward and backward (an independent implementation reached 3e-6)
    "net": 1e-5,  # a whole network, forward and backward
    "pixels": 4e-6,  # resampled images: 1e-3 of the 255 grey levels (float32 weights)
    "features": 3e-6,  # unit-norm descriptors, absolute
    "reduced features": 1e-5,  # the same after PCA to a few dimensions, which enlarges rounding (3e-6 seen)
    "pca": 5e-6,  # eigenvectors of a float32 covariance (an independent implementation reached 3e-6)
    "trajectory": 3e-5,  # losses, weights, momenta of a replayed training, after every batch
    # momenta of the same in a free run, relative to the network's largest: rounding grows to 1e-4; a last
    # digit of the first weights moves them as far (parity/test_training_steps.py compares step by step)
    "momentum": 3e-4,
    # each momentum tensor after one step from the original's state (3.8e-5 seen; in float64 2.7e-5)
    "momentum tensor": 6e-5,
    "winograd": 1e-5,  # a convolution of few channels by Winograd's products (2e-6 seen)
    # descriptors of one network under two engines, as cosine distance; issue: 1e-9, and 2e-3 for bf16
    "engine": 1e-9,
    "engine bf16": 2e-3,
    "engine int8": 2e-2,  # 256 steps a map; of narrow networks (1.3e-2 seen; 1e-4 at VGG-16's width)
    "golden bf16": 1e-2,  # the golden networks are tiny: fewer numbers over which rounding averages out
    "golden int8": 2e-3,  # scales of the very images (4e-4 seen)
    "golden tf32": 1e-4,  # TF32 keeps 10 bits of each factor, bfloat16 7; not run yet
    "training": 1e-4,  # weights after a training run
}


def error(got: Any, want: Any) -> float:
    """max|got-want| / max|want| (absolute where want is all zeros); both must have the same shape."""
    got, want = np.asarray(got, dtype=np.float64), np.asarray(want, dtype=np.float64)
    if got.shape != want.shape:
        raise AssertionError(f"shapes differ: got {got.shape}, want {want.shape}")
    if want.size == 0:
        return 0.0
    if not np.array_equal(np.isnan(got), np.isnan(want)):
        raise AssertionError("NaNs at different places")
    scale = float(np.nanmax(np.abs(want))) if not np.isnan(want).all() else 0.0
    difference = np.nanmax(np.abs(got - want)) if not np.isnan(want).all() else 0.0
    return float(difference) / (scale or 1.0)


def assert_close(got: Any, want: Any, kind: str) -> None:
    """Fails when the error is above the tolerance of that kind (see TOL)."""
    found = error(got, want)
    if not found <= TOL[kind]:
        raise AssertionError(f"relative error {found:.3g} is above the tolerance {TOL[kind]:g} for '{kind}'")
