"""The demos, the networks they start from, and the scripts that `migrate` is tried on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
