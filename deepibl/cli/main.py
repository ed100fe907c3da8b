"""The command line: each command is a thin layer over a function that can be imported.

Results go to standard output, progress and what went wrong to standard error. Exit codes: 0 done, 1 an error
(one line says what was found and what to do), 2 an invalid command line, 3 done, but some images could not be
read (they are listed), 4 checked, and it is not as it should be (verify, data check, migrate,
convert --check).
"""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import manual, search, seeing, training
from deepibl.cli.data import data, migrate, toolbox, verify
from deepibl.cli.options import (
    NOT_AS_IT_SHOULD_BE,
    BatchSize,
    DatasetRoot,
    Device,
    Engine,
    Json,
    ListFile,
    NamesRoot,
    Net,
    NetAndImages,
    Precision,
    Resize,
    ScalesFile,
    SkipUnknown,
    Threshold,
    find_net,
    image_reading,
    image_size,
    names_given,
    net_of_index,
    open_network,
    print_result,
    processes_of,
    split_net,
    stop_logging,
    tell_failures,
)
from deepibl.cli.process import prepare_process
from matlab_compat.errors import ArgumentError, MatlabCompatError


def calibrate(
    images: NetAndImages = None,
    list_file: ListFile = None,
    root: NamesRoot = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.json")] = Path("scales.json"),
    resize: Resize = None,
) -> None:
    """Measure, on photos of the kind to come, the scales that --precision int8 needs for this network."""
    from deepibl.engine.scales import calibrate as measure
    from deepibl.images import OWN_PHOTOS
    from deepibl.networks.io import load_network

    net, photos = split_net(images)
    names = names_given(photos, list_file, root)
    reading = image_reading(resize) or asdict(OWN_PHOTOS)
    scales = measure(load_network(find_net(net)), names, root=root, **reading)
    scales.save(output)
    typer.echo(
        f"{output}: {len(scales.ranges)} convolutions, measured on {scales.images} images; "
        f"use it with --precision int8 --scales {output}"
    )


app = typer.Typer(
    name="deepibl",
    help="Visual place recognition: deepIBL (SARE) and NetVLAD from MATLAB, in PyTorch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def info(
    net: Net,
    input_size: Annotated[str, typer.Option(help="Height x width of an image, e.g. 480x640.")] = "",
    batch_size: BatchSize = 1,
    as_json: Json = False,
) -> None:
    """Print a network's layers (as vl_simplenn_display does) and its meta information."""
    from deepibl.networks.io import describe_network

    typer.echo(describe_network(find_net(net), image_size(input_size), batch_size, as_json=as_json))


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="A network: .mat, .safetensors, .pth, .tar, .py, or a name.")],
    target: Annotated[
        Path, typer.Argument(help="What to write: .mat, .hloc.mat, .safetensors, .onnx, .pt2 or .pth.")
    ],
    check: Annotated[bool, typer.Option("--check", help="Run one image through both and compare.")] = False,
    classes: Annotated[
        bool, typer.Option("--classes", help="Class objects in a .mat, for MATLAB with NetVLAD.")
    ] = False,
) -> None:
    """Convert a network from one format to another, by the suffixes. Exit code 4: --check failed."""
    from deepibl.networks.conversion import convert as convert_network, difference

    net = convert_network(find_net(source), target, classes=classes)
    typer.echo(f"wrote {target}")
    if check:
        found = difference(net, target)
        typer.echo(str(found))
        if not found.ok:
            typer.echo(f"deepibl: the difference is more than rounding: do not use {target}", err=True)
            raise typer.Exit(NOT_AS_IT_SHOULD_BE)


@app.command()
def extract(
    images: NetAndImages = None,
    list_file: ListFile = None,
    root: NamesRoot = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.bin, .npy or .h5")] = Path(
        "features.bin"
    ),
    resize: Resize = None,
    batch_size: BatchSize = 10,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Extract the descriptors of images and write them to a file, one row an image.

    Where some images cannot be used, FILE.names.txt lists those of the rows.
    """
    from deepibl.features.extraction import extract_to_file
    from deepibl.features.files import side_files
    from deepibl.runtime.processes import team
    from matlab_compat.files import atomic_output

    net, photos = split_net(images)
    names = names_given(photos, list_file, root)
    how = {"precision": precision, "engine": engine, **image_reading(resize)}
    loaded, settings = open_network(net, device, scales, batch_size=batch_size, on_error="skip", **how)
    report = extract_to_file(loaded, root, names, output, settings=settings)
    typer.echo(f"{len(report.kept)} descriptors of {report.dim} dimensions in {output}")
    if report.failures:
        listed = side_files(output)[1]
        if team().leads:
            with atomic_output(listed) as temporary:
                temporary.write_text("".join(names[i] + "\n" for i in report.kept), encoding="utf-8")
        typer.echo(f"the names of the rows are in {listed}")
    tell_failures(report.failures)


@app.command()
def evaluate(
    net: Annotated[
        str | None, typer.Argument(help="A network; default: the index's, or the one that ships.")
    ] = None,
    dataset: Annotated[str, typer.Option(help="A known data set, e.g. pitts30k/test, tokyo247.")] = "",
    root: DatasetRoot = None,
    db: Annotated[Path | None, typer.Option(help="Your own database: folder, CSV or dbStruct.")] = None,
    queries: Annotated[Path | None, typer.Option(help="Your own queries: folder, CSV or dbStruct.")] = None,
    index_file: Annotated[str | None, typer.Option("--index", help="An index as the database.")] = None,
    threshold: Threshold = 25.0,
    skip_unknown: SkipUnknown = False,
    resize: Resize = None,
    protocol: Annotated[
        str, typer.Option(help="Of tokyo247: deepibl (queries scaled to 640 pixels), netvlad (not scaled).")
    ] = "",
    crop_to_dim: Annotated[int, typer.Option(min=0, help="Keep the first dimensions; 0 keeps all.")] = 0,
    features: Annotated[Path | None, typer.Option(help="Folder to keep descriptors in.")] = None,
    report: Annotated[Path | None, typer.Option(help="Folder for a page that shows the run.")] = None,
    as_json: Json = False,
    batch_size: BatchSize = 10,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Print Recall@N, as the original does."""
    from deepibl.datasets.catalog import evaluation_dataset
    from deepibl.evaluation.evaluate import evaluate_index, evaluate_network, recall_table
    from deepibl.networks.weights import DEFAULT_NETWORK
    from deepibl.search.backends import open_index_file

    how: Any = {"precision": precision, "engine": engine, "batch_size": batch_size}
    how |= image_reading(resize)
    if index_file is not None:
        if queries is None or dataset or db is not None or protocol:
            raise ArgumentError("--index goes with --queries DIR|CSV, not with --dataset, --db or --protocol")
        if resize is not None:
            raise ArgumentError("queries are scaled as the index's images were: leave out --resize")
        path = net_of_index(net, open_index_file(index_file, "an evaluation"))
        loaded, settings = open_network(path, device, scales, **how)
        about: Any = {"label": str(path), "threshold": threshold, "root": root, "crop_to_dim": crop_to_dim}
        about |= {"skip_unknown": skip_unknown}
        result = evaluate_index(loaded, index_file, queries, settings=settings, **about)
    else:
        net = net or DEFAULT_NETWORK
        places = evaluation_dataset(dataset, root, db, queries, threshold, protocol, skip_unknown)
        loaded, settings = open_network(net, device, scales, **how)
        about = {"label": net, "features": features, "crop_to_dim": crop_to_dim}
        result = evaluate_network(loaded, places, settings=settings, **about)
    print_result(result.as_dict(), recall_table(result), as_json)
    if report is not None:
        seeing.write_report_page(result, report)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="sare, netvlad-pitts30k, netvlad-tokyotm or vd16.")],
    from_file: Annotated[Path | None, typer.Option("--from", help="A file downloaded by hand.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where to put it.")] = None,
) -> None:
    """Download a published network, check it and put it in place."""
    from deepibl.networks.pretrained import fetch as fetch_weights
    from deepibl.networks.weights import card, default_folder
    from deepibl.runtime.paths import localPaths
    from deepibl.runtime.progress import byte_progress

    folder = folder or default_folder(card(name), localPaths())
    with byte_progress(name) as progress:
        path = fetch_weights(name, folder=folder, from_file=from_file, progress=progress)
    typer.echo(str(path))


@app.command("convert-png")
def convert_png(
    folder: Annotated[Path, typer.Argument(help="Every .png below it gets a .jpg beside it.")],
) -> None:
    """Convert PNG images to JPEG, as convertPngtoJPG does."""
    from deepibl.datasets.png_to_jpeg import convert_folder

    report = convert_folder(folder, overwrite=False)
    typer.echo(f"{len(report.converted)} converted, {len(report.skipped)} there already")
    tell_failures(report.failures)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Option(help="Where all is left (default: deepibl-demo, or toycity).")
    ] = None,
    city: Annotated[bool, typer.Option("--city", help="A generated city instead of real photos.")] = False,
    train: Annotated[bool, typer.Option("--train", help="Train a small network in such a city.")] = False,
    images: Annotated[int, typer.Option(min=40, max=20000, help="With --city: database images.")] = 200,
    seed: Annotated[int, typer.Option(help="With --city, --train: which city.")] = 0,
) -> None:
    """Index real street photos, localize others, print Recall@N and write a page; nothing is downloaded."""
    if train or city:
        from deepibl.demo import run_city_demo, run_training_demo

        place = folder or Path("toycity")
        if train:
            run_training_demo(place, seed=seed, say=typer.echo)
        else:
            run_city_demo(place, images=images, seed=seed, say=typer.echo)
        return
    from deepibl.demo import run_demo

    run_demo(folder or Path("deepibl-demo"), say=typer.echo)


app.command()(calibrate)

app.command()(search.index)

app.command()(search.localize)

app.command("index-check")(search.index_check)

app.command("index-edit")(search.index_edit)

app.command()(training.train)

app.command()(training.pick)

app.command()(training.pca)

app.command()(seeing.heatmap)

app.command()(search.serve)

app.add_typer(seeing.reports)

app.command()(verify)

app.command()(toolbox)

app.command()(migrate)

app.command("help")(manual.help_page)

app.add_typer(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; see the module for the exit codes.

    arguments: None: the command's own. Only then is the process prepared for computing (`prepare_process`): a
    program that runs a command by giving its arguments keeps its process as it is.
    """
    if arguments is None:
        prepare_process()
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        with processes_of(given) as runs_here:
            if runs_here:
                _run(given)
    finally:
        stop_logging()


def _run(arguments: list[str]) -> None:
    try:
        app(args=arguments)
    except (MatlabCompatError, OSError) as problem:
        typer.echo(f"deepibl: {problem}", err=True)
        raise SystemExit(1) from problem


if __name__ == "__main__":
    main()
