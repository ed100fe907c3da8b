"""The ground floor's door: every original name, looked up when it is used, and nothing loaded before."""

import subprocess
import sys
from types import ModuleType

import pytest

import matlab_compat


@pytest.mark.parametrize("name", matlab_compat.__all__)
def test_every_original_name_can_be_imported(name: str) -> None:
    function = getattr(matlab_compat, name)
    assert callable(function) and not isinstance(function, ModuleType)
    assert function.__name__ == name
    assert getattr(matlab_compat, name) is function  # the second time too: no module of that name hides it
    assert "Ported from:" in (function.__doc__ or ""), "the docstring says where it comes from"


def test_names_that_are_not_there_are_refused() -> None:
    with pytest.raises(AttributeError, match="vl_nosuch"):
        _ = matlab_compat.vl_nosuch
    assert set(matlab_compat.__all__) <= set(dir(matlab_compat))


def test_importing_the_package_loads_only_what_looks_names_up() -> None:
    code = (
        "import sys, matlab_compat;"
        "print([m for m in sys.modules if m.startswith('matlab_compat.') or m in ('torch', 'numpy')])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "['matlab_compat.errors', 'matlab_compat.lazy_names']"


def test_all_public_functions_of_the_original_libraries_are_listed() -> None:
    import importlib
    import pkgutil

    prefixes = ("vl_", "relja_", "yael_")
    for module in pkgutil.walk_packages(matlab_compat.__path__, "matlab_compat."):
        content = importlib.import_module(module.name)
        own = {
            name
            for name, value in vars(content).items()
            if name.startswith(prefixes) and getattr(value, "__module__", "") == content.__name__
        }
        assert own - {"vl_nnbnorm_moments"} <= set(matlab_compat.__all__), module.name
