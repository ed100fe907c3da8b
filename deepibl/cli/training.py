"""The commands of training: train, pick, pca."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import options as opt
from deepibl.cli.options import argument, option
from deepibl.errors import SessionError, how_many
from matlab_compat.arguments import typed_options
from matlab_compat.errors import ArgumentError


def train(
    loss: Annotated[
        str,
        option(
            "gauss-ind, gauss-joint, cauchy-ind, cauchy-joint, exp-ind, exp-joint; weakly (the triplet "
            "loss), contrastive, lifted, npair or angular."
        ),
    ] = "gauss-ind",
    dataset: Annotated[str, option("A known data set: pitts30k, pitts250k, tokyoTM.")] = "",
    root: opt.DatasetRoot = None,
    train_set: Annotated[Path | None, option("dbStruct, CSV, or folder of both parts.", "--train")] = None,
    val_set: Annotated[Path | None, option("The same to be tested on.", "--val")] = None,
    train_queries: Annotated[Path | None, option("Queries of --train: folder or CSV.")] = None,
    val_queries: Annotated[Path | None, option("Queries of --val: folder or CSV.")] = None,
    threshold: opt.Threshold = 25.0,
    training_threshold: opt.TrainingThreshold = 10.0,
    net: Annotated[str | None, option("vd16, a file, torchvision:resnet50.", show_default="caffe")] = None,
    weights: opt.Weights = "pretrained",
    layer: Annotated[str | None, option("Its last layer that is kept.", show_default="conv5")] = None,
    method: Annotated[str | None, option("vladv2, gem, max, avg …", show_default="vlad_preL2_intra")] = None,
    backprop_to: Annotated[str | None, option("Lowest layer that is trained.", show_default="1")] = None,
    epochs: Annotated[int | None, option("Epochs.", min=1, show_default="30")] = None,
    lr: Annotated[float | None, option("Learning rate of epoch 1.", min=0, show_default="0.0001")] = None,
    batch_size: Annotated[int | None, option("Tuples in a step.", min=1, show_default="4")] = None,
    session: Annotated[str | None, option("Name of the session.", show_default="drawn")] = None,
    out: Annotated[Path | None, option("Its folder.", show_default="localPaths' outPrefix")] = None,
    settings: Annotated[list[str] | None, option("One of --options: nNegCap=5; repeatable.", "--set")] = None,
    options: Annotated[bool, option("List the trainers' options, and stop.", "--options")] = False,
    restart: Annotated[bool, option("Delete the session and train from the start.", "--restart")] = False,
    tensorboard: Annotated[Path | None, option("Folder for TensorBoard's files.")] = None,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Train a network; the same command resumes after an interruption. Prints pickBestNet's table.

    Options without a default here have that of the original's trainers; --options lists all of these.
    """
    from deepibl.datasets.catalog import training_datasets
    from deepibl.runtime.processes import team
    from deepibl.training.listeners import TensorBoard, usual_listeners
    from deepibl.training.options import OPTIONS, WORDS, from_matlab_names
    from deepibl.training.session import train as train_network
    from deepibl.training.tuples import LOSSES

    if options:
        for known in OPTIONS.values():
            typer.echo(f"{f'{known.matlab} = {known.default!r}':<44.44} {known.help}")
        return
    if loss not in LOSSES:
        raise ArgumentError(f"--loss must be one of {', '.join(LOSSES)}; got {loss!r}")
    flags: dict[str, Any] = {"network": net, "layer": layer, "pooling": method, "session": session}
    flags |= {
        **{"epochs": epochs, "learning_rate": lr, "batch_size": batch_size},
        "first_trained_layer": int(backprop_to) if backprop_to and backprop_to.isdigit() else backprop_to,
        "output_prefix": None if out is None else f"{out}/",
        "use_gpu": None if device == "auto" else opt.choose_device(device) != "cpu",
    }
    given = {name: value for name, value in flags.items() if value is not None}
    more = from_matlab_names((), typed_options(settings or [], WORDS))
    if twice := [OPTIONS[name].matlab for name in more if given.get(name, more[name]) != more[name]]:
        raise ArgumentError(f"--set {twice[0]}: another option gives it another value; leave one of them out")
    given |= more
    distances = {"positive_distance": threshold, "nontrivial_distance_squared": training_threshold**2}
    sets = training_datasets(dataset, root, train_set, val_set, (train_queries, val_queries), **distances)
    for each in sets:
        each.check_images()
    listeners = usual_listeners(sys.stderr)
    if tensorboard is not None:
        listeners.append(TensorBoard(tensorboard))
    network = given.pop("network", None)
    run = train_network(*sets, network, loss, listeners=listeners, restart=restart, weights=weights, **given)
    if not team().leads:
        return
    try:
        opt.print_result(run.results.as_dict(), run.results.table(), as_json)
    except SessionError as problem:
        typer.echo(f"no table: {problem}", err=True)
    typer.echo(f"session {run.session}: {run.files.latest}; `deepibl pick` writes its best network", err=True)


def pick(
    session: Annotated[str, argument("A session's name, or one of its files: out/53e0.")],
    prefix: Annotated[str | None, option("What its file names begin with, e.g. out/.", "--prefix")] = None,
    output: Annotated[Path | None, option("Write the best network to it.", "--out", "-o")] = None,
    n: Annotated[int, option("The N of Recall@N that says which is best.", "--n", min=1)] = 5,
    as_json: opt.Json = False,
) -> None:
    """Print a session's best epoch (pickBestNet's table), draw its curves and write its best network."""
    from deepibl.networks.io import save_network
    from deepibl.runtime.paths import localPaths
    from deepibl.training.checkpoints import find_session, read_results, read_session_network
    from deepibl.training.listeners import draw_results

    files = find_session(session, localPaths().outPrefix if prefix is None else prefix)
    results = read_results(files, n)
    opt.print_result(results.as_dict(), results.table(), as_json)
    typer.echo(f"figures: {', '.join(map(str, draw_results(results, files)))}", err=True)
    if output is not None:
        save_network(read_session_network(files, results.best), output)
        typer.echo(f"wrote {output}", err=as_json)


def pca(
    net: opt.Net,
    images: Annotated[Path | None, option("The images to make it of: folder, CSV or dbStruct.")] = None,
    dataset: Annotated[str, option("A known data set, e.g. pitts30k/train.")] = "",
    root: Annotated[str | None, option("Folder that the names are relative to.")] = None,
    dim: Annotated[int, option("Dimensions to keep.", min=1)] = 4096,
    whiten: Annotated[bool, option("Divide by the standard deviations.")] = True,
    at_most: Annotated[int, option("Images at most, drawn at random.", min=2)] = 10000,
    output: Annotated[Path, option("The network to write.", "--output", "-o")] = Path("pca.mat"),
    batch_size: opt.BatchSize = 10,
    device: opt.Device = "auto",
) -> None:
    """Add PCA and whitening to a network (addPCA).

    Descriptors and components are kept beside the output, and used again where they fit.
    """
    from deepibl.features.whitening import add_pca_of_images
    from deepibl.networks.io import chain_of, load_network, save_network

    top, names = _images(images, dataset, root)
    where = opt.choose_device(device)
    loaded = chain_of(load_network(opt.find_net(net), device=where), net)
    how: dict[str, Any] = {"whiten": whiten, "at_most": at_most, "device": where, "batch_size": batch_size}
    made = add_pca_of_images(loaded, top, names, output.with_suffix(""), dim=dim, **how)
    save_network(made, output)
    typer.echo(f"wrote {output}: {dim} dimensions, of {how_many(min(len(names), at_most), 'image')}")


def _images(source: Path | None, dataset: str, root: str | None) -> tuple[str, list[str]]:
    """The folder and names of the images of --images or --dataset; ArgumentError unless one is given."""
    from deepibl.datasets.catalog import check_root, database_places, open_dataset

    if dataset and source is None:
        opened = open_dataset(dataset, root=root)
        return opened.database_root, opened.database_names
    if dataset or source is None:
        raise ArgumentError("give either --images DIR|CSV|DBSTRUCT or --dataset NAME")
    check_root(root, source)
    places = database_places(source, root)
    return places.root, places.names
