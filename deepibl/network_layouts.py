"""What the published networks consist of, layer by layer, as data; and the comparison of a network with it.

Shapes are MATLAB's: height x width x input channels x outputs.
"""

from collections.abc import Sequence
from typing import NamedTuple

VGG16_BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))  # convolutions, channels of each block
CLUSTERS, WHITENED = 64, 4096


class LayerSpec(NamedTuple):
    """A layer's name, its type (of a custom layer its class) and the shape of its first weights, ()
    without.
    """

    name: str
    type: str
    shape: tuple[int, ...] = ()


def vgg16_layers(
    *, pool_first: bool, blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS
) -> tuple[LayerSpec, ...]:
    """VGG-16 up to its last convolution, conv5_3.

    pool_first: each max pooling stands before its ReLU, as in NetVLAD's networks; else behind it, as
    published.
    """
    layers: list[LayerSpec] = []
    channels = 3
    for b, (count, width) in enumerate(blocks, start=1):
        for c in range(1, count + 1):
            layers.append(LayerSpec(f"conv{b}_{c}", "conv", (3, 3, channels, width)))
            channels = width
            if c < count:
                layers.append(LayerSpec(f"relu{b}_{c}", "relu"))
        if b < len(blocks):
            tail = [LayerSpec(f"relu{b}_{count}", "relu"), LayerSpec(f"pool{b}", "pool")]
            layers += reversed(tail) if pool_first else tail
    return tuple(layers)


def whitened_netvlad_layers(
    *, blocks: Sequence[tuple[int, int]] = VGG16_BLOCKS, clusters: int = CLUSTERS, whitened: int = WHITENED
) -> tuple[LayerSpec, ...]:
    """The 35 layers of the released networks: VGG-16 to conv5_3, NetVLAD, whitening to 4096 dimensions."""
    width = blocks[-1][1]
    return (
        *vgg16_layers(pool_first=True, blocks=blocks),
        LayerSpec("preL2", "normalize"),
        LayerSpec("vlad:core", "layerVLAD", (1, 1, width, clusters)),
        LayerSpec("vlad:intranorm", "normalize"),
        LayerSpec("postL2", "layerWholeL2Normalize"),
        LayerSpec("WPCA", "conv", (1, 1, width * clusters, whitened)),
        LayerSpec("finalL2", "layerWholeL2Normalize"),
    )


class Layout(NamedTuple):
    """Layers that a network must consist of, or (`begins`) must begin with."""

    layers: tuple[LayerSpec, ...]
    begins: bool = False


LAYOUTS = {
    "vgg16-netvlad-white": Layout(whitened_netvlad_layers()),
    "vgg16": Layout(vgg16_layers(pool_first=False), begins=True),
}


def differences(found: Sequence[LayerSpec], layout: Layout) -> list[str]:
    """What is not as the layout has it, in words; empty when all is."""
    wanted = layout.layers
    lines = []
    if len(found) < len(wanted) or (len(found) > len(wanted) and not layout.begins):
        least = "at least " if layout.begins else ""
        lines.append(f"{len(found)} layers instead of {least}{len(wanted)}")
    for i, (have, want) in enumerate(zip(found, wanted, strict=False)):
        if have != want:
            lines.append(f"layer {i} is {_words(have)} instead of {_words(want)}")
    return lines


def _words(layer: LayerSpec) -> str:
    shape = " " + "x".join(map(str, layer.shape)) if layer.shape else ""
    return f"{layer.name!r} ({layer.type}{shape})"
