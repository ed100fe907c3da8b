"""A batch of images through a network: with torch's operators, oneDNN, int8 or CUDA."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
