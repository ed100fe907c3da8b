"""Runs every conversion and writes the table of docs/interop.md: from, to, worst difference.

    python scripts/make_interop_table.py [REAL]       # REAL: a folder with networks that MATLAB wrote

The networks are made on the spot: the released layout in small as MATLAB would write it, checkpoints with
random weights under their authors' names, a DagNN of the golden data.
"""

import itertools
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torchvision.models.vgg import cfgs, make_layers

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from deepibl import networks  # noqa: E402
from matlab_compat.errors import MatlabCompatError  # noqa: E402
from tests.released_layout import write_released  # noqa: E402

DOC = ROOT / "docs" / "interop.md"
BEGIN, END = "<!-- table: made by scripts/make_interop_table.py -->", "<!-- end of the table -->"

# target -> the file that is written
TARGETS = {
    ".mat": "net.mat",
    ".mat, classes": "net_classes.mat",
    ".safetensors": "net.safetensors",
    ".onnx": "net.onnx",
    ".pt2": "net.pt2",
}
ANY_SIZE = ((1, 96, 128), (3, 67, 83), (2, 120, 70))


class Row(NamedTuple):
    """One kind of source: its name and the network's file, or the network itself."""

    name: str
    source: Any


def checkpoint(folder: Path, kind: networks.KeyMap) -> Path:
    """A checkpoint of that kind with random weights: VGG-16, 8 clusters, whitening to 16 dimensions."""
    torch.manual_seed(0)
    state = {}
    for name, tensor in make_layers(cfgs["D"]).state_dict().items():
        position, _, ending = name.partition(".")
        state[f"{kind.backbone.format(n=position)}.{ending}"] = tensor
    if kind.assign:
        state |= {kind.assign: torch.randn(8, 512, 1, 1), kind.centres: torch.randn(8, 512) / 22}
        state[f"{kind.white}.weight"] = torch.randn(16, 8 * 512, 1, 1) / 64
        state[f"{kind.white}.bias"] = torch.zeros(16)
    path = folder / f"{kind.name.partition(' ')[0]}.pth"
    torch.save({"state_dict": state, "epoch": 1}, path)
    return path


def rows(folder: Path, real: Path | None) -> Iterator[Row]:
    """The sources, one at a time."""
    names = {"v7": "SimpleNN .mat, v7, class objects", "v7.3": "SimpleNN .mat, v7.3, class objects"}
    names["struct"] = "SimpleNN .mat, plain structs"
    for form, path in zip(names, write_released(folder / "released", list(names), small=True), strict=True):
        yield Row(names[form], path)
    yield Row("DagNN .mat (struct)", ROOT / "tests/golden/dagnn/chain_net.mat")
    for kind in networks.KEY_MAPS:
        yield Row(f"{kind.name}, checkpoint", checkpoint(folder, kind))
    torch.manual_seed(0)
    resnet = networks.load_torch_network("torchvision:resnet18", "layer2", weights="random")
    yield Row("torchvision:resnet18, layer2", resnet)
    yield Row("the network that ships", networks.find_network())
    if real is not None:
        for path in sorted(real.glob("networks/**/*.mat")):
            yield Row(f"MATLAB's own: {path.stem}", path)


def cell(source: Any, name: str, folder: Path) -> tuple[str, str]:
    """The table's entry for one conversion: the worst difference, or a dash and the reason."""
    target = folder / name
    try:
        if isinstance(source, Path):
            net = networks.convert(source, target, classes="classes" in name)
        else:
            net = source
            networks.save_network(net, target, classes="classes" in name)
        found = networks.difference(net, target, ANY_SIZE)
    except MatlabCompatError as error:
        return "–", str(error).replace(str(folder), "").splitlines()[0]
    return ("0" if found.largest == 0 else f"{found.relative:.0e}"), ""


def table(sources: Iterable[Row], targets: Sequence[str] = tuple(TARGETS)) -> str:
    """The table in Markdown, with the reasons for its dashes below."""
    lines = [f"| from | {' | '.join(targets)} |", "|---" * (len(targets) + 1) + "|"]
    reasons: dict[str, int] = {}
    for row in sources:
        entries = []
        for target in targets:
            with tempfile.TemporaryDirectory() as folder:
                entry, reason = cell(row.source, TARGETS[target], Path(folder))
            if reason:
                entry += f" [{reasons.setdefault(reason, len(reasons) + 1)}]"
            entries.append(entry)
        lines.append(f"| {row.name} | {' | '.join(entries)} |")
    notes = [f"[{number}] {reason}  " for reason, number in reasons.items()]
    return "\n".join(itertools.chain(lines, [""], notes))


def main(real: Path | None = None) -> None:
    """Rewrites the table."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        made = table(rows(Path(folder), real))
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    DOC.write_text(f"{before}{BEGIN}\n{made}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
