"""Do MATLAB and this package compute the same? Features image by image, outputs layer by layer.

>>> report = verify_features(net, ["a.jpg", "b.jpg"], read_features("feats.bin", count=2))  # doctest: +SKIP
>>> report.verdict, report.ok  # doctest: +SKIP
('same', True)

Differences are max|a-b| / max|b| over an image's descriptor, beside the cosine distance. The verdict:

====================  ======================================================================================
same                  within the tolerance
same as on a CPU      within the tolerance once we take MatConvNet's approximate power on a CPU, too (up to
                      3e-3 a normalisation, a few percent of a component at the end)
close                 so near that rounding can explain it, but neither of these
different             with the cause, where `deepibl.migrate.causes` knows one
nothing compared      no image could be read
====================  ======================================================================================
"""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deepibl.engine.settings import ExtractionSettings, ImageOptions
from deepibl.errors import Failure, FeatureFileError
from deepibl.features.extraction import extract
from deepibl.features.files import read_features
from deepibl.images import Reading, read_image
from deepibl.migrate.causes import find_cause, on_a_cpu, relative
from deepibl.migrate.toolbox import Reference
from deepibl.networks.io import chain_of
from deepibl.runtime.devices import inference
from matlab_compat import matfile
from matlab_compat.errors import MatFileError
from matlab_compat.files import StrPath
from matlab_compat.matfile.values import describe
from matlab_compat.numeric import maps_to_torch
from matlab_compat.simplenn.network import SimpleNN

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Unpack

SAME, SAME_ON_A_CPU, CLOSE, DIFFERENT = "same", "same as on a CPU", "close", "different"
TOLERANCE = 1e-4  # a GPU and a CPU, or two orders of summation, stay below it
CLOSE_COSINE, CLOSE_RELATIVE = 1e-3, 5e-2
CLOSE_LAYER = 3e-2
_ROUNDING = "rounding of some kind; not MatConvNet's approximate normalisation on a CPU"
_NOT_ROUNDING = (
    "none of the causes that are tried explains it: another network, or other images (does --root hold the "
    "very files that MATLAB read?); --layers shows at which layer they part"
)
_CPU_IMAGES = 4  # computed again with the approximate power


@dataclass(frozen=True)
class ImageDifference:
    """One image: cosine distance, largest difference, and that over the largest value of MATLAB's."""

    name: str
    cosine: float
    max_abs: float
    relative: float


@dataclass
class VerifyReport:
    """The comparison of features, image by image; images that could not be read are in `failures`."""

    images: list[ImageDifference]
    failures: list[Failure]
    tolerance: float
    verdict: str
    hints: list[str] = field(default_factory=list)
    layers: "LayerReport | None" = None

    @property
    def ok(self) -> bool:
        """Whether everything that was compared is the same within the tolerance."""
        fits = self.verdict in (SAME, SAME_ON_A_CPU) and (self.layers is None or self.layers.ok)
        return fits and not self.failures

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        layers = self.layers.as_dict() if self.layers else None
        return {**asdict(self), "ok": self.ok, "layers": layers}

    def __str__(self) -> str:
        lines = ["cosine distance   max abs    max rel    image"]
        lines += [f"{i.cosine:15.3e} {i.max_abs:10.3e} {i.relative:10.3e}    {i.name}" for i in self.images]
        lines += ["", str(self.layers)] if self.layers else []
        worst = max((image.relative for image in self.images), default=float("nan"))
        figures = f"largest relative difference {worst:.3e}, tolerance {self.tolerance:g}"
        lines += [f"\n{self.verdict.upper()}: {figures}", *(f"  {hint}" for hint in self.hints)]
        return "\n".join(lines)


@dataclass(frozen=True)
class LayerDifference:
    """One layer's output: its largest difference over MATLAB's largest value, None if shapes differ."""

    position: int
    name: str
    relative: float | None
    text: str = ""


@dataclass
class LayerReport:
    """Outputs compared from the first layer on."""

    layers: list[LayerDifference]
    tolerance: float

    @property
    def parts_at(self) -> LayerDifference | None:
        """The first layer whose output is not the same, None where all are."""
        return next((layer for layer in self.layers if not _within(layer.relative, self.tolerance)), None)

    @property
    def ok(self) -> bool:
        """Whether all outputs are the same."""
        return self.parts_at is None

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, for JSON."""
        parts = asdict(self.parts_at) if self.parts_at else None
        return {**asdict(self), "ok": self.ok, "parts_at": parts}

    def __str__(self) -> str:
        lines = ["max rel     layer"]
        for layer in self.layers:
            value = "   shapes" if layer.relative is None else f"{layer.relative:9.3e}"
            lines.append(f"{value}   {layer.position:3d} {layer.name} {layer.text}".rstrip())
        parts = self.parts_at
        if parts is None:
            return "\n".join([*lines, f"all {len(self.layers)} outputs are the same"])
        before = self.layers[self.layers.index(parts) - 1].name if parts is not self.layers[0] else "nothing"
        lines.append(f"they part at layer {parts.position} ({parts.name}); up to {before} all is the same")
        if parts.relative is not None and parts.relative <= CLOSE_LAYER:
            lines.append("  so small a step is rounding: MatConvNet's normalisation on a CPU is approximate")
        return "\n".join(lines)


def verify_features(
    net: Any,
    names: Sequence[str],
    reference: np.ndarray,
    *,
    root: str = "",
    tolerance: float = TOLERANCE,
    layers: LayerReport | None = None,
    settings: ExtractionSettings | None = None,
    **options: "Unpack[ImageOptions]",
) -> VerifyReport:
    """Computes the features of images and compares them with MATLAB's.

    reference: (N, D) float32, row i of image i. settings, options: see `ExtractionSettings`.
    Raises FeatureFileError where the number of rows or dimensions cannot be compared, with the cause.
    """
    settings = ExtractionSettings.of(verify_features, settings, options, on_error="skip")
    if len(reference) != len(names):
        raise FeatureFileError(f"{len(reference)} descriptors in the file, {len(names)} images in the list")
    features, kept, failures = extract(net, names, root=root, settings=settings)
    if not len(kept):
        return VerifyReport([], failures, tolerance, "nothing compared", layers=layers)

    def pixels(image: int, side: int | None) -> "Tensor":
        reading = settings.reading if side is None else Reading(side or None)
        return read_image(os.path.join(root, names[kept[image]]), **asdict(reading))

    wanted = np.asarray(reference, dtype=np.float32)[kept]
    hints: list[str] = []
    have, dim = features.shape[1], wanted.shape[1]
    if have != dim:
        cause = find_cause(net, features, wanted, pixels, tolerance)
        cause = cause or "another network, or PCA (addPCA) on one side only"
        raise FeatureFileError(f"MATLAB's descriptors have {dim} dimensions, this network's {have}: {cause}")
    rows = []
    for image, *pair in zip(kept, features.astype(np.float64), wanted.astype(np.float64), strict=True):
        lengths = float(np.linalg.norm(pair[0]) * np.linalg.norm(pair[1]))
        cosine = 1 - float(pair[0] @ pair[1]) / lengths if lengths else float("nan")
        largest = float(np.abs(pair[0] - pair[1]).max())
        rows.append(ImageDifference(names[image], cosine, largest, relative(*pair)))
    near = all(_within(row.cosine, CLOSE_COSINE) and _within(row.relative, CLOSE_RELATIVE) for row in rows)
    same = all(_within(row.relative, tolerance) for row in rows)
    verdict = SAME if same else CLOSE if near else DIFFERENT
    if verdict == CLOSE:
        few = range(min(len(kept), _CPU_IMAGES))
        again = on_a_cpu(net, [pixels(i, None) for i in few])
        left = max(relative(again[i], wanted[i]) for i in few)
        if _within(left, tolerance):
            verdict = SAME_ON_A_CPU
            hints.append(
                f"MATLAB ran on a CPU: with MatConvNet's approximate power there the largest relative "
                f"difference of {len(few)} images is {left:.1e}. On a GPU, and here, the power is exact"
            )
    if verdict in (CLOSE, DIFFERENT):
        unknown = _NOT_ROUNDING if verdict == DIFFERENT else _ROUNDING
        hints.append(find_cause(net, features, wanted, pixels, tolerance) or unknown)
    return VerifyReport(rows, failures, tolerance, verdict, hints, layers)


def read_reference(path: StrPath, count: int) -> np.ndarray:
    """Descriptors (N, D) float32 of `count` images: .bin, .npy, .h5, or the only such matrix of a .mat file.

    In a .mat file they are D x N or N x D; in a square matrix columns are descriptors, as in the original.
    Raises FeatureFileError for a .mat file with none or more than one such matrix.
    """
    if Path(path).suffix != ".mat":
        return read_features(path, count=count)
    values = matfile.load(path)
    arrays = [value for value in values.values() if isinstance(value, np.ndarray)]
    found = [each for each in arrays if each.ndim == 2 and count in each.shape and each.dtype.kind in "fiu"]
    if len(found) != 1:
        held = ", ".join(f"{name}: {describe(value)}" for name, value in values.items())
        what = f"needs one matrix of {count} descriptors (D x {count})"
        raise FeatureFileError(f"{path}: {what}; {len(found)} of its variables could be it ({held})")
    matrix = found[0].astype(np.float32)
    return np.ascontiguousarray(matrix.T if matrix.shape[1] == count else matrix)


def verify_layers(net: SimpleNN, outputs: str, *, tolerance: float = TOLERANCE) -> LayerReport:
    """Compares every layer's output with those in a .mat file that MATLAB wrote.

    outputs: a file with `x`, the network's input (H x W x 3 x N, the mean subtracted), and `acts`, a cell
    array of outputs: of every layer, or with the input before them (as res(i).x are).
    Raises MatFileError for a file without these or with another number of outputs.
    """
    known = matfile.who(outputs)
    if "acts" not in known or "x" not in known:
        raise MatFileError(
            f"{outputs}: needs x (the network's input) and acts (a cell array of the layers' outputs); "
            f"it has {', '.join(known)}. In MATLAB: res= vl_simplenn(net, x); acts= {{res(2:end).x}}; "
            "save('outputs.mat', 'x', 'acts')"
        )
    stored = matfile.load(outputs, ["x", "acts"])
    acts = matfile.cell_list(stored["acts"])
    acts = acts[1:] if len(acts) == len(net.layers) + 1 else acts
    if len(acts) != len(net.layers):
        counts = f"{len(acts)} outputs, the network has {len(net.layers)} layers"
        raise MatFileError(f"{outputs}: acts holds {counts}")
    return _compare_outputs(net, stored["x"], list(enumerate(acts)), tolerance)


def _compare_outputs(net: SimpleNN, x: Any, outputs: Any, tolerance: float) -> LayerReport:
    """outputs: positions of layers, from 0 and ascending, and MATLAB's output of each."""
    with inference(net) as where:
        ours = net.activations(maps_to_torch(np.asarray(x, dtype=np.float32)).to(where))[1:]
    found = []
    for position, theirs in outputs:
        if np.size(theirs):  # conserveMemory leaves some out
            name, output = net[position].name, ours[position].cpu().numpy()
            wanted = maps_to_torch(np.asarray(theirs, dtype=np.float32)).numpy()
            same = output.shape == wanted.shape
            text = "" if same else f"ours {output.shape}, MATLAB's {wanted.shape}"
            left = relative(output, wanted) if same else None
            found.append(LayerDifference(position + 1, name, left, text))
    return LayerReport(found, tolerance)


def verify_reference(
    net: Any,
    reference: Reference,
    *,
    root: str | None = None,
    tolerance: float = TOLERANCE,
    settings: ExtractionSettings | None = None,
    **options: "Unpack[ImageOptions]",
) -> VerifyReport:
    """Compares what deepibl_reference wrote in MATLAB: features, sizes of images, outputs of layers.

    root: the folder of the images here; None: the one that MATLAB read. The images are scaled as MATLAB's
    were unless resize is given. Raises ArgumentError for a layer that the network does not have.
    """
    settings = ExtractionSettings.of(verify_reference, settings, options)
    if settings.resize is None and settings.max_side is None:
        settings = replace(settings, resize=reference.resize)
    below = reference.root if root is None else root
    layers = None
    if reference.outputs:
        chain = chain_of(net, "a network whose layers are compared")
        outputs = sorted((chain.index(name), output) for name, output in reference.outputs)
        layers = _compare_outputs(chain, reference.input, outputs, tolerance)
    given = reference.names, reference.features
    report = verify_features(net, *given, root=below, tolerance=tolerance, layers=layers, settings=settings)
    if report.verdict in (CLOSE, DIFFERENT):
        report.hints[:0] = _other_sizes(report, reference, below, settings.reading)
    return report


def _other_sizes(report: VerifyReport, reference: Reference, root: str, reading: Reading) -> list[str]:
    """Images that MATLAB read in another size than we do."""
    sizes = dict(zip(reference.names, reference.sizes.tolist(), strict=True))
    found = []
    for name in (image.name for image in report.images):
        height, width = read_image(os.path.join(root, name), **asdict(reading)).shape[1:]
        if sizes[name] != [height, width]:
            found.append(f"{name}: {sizes[name][0]} x {sizes[name][1]} in MATLAB, {height} x {width} here")
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return [f"images of other sizes: {'; '.join(found[:3])}{more}"] if found else []


def _within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit  # a NaN is not
