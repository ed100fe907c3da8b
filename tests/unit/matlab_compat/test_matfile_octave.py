"""Octave, which stands in for MATLAB, loads what we write, and we load what it writes."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from matlab_compat import matfile
from tests.matlab_same import assert_same
from tests.unit.matlab_compat.test_matfile import VALUES

pytestmark = pytest.mark.octave

# Octave 7 holds text as UTF-8, so that its size is another. A logical sparse matrix it reads as double, and
# writes as a file that nobody can read.
OCTAVE_CANNOT = {"sparse_logical"}
READABLE = {name: value for name, value in VALUES.items() if name not in OCTAVE_CANNOT}
DESCRIBE = """
s = load('a.mat'); names = fieldnames(s); out = struct();
for i = 1:numel(names)
  v = s.(names{i});
  out.(names{i}) = {class(v), size(v), issparse(v), iscomplex(v)};
end
printf('%s', jsonencode(out));
"""


def octave(script: str, folder: Path) -> str:
    """What an Octave script prints."""
    command = ["octave-cli", "--no-init-file", "--quiet", "--eval", script]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_octave_finds_the_classes_and_shapes_we_wrote(tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", READABLE)
    found = json.loads(octave(DESCRIBE, tmp_path))
    assert list(found) == list(READABLE)
    for name, info in matfile.who(tmp_path / "a.mat").items():
        classname, size, is_sparse, is_complex = found[name]
        assert is_sparse == (info.classname == "sparse"), name
        assert is_complex == ("complex" in name), name
        if not is_sparse:
            assert classname == info.classname, name
        if name != "accents":
            assert tuple(size) == info.shape, name


@pytest.mark.parametrize("version", ["-v6", "-v7"])
def test_what_octave_writes_again_is_the_same(version: str, tmp_path: Path) -> None:
    matfile.save(tmp_path / "a.mat", READABLE)
    octave(f"load a.mat; save {version} b.mat", tmp_path)
    found = matfile.load(tmp_path / "b.mat")
    assert sorted(found) == sorted(READABLE)
    for name, value in READABLE.items():
        assert_same(found[name], value, name)


def test_octaves_rows_of_other_scripts_are_those_that_were_written(tmp_path: Path) -> None:
    texts = {"x": "Zürich – 東京 𝔸", "y": "naïve"}
    matfile.save(tmp_path / "a.mat", texts)
    script = "load a.mat; printf('%s|%s', char(x), char(y));"
    assert octave(script, tmp_path) == "|".join(texts.values())


def test_octave_computes_with_a_network_we_wrote(tmp_path: Path) -> None:
    layer: dict[str, Any] = {"type": "conv", "name": "conv1", "pad": [[1.0, 2.0, 3.0, 4.0]]}
    matfile.save(tmp_path / "a.mat", {"net": {"layers": [layer, {"type": "relu", "name": "relu1"}]}})
    script = "load a.mat; printf('%s %s', net.layers{1}.name, net.layers{2}.type)"
    assert octave(script, tmp_path) == "conv1 relu"


@pytest.mark.parametrize("version", ["-v6", "-v7"])
def test_octaves_text_beyond_ascii_is_read(version: str, tmp_path: Path) -> None:
    octave(f"x = 'Zürich – 東京'; c = {{'naïve'}}; save {version} b.mat x c", tmp_path)
    found = matfile.load(tmp_path / "b.mat")
    assert found["x"] == "Zürich – 東京"
    assert matfile.cell_list(found["c"]) == ["naïve"]
