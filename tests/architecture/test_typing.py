"""What a type checker sees in a user's file: true signatures, and an error for each slip."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import deepibl

ROOT = Path(__file__).resolve().parents[2]
USER = """
import deepibl
from deepibl import SARELoss, dbPitts, load_network
from deepibl.matlab import serialAllFeats

net = deepibl.load_network("model.mat")
reveal_type(net)
reveal_type(net.prepare)
reveal_type(net["conv5_3"])
reveal_type(load_network)
reveal_type(deepibl.extract(net, ["a.jpg"]))
reveal_type(deepibl.extract(net, ["a.jpg"], on_error="skip")[2])
reveal_type(dbPitts)
reveal_type(SARELoss)
reveal_type(serialAllFeats)
reveal_type(deepibl.trainGaussKernalInd)
deepibl.misspelt_name(1)  # wrong
deepibl.matlab.dbpitts(False, "train")  # wrong
deepibl.extract(net, ["a.jpg"], batchsize=2)  # wrong
city = dbPitts(False, "train")
reveal_type(deepibl.trainGaussKernalInd(city, city, "netID", "vd16", learningRate=0.001))
deepibl.trainWeakly(city, city, learningRate="fast")  # wrong
deepibl.trainWeakly(city, city, learnRate=0.001)  # wrong
"""


@pytest.mark.slow
def test_mypy_sees_true_signatures_and_refuses_what_is_misspelt(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(USER)
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports"]
    command += ["--cache-dir", str(tmp_path / "cache"), "--no-error-summary", str(file)]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    lines = done.stdout.splitlines()
    assert not done.stderr and lines
    errors = sorted({int(line.split(":")[1]) for line in lines if ": error:" in line})
    wrong = [number for number, line in enumerate(USER.splitlines(), 1) if line.endswith("# wrong")]
    assert errors == wrong, done.stdout
    revealed = [match[1] for line in lines if (match := re.search('Revealed type is "(.*)"', line))]
    assert len(revealed) == USER.count("reveal_type")
    assert all(kind in revealed[0] for kind in ("SimpleNN", "DagNN"))  # an editor knows what they have
    assert [found for found in revealed if found == "Any" or found.endswith("-> Any")] == []
    vague = ("**Any", "**kwargs: Any", "builtins.object")
    assert [found for found in revealed if any(word in found for word in vague)] == []


def test_the_trainers_stub_lists_the_options_of_the_table() -> None:
    stub = (ROOT / "deepibl/matlab/training.pyi").read_text(encoding="utf-8")
    listed = re.findall(r"^    (\w+): ", stub.split("class TrainerOptions")[1].split("def ")[0], re.MULTILINE)
    signature = inspect.signature(deepibl.trainGaussKernalInd).parameters
    assert listed == [name for name in signature if name not in ("dbTrain", "dbVal", "args")]
