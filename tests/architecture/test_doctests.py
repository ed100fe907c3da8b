"""The examples in docstrings are true: one test a module, so that a failure names it."""

import doctest
import importlib
import io
import pkgutil
from pathlib import Path

import pytest

import deepibl
import matlab_compat

# top-level packages of the extras; a module that needs one which is not installed is skipped
EXTRAS = {
    "cv2",
    "fastapi",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "pymilvus",
    "pytorch_metric_learning",
    "tensorboard",
    "timm",
    "tree_sitter",
    "tree_sitter_matlab",
    "uvicorn",
}
MODULES = sorted(
    info.name
    for package in (deepibl, matlab_compat)
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not info.name.endswith("__main__")
)


def sources() -> list[str]:
    """The modules whose sources hold examples, and the two packages."""
    root = Path(__file__).resolve().parents[2]
    found = []
    for name in ("deepibl", "matlab_compat", *MODULES):
        path = root.joinpath(*name.split("."))
        source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if ">>> " in source.read_text(encoding="utf-8"):
            found.append(name)
    return found


@pytest.mark.parametrize("name", sources())
def test_the_examples_in_docstrings_are_true(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # an example may write files
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as lacking:
        if str(lacking.name).partition(".")[0] not in EXTRAS:
            raise
        pytest.skip(f"needs {lacking.name}")
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert examples, "the source holds '>>>', but no docstring has an example"
    for example in examples:
        runner.run(example, out=report.write)
    assert not runner.failures, report.getvalue()
