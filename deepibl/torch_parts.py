"""A torchvision or timm network in two parts, so that what lies below the layers that learn is left alone."""

from __future__ import annotations

from torch import fx

from matlab_compat.errors import ArgumentError


def part_of(graph: fx.GraphModule, split: str, part: str) -> fx.GraphModule:
    """A graph of one input, which is changed into its part 'before' the module `split`, or 'from' it on.

    Raises ArgumentError where later layers need more of the part before than what enters `split`.
    """
    nodes = list(graph.graph.nodes)
    first = next((node for node in nodes if _belongs(node, split)), None)
    if first is None:
        raise ArgumentError(f"the network cannot be split at {split!r}: it comes after the last layer kept")
    enters = _what_enters(nodes, first, split)
    if part == "before":
        nodes[-1].args = ({"maps": enters},)
    else:
        with graph.graph.inserting_before(nodes[0]):
            maps = graph.graph.placeholder("maps")
        enters.replace_all_uses_with(maps)
    graph.graph.eliminate_dead_code()
    for node in list(graph.graph.nodes):
        if node.op == "placeholder" and not node.users:
            graph.graph.erase_node(node)
    graph.delete_all_unused_submodules()
    graph.recompile()
    return graph


def _belongs(node: fx.Node, module: str) -> bool:
    return node.op == "call_module" and f"{node.target}.".startswith(f"{module}.")


def _what_enters(nodes: list[fx.Node], first: fx.Node, split: str) -> fx.Node:
    """The one node that all from `first` on need of those before it."""
    at = nodes.index(first)
    before = {node for node in nodes[:at] if node.op != "get_attr"}
    needed = {source for node in nodes[at:] for source in node.all_input_nodes} & before
    if len(needed) != 1:
        names = ", ".join(sorted(node.name for node in needed))
        raise ArgumentError(
            f"the network cannot be split at {split!r}: later layers need {names} of those before it"
        )
    (enters,) = needed
    if enters.op == "placeholder":
        raise ArgumentError(f"the network cannot be split at {split!r}: nothing comes before it")
    return enters
