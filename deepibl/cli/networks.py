"""The commands of networks: info, convert, fetch, extract, calibrate, evaluate."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import options as opt, seeing
from deepibl.cli.options import argument, option
from deepibl.errors import how_many
from matlab_compat.errors import ArgumentError, NetworkFormatError


def info(
    net: opt.Net,
    input_size: Annotated[str, option("Height x width of an image, e.g. 480x640.")] = "",
    batch_size: opt.BatchSize = 1,
    as_json: opt.Json = False,
) -> None:
    """Print a network's layers (as vl_simplenn_display does) and its meta information."""
    from deepibl.networks.io import describe_network

    typer.echo(describe_network(opt.find_net(net), opt.image_size(input_size), batch_size, as_json=as_json))


def convert(
    source: Annotated[str, argument("A network: .mat, .safetensors, .pth, .tar, .py, or a name.")],
    target: Annotated[Path, argument("To write: .mat, .safetensors, .onnx or .pt2.")],
    check: Annotated[bool, option("Run images through both and compare.", "--check")] = False,
    classes: Annotated[bool, option("Class objects in a .mat, as NetVLAD has.", "--classes")] = False,
    weights: opt.Weights = "pretrained",
) -> None:
    """Convert a network from one format to another, by the suffixes. Exit code 4: --check failed."""
    from deepibl.engine.finite import require_finite
    from deepibl.networks.conversion import convert as convert_network, difference

    net = convert_network(opt.find_net(source), target, classes=classes, weights=weights)
    typer.echo(f"wrote {target}")
    try:
        require_finite(net)
    except NetworkFormatError as problem:
        typer.echo(f"deepibl: warning: it cannot be run: {problem}", err=True)
    if check:
        found = difference(net, target)
        typer.echo(str(found))
        if not found.ok:
            typer.echo(f"deepibl: the difference is more than rounding: do not use {target}", err=True)
            raise typer.Exit(opt.NOT_AS_IT_SHOULD_BE)


def fetch(
    name: Annotated[str, argument("sare, netvlad-pitts30k, netvlad-tokyotm or vd16.")],
    from_file: Annotated[Path | None, option("A file downloaded by hand.", "--from")] = None,
    folder: Annotated[Path | None, option("Where to put it.")] = None,
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


@opt.computes
def extract(
    images: opt.NetAndImages = None,
    list_file: opt.ListFile = None,
    root: opt.NamesRoot = "",
    output: Annotated[Path, option("FILE.bin, .npy or .h5", "--output", "-o")] = Path("features.bin"),
    resize: opt.Resize = None,
    *,
    how: dict[str, Any],
) -> None:
    """Extract the descriptors of images and write them to a file, one row an image.

    Where some images cannot be used, FILE.names.txt lists those of the rows.
    """
    from deepibl.features.extraction import extract_to_file
    from deepibl.features.files import side_files
    from deepibl.runtime.processes import team
    from matlab_compat.files import write_text

    net, photos = opt.split_net(images)
    names = opt.names_given(photos, list_file, root)
    loaded, settings = opt.open_network(net, how, on_error="skip", **opt.image_reading(resize))
    report = extract_to_file(loaded, root, names, output, settings=settings)
    typer.echo(f"{how_many(len(report.kept), 'descriptor')} of {report.dim} dimensions in {output}")
    if report.failures:
        listed = side_files(output)[1]
        if team().leads:
            write_text(listed, "".join(names[i] + "\n" for i in report.kept))
        typer.echo(f"the names of the rows are in {listed}")
    opt.tell_failures(report.failures)


def calibrate(
    images: opt.NetAndImages = None,
    list_file: opt.ListFile = None,
    root: opt.NamesRoot = "",
    output: Annotated[Path, option("FILE.json", "--output", "-o")] = Path("scales.json"),
    resize: opt.Resize = None,
) -> None:
    """Measure, on photos of the kind to come, the scales that --precision int8 needs for this network."""
    from deepibl.engine.scales import calibrate as measure
    from deepibl.images import OWN_PHOTOS
    from deepibl.networks.io import load_network

    net, photos = opt.split_net(images)
    names = opt.names_given(photos, list_file, root)
    reading = opt.image_reading(resize) or asdict(OWN_PHOTOS)
    scales = measure(load_network(opt.find_net(net)), names, root=root, **reading)
    scales.save(output)
    found = f"{how_many(len(scales.ranges), 'convolution')}, measured on {how_many(scales.images, 'image')}"
    typer.echo(f"{output}: {found}; use it with --precision int8 --scales {output}")


@opt.computes
def evaluate(
    net: Annotated[str | None, argument("A network; default: the index's, or the one that ships.")] = None,
    dataset: Annotated[str, option("A known data set, e.g. pitts30k/test, tokyo247.")] = "",
    root: opt.DatasetRoot = None,
    db: Annotated[Path | None, option("Your database: folder, CSV or dbStruct (with its queries).")] = None,
    queries: Annotated[Path | None, option("Your own queries: folder, CSV or dbStruct.")] = None,
    index_file: Annotated[str | None, option("An index as the database.", "--index")] = None,
    index_root: opt.IndexRoot = None,
    threshold: opt.OwnThreshold = None,
    skip_unknown: opt.SkipUnknown = False,
    resize: opt.Resize = None,
    protocol: Annotated[str, option("Of tokyo247: deepibl (queries scaled to 640), netvlad.")] = "",
    crop_to_dim: Annotated[int, option("Keep the first dimensions; 0 keeps all.", min=0)] = 0,
    rerank: opt.Rerank = 0,
    matcher: opt.MatcherName = "sift",
    features: Annotated[Path | None, option("Folder to keep descriptors in.")] = None,
    table: Annotated[bool, option("Print the original's table, N from 1 to 100.", "--table")] = False,
    report: Annotated[Path | None, option("Folder for a page that shows the run.", panel=opt.FILES)] = None,
    as_json: opt.Json = False,
    *,
    how: dict[str, Any],
) -> None:
    """Print Recall@N in percent, with the 95 % interval (Wilson's).

    Photos of your own that cannot be read are left out and listed (exit code 3).
    """
    from deepibl.datasets.catalog import evaluation_dataset
    from deepibl.evaluation.evaluate import evaluate_index, evaluate_network, recall_lines, recall_table
    from deepibl.networks.weights import DEFAULT_NETWORK
    from deepibl.search.backends import open_index_file
    from deepibl.search.geometry import Reranker, make_matcher

    about: dict[str, Any] = {"crop_to_dim": crop_to_dim}
    about["reranker"] = Reranker(rerank, make_matcher(matcher)) if rerank else None
    if index_file is not None:
        if queries is None or dataset or db is not None or protocol:
            raise ArgumentError("--index goes with --queries DIR|CSV, not with --dataset, --db or --protocol")
        if root is not None and queries.is_dir():
            raise ArgumentError("--root goes with a CSV or dbStruct; the index's photos: --index-root")
        path = opt.net_of_index(net, open_index_file(index_file, "an evaluation"))
        loaded, settings = opt.open_network(path, how)
        about |= {"label": str(path), "root": root, "index_root": index_root, "skip_unknown": skip_unknown}
        result = evaluate_index(loaded, index_file, queries, threshold=threshold, settings=settings, **about)
    else:
        net = net or DEFAULT_NETWORK
        places = evaluation_dataset(dataset, root, db, queries, threshold, protocol, skip_unknown)
        loaded, settings = opt.open_network(net, how, **opt.image_reading(resize))
        about |= {"label": net, "features": features}
        result = evaluate_network(loaded, places, settings=settings, **about)
    opt.print_result(result.as_dict(), recall_table(result) if table else recall_lines(result), as_json)
    if report is not None:
        seeing.write_report_page(result, report)
    opt.tell_failures(result.failures)
