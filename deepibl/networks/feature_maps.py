"""Feature maps of any torch model by forward hooks: a convolutional one, or a transformer's tokens.

>>> import torchvision
>>> maps = FeatureMaps(torchvision.models.resnet18(), "layer3")
>>> maps(torch.zeros(1, 3, 64, 96)).shape
torch.Size([1, 256, 4, 6])
"""

import copy
import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError

SIZE = (224, 448)  # of the image that a model is tried with: multiples of 14, 16 and 32
_HEADS = {"classifier", "fc", "head", "heads", "head_dist", "AuxLogits"}  # maps in them are class scores
_CONTAINERS = (nn.ModuleList, nn.ModuleDict)
MOST_TOKENS = 16  # class and register tokens


class Layout(NamedTuple):
    """How a layer's output becomes maps.

    kind: 'maps' (N, C, h, w), 'last' (N, h, w, C) or 'tokens' (N, extra + h*w, C), the extra ones first.
    patch: what the image's sides must be multiples of.
    """

    kind: str
    extra: int = 0
    patch: int = 1


def layout_of(shape: tuple[int, ...], size: tuple[int, int]) -> Layout | None:
    """What an output of that shape is, for an image of that height and width; None if it is not a grid."""
    if len(shape) == 4:
        kinds = {"maps": shape[2:], "last": shape[1:3]}
        return next((Layout(kind) for kind, cells in kinds.items() if _covers(cells, size)), None)
    if len(shape) == 3:
        for extra in range(min(MOST_TOKENS + 1, shape[1])):
            patch = math.isqrt(size[0] * size[1] // (shape[1] - extra))
            cells = size[0] // patch, size[1] // patch
            if not size[0] % patch and not size[1] % patch and math.prod(cells) == shape[1] - extra > 1:
                return Layout("tokens", extra, patch)
    return None


def _covers(cells: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether h x w cells have about the image's proportions; one cell has not."""
    height, width = cells
    return height * width > 1 and abs(width - height * size[1] / size[0]) <= min(3, height / 2)


class FeatureMaps(nn.Module):
    """A model up to one of its layers: (N, 3, H, W), normalised, to maps (N, C, h, w).

    Tokens are arranged as maps, class and register tokens dropped; channels that come last are moved. What
    the model does after the layer is left out. Images for a model of patches are scaled to their nearest
    multiple (bilinear, antialiased), for a model of one size to that size (`size`).

    model: its weights are shared, and it is not changed. layer: a module's name, as named_modules() gives it;
    None: the last one that gives maps, its classifier apart. Raises ArgumentError where the model has no such
    layer, or the layer gives no maps.
    """

    def __init__(self, model: nn.Module, layer: str | None = None) -> None:
        super().__init__()
        self.model = shared(model)
        names = [name for name, _ in self.model.named_modules() if name]
        what = type(model).__name__
        if layer and layer not in names:
            top = ", ".join(name for name, _ in self.model.named_children())
            raise ArgumentError(f"{what} has no layer {layer!r}; at the top it has {top}")
        self._seen: list[Any] = []
        events, size = _run(self.model)
        found = {name: shape for name, shape in events if shape is not None}
        if not layer:
            grids = [n for n, at in found.items() if n.split(".")[0] not in _HEADS and layout_of(at, size)]
            if not grids:
                raise ArgumentError(f"no layer of {what} gives feature maps")
            layer = grids[-1]
        if layer not in found:
            raise ArgumentError(f"{what} does not run its layer {layer!r}, or it gives no tensor")
        shape = found[layer]
        layout = layout_of(shape, size) or (Layout("maps") if len(shape) == 4 else None)
        if layout is None:
            raise ArgumentError(
                f"{what}'s {layer} must be maps (N, C, h, w) or tokens, not {shape}: choose another layer"
            )
        if layout.kind == "last":
            patch = getattr(getattr(model, "patch_embed", None), "patch_size", 1)  # timm's
            layout = layout._replace(patch=patch[0] if isinstance(patch, tuple | list) else patch)
        self.layer, self.layout = layer, layout
        self.size = None if size == SIZE else size
        last = max(i for i, event in enumerate(events) if event == (layer, shape))
        _leave_out(self.model, names, layer, {name for name, _ in events[:last]})
        self.model.get_submodule(layer).register_forward_hook(self._note)

    def _note(self, module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        self._seen.append(_first(output))
        return output.clone() if isinstance(output, Tensor) else None  # what follows may work in place

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, h, w)."""
        kind, extra, patch = self.layout
        if self.size is not None:
            x = scaled(x, self.size)
        elif patch > 1:
            x = scaled(x, tuple(max(1, (side + patch // 2) // patch) * patch for side in x.shape[2:]))
        self._seen.clear()
        self.model(x)
        found = self._seen.pop()
        if kind == "tokens":
            return found[:, extra:].transpose(1, 2).unflatten(2, (x.shape[2] // patch, x.shape[3] // patch))
        return found.permute(0, 3, 1, 2) if kind == "last" else found

    def extra_repr(self) -> str:
        """Layer, layout and the size of images, for print(net); part of a network's identity."""
        return f"layer={self.layer!r}, {self.layout}" + (f", size={self.size}" if self.size else "")


def halves(model: nn.Module, layer: str | None, split: str) -> tuple[FeatureMaps, FeatureMaps]:
    """A model up to `layer`, as what runs before its module `split`, and that module with what follows.

    Each has the other's modules replaced by the identity. Whether the two in turn equal the whole is to be
    tried: they do where one tensor of maps, a module's output, goes from the one to the other.
    Raises ArgumentError where the model does not run the module before the layer, or there are no such maps.
    """
    after = FeatureMaps(model, layer)
    names = [name for name, _ in _run(model)[0]]
    if split not in names or names.index(split) > len(names) - 1 - names[::-1].index(after.layer):
        raise ArgumentError(f"{type(model).__name__} runs no layer {split!r} before the end of {after.layer}")
    at = names.index(split)
    while at and f"{split}.".startswith(f"{names[at - 1]}."):
        at -= 1
    if not at:
        raise ArgumentError(f"nothing comes before {split!r}")
    before = FeatureMaps(model, names[at - 1])
    if any(each.layout != Layout("maps") or each.size is not None for each in (before, after)):
        raise ArgumentError(f"no maps of images of any size enter {split!r}")
    _replaced(after.model, set(names[:at]) - set(names[at:]))
    return before, after


def shared(module: nn.Module) -> nn.Module:
    """A copy of the module whose parameters and buffers are those of the module itself."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})


def scaled(images: Tensor, size: tuple[int, ...]) -> Tensor:
    """Images of that height and width: bilinear, antialiased."""
    return F.interpolate(images, size=size, mode="bilinear", antialias=True, align_corners=False)


def own_size(model: nn.Module) -> tuple[int, int] | None:
    """Height and width of the only images that a transformer of timm or torchvision takes, if known."""
    patches = getattr(model, "patch_embed", None)
    if getattr(patches, "strict_img_size", False) and not getattr(model, "dynamic_img_size", False):
        return patches.img_size  # type: ignore[union-attr, return-value]
    side = getattr(model, "image_size", None)
    return (side, side) if isinstance(side, int) else None


def _first(output: Any) -> Any:
    """The tensor of an output: the first one of a tuple."""
    return _first(output[0]) if isinstance(output, tuple | list) and output else output


def _run(model: nn.Module) -> tuple[list[tuple[str, tuple[int, ...] | None]], tuple[int, int]]:
    """Runs the model on an image without values; what happened, and the image's height and width.

    Events are (name, None) where a module starts and (name, shape of its output) where it ends.
    """
    events: list[tuple[str, tuple[int, ...] | None]] = []
    hooks, modes = [], [(module, module.training) for module in model.modules()]
    for name, module in model.named_modules():
        if name:
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: events.append((name, None))))

            def note(module: nn.Module, inputs: Any, output: Any, name: str = name) -> None:
                output = _first(output)
                events.append((name, tuple(output.shape) if isinstance(output, Tensor) else None))

            hooks.append(module.register_forward_hook(note))
    about = getattr(model, "pretrained_cfg", None) or {}
    own = own_size(model) or tuple(about.get("input_size", (224, 224))[-2:])
    problem: Exception | None = None
    try:
        model.eval()
        state = {name: x.to("meta") for name, x in [*model.named_parameters(), *model.named_buffers()]}
        first = next(model.parameters(), torch.zeros(0))
        dtype = first.dtype if first.is_floating_point() else torch.float32
        for size in (SIZE, own):
            for device in ("meta", first.device):  # a few models compute with the values of their buffers
                events.clear()
                try:
                    with torch.no_grad():
                        image = torch.zeros(1, 3, *size, device=device, dtype=dtype)
                        torch.func.functional_call(model, state if device == "meta" else {}, (image,))
                    return list(events), size
                except Exception as error:  # models raise what they like
                    problem = error
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes:
            module.training = mode
    reason = str(problem).strip().splitlines()[:1]
    raise ArgumentError(
        f"{type(model).__name__} takes no image of {SIZE[0]}x{SIZE[1]} or {own[0]}x{own[1]} pixels: {reason}"
    ) from problem


def _leave_out(model: nn.Module, names: list[str], layer: str, before: set[str]) -> None:
    """Replaces the modules that only run after the layer by the identity, if the model then still runs."""
    used = {".".join(name.split(".")[: depth + 1]) for name in before for depth in range(name.count(".") + 1)}
    after = {name for name in names[names.index(layer) + 1 :] if not name.startswith(f"{layer}.")}
    gone = {name for name in after - used if not isinstance(model.get_submodule(name), _CONTAINERS)}
    replaced = _replaced(model, gone)
    try:
        if replaced:
            _run(model)
    except ArgumentError:
        for owner, leaf, module in replaced:
            setattr(owner, leaf, module)


def _replaced(model: nn.Module, names: set[str]) -> list[tuple[nn.Module, str, nn.Module]]:
    """Replaces modules by the identity; returns their owners, their names there, and the modules."""
    found = []
    for name in names:
        if not any(name.startswith(f"{other}.") for other in names):
            owner, _, leaf = name.rpartition(".")
            found.append((model.get_submodule(owner), leaf, model.get_submodule(name)))
            setattr(found[-1][0], leaf, nn.Identity())
    return found
