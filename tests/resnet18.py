"""Random weights of torchvision's ResNet-18 in a file, for tests of networks by their library's name."""

from pathlib import Path

import torch
import torchvision


def random_weights(folder: Path) -> Path:
    """A file of random weights, with running statistics that are no zeros and ones."""
    torch.manual_seed(0)
    model = torchvision.models.resnet18(weights=None).train()
    with torch.no_grad():
        model(torch.randn(4, 3, 64, 64))
    path = folder / "resnet18.pth"
    torch.save(model.state_dict(), path)
    return path
