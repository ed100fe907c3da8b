"""The one table of tolerances, by kind of comparison, and the comparison itself.

A tolerance is a number of roundings times the unit roundoff of the precision, derived from what is computed
and not from the data that happen to be compared. Errors are measured as max|got-want| / max|want|. Both
programs round, so each count below is already that of the two together.

The base is one block. A sum of n products of random signs grows like sqrt(n), and so does its rounding, which
reaches about 0.4 sqrt(n) units of the largest of many results if the products are added one after another:
16 units for n = 1600, or for n = 25,000 in kernels that keep four or more partial sums. Blocks in a row add
their roundings, by their number where these go one way, by its square root where they are independent.
"""

from typing import Any, NamedTuple

import numpy as np

U32, U64 = 2.0**-24, 2.0**-53  # unit roundoffs: one operation is off by at most this part of its result
BLOCK = 16


class Tolerance(NamedTuple):
    """A number of roundings, their unit, and why that many."""

    roundings: float
    unit: float
    why: str


TABLE = {
    "exact": Tolerance(0, U32, "ids, bytes, defaults, copies"),
    "op": Tolerance(BLOCK, U32, "one float32 block"),
    "convolution": Tolerance(
        3 * BLOCK, U32, "one block, by Winograd's products where the library prefers them"
    ),
    "sums": Tolerance(3 * BLOCK, U32, "sums over pixels and images: ten times as many terms as a filter has"),
    "saturated": Tolerance(
        160, U32, "1 - p of a p of 31/32 or more: 5 roundings of a result 32 times smaller"
    ),
    "few samples": Tolerance(
        1600, U32, "a variance as a difference of sums: values of 40 deviations, squared"
    ),
    "loss": Tolerance(4 * BLOCK, U32, "two distances up to 4, of unit vectors; their difference; its exp"),
    "vlad": Tolerance(5 * BLOCK, U32, "norm, assignment, softmax, sum over pixels, norm: five blocks"),
    "net": Tolerance(
        BLOCK * 110**0.5, U32, "10 blocks in a row, or 110 independent ones; forward or backward"
    ),
    "pixels": Tolerance(
        4 * BLOCK, U32, "of 255; position, weight, sum of 2 to 4 taps, in two axes: 1e-3 levels"
    ),
    # 10 units in each weight, sin(pi x) for |x| <= 3; 6 taps, 2 axes, 2 programs; 1.5 for lobes of both signs
    "lanczos pixels": Tolerance(10 * 6 * 2 * 2 * 1.5, U32, "of 255: 5.5e-3 levels"),
    "features": Tolerance(6 * BLOCK, U32, "absolute: a network; entries of a unit vector are 1/2 or less"),
    "reduced features": Tolerance(12 * BLOCK, U32, "the same after PCA, normalised again: doubled"),
    "pca": Tolerance(5 * BLOCK, U32, "eigenvectors: the covariance's rounding over a relative gap of 1/5"),
    # forward and backward: 24 blocks; the pulls of positive and negatives cancel to a third
    "momentum tensor": Tolerance(3 * 24 * BLOCK, U32, "one training step, of each tensor's largest momentum"),
    "trajectory": Tolerance(
        512, U32, "weights, losses of a free run: steps of 2^-8 of a weight, 2^-7 of it off"
    ),
    "training": Tolerance(
        1680, U32, "features after a free run: three times the weights' own, and 'features'"
    ),
    "winograd": Tolerance(
        10 * BLOCK, U32, "transforms with factors of up to 8 in each axis; sums that cancel"
    ),
    "double": Tolerance(3 * BLOCK, U64, "as 'sums', in float64"),
    "few samples double": Tolerance(1600, U64, "as 'few samples', in float64"),
    # formulas that are equal on unit vectors only, given vectors of that length to 1e-12
    "loss double": Tolerance(4e-12 / U64, U64, "a derivative of up to 4 in each length"),
}

# What the documents promise: decided, not derived from roundings. Of engines and precisions: cosine distances
# (docs/performance.md); the golden networks are tiny, so that rounding averages out over fewer numbers.
PROMISED = {
    "momentum": 1e-2,  # of a free run, of the network's largest: chaotic (docs/differences.md, 78)
    "engine": 1e-9,
    "engine bf16": 2e-3,
    "engine int8": 2e-2,
    "golden bf16": 1e-2,
    "golden int8": 2e-3,
    "golden tf32": 1e-4,
}
TOL = {kind: tolerance.roundings * tolerance.unit for kind, tolerance in TABLE.items()} | PROMISED


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
    """Fails when the error is above the tolerance of that kind (see TABLE)."""
    found, allowed = error(got, want), TOL[kind]
    if not found <= allowed:
        raise AssertionError(f"relative error {found:.3g} is above the tolerance {allowed:.3g} for '{kind}'")
