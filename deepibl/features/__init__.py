"""Many images to descriptors, in memory or in a file whose extraction can be resumed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
