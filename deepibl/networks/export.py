"""Networks for other runtimes: ONNX and torch.export, with any number of images of any size.

>>> save_onnx(net, "model.onnx")  # doctest: +SKIP
>>> save_exported(net, "model.pt2")  # doctest: +SKIP
>>> torch.export.load("model.pt2").module()(images)  # doctest: +SKIP

Both take images (N, 3, H, W), RGB, 0..255, and return descriptors (N, D), or maps (N, C, h, w).
"""

import importlib
import importlib.util
import warnings

import torch
from torch import Tensor, nn

from deepibl.networks.identity import Extractor, provenance
from deepibl.runtime.devices import device_of
from matlab_compat.dagnn.network import DagNN
from matlab_compat.errors import ArgumentError, NetworkFormatError
from matlab_compat.files import StrPath, atomic_output
from matlab_compat.network import Network
from matlab_compat.simplenn.network import SimpleNN

SIDE = (96, 128)  # height and width of the image that a network is traced with, times 1, 2 or 4


class DescriptorModule(nn.Module):
    """What an exported file computes: the preparation of images, then the network.

    Descriptors (of the same size for images of any size) are returned as (N, D), maps as (N, C, h, w).
    """

    mean_colour: Tensor | None  # not "mean": ONNX has an operator of that name
    deviation: Tensor | None

    def __init__(self, net: Extractor) -> None:
        super().__init__()
        self.net = net.eval()
        mean = mean_of(net)
        self.register_buffer("mean_colour", None if mean is None else mean[:, None, None].clone())
        std = net.pixel_std if isinstance(net, Network) else None
        self.register_buffer("deviation", None if std is None else std[:, None, None].clone())
        self.channels = input_channels(net)
        self.scale, self.flat = traced_scale(net)
        self.what = "descriptors" if self.flat else "maps"

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, H, W), 0..255 where the network has a mean -> (N, D) or (N, C, h, w)."""
        if self.mean_colour is not None:
            images = images - self.mean_colour
            images = images if self.deviation is None else images / self.deviation
        elif not isinstance(self.net, Network):
            images = self.net.prepare(images)
        found = self.net(images)
        return found.flatten(1) if self.flat else found


def mean_of(net: Extractor) -> Tensor | None:
    """The mean (3,) or (1,) that a MatConvNet network subtracts; None for networks without one."""
    try:
        return net.mean_pixel if isinstance(net, Network) else None
    except NetworkFormatError:
        return None


def input_channels(net: Extractor) -> int:
    """The number of channels of the network's images."""
    mean = mean_of(net)
    if mean is not None and len(mean) > 1:
        return len(mean)
    if isinstance(net, DagNN):
        first = next((layer for layer in (net[i] for i in net.order) if layer.params), None)
        return 3 if first is None else (*net.shapes(first)[0], 1, 1)[2]
    weights = [layer.weights[0] for layer in net if layer.weights] if isinstance(net, SimpleNN) else []
    return next((found.shape[1] for found in weights if found is not None), 3)


def traced_scale(net: Extractor) -> tuple[int, bool]:
    """The least multiple of SIDE that the network takes, and whether its output has one size at any."""
    channels, device = input_channels(net), device_of(net)  # type: ignore[arg-type]
    with torch.no_grad():
        for scale in (1, 2, 4):  # fully connected layers need as many pixels as they were trained on
            blank = torch.zeros(1, channels, SIDE[0] * scale, SIDE[1] * scale, device=device)
            try:
                images = blank, blank.repeat(1, 1, 2, 2)
                found = [net(x if isinstance(net, Network) else net.prepare(x)) for x in images]
                break
            except (ArgumentError, NetworkFormatError):
                if scale == 4:
                    raise
    if not isinstance(found[0], Tensor):
        several = ", ".join(found[0])
        raise NetworkFormatError(f"the network has several outputs ({several}): only one can be exported")
    return scale, found[0].shape[1:] == found[1].shape[1:]


def exported(net: Extractor) -> torch.export.ExportedProgram:
    """The network as a torch.export program for any number and size of images.

    Raises NetworkFormatError where torch cannot trace it.
    """
    describer = DescriptorModule(net)
    side = [length * describer.scale for length in SIDE]
    example = torch.rand(2, describer.channels, *side, device=device_of(describer)) * 255
    free = torch.export.Dim.DYNAMIC
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about torch's own internals
            return torch.export.export(
                describer, (example,), dynamic_shapes=({0: free, 2: free, 3: free},), strict=False
            )
    except Exception as error:  # torch.export raises many kinds
        first = str(error).strip().splitlines()[0]
        raise NetworkFormatError(f"torch cannot export this network: {first}") from error


def save_exported(net: Extractor, path: StrPath) -> None:
    """Writes a .pt2 file for torch.export.load; raises what `exported` raises.

    The program takes any number of images of any size, except sides so short that maps shrink to one row or
    column: torch.export has no dynamic size that may also be 1.
    """
    program = exported(net)
    with atomic_output(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open(temporary, "wb") as file:
            torch.export.save(program, file)


def save_onnx(net: Extractor, path: StrPath) -> None:
    """Writes an ONNX file: input `images` (N, channels, H, W), output `descriptors`, N, H and W free.

    The file includes the weights and, as metadata, the network's provenance. Raises ArgumentError where the
    packages onnx and onnxscript are missing (pip install "deepibl[onnx]"), NetworkFormatError where the
    network cannot be exported.
    """
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise ArgumentError(f'writing ONNX needs {" and ".join(missing)}: pip install "deepibl[onnx]"')
    import onnx

    program = exported(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = torch.onnx.export(
            program,
            dynamo=True,
            input_names=["images"],
            output_names=["descriptors"],
            verbose=False,
            optimize=False,  # the optimiser takes the 1e-12 beside a norm for 0 and drops it: 0 / 0
        )
    assert made is not None
    model = made.model_proto
    for name, value in provenance(net).items():
        model.metadata_props.add(key=name, value=value)
    with atomic_output(path) as temporary:
        onnx.save(model, str(temporary))
