"""Geo-tagged image sets: what they hold, who is near whom, and the files they come from."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
