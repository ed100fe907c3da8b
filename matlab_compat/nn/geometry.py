"""Strides, pads, windows and options as MatConvNet takes them, and the derivatives of all blocks."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from matlab_compat.arguments import options
from matlab_compat.errors import ArgumentError

LARGEST = 2**16  # of a stride, pad or window: a larger one is of a damaged file, and would take all memory
Numbers = int | float | Sequence[float] | np.ndarray | Tensor
Pair = tuple[int, int]  # vertical, horizontal
Function = TypeVar("Function", bound=Callable[..., Any])


class Borders(NamedTuple):
    """Rows and columns added or cut at each side, in MatConvNet's order."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def symmetric(self) -> bool:
        """Whether opposite sides are equal."""
        return self.top == self.bottom and self.left == self.right

    @property
    def torch_order(self) -> tuple[int, int, int, int]:
        """The order that torch.nn.functional.pad takes: left, right, top, bottom."""
        return self.left, self.right, self.top, self.bottom


def _integers(value: Numbers, name: str, at_least: int) -> list[int]:
    if isinstance(value, tuple) and value and all(type(n) is int and at_least <= n <= LARGEST for n in value):
        return list(value)  # as layers keep them; without NumPy, which torch.compile cannot follow
    try:
        numbers = np.asarray(value, dtype=np.float64).ravel(order="F")
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} is {value!r:.80}: expected integers of at least {at_least}") from None
    if not np.all(numbers == np.floor(numbers)) or np.any(numbers < at_least):
        raise ArgumentError(f"{name} is {numbers.tolist()}: expected integers of at least {at_least}")
    if np.any(numbers > LARGEST):
        raise ArgumentError(f"{name} is {numbers.tolist()}: at most {LARGEST} pixels are allowed")
    return [int(number) for number in numbers]


def pair(value: Numbers, name: str) -> Pair:
    """A scalar or [vertical horizontal], each at least 1, as (vertical, horizontal)."""
    numbers = _integers(value, name, 1)
    if len(numbers) not in (1, 2):
        raise ArgumentError(f"{name} has {len(numbers)} elements: expected one, or [vertical horizontal]")
    return numbers[0], numbers[-1]


def borders(value: Numbers, name: str = "pad") -> Borders:
    """A scalar, [vertical horizontal] or [top bottom left right], none negative, as Borders.

    MatConvNet's own blocks refuse two elements; here they mean the same amount at opposite sides.
    """
    numbers = _integers(value, name, 0)
    if len(numbers) == 1:
        return Borders(*numbers * 4)
    if len(numbers) == 2:
        return Borders(numbers[0], numbers[0], numbers[1], numbers[1])
    if len(numbers) == 4:
        return Borders(*numbers)
    raise ArgumentError(f"{name} has {len(numbers)} elements: expected one, or [top bottom left right]")


def output_size(x: Tensor, window: Pair, stride: Pair, pad: Borders, what: str) -> Pair:
    """Rows and columns after sliding a window over the padded maps; the size is rounded down.

    Raises ArgumentError when the window is larger than the padded maps.
    """
    height, width = x.shape[2] + pad.top + pad.bottom, x.shape[3] + pad.left + pad.right
    if not torch.compiler.is_compiling() and (height < window[0] or width < window[1]):
        raise ArgumentError(
            f"{what} covers {window[0]} x {window[1]} pixels, the padded maps have {height} x {width}"
            f" (maps {x.shape[2]} x {x.shape[3]}, pad {list(pad)}); use larger images"
        )
    return (height - window[0]) // stride[0] + 1, (width - window[1]) // stride[1] + 1


def check_maps(x: Tensor, name: str = "x") -> None:
    """Raises ArgumentError unless x has the four dimensions (N, C, H, W)."""
    if x.ndim != 4:
        raise ArgumentError(f"{name} has shape {tuple(x.shape)}: expected (N, C, H, W)")


def cropped(x: Tensor, cut: Borders, what: str) -> Tensor:
    """Maps without rows and columns at the borders; ArgumentError, which says of what, if none are left."""
    height, width = x.shape[2] - cut.bottom, x.shape[3] - cut.right
    if height <= cut.top or width <= cut.left:
        raise ArgumentError(f"crop {list(cut)} leaves nothing of {what} of {x.shape[2]} x {x.shape[3]}")
    return x[:, :, cut.top : height, cut.left : width]


def is_empty(tensor: Tensor | None) -> bool:
    """Whether an argument is MATLAB's [] (None or a tensor without elements)."""
    return tensor is None or tensor.numel() == 0


def check_derivative(dzdy: Tensor, y: Tensor) -> None:
    """Raises ArgumentError unless dzdy has the shape of the block's output y."""
    if dzdy.shape != y.shape:
        raise ArgumentError(f"dzdy has shape {tuple(dzdy.shape)}, the output of this block {tuple(y.shape)}")


def _recorded(tensor: Tensor) -> Tensor:
    """The values as a tensor that autograd accepts, even if they were computed in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def derivatives(
    forward: Callable[..., Tensor], inputs: Sequence[Tensor | None], dzdy: Tensor
) -> tuple[Tensor | None, ...]:
    """The derivatives of <forward(*inputs), dzdy> by each input; an empty input is returned as it is."""
    with torch.inference_mode(False), torch.enable_grad():
        leaves = [x if x is None or is_empty(x) else _recorded(x).requires_grad_() for x in inputs]
        wanted = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
        y = forward(*leaves)
        check_derivative(dzdy, y)
        found = iter(torch.autograd.grad(y, wanted, _recorded(dzdy)))
    return tuple(next(found) if leaf is not None and leaf.requires_grad else leaf for leaf in leaves)


def differentiable(inputs: int) -> Callable[[Function], Function]:
    """Decorator: a function that computes an output returns derivatives where it is given `dzdy`.

    inputs: how many of the first arguments the derivatives are by: of one a tensor, of several a tuple.
    """

    def decorate(function: Function) -> Function:
        names = list(inspect.signature(function).parameters)
        place = names.index("dzdy")

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            dzdy = args[place] if len(args) > place else kwargs.get("dzdy")
            if dzdy is None:
                return function(*args, **kwargs)
            given = {**dict(zip(names, args, strict=False)), **kwargs, "dzdy": None}
            leaves = [given.pop(name) for name in names[:inputs]]
            found = derivatives(lambda *inputs: function(*inputs, **given), leaves, dzdy)
            return found if inputs > 1 else found[0]

        return call  # type: ignore[return-value]

    return decorate


class OriginalDerivative(torch.autograd.Function):
    """Gives a block MatConvNet's derivative under autograd, where that differs from the true one.

    Called as `OriginalDerivative.apply(forward, backward, *inputs)`: forward(*inputs) is the output,
    backward(*inputs, dzdy) a tuple of derivatives, one per input, reduced here to the input's shape.
    """

    @staticmethod
    def forward(ctx: Any, forward: Callable[..., Tensor], backward: Any, *inputs: Tensor) -> Tensor:
        """Computes forward(*inputs) and keeps the inputs."""
        ctx.backward_form = backward
        ctx.save_for_backward(*inputs)
        return forward(*inputs)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, dzdy: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """The derivatives of the original's own formula."""
        inputs = ctx.saved_tensors
        found = ctx.backward_form(*inputs, dzdy)
        return None, None, *(der.sum_to_size(x.shape) for der, x in zip(found, inputs, strict=True))


# MatConvNet's choices of an implementation, which do not change the result and are ignored here.
SWITCHES = {  # name -> words to skip
    **dict.fromkeys(("verbose", "cudnn", "nocudnn", "derdata", "noderdata", "derfilters", "noderfilters"), 1),
    **dict.fromkeys(("derbiases", "noderbiases"), 1),
    "cudnnworkspacelimit": 2,
}


def _words(given: tuple[Any, ...]) -> list[Any]:
    """The name, value pairs without MatConvNet's switches, 1 x 1 arrays (as from a .mat file) as numbers."""
    words: list[Any] = []
    position = 0
    while position < len(given):
        name = given[position]
        count = SWITCHES.get(name.lower()) if isinstance(name, str) else None
        if count is None:
            words += given[position : position + 2]
        position += count or 2
    return [word.item() if isinstance(word, np.ndarray) and word.size == 1 else word for word in words]


def _argument(value: Any) -> Any:
    """An argument as the blocks take it: [] is None, an array (in torch's order) a tensor."""
    if (isinstance(value, list | tuple) and not value) or (isinstance(value, np.ndarray) and not value.size):
        return None
    numeric = isinstance(value, np.ndarray) and value.dtype.kind in "biuf"
    return torch.from_numpy(np.ascontiguousarray(value)) if numeric else value


def matlab_options(function: Function) -> Function:
    """Decorator: MATLAB's arguments: [] for none, arrays for tensors, options as 'name', value pairs.

    The pairs may be in any letter case; all arguments from the first string on are read as pairs.
    ArgumentError for an unknown name, with the closest known one.
    """
    parameters = inspect.signature(function).parameters
    positional = [name for name, p in parameters.items() if p.kind is not p.KEYWORD_ONLY]
    defaults = {name: p.default for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        args = tuple(map(_argument, args))
        kwargs = {name: _argument(value) for name, value in kwargs.items()}
        first = next((i for i, word in enumerate(args) if isinstance(word, str)), len(args))
        if first == len(args) and kwargs.keys() <= parameters.keys():
            return function(*args, **kwargs)
        named = {name: kwargs.pop(name) for name in positional if name in kwargs}
        chosen = options(defaults, _words(args[first:]), kwargs)
        return function(*args[:first], **named, **vars(chosen))

    return call  # type: ignore[return-value]
