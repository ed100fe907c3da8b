"""What the source never does with files of strangers: unpickle, run, or write where they say."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("deepibl", "matlab_compat", "scripts", "benchmarks")
# modules that unpickle or run what they read, whatever they are asked for
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
RUNNERS = {"eval", "exec", "__import__", "runpy.run_path"}
# times lines of the benchmarks; runs a .py file that the user names as a network
MAY_RUN = {"benchmarks/measure.py", "deepibl/networks/io.py"}


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Every call with its function's dotted name, as far as it has one."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def keywords(call: ast.Call) -> dict[str, str]:
    return {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles_or_runs_what_it_reads(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not MODULES & {each.split(".")[0] for each in named}, f"{name} imports {named}"
    for function, call in calls(path):
        given = keywords(call)
        assert given.get("allow_pickle", "False") == "False", f"{name}:{call.lineno} allows pickles"
        if function in ("torch.load", "load_state_dict_from_url") or function.endswith(".get_state_dict"):
            assert given.get("weights_only") == "True", (
                f"{name}:{call.lineno}: {function} without weights_only"
            )
        if function in RUNNERS:
            assert name in MAY_RUN, f"{name}:{call.lineno} calls {function}"


def test_the_check_sees_what_it_looks_for(tmp_path: Path) -> None:
    for line in (
        "import pickle",
        "from joblib import load",
        "import numpy as np\nnp.load('a', allow_pickle=True)",
        "import torch\ntorch.load('a')",
        "import torch\ntorch.load('a', weights_only=False)",
        "eval('1')",
    ):
        path = tmp_path / "scripts" / "bad.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(line)
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AssertionError):
            patch.setattr("tests.architecture.test_trust.ROOT", tmp_path)
            test_nothing_unpickles_or_runs_what_it_reads(path)
