"""What a training prints, line by line beside the original's output (run in Octave)."""

import re
from pathlib import Path

import pytest

from deepibl.matlab.prints import TrainerPrints
from matlab_compat import matfile
from tests.parity.training_runs import run


def comparable(text: str) -> list[str]:
    """The lines, with dates and durations masked, files without their folders, and without display(opts)."""
    text = re.sub(r"\d{2}-[A-Z][a-z]{2}-\d{4} \d{2}:\d{2}:\d{2}", "DATE", text)
    text = re.sub(r"time \d+:\d+:\d+; left \d+:\d+:\d+; avg \d+\.\d{4} s", "TIMES", text)
    text = re.sub(r"time= \d+\.\d{4} s, avgTime= \d+\.\d{4} ms", "TIMES", text)
    before, after = re.split(r"(?s)^opts =.*?(?=serialAllFeats: Start)", text, flags=re.MULTILINE)
    lines = [line for line in f"{before}{after}".splitlines() if not line.startswith("maps below ")]
    return [line.rsplit("/", 1)[-1] if line.endswith(".bin") else line for line in lines]


@pytest.mark.parametrize("name", ["run_ExpInd", "run_Weakly", "run_CauchyInd_resumed_ep3"])
def test_a_training_prints_what_the_original_prints(
    name: str, golden: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # difference: printed-lines
    path = golden / "train" / f"{name}.mat"
    run(path, tmp_path, golden, TrainerPrints())  # type: ignore[arg-type]  # in place of one that notes
    found = capsys.readouterr().out
    assert comparable(found) == comparable(matfile.text(matfile.load(path, ["stdout"])["stdout"]))
    assert re.search(r"^opts = \n\n +netID: 'tiny'\n", found, re.MULTILINE)
    assert re.search(r"^ +learningRate: 0\.0[02]\d+\n", found, re.MULTILINE)
