"""What SimpleNN and DagNN have in common: networks, lists of layers, layers' fields, the forms of weights."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableSequence
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from matlab_compat.errors import ArgumentError, MatFileError, NetworkFormatError, did_you_mean
from matlab_compat.matfile.values import cell_list, describe, scalar, text, vector
from matlab_compat.nn.geometry import borders, pair
from matlab_compat.numeric import filters_to_matlab, filters_to_torch, vector_to_torch
from matlab_compat.simplenn.tidy import matlab_value, with_rows

CLASS_FIELD = "class__"  # the field of a plain struct that names the class of a custom layer
Settings = Mapping[str, Callable[[Any, str], Any]]  # the names of fields, and how their values are read
RATES = ("learningRate", "weightDecay")  # one number for each weight


class MatlabFields(nn.Module):
    """A layer whose attributes are MATLAB's fields: assigning one is `set_field`, so it runs and is saved.

    Other public names, once the layer is made, are an ArgumentError; a subclass sets them in `configure`.
    """

    properties: ClassVar[Mapping[str, Any]] = {}  # fields that the type has, with their defaults
    function: ClassVar[Callable[..., Any]]  # MatConvNet's block
    settings: ClassVar[Settings] = {}  # its options
    left_out = False  # whether it is a loss of training that is not known here
    _fields: dict[str, Any]

    @property
    def fields(self) -> Mapping[str, Any]:
        """MATLAB's fields in order, without name, type and weights; of a DagNN, the block's; read-only."""
        return MappingProxyType(self._fields)

    def field_names(self) -> list[str]:
        """The fields that the layer has, or may be given."""
        raise NotImplementedError

    def set_field(self, name: str, value: Any) -> None:
        """Sets a MATLAB field (None removes it), which the layer then computes with and writes back.

        Raises ArgumentError, and leaves the layer as it is, for a value that it cannot be.
        """
        if name in ("type", CLASS_FIELD):
            raise ArgumentError(f"a layer's {name} is fixed: replace the layer in net.layers instead")
        if name == "name" and not isinstance(value, str):
            raise ArgumentError(f"a layer's name must be a string; got {value!r:.80}")
        if name == "name":
            self.__dict__["name"] = value
            return
        before = self._fields
        value = matlab_value(value) if isinstance(value, bool | int | float) else value
        self._fields = {**before, **with_rows({name: value})}
        if value is None:
            del self._fields[name]
        try:
            self._configure()
        except (ArgumentError, MatFileError, TypeError, ValueError) as error:
            self._fields = before
            self._configure()
            raise ArgumentError(f"{name} of layer '{self.name}' ({self.type}): {error}") from error

    def value(self, name: str) -> Any:
        """A field, or its default, as a MATLAB value."""
        found = self._fields.get(name)
        return matlab_value(self.properties[name]) if found is None else found

    def configure(self) -> None:
        """Sets the attributes that `forward` uses from the fields; runs after each `set_field`, too."""
        for name, read in self.settings.items():
            setattr(self, name, read(self.value(name), name))

    def compute(self, *inputs: Tensor | None, **more: Any) -> Any:
        """What the type's block makes of maps and weights, with the layer's settings."""
        given = {name: getattr(self, name) for name in self.settings}
        return self.function(*inputs, *given.pop("opts", ()), **given, **more)

    def _configure(self) -> None:
        self._made = False
        try:
            self.configure()
        finally:
            self._made = True

    def __setattr__(self, name: str, value: Any) -> None:
        held = self.__dict__
        own = name.startswith("_") or name == "training" or isinstance(value, nn.Module | nn.Parameter)
        registered = name not in held.get("_fields", ()) and any(
            name in held.get(kind, ()) for kind in ("_parameters", "_buffers", "_modules")
        )
        if own or registered or not held.get("_made"):
            super().__setattr__(name, value)
        elif name == "type" or name in self.field_names():
            self.set_field(name, value)
        elif hasattr(type(self), name):
            super().__setattr__(name, value)
        else:
            known = self.field_names()
            raise ArgumentError(
                f"a layer of type {self.type} has no field {name!r}{did_you_mean(name, known) or '.'} "
                f"Known: {', '.join(known)}"
            )

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if self.__dict__.get("_made") and name in self._fields:
                return _shown(self._fields[name], name in RATES)
            raise


def number(value: Any, name: str) -> float:
    """A setting that is one number."""
    return float(scalar(value))


def flag(value: Any, name: str) -> bool:
    """A setting that is true or false."""
    return bool(scalar(value))


def numbers(value: Any, name: str) -> tuple[float, ...]:
    """A setting that is a row of numbers."""
    return tuple(vector(value).astype(float).tolist())


def method(value: Any, name: str) -> str:
    """The method of a pooling layer."""
    if (found := text(value).lower()) not in ("max", "avg"):
        raise ArgumentError(f"pooling method must be 'max' or 'avg'; got '{found}'")
    return found


def words(value: Any, name: str) -> tuple[Any, ...]:
    """Further options, as name, value pairs."""
    return tuple(cell_list(value))


CONV: Settings = {"stride": pair, "pad": borders, "dilate": pair, "opts": words}
CONVT: Settings = {
    "upsample": pair,
    "crop": borders,
    "numGroups": lambda value, name: pair(value, name)[0],
    "opts": words,
}


def _shown(value: Any, writable: bool = False) -> Any:
    """A field as an attribute: a 1 x 1 array as a number, a row as a vector; arrays are read-only."""
    if not isinstance(value, np.ndarray) or value.dtype == object:
        return value
    found = value[0] if value.ndim == 2 and len(value) == 1 and value.size > 1 else value[...]
    found.flags.writeable = writable and value.flags.writeable
    if value.size != 1:
        return found
    number = value.item()
    return number if not isinstance(number, float) or not number.is_integer() else int(number)


class LayerList(MutableSequence[Any]):
    """A network's layers in order: its child modules, by their names. One that is added gets its mode."""

    def __init__(self, net: "ImageNetwork") -> None:
        self._net = net

    def make(self, value: Any, index: int) -> nn.Module:
        """The layer that is added for a value; ArgumentError for a value that is none."""
        raise NotImplementedError

    def changed(self) -> None:
        """Runs after every change."""

    def put(self, layers: list[Any]) -> None:
        """Makes these the network's layers; a name that is taken, or cannot be one, gets the position."""
        net, keyed = self._net, dict[str, Any]()
        others = {key: each for key, each in net._modules.items() if not isinstance(each, MatlabFields)}
        taken = {*others, *vars(net), *dir(type(net))}
        for position, layer in enumerate(layers):
            key = str(layer.name).replace(".", "_") or f"layer{position}"
            keyed[f"{key}_{position}" if key in taken or key in keyed else key] = layer
        vars(net)["_modules"] = {**keyed, **others}
        vars(net)["_named"] = [layer.name for layer in layers]

    def __len__(self) -> int:
        return len(self._net._named)

    def __getitem__(self, index: Any) -> Any:
        return list(self._net._modules.values())[: len(self)][index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._edit(lambda layers: layers.__setitem__(index, self._made(value, range(len(self))[index])))

    def __delitem__(self, index: Any) -> None:
        self._edit(lambda layers: layers.__delitem__(index))

    def insert(self, index: int, value: Any) -> None:
        self._edit(lambda layers: layers.insert(index, self._made(value, index)))

    def _made(self, value: Any, index: int) -> nn.Module:
        return self.make(value, index).train(self._net.training)

    def _edit(self, change: Callable[[list[Any]], None]) -> None:
        layers = list(self)
        change(layers)
        self.put(layers)
        self.changed()


def _by_present_names(net: "ImageNetwork", *_: Any) -> None:
    """A hook: a state dict's keys begin with the names that the layers have now."""
    assert net.layers is not None


class ImageNetwork(nn.Module):
    """A MatConvNet network: `layers`, `meta` and `extra` (other top-level fields), plain MATLAB values."""

    _named: list[str]
    meta: dict[str, Any]
    extra: dict[str, Any]
    layer_list: type[LayerList]

    def __init__(self) -> None:
        super().__init__()
        self._named = []
        self.register_state_dict_pre_hook(_by_present_names)
        self.register_load_state_dict_pre_hook(_by_present_names)

    @property
    def layers(self) -> LayerList:
        """The layers, a list; a layer's name is also that of its module."""
        found = self.layer_list(self)
        if [layer.name for layer in found] != self._named:
            found.put(list(found))
        return found

    @layers.setter
    def layers(self, values: Iterable[Any]) -> None:
        found = self.layer_list(self)
        found.put([found._made(value, position) for position, value in enumerate(values)])
        found.changed()

    def __setattr__(self, name: str, value: Any) -> None:
        if not (
            name.startswith("_")
            or name in ("meta", "extra", "training")
            or isinstance(value, nn.Module)
            or hasattr(type(self), name)
        ):
            raise ArgumentError(
                f"a network has layers, meta and extra, no {name!r}: other fields are in net.extra[{name!r}]"
            )
        super().__setattr__(name, value)

    @property
    def names(self) -> list[str]:
        """The layers' MATLAB names."""
        return [str(layer.name) for layer in self.layers]

    @property
    def types(self) -> list[str]:
        """The layers' MATLAB types: in a SimpleNN 'custom' for class objects, in a DagNN as 'dagnn.Conv'."""
        return [str(layer.type) for layer in self.layers]

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.layers)

    @property
    def mean_pixel(self) -> Tensor:
        """The pixel that is subtracted from images 0..255, (3,) or (1,): averageImage's top left one.

        Raises NetworkFormatError where meta has no normalization.averageImage (or, in old files, imageMean).
        """
        mean = self._pixel("averageImage")
        if mean is None:
            raise NetworkFormatError(
                "the network's meta has no mean to subtract from images: set net.meta['normalization'] = "
                "{'averageImage': a 1 x 1 x 3 array} (zeros for none)"
            )
        return mean * self._unit()

    @property
    def pixel_std(self) -> Tensor | None:
        """What images 0..255 minus the mean are divided by, (3,) or (1,): imageStd; None where meta has none.

        Networks that come from torch have a mean and a deviation of images scaled to 0..1, which shows.
        Raises NetworkFormatError where it does not, and for a deviation without a mean.
        """
        std = self._pixel("imageStd")
        return None if std is None else std * self._unit()

    def _unit(self) -> float:
        """What meta's values are multiplied by: 255 where they are those of images 0..1."""
        std, mean = self._pixel("imageStd"), self._pixel("averageImage")
        if std is None:
            return 1.0
        if mean is not None and bool((std > 0).all() and mean.isfinite().all()):
            small, most = bool((mean.abs() <= 1).all()), float(std.max())
            if small and most < 1:
                return 255.0
            if (most >= 1 and not small) or (most > 1 and not mean.any()):
                return 1.0
        raise NetworkFormatError(
            f"meta.normalization.imageStd is {std.tolist()} and averageImage "
            f"{None if mean is None else mean.tolist()}: expected positive numbers, both for images 0..255 "
            "or both for 0..1; set net.meta['normalization'], without imageStd to leave it out"
        )

    def _pixel(self, name: str) -> Tensor | None:
        """A pixel of meta.normalization, (3,) or (1,); None where it is not there."""
        normalization = self.meta.get("normalization")
        image = normalization.get(name) if isinstance(normalization, Mapping) else None
        image = self.extra.get("imageMean") if image is None and name == "averageImage" else image
        if image is None or not np.size(image):
            return None
        try:
            array = np.asarray(image, dtype=np.float32)
        except (TypeError, ValueError):
            raise NetworkFormatError(f"normalization.{name} holds no numbers: {describe(image)}") from None
        pixel = array[0, 0] if array.ndim > 2 else array.ravel()[: 3 if array.size == 3 else 1]
        return torch.tensor(np.atleast_1d(pixel).ravel())

    def prepare(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W), RGB, 0..255, minus the mean pixel, divided by imageStd where meta has one.

        (N, 1, H, W) get three channels.
        """
        mean = self.mean_pixel.to(images.device, non_blocking=True)  # otherwise each batch waits for the copy
        std = self.pixel_std
        if 1 not in (len(mean), images.shape[1]) and len(mean) != images.shape[1]:
            raise NetworkFormatError(f"averageImage has {len(mean)} channels, the images {images.shape[1]}")
        centred = images - mean[:, None, None]
        return centred if std is None else centred / std.to(images.device, non_blocking=True)[:, None, None]


class WeightKind(NamedTuple):
    """Converts a weight from MATLAB's array to a tensor, and back to an array of a given shape if it fits."""

    to_torch: Callable[[np.ndarray], Tensor]
    to_matlab: Callable[[Tensor, tuple[int, ...]], np.ndarray]


def drop_trailing_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape as MATLAB reports it: at least two sides, the last of more than two above 1."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


def refuse_torch_order(
    name: str, array: np.ndarray, matlab: tuple[int, ...], torchs: tuple[int, ...]
) -> None:
    """ArgumentError for filters in torch's order where both orders' shapes tell them apart."""
    matlab = (*matlab, 1, 1)[:4]
    if array.shape == torchs != matlab:
        raise ArgumentError(
            f"{name}: an array of shape {array.shape} has torch's order; arrays are H x W x C x K as in "
            f"MATLAB, here {matlab}. Give a tensor to use torch's"
        )


def _filters_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor)
    same = shape + (1,) * (4 - len(shape)) == array.shape
    return array.reshape(shape if same else drop_trailing_ones(array.shape), order="F")


def _vector_back(tensor: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    array = filters_to_matlab(tensor.reshape(1, -1, 1, 1)).ravel()
    return array.reshape(shape if array.size == np.prod(shape) else (1, -1), order="F")


def _as_it_is(array: np.ndarray) -> Tensor:
    if array.dtype.kind not in "biuf":
        raise ArgumentError(f"expected a numeric array, found {describe(array)}")
    return torch.from_numpy(np.array(array, dtype=None if array.dtype.kind == "f" else np.float64))


FILTERS = WeightKind(filters_to_torch, _filters_back)  # H x W x C x K <-> (K, C, H, W)
VECTOR = WeightKind(vector_to_torch, _vector_back)  # row, column or 1 x 1 x K <-> (K,)
MATRIX = WeightKind(  # rows x columns, as it is
    lambda array: filters_to_torch(array)[0, 0],
    lambda tensor, shape: filters_to_matlab(tensor[None, None])[:, :, 0, 0],
)
AS_IT_IS = WeightKind(_as_it_is, lambda tensor, shape: tensor.detach().cpu().numpy())  # of unknown layers


class WeightSpec(NamedTuple):
    """One weight of a layer type: its name in Python, its form, and whether it is trained."""

    name: str
    kind: WeightKind
    trainable: bool = True
