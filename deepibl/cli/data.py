"""The commands for users of MATLAB and for data: verify, toolbox, migrate, data check | make | …."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import options as opt
from deepibl.cli.options import argument, option
from deepibl.errors import how_many
from matlab_compat.errors import ArgumentError


def verify(
    net: opt.Net,
    features: Annotated[Path | None, option("MATLAB's features: .bin, .mat, .npy or .h5.")] = None,
    images: Annotated[Path | None, option("List of their images, one name a line.")] = None,
    root: opt.NamesRoot = "",
    layers: Annotated[Path | None, option("A .mat file with x (the input) and acts (the outputs).")] = None,
    resize: opt.Resize = None,
    tolerance: Annotated[float, option("max|a-b| / max|b| that counts as the same.")] = 1e-4,
    batch_size: opt.BatchSize = 10,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Compare features (and outputs of layers) that MATLAB wrote with deepibl's. Exit code 4: they differ."""
    from deepibl.migrate.toolbox import is_reference_file, read_reference_file
    from deepibl.migrate.verify import (
        VerifyReport,
        read_reference,
        verify_features,
        verify_layers,
        verify_reference,
    )
    from deepibl.networks.io import chain_of, load_network

    whole = features is not None and is_reference_file(features)
    if whole and (images or layers):
        raise ArgumentError(f"{features} has its own images and layers: leave out --images and --layers")
    if not whole and ((features is None) != (images is None) or (features is None and layers is None)):
        raise ArgumentError(
            "give --features FILE with --images LIST, or --layers OUTPUTS.mat, or all three; or a file of "
            "deepibl_reference (see `deepibl toolbox`) alone as --features"
        )
    if root and not features:
        raise ArgumentError("--root goes with --features, which is not given")
    how = {**opt.image_reading(resize), "batch_size": batch_size, "device": opt.choose_device(device)}
    net_there = load_network(opt.find_net(net), device="cpu")
    compared = verify_layers(chain_of(net_there), str(layers), tolerance=tolerance) if layers else None
    report: Any = compared
    if features and whole:
        reference = read_reference_file(features)
        report = verify_reference(net_there, reference, root=root or None, tolerance=tolerance, **how)
    elif features and images:
        names = opt.read_lines(images, root)
        wanted, how = read_reference(features, len(names)), {**how, "layers": compared, "root": root}
        report = verify_features(net_there, names, wanted, tolerance=tolerance, **how)
    opt.print_result(report.as_dict(), str(report), as_json)
    if isinstance(report, VerifyReport) and report.verdict not in ("close", "different"):
        opt.tell_failures(report.failures)
    _end(report.ok)


def toolbox(folder: Annotated[Path, argument("Where to put the files; it is made.")]) -> None:
    """Copy the .m files for the MATLAB side: load networks and sessions written here, check, reference."""
    from deepibl.migrate.toolbox import copy_toolbox

    for path in copy_toolbox(folder):
        typer.echo(f"wrote {path}")
    typer.echo(f"in MATLAB: addpath('{folder}'); deepibl_check; help deepibl_load")


def migrate(
    script: Annotated[Path, argument("A MATLAB script.")],
    output: Annotated[Path | None, option("The Python file to write.", "--output", "-o")] = None,
    setting: Annotated[list[str] | None, option("VARIABLE=VALUE or FUNCTION.OPTION=VALUE.", "--set")] = None,
    keep_stops: Annotated[bool, option("Keep an error() that stops the script.", "--keep-stops")] = False,
    as_json: opt.Json = False,
) -> None:
    """Translate a MATLAB script to Python. Exit code 4: some lines could not be translated."""
    from deepibl.migrate.translate import migrate_file, parse_overrides

    result = migrate_file(script, output, keep_stops=keep_stops, overrides=parse_overrides(setting or []))
    if as_json:
        marks = [vars(mark) for mark in result.marks]
        typer.echo(json.dumps({"output": str(output or ""), "marks": marks, "notes": result.notes}, indent=2))
    else:
        if output is None:
            typer.echo(result.text, nl=False)
        for mark in result.marks:
            typer.echo(f"{script.name}:{mark.line}: {mark.reason}: {mark.source}", err=True)
        for note in result.notes:
            typer.echo(f"{script.name}: {note}", err=True)
        typer.echo(f"{how_many(len(result.stops), 'line')} could not be translated", err=True)
    _end(not result.stops)


def check(
    name: Annotated[str, argument("pitts30k, pitts250k, tokyo247, tokyoTM, or a part: pitts30k/test")],
    root: Annotated[Path | None, argument("The folder with its images (default: localPaths').")] = None,
    spec: Annotated[Path | None, option("A dbStruct .mat file, or the folder of them.")] = None,
    as_json: opt.Json = False,
) -> None:
    """Check that every file of a known data set is there. Exit code 4: something is missing."""
    from deepibl.datasets.check import check_dataset

    report = check_dataset(name, root, spec=spec)
    opt.print_result(report.as_dict(), str(report), as_json)
    _end(report.complete)


def make(
    database: Annotated[Path, argument("Folder or CSV; or a folder that holds database/ and queries/.")],
    queries: Annotated[Path | None, option("Folder or CSV of the queries.")] = None,
    output: Annotated[Path, option("The dbStruct to write.", "--output", "-o")] = Path("mine.mat"),
    split: Annotated[str, option("train, val or test of images/<split>/database.")] = "test",
    root: Annotated[Path | None, option("Folder that the names will be relative to.")] = None,
    zone: Annotated[str | None, option("UTM zone of all positions, e.g. 33N.")] = None,
    threshold: opt.Threshold = 25.0,
    training_threshold: opt.TrainingThreshold = 10.0,
    skip_unknown: opt.SkipUnknown = False,
) -> None:
    """Make a dbStruct .mat file from folders, CSV files or the layout of VPR-datasets-downloader."""
    from deepibl.datasets.folder import make_dbstruct

    how: dict[str, Any] = {"split": split, "root": root, "zone": zone, "skip_unknown": skip_unknown}
    how |= {"positive_distance": threshold, "nontrivial_distance_squared": training_threshold**2}
    dataset = make_dbstruct(database, queries, output, **how)
    found = f"{how_many(dataset.database_size, 'database image')}, {how_many(dataset.query_count, 'query')}"
    zone = f"UTM zone {dataset.frame or 'unknown'}"
    typer.echo(f"{output}: {found}, {zone}; names are relative to {dataset.database_root}")


def features(
    source: Annotated[Path, argument("Features: .bin, .npy or .h5.")],
    target: Annotated[Path, argument("What to write: .bin, .npy or .h5.")],
    list_file: Annotated[Path | None, option("Image names, one a line, a row each.", "--list")] = None,
    dim: Annotated[int | None, option("Dimensions, for a .bin without --list.", min=1)] = None,
) -> None:
    """Convert a file of descriptors: MATLAB's .bin, .npy, .h5."""
    from deepibl.features.files import convert_features

    names = opt.read_lines(list_file) if list_file else None
    count, size = convert_features(source, target, names=names, dim=dim)
    typer.echo(f"{target}: {how_many(count, 'descriptor')} of {size} dimensions")


def toy(
    folder: Annotated[Path, argument("The folder to make; run scripts in it.")],
    places: Annotated[int, option("Places in each part of a data set.", min=2)] = 5,
    channels: Annotated[int, option("Channels of the toy networks' last layer.", min=2)] = 12,
    seed: Annotated[int, option("Seed of the city and the weights.")] = 0,
) -> None:
    """Make a folder in which MATLAB scripts for Pitts30k, Tokyo 24/7 … run on toy data of those names."""
    from deepibl.demo.playground import make_playground

    paths = make_playground(folder, places=places, channels=channels, seed=seed)
    typer.echo(f"{paths}: run scripts in {paths.parent}, or set DEEPIBL_LOCALPATHS={paths}")


def convert_png(folder: Annotated[Path, argument("Every .png below it gets a .jpg beside it.")]) -> None:
    """Convert PNG images to JPEG, as convertPngtoJPG does."""
    from deepibl.datasets.png_to_jpeg import convert_folder

    report = convert_folder(folder, overwrite=False)
    typer.echo(f"{len(report.converted)} converted, {len(report.skipped)} there already")
    opt.tell_failures(report.failures)


def _end(ok: bool) -> None:
    if not ok:
        raise typer.Exit(opt.NOT_AS_IT_SHOULD_BE)
