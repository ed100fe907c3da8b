"""The names that documents promise: importable, listed, explained, and found by editors in the stubs."""

import importlib
import importlib.util
import os
import pkgutil
import pydoc
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import deepibl
import matlab_compat
from deepibl.training.options import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*.ipynb")),
]
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in DOCUMENTS}
# deepibl.x.y in prose or code, but neither file names (deepibl/x.py, deepibl.toml) nor addresses
DOTTED = re.compile(r"(?<![\w/.-])(?:deepibl|matlab_compat)(?:\.[A-Za-z_]\w*)+(?![\w/])")
IMPORT = re.compile(r"^\s*from ((?:deepibl|matlab_compat)[\w.]*) import \(?([\w, \n]+)", re.MULTILINE)
MENTIONED = sorted({(name, file) for file, text in TEXTS.items() for name in DOTTED.findall(text)})
IMPORTED = sorted({(match[1], file) for file, text in TEXTS.items() for match in IMPORT.finditer(text)})
EXTRAS = ("fastapi", "tree_sitter", "tree_sitter_matlab", "pymilvus", "pytorch_metric_learning", "cv2")


def packages() -> list[str]:
    """Every package of the two, by the folders that are there."""
    found = ["deepibl", "matlab_compat"]
    for top in (deepibl, matlab_compat):
        found += [
            info.name
            for info in pkgutil.iter_modules(top.__path__, f"{top.__name__}.")
            if info.ispkg and not info.name.endswith(("._weights", ".cli"))  # nobody imports the command
        ]
    return found


def resolved(name: str) -> Any:
    """The object of a dotted name by attribute access; at every package its stub has to list what follows."""
    top, *rest = name.split(".")
    found: Any = {"deepibl": deepibl, "matlab_compat": matlab_compat}[top]
    for part in rest:
        if isinstance(found, ModuleType) and hasattr(found, "__path__"):
            assert part in dir(found), f"{found.__name__} does not list {part}"
        found = getattr(found, part)
    return found


def test_the_documents_mention_names() -> None:
    assert len(MENTIONED) > 50 and len(IMPORTED) > 2


@pytest.mark.parametrize(("name", "file"), MENTIONED)
def test_a_dotted_name_in_a_document_resolves_by_attribute_access(name: str, file: str) -> None:
    resolved(name)


@pytest.mark.parametrize(("module", "file"), IMPORTED)
def test_documents_import_from_packages_and_top_level_modules_only(module: str, file: str) -> None:
    assert module.count(".") <= 1, f"{file} imports from {module}, a module below a package"
    importlib.import_module(module)


def in_a_fresh_process(code: str, **environment: str) -> str:
    """What Python code prints in a new interpreter."""
    command, variables = [sys.executable, "-c", code], {**os.environ, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("package", ["deepibl", "deepibl.matlab", "matlab_compat"])
def test_import_star_brings_every_documented_name(package: str) -> None:
    imports = re.compile(rf"^\s*from {re.escape(package)} import ([\w, ]+)", re.MULTILINE)
    lists = [names for text in TEXTS.values() for names in imports.findall(text)]
    wanted = {name for names in lists for name in re.findall(r"\w+", names)}
    wanted |= set(re.findall(rf"`{re.escape(package)}\.(\w+)`", TEXTS["for_matlab_users.md"]))
    if package == "deepibl":
        wanted |= {
            "dbPitts",
            "trainGaussKernalInd",
            "serialAllFeats",
            "testFromFn",
            "load_network",
            "SARELoss",
        }
        wanted |= set(importlib.import_module("deepibl.matlab").__all__)
    brought = in_a_fresh_process(f"from {package} import *\nprint(*dir())").split()
    modules = {name for name in wanted if isinstance(resolved(f"{package}.{name}"), ModuleType)}
    assert wanted and sorted(wanted - modules - set(brought)) == []


@pytest.mark.parametrize("package", packages())
def test_a_package_offers_what_its_stub_names(package: str) -> None:
    """And __all__ holds what the package exports: `from package import *` brings it."""
    module = importlib.import_module(package)
    assert Path(str(module.__file__)).with_suffix(".pyi").is_file()
    assert module.__all__
    for name in module.__all__:
        try:
            assert hasattr(module, name), name
        except ModuleNotFoundError as lacking:
            if lacking.name not in EXTRAS:
                raise
    assert sorted(set(module.__all__) - {"__version__"} - set(dir(module))) == []


def test_every_stub_is_true_when_all_names_are_looked_up_at_once() -> None:
    lacking = [name for name in EXTRAS if importlib.util.find_spec(name) is None]
    if lacking:
        pytest.skip(f"eager importing needs {', '.join(lacking)}")
    in_a_fresh_process("import deepibl, matlab_compat", EAGER_IMPORT="1")


def test_dir_lists_what_a_user_may_call_and_nothing_else() -> None:
    listed = {name for name in dir(deepibl) if not name.startswith("_")}
    assert {"load_network", "extract", "PlaceIndex", "dbPitts", "trainGaussKernalInd", "networks"} <= listed
    assert listed & {"Any", "importlib", "lazy", "lazy_loader", "pkgutil", "annotations"} == set()
    assert {name for name in listed if not hasattr(deepibl, name)} == set()


@pytest.mark.parametrize("name", [name for name in dir(deepibl) if re.match("train[A-Z]", name)])
def test_help_on_a_trainer_shows_its_options_and_defaults(name: str) -> None:
    shown = pydoc.plain(pydoc.render_doc(getattr(deepibl, name)))
    assert "**kwargs" not in shown
    assert [each.matlab for each in OPTIONS.values() if each.help and each.matlab not in shown] == []
    assert f"learningRate: float = {OPTIONS['learning_rate'].default}" in shown


@pytest.mark.parametrize(
    ("module", "typed", "meant"),
    [
        ("deepibl", "trainGaussKernelInd", "trainGaussKernalInd"),
        ("deepibl", "dbpitts", "dbPitts"),
        ("deepibl", "load_networks", "load_network"),
        ("deepibl.matlab", "serialallfeats", "serialAllFeats"),
        ("matlab_compat", "vl_nnConv", "vl_nnconv"),
    ],
)
def test_a_misspelt_name_gets_a_suggestion(module: str, typed: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=f"(?i)did you mean.*(?-i:{meant})"):
        getattr(importlib.import_module(module), typed)
