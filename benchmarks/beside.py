"""Beside other people's own code, with the same weights and photos, on this CPU.

    python -m benchmarks.beside --network FILE.mat --images FOLDER [--hloc CHECKOUT] [--openibl CHECKOUT]

--hloc: a checkout of cvg/Hierarchical-Localization; its class NetVLAD extracts one image at a time.
--openibl: of yxgeee/OpenIBL; its model, loss and preprocessing make a training step (a tuple from its files
to the gradients, conv5 learns) and a refresh. Both are imported as they are, without what is not needed here.
Each way is timed in a process of its own, then all in turns in one process, where the thresholds of memory
that the command `deepibl` sets help the others, too.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from benchmarks.extraction import (
    CPU,
    distance,
    image_size,
    network,
    photos,
    scales,
    without_whitening,
    write_photos,
)
from benchmarks.measure import Case, Settings, Table, command_line, in_a_process, paired, real_options, timed
from benchmarks.training import FIRST, TUPLE, WAYS, TupleStep
from deepibl.cli.process import keep_buffers
from deepibl.engine import choose_engine, onednn
from deepibl.engine.batch import extract_prepared
from deepibl.engine.settings import ExtractionSettings
from deepibl.features import BackboneCache
from deepibl.features.groups import MapExtractor
from deepibl.runtime import inference
from matlab_compat import matfile
from tests.released_layout import plain_structs

# cosine distance to the others, or difference of losses: they make unit vectors of clusters that are nearly
# empty, which is 8e-3 in large photos and 0.13 in 240 x 320, and much more in gradients; the table says it
LIMIT = 0.2
# that OpenIBL imports and does not use here
UNUSED = ("cv2", "sklearn", "sklearn.preprocessing", "sklearn.metrics", "sklearn.neighbors")
Run = Callable[[], Any]


@dataclass(frozen=True)
class Given(Settings):
    """What is compared: the settings, and the checkouts."""

    hloc: Path | None = None
    openibl: Path | None = None


def module(checkout: Path | None, name: str) -> Any:
    """A module of a checkout, without running the `__init__` of its package, which imports far more."""
    package, source = name.split(".")[0], Path(checkout or "")
    if not (source / package).is_dir():
        raise SystemExit(f"{source} is no checkout: it has no folder {package}")
    for each in UNUSED:
        empty = module_from_spec(ModuleSpec(each, None))
        empty.__getattr__ = lambda name: None
        sys.modules.setdefault(each, empty)
    held = sys.modules.setdefault(package, module_from_spec(ModuleSpec(package, None)))
    held.__path__ = [str(source / package)]
    return importlib.import_module(name)


def hloc(given: Given, stack: ExitStack) -> Run:
    """hloc's class, which reads its weights from a struct in torch.hub's folder; images of 0 to 1."""
    net, folder = network(given), Path(stack.enter_context(tempfile.TemporaryDirectory()))
    (folder / "netvlad").mkdir()
    struct = plain_structs(net.to_matlab())
    mean = np.broadcast_to(net.mean_pixel.numpy().reshape(1, 1, 3), (2, 2, 3))
    struct["meta"] = {"normalization": {"averageImage": np.ascontiguousarray(mean)}}
    matfile.save(folder / "netvlad" / "VGG16-NetVLAD-Pitts30K.mat", {"net": struct})
    kind = module(given.hloc, "hloc.extractors.netvlad").NetVLAD
    with mock.patch.object(torch.hub, "get_dir", lambda: str(folder)):
        model = kind({"whiten": "WPCA" in net.names}).eval()
    some = [image[None] / 255 for image in photos(given, TUPLE)]

    def run() -> Tensor:
        with torch.inference_mode():
            return torch.cat([model({"image": image})["global_descriptor"] for image in some])

    return run


def extraction(precision: str, given: Given, stack: ExitStack) -> Run:
    """deepibl's extraction of the same photos, one at a time, by the engine that it chooses."""
    net = network(given)
    stack.enter_context(inference(net))
    engine = choose_engine(net, "auto", precision, CPU, scales=scales(given, net, precision))
    some = photos(given, TUPLE).split(1)
    return lambda: torch.cat([extract_prepared(net, net.prepare(x), precision, engine) for x in some])


def openibl(given: Given) -> tuple[Any, Any]:
    """OpenIBL's network with these weights, of which conv5 learns, and its reader of image files."""
    net, models = without_whitening(network(given)), module(given.openibl, "ibl.models")
    base, pool = models.create("vgg16", pretrained=False), models.create("netvlad")
    theirs = [each for each in base.base if isinstance(each, torch.nn.Conv2d)]
    for into, layer in zip(theirs, (each for each in net if each.type == "conv"), strict=True):
        into.weight.data, into.bias.data = layer.weight.data.clone(), layer.bias.data.flatten().clone()
    for each in list(base.base)[:24]:  # below conv5, as its train_layers="conv5"
        each.requires_grad_(False)
    vlad = net["vlad:core"]
    pool.conv.weight.data, pool.centroids.data = vlad.assign.data, -vlad.offset.data.flatten(1)
    data = module(given.openibl, "ibl.utils.data")
    how = data.get_transformer_test(*image_size(given))
    return models.create("embednet", base, pool), partial(data.preprocessor.Preprocessor, transform=how)


def their_step(given: Given, stack: ExitStack) -> Run:
    """OpenIBL's forward and backward of a tuple with its loss sare_ind."""
    (model, reader), paths = openibl(given), _files(given, stack)
    trainer = module(given.openibl, "ibl.trainers").Trainer(model)
    items = reader([(str(path), 0, 0, 0) for path in paths])

    def run() -> float:
        model.train().zero_grad(set_to_none=True)
        images = torch.stack([items[i][0] for i in range(len(paths))])[None]
        loss = trainer._forward(images, True, "sare_ind")
        loss.backward()
        return (len(paths) - 2) * loss.item()  # its loss is the mean over the negatives

    return run


def step(way: str, given: Given, stack: ExitStack) -> Run:
    """deepibl's, in one of the ways of `benchmarks.training`."""
    net, paths = without_whitening(network(given)), _files(given, stack)
    forward_and_backward = TupleStep(net, paths, *WAYS[way][:3], stack)

    def run() -> float:
        forward_and_backward()
        return forward_and_backward.loss

    return run


def their_refresh(given: Given, stack: ExitStack) -> Run:
    """OpenIBL's descriptors of image files, four at a time."""
    (model, reader), paths = openibl(given), _files(given, stack)
    extract = module(given.openibl, "ibl.evaluators").extract_cnn_feature
    items = reader([(str(path), 0, 0, 0) for path in paths])

    def run() -> Tensor:
        images = torch.utils.data.DataLoader(items, batch_size=4)
        with torch.no_grad(), mock.patch.object(Tensor, "cuda", lambda self, _: self):  # there is none
            rows = torch.cat([extract(model, batch[0]) for batch in images])
        clusters = model.net_vlad.num_clusters  # which come first in its descriptors, in MATLAB's last
        return rows.view(len(rows), clusters, -1).transpose(1, 2).flatten(1)

    return run


def refresh(precision: str, given: Given, stack: ExitStack) -> Run:
    """deepibl's, from maps that are kept in memory."""
    net, paths = without_whitening(network(given)), [str(p) for p in _files(given, stack)]
    cache = stack.enter_context(BackboneCache(net, FIRST, store="ram"))
    stack.enter_context(torch.inference_mode())
    extractor = MapExtractor(cache, ExtractionSettings(precision=precision, batch_size=4))

    def run() -> Tensor:
        maps = [extractor.ready(extractor.load(path), path) for path in paths]
        return torch.cat([extractor.extract(maps[i : i + 4]) for i in range(0, len(maps), 4)])

    return run


def _files(given: Given, stack: ExitStack) -> list[Path]:
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    return write_photos(given, folder, TUPLE)


# title: what it needs, ways, how the results of two of them differ
TABLES: dict[str, tuple[str, dict[str, Callable[[Given, ExitStack], Run]], Any]] = {
    f"Descriptors of {TUPLE} photos, one at a time": (
        "hloc",
        {"hloc": hloc, **{f"deepibl {kind}": partial(extraction, kind) for kind in ("fp32", "bf16", "int8")}},
        distance,
    ),
    f"A tuple of {TUPLE} photos, from files to gradients": (
        "openibl",
        {"OpenIBL": their_step, **{way: partial(step, way) for way in WAYS}},
        lambda a, b: abs(a - b) / b,
    ),
    f"Features of {TUPLE} photos again, for a refresh": (
        "openibl",
        {"OpenIBL": their_refresh, **{f"maps kept, {x}": partial(refresh, x) for x in ("fp32", "bf16")}},
        distance,
    ),
}


def alone(given: Given, title: str, name: str) -> float:
    """Seconds of one way in this process, the median of its rounds."""
    ways = TABLES[title][1]
    if name != next(iter(ways)):
        keep_buffers()  # as the command does
    with ExitStack() as stack:
        run = ways[name](given, stack)
        run()
        return statistics.median(timed(run)[0] for _ in range(given.rounds))


def available(way: str) -> bool:
    """Whether this processor has instructions for the precisions that a way's name has."""
    return all(onednn.instructions(each) for each in ("bf16", "int8") if each in way)


def tables(given: Given) -> Iterator[Table]:
    for title, (needs, every, difference) in TABLES.items():
        if getattr(given, needs) is None:
            continue
        ways = {name: make for name, make in every.items() if available(name)}
        apart = {name: in_a_process(alone, given, title, name) for name in ways}
        with ExitStack() as stack:
            cases = {name: Case(make(given, stack), LIMIT, keep=True) for name, make in ways.items()}
            found = paired(cases, given.rounds, difference, title)
        first = next(iter(ways))
        rows = [
            [name, f"{apart[name]:.2f}", f"{apart[first] / apart[name]:.2f}", f"{each.seconds:.2f}",
             f"{each.ratio:.2f}", f"{each.error:.1e}"]
            for name, each in found.items()
        ]  # fmt: skip
        columns = ["how", "s, own process", "times as fast", "s, one process", "times as fast", "difference"]
        yield Table(title, columns, rows, f"{torch.get_num_threads()} threads; memory kept in one process.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = command_line(__doc__)
    real_options(parser)
    parser.add_argument("--hloc", type=Path, help="checkout of cvg/Hierarchical-Localization")
    parser.add_argument("--openibl", type=Path, help="checkout of yxgeee/OpenIBL")
    parser.add_argument("--rounds", type=int, default=0, help="(default: 3)")
    given = Given(**vars(parser.parse_args(arguments)))
    if not (given.hloc or given.openibl):
        parser.error("give --hloc or --openibl, the folder of a checkout")
    for table in tables(given):
        table.print()


if __name__ == "__main__":
    main()
