"""The models of torchvision and timm by name: 'torchvision:resnet50', 'timm:vit_small_patch14_dinov2'.

A name may go on with a layer and a pooling method, as 'torchvision:resnet50:layer3:max'.
"""

import re
from typing import Any, NamedTuple

import torch

from matlab_compat.errors import ArgumentError, did_you_mean

LIBRARIES = ("torchvision", "timm")
# timm's words for it, by family
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})
_OUTSIDE = re.compile("pretrained|weights|path|cfg|dir|cache|url|file|hub", re.IGNORECASE)


class ModelName(NamedTuple):
    """A library's model, the layer whose maps are taken ('' for the last ones), and how they are pooled."""

    library: str
    model: str
    layer: str = ""
    method: str = ""

    @property
    def net_id(self) -> str:
        """The name without layer and method, as loadNet takes it."""
        return f"{self.library}:{self.model}"


def is_torch_id(net_id: str) -> bool:
    """Whether a netID names a library's model."""
    return net_id.partition(":")[0] in LIBRARIES


def parse_name(name: str) -> ModelName:
    """The parts of LIBRARY:MODEL[:LAYER[:METHOD]]; ArgumentError for anything else."""
    parts = name.split(":")
    if parts[0] not in LIBRARIES or not 2 <= len(parts) <= 4 or not parts[1]:
        raise ArgumentError(
            f"network {name!r}: expected {' or '.join(LIBRARIES)}, a colon and a model's name (then, after "
            "colons, a layer and a pooling method: torchvision:resnet50:layer3:max)"
        )
    return ModelName(*parts)


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise ArgumentError("networks timm:NAME need the package timm: pip install timm") from error
    return timm


def model_names(library: str) -> list[str]:
    """The models that a library has; none where timm is not installed."""
    if library == "torchvision":
        from torchvision import models

        return list(models.list_models(models))
    try:
        return list(_timm().list_models())
    except ArgumentError:
        return []


def library_model(library: str, model: str, *, pretrained: bool = False, **args: Any) -> Any:
    """A library's whole model, with random weights or (timm alone) with the pretrained ones.

    Models of timm take images of any size where they can. args: of the library's own function, as
    num_classes=0; none that names weights or files. Raises ArgumentError for an unknown library or model.
    """
    outside = [name for name in args if _OUTSIDE.search(name)]
    if outside:
        raise ArgumentError(f"{library}:{model}: the argument {outside[0]} cannot be given here")
    if library not in LIBRARIES:
        raise ArgumentError(f"no library {library!r}: a network's name begins with {' or '.join(LIBRARIES)}")
    known = model.partition(".")[0] if library == "timm" else model
    if (library == "timm" and not _timm().is_model(known)) or (
        library != "timm" and known not in model_names(library)
    ):
        hint = did_you_mean(known, model_names(library))
        raise ArgumentError(f"{library} has no model {model!r}{hint or ';'} deepibl.list_networks() has all")
    try:
        if library == "torchvision":
            from torchvision import models

            return models.get_model(model, weights=None, **args)
        return _any_size(model, pretrained, args)
    except (TypeError, RuntimeError, ValueError, AssertionError) as error:
        raise ArgumentError(f"{library} cannot build {model} ({args}): {error}") from error


def _any_size(model: str, pretrained: bool, args: dict[str, Any]) -> Any:
    for flexible in _ANY_SIZE:
        try:
            return _timm().create_model(model, pretrained=pretrained, **{**flexible, **args})
        except TypeError:
            if not flexible:
                raise


def shapes_of(library: str, model: str, args: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights, found without computing or allocating them."""
    with torch.device("meta"):
        return {key: tuple(x.shape) for key, x in library_model(library, model, **args).state_dict().items()}
