"""docs/interop.md: the table is what the script makes, and what it says is good enough."""

import re
from pathlib import Path

import pytest

from deepibl.networks.torch_files import KEY_MAPS
from scripts.make_interop_table import BEGIN, DOC, END, TARGETS, Row, table
from tests.golden_data import golden_files
from tests.released_layout import write_released
from tests.tolerances import TOL

SAID = DOC.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in SAID.splitlines() if line[:1] == "|"
]


def test_the_table_has_every_format_and_every_kind_of_checkpoint() -> None:
    assert ROWS[0] == ["from", *TARGETS]
    names = [row[0] for row in ROWS[2:]]
    for kind in KEY_MAPS:
        assert f"{kind.name}, checkpoint" in names
    assert sum("DagNN" in name for name in names) >= 1 and sum("SimpleNN" in name for name in names) >= 3


def test_every_conversion_in_the_table_is_within_the_tolerance_or_has_a_reason() -> None:
    reasons = set(re.findall(r"^\[(\d+)\] \S", SAID, flags=re.M))
    for row in ROWS[2:]:
        assert len(row) == len(ROWS[0])
        for entry in row[1:]:
            refused = re.fullmatch(r"– \[(\d+)\]", entry)
            assert refused[1] in reasons if refused else float(entry) <= TOL["net"], (row[0], entry)


@pytest.mark.parametrize("target", [".mat", ".safetensors"])
def test_the_script_finds_what_the_table_says(target: str, tmp_path: Path) -> None:
    (path,) = write_released(tmp_path, ["struct"], small=True)
    found = table([Row("released", path)], [target]).splitlines()[2]
    assert float(found.split("|")[2]) <= TOL["op"]


def test_a_refusal_gets_its_reason_below_the_table() -> None:
    (path,) = golden_files("dagnn/shared_net.mat")[:1]
    found = table([Row("several outputs", path)], [".onnx"])
    assert "| – [1] |" in found and found.splitlines()[-1].startswith("[1] ")
