"""How each golden file of MatConvNet's blocks is computed here: file name prefix -> what comes out, by name.

Every runner takes the file's variables and the class to compute in, and gives arrays in MATLAB's order under
the names that the file uses. The options of the call are in the file's `args`, else in the manifest's text.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from matlab_compat import nn
from matlab_compat.numeric import (
    filters_to_matlab,
    filters_to_torch,
    maps_to_matlab,
    maps_to_torch,
    vector_to_torch,
)
from matlab_compat.relja import relja_l2normalize_col
from tests.golden_data import GOLDEN, read_golden

Variables = Mapping[str, Any]
Results = dict[str, Any]


def scalar(value: Any) -> float:
    return float(np.asarray(value).ravel()[0])


def maps(value: Any, dtype: torch.dtype) -> Tensor:
    return maps_to_torch(value).to(dtype)


def words(cell: Any) -> list[Any]:
    """The options of a call: text as str, numbers as lists or numbers, arrays of maps as they are."""
    plain: list[Any] = []
    for value in np.asarray(cell).ravel():
        array = np.asarray(value)
        if array.dtype.kind == "U":
            plain.append(str(array.ravel()[0]))
        elif array.size == 1:
            plain.append(array.ravel()[0].item())
        elif array.ndim > 2:
            plain.append(maps_to_torch(array))
        else:
            plain.append(array.ravel().tolist())
    return plain


@functools.cache
def _described() -> dict[str, str]:
    """What the manifest says about each file: the call, and what was computed."""
    entries = json.loads((GOLDEN / "MANIFEST.json").read_text())
    return {entry["file"]: f"{entry['original']}; {entry['what']}" for entry in entries}


def described_options(text: str) -> list[Any]:
    """The options in a text such as "pad=[0 1 0 1] stride 2" or "'stride',[2 3]", as names and numbers."""
    found = re.findall(r"\b(stride|pad|dilate|upsample|crop|pool)'?[ =,]*\[?(\d[\d. ]*)", text)
    return [word for name, numbers in found for word in (name, [float(n) for n in numbers.split()])]


def read_case(path: Path) -> dict[str, Any]:
    """A file's variables, and under "options" the options of the call."""
    variables = read_golden(path)
    text = _described()[path.relative_to(GOLDEN).as_posix()]
    options = words(variables["args"]) if "args" in variables else described_options(text)
    return {**variables, "options": options}


def convolution(v: Variables, dtype: torch.dtype) -> Results:
    x, dzdy = maps(v["x"], dtype), maps(v["dzdy"], dtype)
    w = filters_to_torch(v["w"]).to(dtype) if "w" in v else None
    b = vector_to_torch(v["b"]).to(dtype) if v["b"].size else None
    dzdx, dzdw, dzdb = nn.vl_nnconv(x, w, b, dzdy, *v["options"])
    found = {"y": maps_to_matlab(nn.vl_nnconv(x, w, b, *v["options"])), "dzdx": maps_to_matlab(dzdx)}
    return found | _weights(dzdw, dzdb, v)


def _weights(dzdw: Tensor | None, dzdb: Tensor | None, v: Variables) -> Results:
    return {
        "dzdw": filters_to_matlab(dzdw) if dzdw is not None else np.zeros((0, 0)),
        "dzdb": dzdb.numpy().reshape(v["dzdb"].shape) if dzdb is not None else np.zeros((0, 0)),
    }


def transposed(v: Variables, dtype: torch.dtype) -> Results:
    x, w, dzdy = maps(v["x"], dtype), filters_to_torch(v["w"]).to(dtype), maps(v["dzdy"], dtype)
    b = vector_to_torch(v["b"]).to(dtype) if v["b"].size else None
    dzdx, dzdw, dzdb = nn.vl_nnconvt(x, w, b, dzdy, *v["options"])
    found = {"y": maps_to_matlab(nn.vl_nnconvt(x, w, b, *v["options"])), "dzdx": maps_to_matlab(dzdx)}
    return found | _weights(dzdw, dzdb, v)


def pooling(v: Variables, dtype: torch.dtype) -> Results:
    options = list(v["options"])
    if "pool" in v:
        window = v["pool"].ravel().tolist()
    else:
        at = options.index("pool")
        window = options[at + 1]
        del options[at : at + 2]
    return _maps_op(lambda x, *dzdy: nn.vl_nnpool(x, window, *dzdy, *options), v, dtype)


def _maps_op(block: Callable[..., Any], v: Variables, dtype: torch.dtype) -> Results:
    x = maps(v["x"], dtype)
    found = {"y": maps_to_matlab(block(x))}
    if "dzdy" in v:
        found["dzdx"] = maps_to_matlab(block(x, maps(v["dzdy"], dtype)))
    return found


def with_param(name: str) -> Callable[[Variables, torch.dtype], Results]:
    block = getattr(nn, name)

    def run(v: Variables, dtype: torch.dtype) -> Results:
        param = v["param"].ravel().tolist()
        return _maps_op(lambda x, *dzdy: block(x, param, *dzdy), v, dtype)

    return run


def relu(v: Variables, dtype: torch.dtype) -> Results:
    x, dzdy, leak = maps(v["x"], dtype), maps(v["dzdy"], dtype), scalar(v["leak"])
    leaky = {
        "y_leak": maps_to_matlab(nn.vl_nnrelu(x, leak=leak)),
        "dzdx_leak": maps_to_matlab(nn.vl_nnrelu(x, dzdy, leak=leak)),
    }
    return _maps_op(nn.vl_nnrelu, v, dtype) | leaky


def softmax(v: Variables, dtype: torch.dtype) -> Results:
    found = _maps_op(nn.vl_nnsoftmax, v, dtype)
    if "x_big" in v:
        big = _maps_op(nn.vl_nnsoftmax, {"x": v["x_big"], "dzdy": v["dzdy"]}, dtype)
        found |= {f"{name}_big": value for name, value in big.items()}
    return found


def dropout(v: Variables, dtype: torch.dtype) -> Results:
    x, mask, dzdy = (maps(v[name], dtype) for name in ("x", "mask", "dzdy"))
    return {
        "y_test": maps_to_matlab(x),  # the layer in test mode: see parity/test_relja.py
        "y_mask": maps_to_matlab(_first(nn.vl_nndropout(x, mask=mask))),
        "dzdx_mask": maps_to_matlab(_first(nn.vl_nndropout(x, dzdy, mask=mask))),
    }


def _first(value: Any) -> Tensor:
    return value[0] if isinstance(value, tuple) else value


def batch_norm(v: Variables, dtype: torch.dtype) -> Results:
    x, dzdy = maps(v["x"], dtype), maps(v["dzdy"], dtype)
    g, b = (vector_to_torch(v[name]).to(dtype) for name in ("g", "b"))
    if "y_test" in v:  # the first file: both modes under names of their own
        epsilon = ["epsilon", scalar(v["epsilon"])]
        given = ["moments", torch.from_numpy(v["moments"].copy()).to(dtype)]
        return {
            **_norm(x, g, b, dzdy, epsilon, "_train"),
            **_norm(x, g, b, dzdy, [*epsilon, *given], "_test"),
            "mom_train": nn.vl_nnbnorm(x, g, b, dzdy, *epsilon)[3].numpy(),
        }
    options = v["options"]
    moments = torch.from_numpy(v["moments"].copy()).to(dtype)
    found = _norm(x, g, b, dzdy, options, "")
    found["moments"] = found["dmoments"] = nn.vl_nnbnorm(x, g, b, dzdy, *options)[3].numpy()
    return found | _norm(x, g, b, dzdy, [*options, "moments", moments], "_givenmom")


def _norm(x: Tensor, g: Tensor, b: Tensor, dzdy: Tensor, options: list[Any], suffix: str) -> Results:
    dzdx, dzdg, dzdb, _ = nn.vl_nnbnorm(x, g, b, dzdy, *options)
    y = nn.vl_nnbnorm(x, g, b, *options)
    found = {"y": maps_to_matlab(y), "dzdx": maps_to_matlab(dzdx)}
    found |= {"dzdg": dzdg.reshape(-1, 1).numpy(), "dzdb": dzdb.reshape(-1, 1).numpy()}
    return {name + suffix: value for name, value in found.items()}


def normalize_columns(v: Variables, dtype: torch.dtype) -> Results:
    return {"y": np.asarray(relja_l2normalize_col(v["x"].T.copy())).T}


def distance(v: Variables, dtype: torch.dtype) -> Results:
    x, x0, p = maps(v["x"], dtype), maps(v["x0"], dtype), scalar(v["p"])
    options = list(v["options"])
    if "noRoot" in v:
        options += ["noRoot", bool(scalar(v["noRoot"]))]
    y = nn.vl_nnpdist(x, x0, p, *options)
    dzdy = torch.tensor(scalar(v["dzdy"]), dtype=dtype) if y.ndim == 0 else maps(v["dzdy"], dtype)
    dzdx, dzdx0 = nn.vl_nnpdist(x, x0, p, dzdy, *options)
    value = y.numpy().reshape(1, 1) if y.ndim == 0 else maps_to_matlab(y)
    return {"y": value, "dzdx": maps_to_matlab(dzdx), "dzdx0": maps_to_matlab(dzdx0)}


def zero_based(c: Any) -> Tensor:
    """MATLAB's class labels, 0 = ignored, as ours, negative = ignored; a second channel holds weights."""
    labels = np.asarray(c, dtype=np.float64)
    tensor = maps_to_torch(labels).clone() if labels.ndim > 2 else torch.from_numpy(labels.ravel().copy())
    if tensor.ndim == 4:
        tensor[:, :1] -= 1
        return tensor
    return tensor - 1


def softmax_loss(v: Variables, dtype: torch.dtype) -> Results:
    x, c = maps(v["x"], dtype), zero_based(v["c"])
    dzdx = nn.vl_nnsoftmaxloss(x, c, scalar(v["dzdy"]))
    return {"y": nn.vl_nnsoftmaxloss(x, c).numpy().reshape(1, 1), "dzdx": maps_to_matlab(dzdx)}


def crop(v: Variables, dtype: torch.dtype) -> Results:
    x, cut, dzdy = maps(v["x"], dtype), v["crop"].ravel().tolist(), maps(v["dzdy"], dtype)
    return {
        "y": maps_to_matlab(nn.vl_nncrop(x, cut)),
        "dzdx": maps_to_matlab(nn.vl_nncrop(x, cut, dzdy)),
        "dzdx_inputSize": maps_to_matlab(nn.vl_nncrop(None, cut, dzdy, x.shape)),
    }


def concatenation(v: Variables, dtype: torch.dtype) -> Results:
    if "a" in v:
        return {"y": maps_to_matlab(nn.vl_nnconcat([maps(v["a"], dtype), maps(v["b"], dtype)]))}
    dim = {1: 2, 2: 3, 3: 1, 4: 0}[int(scalar(v["dim"]))]  # MATLAB's dimension -> torch's
    inputs = [maps(value, dtype) for value in v["inputs"].ravel()]
    dzdy = maps(v["dzdy"], dtype)
    parts = nn.vl_nnconcat(inputs, dim, dzdy)
    by_size = nn.vl_nnconcat([], dim, dzdy, inputSizes=[x.shape for x in inputs])
    return {
        "y": maps_to_matlab(nn.vl_nnconcat(inputs, dim)),
        "dzdx": [maps_to_matlab(part) for part in parts],
        "dzdx_sizes": [maps_to_matlab(part) for part in by_size],
    }


RUNNERS: dict[str, Callable[[Variables, torch.dtype], Results]] = {
    "conv": convolution,
    "convt": transposed,
    "pool": pooling,
    "relu": relu,
    "sigmoid": lambda v, dtype: _maps_op(nn.vl_nnsigmoid, v, dtype),
    "softmax": softmax,
    "softmaxloss": softmax_loss,
    "dropout": dropout,
    "bnorm": batch_norm,
    "relja_l2normalize_col": normalize_columns,
    "spnorm": with_param("vl_nnspnorm"),
    "noffset": with_param("vl_nnnoffset"),
    "lrn": with_param("vl_nnnormalize"),
    "l2": with_param("vl_nnnormalize"),
    "pdist": distance,
    "crop": crop,
    "concat": concatenation,
}


def runner(stem: str) -> Callable[[Variables, torch.dtype], Results]:
    """The runner of a file: the longest prefix of its name, up to an underscore, that has one."""
    parts = stem.split("_")
    for length in range(len(parts), 0, -1):
        name = "_".join(parts[:length])
        if name in RUNNERS:
            return RUNNERS[name]
    raise KeyError(f"no runner for the golden file {stem}: write one in tests/parity/nn_cases.py")
