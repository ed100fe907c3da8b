"""The commands of an index: index, localize, index-check, index-edit, and serve, the page on top of it."""

import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import seeing
from deepibl.cli.options import (
    NOT_AS_IT_SHOULD_BE,
    BatchSize,
    Device,
    Engine,
    IndexFile,
    IndexNet,
    Json,
    MaxPixels,
    Precision,
    Resize,
    ScalesFile,
    Threshold,
    choose_device,
    find_net,
    image_reading,
    net_of_index,
    open_network,
    print_result,
    read_lines,
    scales_in,
    split_net,
    tell_failures,
)
from deepibl.errors import IndexFileError
from matlab_compat.errors import ArgumentError

_SHOWN = 10
Where = Annotated[str, typer.Argument(help="An index: FILE.idx, FOLDER.db or http://HOST:PORT/COLLECTION.")]


def index(
    photos: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NET] [PHOTOS]", help="A folder or CSV, as --images, --csv; a network may come first."
        ),
    ] = None,
    net: Annotated[str | None, typer.Option(help="The network (default: the one that ships).")] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of photos with GPS, or @utm names.")] = None,
    csv: Annotated[Path | None, typer.Option(help="CSV: name and utm_east,utm_north or lat,lon.")] = None,
    dbstruct: Annotated[Path | None, typer.Option(help="A dbStruct .mat file.")] = None,
    root: Annotated[
        str | None, typer.Option(help="Folder of the images that --csv, --dbstruct name.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="FILE.idx; FOLDER.db with milvus.")] = (
        "city.idx"
    ),
    backend: Annotated[
        str | None, typer.Option(help="exact, ivfpq, hnsw or milvus (deepibl help scale).")
    ] = None,
    half: Annotated[bool, typer.Option("--half", help="Keep descriptors in float16.")] = False,
    threshold: Threshold = 25.0,
    confidence_from: Annotated[
        Path | None,
        typer.Option(help="Queries with positions (folder, CSV, dbStruct) that the confidence is fitted on."),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Add images to the index that is there.")] = False,
    as_json: Json = False,
    resize: Resize = None,
    batch_size: BatchSize = 10,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Make an index of geo-tagged images: descriptors, names, positions and the network's identity."""
    from deepibl.datasets.catalog import database_places, query_places
    from deepibl.images.kinds import count_reasons, unused
    from deepibl.search.confidence import THRESHOLD
    from deepibl.search.localization import add_to_index, build_index

    net, named = split_net(photos, net)
    given = [*named, *(source for source in (images, csv, dbstruct) if source is not None)]
    if len(given) != 1:
        raise ArgumentError(
            "give exactly one of PHOTOS (a folder or CSV), --images DIR, --csv FILE and --dbstruct FILE"
        )
    if add and (backend or half or resize or threshold != THRESHOLD):
        raise ArgumentError(
            "--add keeps the index's backend, precision, scale and threshold: leave these options out"
        )
    places = database_places(given[0], root)
    known = query_places(confidence_from, root) if confidence_from is not None else None
    how = {"precision": precision, "engine": engine, **image_reading(resize)}
    loaded, settings = open_network(net, device, scales, batch_size=batch_size, **how)
    there = 0
    if add:
        made, failures, there = add_to_index(loaded, places, output, known=known, settings=settings)
    else:
        about: dict[str, Any] = {"network_path": find_net(net), "half": half, "backend": backend or "exact"}
        about |= {"threshold": threshold, "known": known}
        made, failures = build_index(loaded, places, output, settings=settings, **about)
    said = {"index": output, "backend": made.backend, "images": len(made), "dimensions": made.dim}
    said |= {"network_id": made.network_id, "there_already": there, "failures": len(failures)}
    failed = {os.path.relpath(failure.name, places.root) for failure in failures}
    lost = [problem for problem in places.problems if not problem.startswith(tuple(failed))]
    unknown = [name for name in places.unknown if name not in failed]
    said |= {"left_out": dict(places.left_out), "without_position": len(unknown)}
    said |= {"positions_left_out": lost}
    said |= {"confidence": str(made.calibration)}
    line = f"{output}: {len(made)} images, {made.dim} dimensions, network {made.network_id[:12]}"
    line += f", {there} of those given were there already" if add else ""
    line += f"\n{made.calibration}"
    if not made.calibration.weights and known is None:
        line += ". Queries with positions may do: --confidence-from"
    print_result(said, line, as_json)
    left = unused(len(places) - len(failures), count_reasons(failures) + Counter(places.left_out))
    if left:
        typer.echo(left, err=True)
    if unknown:
        shown = f"{', '.join(unknown[:_SHOWN])}{' …' if len(unknown) > _SHOWN else ''}"
        line = f"{len(unknown)} of {len(places) - len(failures)} photos have no position: {shown}"
        typer.echo("\n  ".join([line, *lost]), err=True)
    tell_failures(failures)


def localize(
    photos: Annotated[list[str], typer.Argument(help="Photos to find the place of.")],
    index_file: IndexFile,
    net: IndexNet = None,
    top: Annotated[int, typer.Option(min=1, help="How many places to show.")] = 5,
    near: Annotated[
        str | None, typer.Option(help="A position to look around: LAT,LON or EAST,NORTH,ZONE.")
    ] = None,
    within: Annotated[float | None, typer.Option(min=0, help="Metres around --near.")] = None,
    as_json: Json = False,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with photos and matches side by side.")
    ] = None,
    preview: Annotated[bool, typer.Option(help="Small pictures, where the terminal can.")] = True,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Print where each photo was taken, how sure that is, and the images of an index most like it."""
    from deepibl.datasets.geo import parse_position
    from deepibl.report.html import match_page
    from deepibl.search.backends import open_index
    from deepibl.search.localization import localize as find_places, match_table, out_of_range

    places = open_index(index_file)
    path = net_of_index(net, places)
    loaded, settings = open_network(path, device, scales, precision=precision, engine=engine)
    around = None if near is None else parse_position(near, places.frame)
    found, failures = find_places(
        loaded, photos, places, top=top, near=around, within=within, settings=settings
    )
    if around is not None and within is not None and found and not any(found.values()):
        typer.echo(f"deepibl: {out_of_range(places, around, within)}", err=True)
    if as_json:
        typer.echo(json.dumps({photo: answer.as_dict() for photo, answer in found.items()}, indent=2))
    else:
        typer.echo(match_table(found))
        if preview:
            seeing.show_matches([(photo, [m.path for m in matches]) for photo, matches in found.items()])
    if html is not None:
        html.write_text(match_page(list(found.items())), encoding="utf-8")
        typer.echo(f"page: {html}", err=True)
    tell_failures(failures)


def index_check(
    where: Where,
    recall: Annotated[
        int, typer.Option(min=0, help="Search for this many images: share of the 10 nearest found.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Compare all checksums of an index and print what it holds; exit code 4 if it is damaged."""
    from deepibl.search.backends import check_index

    try:
        said = check_index(where, recall)
    except IndexFileError as problem:
        typer.echo(f"deepibl: {problem}", err=True)
        raise typer.Exit(NOT_AS_IT_SHOULD_BE) from None
    lines = [f"{name + ':':<18}{value}" for name, value in said.items() if value != ""]
    print_result(said, "\n".join(lines), as_json)


def index_edit(
    where: Where,
    delete: Annotated[Path | None, typer.Option(help="A text file: names to leave out, one a line.")] = None,
    merge: Annotated[list[Path] | None, typer.Option(help="Index files whose images to add.")] = None,
    backend: Annotated[str | None, typer.Option(help="Search it another way: exact, ivfpq, hnsw.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; default: the file itself.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Leave images out of an index, merge others into it, change how it is searched; no network is needed."""
    from deepibl.search.backends import edit_index

    if delete is None and not merge and backend is None:
        raise ArgumentError("nothing to change: give --delete LIST, --merge FILE.idx or --backend KIND")
    names = read_lines(delete) if delete is not None else []
    edited = edit_index(where, output, delete=names, merge=merge or [], backend=backend)
    said = {"index": str(output or where), "images": len(edited), "backend": edited.backend}
    line = f"{said['index']}: {len(edited)} images, backend {edited.backend}"
    print_result(said, line, as_json)


_MISSING = "the page needs FastAPI, uvicorn and python-multipart: pip install 'deepibl[web]'"


def serve(
    index_file: IndexFile,
    net: IndexNet = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free one.")] = 8000,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Name or address by which other machines reach the page; may be repeated."),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the index's images, if they were moved.")
    ] = None,
    waiting: Annotated[int, typer.Option(min=1, help="Requests at a time; the next is refused.")] = 16,
    max_upload: Annotated[float, typer.Option(min=0.01, help="Largest photo, in MB.")] = 64.0,
    max_pixels: MaxPixels = 2**20,
    tiles: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Map tiles of another server: its address with {z}, {x} and {y}."),
    ] = None,
    attribution: Annotated[
        str, typer.Option(help="Whom the map names, with --tiles.")
    ] = "© OpenStreetMap contributors",
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request.")] = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Start a page on this machine: drop a photo, see where it was taken. Ends with Ctrl+C."""
    try:
        from deepibl.serve import app, server
        from deepibl.serve.finder import PlaceFinder
        from deepibl.serve.http import Limits
        from deepibl.serve.tiles import Tiles
    except ImportError as problem:
        raise ArgumentError(f"{_MISSING} ({problem})") from None
    from deepibl.networks.io import load_network
    from deepibl.search.backends import open_index_file

    hosts = server.allowed_hosts(host, allow_host or [])
    squares = Tiles(tiles, attribution) if tiles else None
    places = open_index_file(index_file, "the page")
    where = choose_device(device)
    loaded = load_network(net_of_index(net, places), device=where)
    read = scales_in(scales, precision)
    finder = PlaceFinder(loaded, places, device=where, precision=precision, engine=engine, scales=read)
    limits = Limits(
        upload_bytes=round(max_upload * 1e6), described_pixels=max_pixels,
        heat_pixels=min(max_pixels, Limits.heat_pixels), waiting=waiting,
    )  # fmt: skip
    made = app.create_app(
        finder,
        root=str(root or ""),
        limits=limits,
        hosts=hosts,
        index_name=Path(index_file).name,
        tiles=squares,
    )
    with server.listen(host, port) as listener:
        if not server.is_loopback(host):
            typer.echo(
                "warning: other machines can reach this page; it asks for no password, and photos travel "
                "unencrypted",
                err=True,
            )

        def ready() -> None:
            typer.echo(f"{len(places)} images, {finder.engine}", err=True)
            typer.echo(f"page: {server.address_of(listener, allow_host or [])}  (Ctrl+C ends it)")

        server.serve(made, listener, verbose=verbose, ready=ready)
