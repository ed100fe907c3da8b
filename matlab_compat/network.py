"""A MatConvNet network of either kind, a SimpleNN chain or a DagNN graph, from the content of a file."""

from typing import Any

from matlab_compat.dagnn.network import DagNN, is_dagnn
from matlab_compat.errors import NetworkFormatError, located
from matlab_compat.matfile.values import MatObject, describe
from matlab_compat.simplenn.network import SimpleNN

Network = SimpleNN | DagNN


def network_from_matlab(value: Any, *, consume: bool = False) -> Network:
    """The network that a MATLAB value describes, in eval mode, on the CPU.

    Args:
        value: a struct, or a DagNN object as MATLAB saves it.
        consume: empties a SimpleNN's struct while converting (see `SimpleNN.from_matlab`).

    Raises NetworkFormatError for anything else, and what `from_matlab` of the two kinds raises.
    """
    struct = value.properties if isinstance(value, MatObject) else value
    if not isinstance(struct, dict):
        raise NetworkFormatError(
            f"there is no network: expected a struct with a field layers, found {describe(value)}"
        )
    with located("the network is invalid"):
        if is_dagnn(struct):
            return DagNN.from_matlab(struct)
        return SimpleNN.from_matlab(struct, consume=consume)
