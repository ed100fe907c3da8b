"""What is installed and what the source distribution holds."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_source_distribution_holds_every_file_of_the_repository(tmp_path: Path) -> None:
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip("not a checkout of git")
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    held = set((tmp_path / "deepibl.egg-info" / "SOURCES.txt").read_text(encoding="utf-8").splitlines())
    tracked = {name for name in git.stdout.splitlines() if (ROOT / name).is_file()}
    assert len(tracked) > 500
    assert tracked - held <= {".gitignore", "setup.cfg"}


def test_the_table_of_extras_is_that_of_the_package() -> None:
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == sorted(
        PROJECT["optional-dependencies"]
    )


def test_the_citation_has_the_version_and_the_paper() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in citation
    assert "Stochastic Attraction-Repulsion Embedding" in citation and "2019" in citation


def test_the_reference_has_a_page_for_every_package_that_has_a_stub() -> None:
    config = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    shown = {
        name
        for page in (ROOT / "docs/reference").glob("*.md")
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    stubs = [stub for top in ("deepibl", "matlab_compat") for stub in (ROOT / top).glob("*/__init__.pyi")]
    packages = {".".join(stub.parent.relative_to(ROOT).parts) for stub in stubs} - {"deepibl.demo"}
    exported = {
        node.name
        for node in ast.walk(ast.parse((ROOT / "deepibl/__init__.pyi").read_text()))
        if isinstance(node, ast.alias) and (ROOT / "deepibl" / f"{node.name}.py").is_file()
    }
    assert packages | {f"deepibl.{name}" for name in exported} <= shown
    assert all(f"reference/{page.name}" in config for page in (ROOT / "docs/reference").glob("*.md"))
