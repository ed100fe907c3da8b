"""Runs scripts of ../shared/cases/migrate in Octave, with the originals, and translated, on one toy folder.

    python -m tests.unit.migrate.cases s4_tokyo s5_extract

$DEEPIBL_ORIGINALS names a folder that holds the m-code of deepIBL, NetVLAD, relja_matlab and MatConvNet. What
is compiled in them, and what Octave lacks, has stand-ins in tests/octave; plots do nothing there. Random
numbers are MATLAB's on both sides.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageEnhance

from deepibl import dbPitts, trainGaussKernalInd
from deepibl.datasets.dbstruct import write_dbstruct
from deepibl.demo.playground import make_playground
from deepibl.migrate.translate import migrate_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
CASES = ROOT.parent / "shared" / "cases" / "migrate"
OCTAVE = ROOT / "tests" / "octave"
PLOTS = [
    "figure",
    "plot",
    "semilogx",
    "semilogy",
    "loglog",
    "hold",
    "legend",
    "grid",
    "axis",
    "xlabel",
    "ylabel",
    "title",
    "subplot",
    "imagesc",
    "colorbar",
    "print",
    "saveas",
    "xlim",
    "ylim",
    "set",
    "gcf",
    "gca",
    "drawnow",
    "clf",
    "smooth",
]
NETWORK = "vd16_tokyoTM_conv5_3_vlad_preL2_intra_white"
CALLS = {"s11_misc": "r= s11_misc('c8cf', 'doPlot', false); fprintf('%d %.4f\\n', r.epoch, r.recall);"}


# Octave takes minutes for an image of 640 pixels; the originals cannot draw 1000 negatives of 24 images
SMALL = {"640": "100", "'nEpoch', 2,": "'nEpoch', 2, 'nNegChoice', 5,"}

# Without differences resume-works-in-all-trainers, resume-options, resume-keeps-momentum (differences.md):
# the originals take options of the call in place of an undefined name, ours begins with momenta of zero
RESUME = {"maxImgIntraPlace": "opts.nEpoch= tmpopts.nEpoch; opts.learningRate= tmpopts.learningRate;"}
RESUMED = {"startEpoch=": "keep_momentum=False, startEpoch="}


class Printed(NamedTuple):
    """The lines that a script prints in Octave and in Python, without what cannot be equal (see `lines`)."""

    octave: list[str]
    python: list[str]


def make_place(folder: Path) -> Path:
    """The toy folder: images, networks, features, a trained session c8cf and its copy abcd, dbMine's data."""
    place = make_playground(folder / "pristine", places=2).parent
    tokyo = place / "Tokyo247"
    pictures = sorted((place / "Pittsburgh" / "images" / "test").glob("*.jpg"))
    names: dict[str, list[str]] = {"images": [], "query": []}
    for kind, count in (("images", 144), ("query", 9)):
        for number in range(count):
            with Image.open(pictures[number % len(pictures)]) as picture:
                changed = ImageEnhance.Brightness(picture).enhance(0.5 + 0.07 * (number // len(pictures)))
            names[kind].append(f"test/{number:03d}.jpg")
            changed.save(tokyo / kind / names[kind][-1])
    spots = np.repeat(500000.0 + 40 * np.arange(12), 12)
    write_dbstruct(
        place / "datasets" / "tokyo247.mat",
        {
            "whichSet": "test",
            "dbImageFns": names["images"],
            "qImageFns": names["query"],
            "utmDb": np.stack([spots, spots], 1),
            "utmQ": np.stack([spots[::16], spots[::16]], 1) + 3,
            "posDistThr": 25.0,
            "nonTrivPosDistSqThr": 100.0,
        },
        "54N",
    )
    random = np.random.default_rng(0)
    for kind in ("db", "q"):
        rows = random.standard_normal((144 if kind == "db" else 9, 16)).astype("<f4")
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows.tofile(place / "output" / f"{NETWORK}_tokyo247_{kind}.bin")
    os.environ["DEEPIBL_LOCALPATHS"] = str(place / "localPaths.toml")
    trainGaussKernalInd(
        dbPitts(False, "train"),
        dbPitts(False, "val"),
        netID="vd16",
        layerName="conv5_3",
        backPropToLayer="conv5_1",
        nEpoch=2,
        sessionID="c8cf",
        useGPU=False,
        learningRate=0.001,
    )
    for made in (place / "output").glob("pitts30k_*"):
        made.unlink()
    toml = (place / "localPaths.toml").read_text().replace(f"{place}/", "PLACE/")
    (place / "localPaths.toml").write_text(toml)
    paths = tomllib.loads(toml)
    (place / "localPaths.m").write_text(
        "function paths= localPaths()\n" + "".join(f"paths.{k}= '{v}';\n" for k, v in paths.items()) + "end\n"
    )
    return place


def run_case(name: str, place: Path, originals: Path, folder: Path) -> Printed:
    """What a case prints on both sides; each side begins with a copy of the toy folder, under one path."""
    work = folder / "place"
    texts = []
    for side in (_octave, _python):
        shutil.rmtree(work, ignore_errors=True)
        shutil.copytree(place, work)
        for file in ("localPaths.toml", "localPaths.m"):
            path = work / file
            path.write_text(path.read_text().replace("PLACE/", f"{work}/"))
        for script in CASES.glob("*.m"):
            small = SMALL if script.stem in ("s1_train", "s2_resume", "s4_tokyo") else {}
            (work / script.name).write_text(_with(script.read_text(), small))
        texts.append(side(name, work, originals))
    return Printed(*map(lines, texts))


def _with(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        text = text.replace(old, new)
    return text


def _octave(name: str, work: Path, originals: Path) -> str:
    stubs = work / "stubs"
    stubs.mkdir()
    for plot in PLOTS:
        (stubs / f"{plot}.m").write_text(
            f"function varargout= {plot}(varargin)\nvarargout= cell(1, nargout);\nend\n"
        )
    for trainer in originals.rglob("train*.m"):
        (stubs / trainer.name).write_text(_with(trainer.read_text(encoding="latin-1"), RESUME))
    folders = [f"genpath('{originals}')"]
    folders += [f"'{path}'" for path in (OCTAVE / "originals", OCTAVE / "mex", OCTAVE / "cases", stubs, work)]
    path = " ".join(f"addpath({each});" for each in folders)
    call = CALLS.get(name, name)
    code = f"warning('off', 'all'); {path} cd('{work}');\n{call}"
    done = subprocess.run(
        ["octave-cli", "--no-init-file", "--quiet", "--eval", code],
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
        env={**os.environ, "MATLABPATH": ""},
    )
    return done.stdout + "".join(
        f"{line}\n"
        for line in done.stderr.splitlines()
        if line.startswith("error: ") and "preparing to exit" not in line
    )


def _python(name: str, work: Path, originals: Path) -> str:
    if name in CALLS:
        (work / f"{name}_call.m").write_text(CALLS[name])
    for script in work.glob("*.m"):
        if script.stem not in ("localPaths",):
            migrated = work / f"{script.stem}.py"
            migrate_file(script, migrated)
            migrated.write_text(_with(migrated.read_text(), RESUMED))
    environment = {
        "DEEPIBL_LOCALPATHS": str(work / "localPaths.toml"),
        "MPLBACKEND": "Agg",
        "PYTHONPATH": str(ROOT),
    }
    program = f"{name}_call.py" if name in CALLS else f"{name}.py"
    done = subprocess.run(
        [sys.executable, str(work / program)],
        capture_output=True,
        text=True,
        cwd=work,
        timeout=900,
        check=False,
        env={**os.environ, **environment},
    )
    failed = done.stderr.splitlines()[-1:] if done.returncode else []
    return done.stdout + "".join(f"error: {line}\n" for line in failed)


def lines(text: str) -> list[str]:
    """The lines that both sides can have: no times, no options of a training, not where it keeps maps.

    Session ids are numbered in their order.
    """
    options = r"^opts = *\n.*?^ *backPropDepth\b[^\n]*(\s+\w+_orig\b[^\n]*)*"
    text = re.sub(options, "OPTIONS", text, flags=re.S | re.M)
    text = re.sub(r"^maps below .*\n", "", text, flags=re.M)
    text = re.sub(r"\b\d\d-\w{3}-\d{4} \d\d:\d\d:\d\d\b", "DATE", text)
    text = re.sub(r"; time .*; left .*; avg .*", "", text)
    text = re.sub(r"time= [\d.]+ s, avgTime= [\d.]+ ms", "TIME", text)
    ids: dict[str, str] = {}
    for found in re.findall(r"\b([0-9a-f]{4})(?=: epoch|_ep0000| epoch \d+ batch| Best)", text):
        ids.setdefault(found, f"ID{len(ids) + 1}")
    for found, number in ids.items():
        text = re.sub(rf"\b{found}(?=[: _])", number, text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def main(names: list[str]) -> None:
    """Prints the table of cases, and the first lines that differ."""
    originals = Path(os.environ["DEEPIBL_ORIGINALS"])
    with tempfile.TemporaryDirectory() as folder:
        kept = os.environ.get("DEEPIBL_CASES_PLACE")
        place = Path(kept) if kept and Path(kept).is_dir() else make_place(Path(folder))
        if kept and not Path(kept).is_dir():
            shutil.copytree(place, kept)
        for name in names or sorted(path.stem for path in CASES.glob("*.m") if path.stem != "dbMine"):
            printed = run_case(name, place, originals, Path(folder))
            equal = sum(a == b for a, b in zip(*printed, strict=False))
            print(f"{name:12} {len(printed.octave):5} lines {equal:5} equal", flush=True)
            if printed.octave != printed.python:
                import difflib

                print("\n".join(difflib.unified_diff(*printed, "octave", "python", lineterm="", n=1)))


if __name__ == "__main__":
    main(sys.argv[1:])
