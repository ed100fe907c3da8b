"""The commands of training: train, pick, pca."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli.options import (
    BatchSize,
    DatasetRoot,
    Device,
    Json,
    Net,
    Threshold,
    TrainingThreshold,
    choose_device,
    find_net,
    print_result,
)
from matlab_compat.errors import ArgumentError

Prefix = Annotated[
    str | None, typer.Option("--prefix", help="What the session's file names begin with, e.g. out/.")
]

BestN = Annotated[int, typer.Option("--n", min=1, help="The N of Recall@N that says which epoch is best.")]


def train(
    loss: Annotated[
        str,
        typer.Option(
            help="gauss-ind, gauss-joint, cauchy-ind, cauchy-joint, exp-ind, exp-joint; weakly (the triplet "
            "loss), contrastive, lifted, npair or angular."
        ),
    ] = "gauss-ind",
    dataset: Annotated[str, typer.Option(help="A known data set: pitts30k, pitts250k, tokyoTM.")] = "",
    root: DatasetRoot = None,
    train_set: Annotated[
        Path | None,
        typer.Option("--train", help="dbStruct, CSV or folder (with database/ and queries/ in it)."),
    ] = None,
    val_set: Annotated[Path | None, typer.Option("--val", help="The same to be tested on.")] = None,
    train_queries: Annotated[Path | None, typer.Option(help="Queries of --train: folder or CSV.")] = None,
    val_queries: Annotated[Path | None, typer.Option(help="Queries of --val: folder or CSV.")] = None,
    threshold: Threshold = 25.0,
    training_threshold: TrainingThreshold = 10.0,
    net: Annotated[
        str | None, typer.Option(help="netID: vd16, caffe …, a .mat file, or torchvision:resnet50.")
    ] = None,
    net_weights: Annotated[
        str, typer.Option(help="Of torchvision's or timm's model: pretrained, random, or a .pth file.")
    ] = "pretrained",
    layer: Annotated[str | None, typer.Option(help="layerName: its last layer that is kept.")] = None,
    method: Annotated[str | None, typer.Option(help="vlad_preL2_intra, vladv2, max, avg …")] = None,
    backprop_to: Annotated[
        str | None, typer.Option(help="backPropToLayer: the lowest layer that learns.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="nEpoch.")] = None,
    lr: Annotated[float | None, typer.Option(help="learningRate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="batchSize: tuples in a step.")] = None,
    session: Annotated[str | None, typer.Option(help="sessionID; left out: a name is drawn.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the session (default: localPaths' outPrefix).")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Any option of the trainers, e.g. nNegCap=10; may be repeated."),
    ] = None,
    options: Annotated[
        bool, typer.Option("--options", help="List the trainers' options and what they do, and stop.")
    ] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Throw away what the session has and begin anew.")
    ] = False,
    tensorboard: Annotated[Path | None, typer.Option(help="Folder for TensorBoard's files.")] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train a network; the same command goes on after an interruption. Prints pickBestNet's table.

    Progress goes to standard error.
    """
    from deepibl.datasets.catalog import training_datasets
    from deepibl.matlab import training as trainers
    from deepibl.runtime.paths import localPaths
    from deepibl.runtime.processes import team
    from deepibl.training.checkpoints import find_session
    from deepibl.training.tuples import LOSSES

    if options:
        typer.echo(_option_list())
        return
    if loss not in LOSSES:
        raise ArgumentError(f"--loss is one of {', '.join(LOSSES)}, not {loss!r}")
    flags = {
        "netID": net, "layerName": layer, "method": method, "backPropToLayer": _layer(backprop_to),
        "nEpoch": epochs, "learningRate": lr, "batchSize": batch_size, "sessionID": session,
        "outPrefix": None if out is None else f"{out}/",
        "useGPU": None if device == "auto" else choose_device(device) != "cpu",
    }  # fmt: skip
    given = {name: value for name, value in flags.items() if value is not None} | _settings(settings or [])
    where = localPaths()
    if net is not None and Path(net).is_file():
        where, given["netID"] = _of_file(where, Path(net)), Path(net).stem
    sets = training_datasets(
        dataset, root, train_set, val_set, (train_queries, val_queries),
        posDistThr=threshold, nonTrivPosDistSqThr=training_threshold**2,
    )  # fmt: skip
    for each in sets:
        each.check_images()
    done = trainers.trainer(LOSSES[loss])(
        *sets, paths=where, listeners=_listeners(tensorboard), restart=restart, weights=net_weights, **given
    )
    if team().leads:
        _show(find_session(done, str(given.get("outPrefix", where.outPrefix))), as_json)


def pick(
    session: Annotated[str, typer.Argument(help="A session's name, or one of its files: out/53e0.")],
    prefix: Prefix = None,
    output: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the best network: .mat, .safetensors …")
    ] = None,
    n: BestN = 5,
    as_json: Json = False,
) -> None:
    """Print a session's best epoch (pickBestNet's table), draw its curves and write its best network."""
    from deepibl.networks.io import save_network
    from deepibl.runtime.paths import localPaths
    from deepibl.training.checkpoints import find_session, read_results, read_session_network
    from deepibl.training.listeners import draw_results

    files = find_session(session, localPaths().outPrefix if prefix is None else prefix)
    results = read_results(files, n)
    print_result(results.as_dict(), results.table(), as_json)
    typer.echo(f"figures: {', '.join(map(str, draw_results(results, files)))}", err=True)
    if output is not None:
        save_network(read_session_network(files, results.best), output)
        typer.echo(f"wrote {output}", err=as_json)


def pca(
    net: Net,
    images: Annotated[
        Path | None, typer.Option(help="The images to make it of: folder, CSV or dbStruct.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="A known data set, e.g. pitts30k/train.")] = "",
    root: Annotated[str | None, typer.Option(help="Folder that the names lie in.")] = None,
    dim: Annotated[int, typer.Option(min=1, help="pcaDim: dimensions to keep.")] = 4096,
    whiten: Annotated[bool, typer.Option(help="doWhite: divide by the standard deviations.")] = True,
    at_most: Annotated[int, typer.Option(min=2, help="nTrainCap: images at most, drawn at random.")] = 10000,
    output: Annotated[Path, typer.Option("--output", "-o", help="The network to write.")] = Path("pca.mat"),
    batch_size: BatchSize = 10,
    device: Device = "auto",
) -> None:
    """Add PCA and whitening to a network (addPCA).

    Descriptors and components are kept beside the output, and used again where they fit.
    """
    from deepibl.features.whitening import add_pca_of_images
    from deepibl.networks.io import chain_of, load_network, save_network

    top, names = _images(images, dataset, root)
    where = choose_device(device)
    loaded = chain_of(load_network(find_net(net), device=where), net)
    made = add_pca_of_images(
        loaded, top, names, output.with_suffix(""),
        dim=dim, whiten=whiten, at_most=at_most, device=where, batch_size=batch_size,
    )  # fmt: skip
    save_network(made, output)
    typer.echo(f"wrote {output}: {dim} dimensions, of {min(len(names), at_most)} images")


def _settings(typed: Sequence[str]) -> dict[str, Any]:
    """The options of --set. Raises ArgumentError for what is no name=value, or no option's name."""
    from deepibl.matlab.training import exact_options
    from matlab_compat.arguments import typed_options

    return exact_options((), typed_options(typed))


def _images(source: Path | None, dataset: str, root: str | None) -> tuple[str, list[str]]:
    """The folder and names of the images of --images or --dataset; ArgumentError unless one is given."""
    from deepibl.datasets.catalog import database_places, open_dataset

    if dataset and source is None:
        opened = open_dataset(dataset, root=root)
        return opened.dbPath, opened.dbImageFns
    if dataset or source is None:
        raise ArgumentError("give either --images DIR|CSV|DBSTRUCT or --dataset NAME")
    places = database_places(source, root)
    return places.root, places.names


def _option_list() -> str:
    from dataclasses import fields

    from deepibl.training.options import SpeedOptions, TrainingOptions

    lines = []
    for made in (TrainingOptions(), SpeedOptions()):
        for each in fields(made):
            if "what" in each.metadata:
                default = f"{each.name} = {getattr(made, each.name)!r}"
                lines.append(f"{default:<44.44} {each.metadata['what']}")
    return "\n".join(lines)


def _layer(name: str | None) -> int | str | None:
    """A layer's name, or its number from 1."""
    return int(name) if name is not None and name.isdigit() else name


def _of_file(paths: Any, file: Path) -> Any:
    """The paths with the folder of a network's file as that of the pretrained networks."""
    from deepibl.runtime.paths import localPaths

    if file.suffix != ".mat":
        raise ArgumentError(f"--net {file}: a network to start from is a .mat file; convert it first")
    return localPaths({**paths.as_dict(), "pretrainedCNNs": str(file.parent)})


def _listeners(tensorboard: Path | None) -> list[Any]:
    from deepibl.training.listeners import Console, Plotter

    found: list[Any] = [Console(sys.stderr), Plotter()]
    if tensorboard is not None:
        from deepibl.training.listeners import TensorBoard

        found.append(TensorBoard(tensorboard))
    return found


def _show(files: Any, as_json: bool) -> None:
    """Prints the table of a training that is done, or why there is none, and where its files are."""
    from deepibl.errors import SessionError
    from deepibl.training.checkpoints import read_results

    try:
        results = read_results(files)
        print_result(results.as_dict(), results.table(), as_json)
    except SessionError as problem:
        typer.echo(f"no table: {problem}", err=True)
    typer.echo(f"session {files.session}: {files.latest}; `deepibl pick` writes its best network", err=True)
