"""The names of a package's `__init__.pyi`, loaded when first used; a misspelt one gets a suggestion."""

import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import lazy_loader

from matlab_compat.errors import did_you_mean

Names = tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]


def attach(package: str, file: str) -> Names:
    """Returns what a package's `__getattr__, __dir__, __all__` are to be; see lazy_loader.attach_stub.

    `__all__`, which `import *` brings, leaves out modules and packages: some of them need an extra.
    """
    load, list_names, names = lazy_loader.attach_stub(package, file)
    modules = {module.name for module in pkgutil.iter_modules(sys.modules[package].__path__)}

    def get(name: str) -> Any:
        if name in names or name.startswith("_"):
            return load(name)
        hint = did_you_mean(name, names)
        raise AttributeError(f"module {package!r} has no attribute {name!r}{hint}", name=name)

    return get, list_names, sorted(set(names) - modules)
