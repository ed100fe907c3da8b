"""Entry points for torch.hub.

>>> net = torch.hub.load("FOLDER OF THIS REPOSITORY", "network", "model.mat", source="local")
"""

from typing import Any

dependencies = ["torch", "numpy", "scipy", "h5py", "safetensors", "lazy_loader"]


def network(path: str, device: str = "cpu") -> Any:
    """A network from a file or by its name, as deepibl.load_network takes: an nn.Module.

    net(net.prepare(images)).flatten(1) are descriptors of images (N, 3, H, W), RGB, 0..255.
    """
    from deepibl.networks import load_network

    return load_network(path, device=device)


def describer(path: str, device: str = "cpu") -> Any:
    """The same with preparation included: images (N, 3, H, W), RGB, 0..255 -> descriptors (N, D)."""
    from deepibl.networks import DescriptorModule

    return DescriptorModule(network(path)).to(device)


def netvlad(num_clusters: int = 64, dim: int = 512, v2: bool = False, normalize: bool = False) -> Any:
    """An untrained NetVLAD layer, (N, dim, H, W) -> (N, dim, 1, num_clusters)."""
    from deepibl.layers import NetVLAD

    return NetVLAD(num_clusters, dim, v2=v2, normalize=normalize)
