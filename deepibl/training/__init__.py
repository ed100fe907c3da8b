"""Training: one loop for all losses; loss, data, saving and reporting are arguments."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
