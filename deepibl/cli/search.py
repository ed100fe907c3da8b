"""The commands of an index: index, localize, pairs, index-check, index-edit, and serve, the page of it."""

import functools
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import options as opt
from deepibl.cli.options import argument, option
from deepibl.errors import IndexFileError, how_many
from matlab_compat.errors import ArgumentError

_SHOWN = 10
Where = Annotated[str, argument("An index: FILE.idx, FOLDER.db or http://HOST:PORT/COLLECTION.")]
_file = functools.partial(option, panel=opt.FILES)


@opt.computes
def index(
    photos: Annotated[
        list[str] | None,
        argument("A folder or CSV, as --images, --csv; a network may come first.", "[NET] [PHOTOS]"),
    ] = None,
    net: Annotated[str | None, option("The network.", show_default="the one that ships")] = None,
    images: Annotated[Path | None, option("Folder of photos with GPS, or @utm names.")] = None,
    csv: Annotated[Path | None, option("CSV: name and utm_east,utm_north or lat,lon.")] = None,
    dbstruct: Annotated[Path | None, option("A dbStruct .mat file.")] = None,
    root: Annotated[str | None, option("Folder of the images that --csv, --dbstruct name.")] = None,
    output: Annotated[str, option("FILE.idx; FOLDER.db with milvus.", "--output", "-o")] = "city.idx",
    backend: Annotated[
        str | None, option("exact, ivfpq, hnsw or milvus (deepibl help scale).", show_default="exact")
    ] = None,
    half: Annotated[bool, option("Keep descriptors in float16.", "--half")] = False,
    threshold: opt.OwnThreshold = None,
    confidence_from: Annotated[Path | None, option("Queries with positions to fit confidences on.")] = None,
    add: Annotated[bool, option("Add images to the index that is there.", "--add")] = False,
    as_json: opt.Json = False,
    resize: opt.Resize = None,
    *,
    how: dict[str, Any],
) -> None:
    """Make an index of geo-tagged images: descriptors, names, positions and the network's identity."""
    from deepibl.datasets.catalog import check_root, database_places, query_places, threshold_of
    from deepibl.images.kinds import count_reasons, unused
    from deepibl.search.backends import open_index
    from deepibl.search.localization import add_to_index, build_index

    net, named = opt.split_net(photos, net)
    given: list[Any] = [*named, *(source for source in (images, csv, dbstruct) if source is not None)]
    if len(given) != 1:
        raise ArgumentError(
            "give exactly one of PHOTOS (a folder or CSV), --images DIR, --csv FILE and --dbstruct FILE"
        )
    check_root(root, given[0], confidence_from)
    if how["weights"] == "random":
        raise ArgumentError("random weights differ each time: keep them (deepibl convert), index with those")
    fixed = {"--backend": backend, "--half": half or None, "--threshold": threshold, "--resize": resize}
    if add and (refused := [name for name, value in fixed.items() if value is not None]):
        at = open_index(output)
        raise ArgumentError(
            f"--add keeps {output}'s backend ({at.backend}), threshold ({at.calibration.threshold:g} m), "
            f"precision and scale of images: leave out {' and '.join(refused)}. Another backend: deepibl "
            "index-edit --backend KIND"
        )
    places = database_places(given[0], root)
    known = query_places(confidence_from, root) if confidence_from is not None else None
    loaded, settings = opt.open_network(net, how, **opt.image_reading(resize))
    there = 0
    if add:
        made, failures, there = add_to_index(loaded, places, output, known=known, settings=settings)
    else:
        about: dict[str, Any] = {"network_path": opt.find_net(net), "half": half, "known": known}
        about |= {"threshold": threshold_of(threshold, given[0]), "backend": backend or "exact"}
        made, failures = build_index(loaded, places, output, settings=settings, **about)
    said = {"index": output, "backend": made.backend, "images": len(made), "dimensions": made.dim}
    said |= {"network_id": made.network_id, "there_already": there, "failures": len(failures)}
    failed = {os.path.relpath(failure.name, places.root) for failure in failures}
    lost = [problem for problem in places.problems if not problem.startswith(tuple(failed))]
    unknown = [name for name in places.unknown if name not in failed]
    said |= {"left_out": dict(places.left_out), "without_position": len(unknown)}
    said |= {"positions_left_out": lost, "confidence": str(made.calibration)}
    line = f"{output}: {how_many(len(made), 'image')}, {made.dim} dimensions, network {made.network_id[:12]}"
    line += f", {there} of those given were there already" if add else ""
    line += f"\n{made.calibration}"
    if not made.calibration.weights and known is None and len(unknown) < len(places) - len(failures):
        line += ". Queries with positions may do: --confidence-from"
    opt.print_result(said, line, as_json)
    if left := unused(len(places) - len(failures), count_reasons(failures) + Counter(places.left_out)):
        typer.echo(left, err=True)
    if unknown:
        shown = f"{', '.join(unknown[:_SHOWN])}{' …' if len(unknown) > _SHOWN else ''}"
        line = f"{len(unknown)} of {len(places) - len(failures)} photos have no position: {shown}"
        typer.echo("\n  ".join([line, *lost]), err=True)
    opt.tell_failures(failures)


@opt.computes
def localize(
    index_file: opt.IndexFile,
    photos: opt.Images = None,
    list_file: opt.ListFile = None,
    net: opt.IndexNet = None,
    root: opt.IndexRoot = None,
    top: Annotated[int, option("How many places to show.", min=1)] = 5,
    near: Annotated[str | None, option("A position to look around: LAT,LON or EAST,NORTH,ZONE.")] = None,
    within: Annotated[float | None, option("Metres around --near.", min=0)] = None,
    rerank: opt.Rerank = 0,
    matcher: opt.MatcherName = "sift",
    as_json: opt.Json = False,
    html: Annotated[Path | None, _file("A page with photos and matches side by side.")] = None,
    csv: Annotated[Path | None, _file("A table, a line a photo.")] = None,
    geojson: Annotated[Path | None, _file("Positions for maps: QGIS, geojson.io, Leaflet.")] = None,
    gpx: Annotated[Path | None, _file("Positions as waypoints, for GPS devices.")] = None,
    kml: Annotated[Path | None, _file("Positions for Google Earth.")] = None,
    pairs: Annotated[Path | None, _file("The photos and their --top matches as hloc's pairs.")] = None,
    pairs_root: Annotated[Path | None, option("Folder that names in --pairs are below.")] = None,
    *,
    how: dict[str, Any],
) -> None:
    """Print where each photo was taken, how sure that is, and the images of an index most like it."""
    from deepibl import hloc
    from deepibl.datasets.geo import parse_position
    from deepibl.report.html import match_page
    from deepibl.search.backends import open_index
    from deepibl.search.export import export, require_degrees
    from deepibl.search.geometry import Reranker, make_matcher
    from deepibl.search.localization import localize as find_places, match_table, out_of_range
    from matlab_compat.files import write_text

    names = opt.names_given(photos, list_file)
    places = open_index(index_file)
    if root is not None:
        places = places.at(str(root))
    wanted = {"csv": csv, "geojson": geojson, "gpx": gpx, "kml": kml}
    files = {kind: path for kind, path in wanted.items() if path is not None}
    for kind in files:
        require_degrees(kind, places.frame)
    reranker = Reranker(rerank, make_matcher(matcher)) if rerank else None
    around = None if near is None else parse_position(near, places.frame)
    loaded, settings = opt.open_network(opt.net_of_index(net, places), how)
    found, failures = find_places(
        loaded, names, places, top=top, near=around, within=within, reranker=reranker, settings=settings
    )
    if around is not None and within is not None and found and not any(found.values()):
        typer.echo(f"deepibl: {out_of_range(places, around, within)}", err=True)
    answers = {photo: answer.as_dict() for photo, answer in found.items()}
    opt.print_result(answers, match_table(found), as_json)
    if html is not None:
        write_text(html, match_page(list(found.items())))
        typer.echo(f"page: {html}", err=True)
    placed = sum(answer.estimate is not None for answer in found.values())
    for kind, path in files.items():
        export(found, path, kind)
        typer.echo(f"{path}: {placed} of {how_many(len(found), 'photo')} with a position", err=True)
    if pairs is not None:
        of = [(photo, [match.path for match in matches]) for photo, matches in found.items()]
        typer.echo(hloc.write_pairs(of, pairs, pairs_root), err=True)
    opt.tell_failures(failures)


def pairs(
    where: Where,
    output: Annotated[Path, option("The file to write.", "--output", "-o")] = Path("pairs.txt"),
    top: Annotated[int, option("How many others to pair each image with.", min=1)] = 20,
    root: opt.IndexRoot = None,
) -> None:
    """Write each image of an index with those most like it as hloc's pairs, for a reconstruction.

    Names are relative to the index's folder. The pairs of queries are those of `deepibl localize --pairs`.
    """
    from deepibl import hloc
    from deepibl.search.backends import open_index_file

    index = open_index_file(where, "a file of pairs")
    typer.echo(hloc.write_pairs(hloc.pairs_of_index(index, top), output, root or index.root))


def index_check(
    where: Where,
    recall: Annotated[int, option("Ask for so many images: share of the 10 nearest found.", min=0)] = 0,
    as_json: opt.Json = False,
) -> None:
    """Compare all checksums of an index and print what it holds; exit code 4 if it is damaged."""
    from deepibl.search.backends import check_index

    try:
        said = check_index(where, recall)
    except IndexFileError as problem:
        typer.echo(f"deepibl: {problem}", err=True)
        raise typer.Exit(opt.NOT_AS_IT_SHOULD_BE) from None
    lines = [f"{name + ':':<18}{value}" for name, value in said.items() if value != ""]
    opt.print_result(said, "\n".join(lines), as_json)


def index_edit(
    where: Where,
    delete: Annotated[Path | None, option("A text file: names to leave out, one a line.")] = None,
    merge: Annotated[list[Path] | None, option("Index files whose images to add.")] = None,
    backend: Annotated[str | None, option("Search it another way: exact, ivfpq, hnsw.")] = None,
    output: Annotated[Path | None, option("Default: the file itself.", "--output", "-o")] = None,
    as_json: opt.Json = False,
) -> None:
    """Leave images out of an index, merge others into it, change how it is searched; no network is needed."""
    from deepibl.search.backends import edit_index

    if delete is None and not merge and backend is None:
        raise ArgumentError("nothing to change: give --delete LIST, --merge FILE.idx or --backend KIND")
    names = opt.read_lines(delete) if delete is not None else []
    edited = edit_index(where, output, delete=names, merge=merge or [], backend=backend)
    said = {"index": str(output or where), "images": len(edited), "backend": edited.backend}
    line = f"{said['index']}: {how_many(len(edited), 'image')}, backend {edited.backend}"
    opt.print_result(said, line, as_json)


_MISSING = "the page needs FastAPI, uvicorn and python-multipart: pip install 'deepibl[web]'"


def serve(
    index_file: opt.IndexFile,
    net: opt.IndexNet = None,
    host: Annotated[str, option("Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, option("0 takes any free one.", min=0, max=65535)] = 8000,
    allow_host: Annotated[list[str] | None, option("Name that other machines use; repeatable.")] = None,
    root: opt.IndexRoot = None,
    waiting: Annotated[int, option("Requests at a time; the next is refused.", min=1)] = 16,
    max_upload: Annotated[float, option("Largest photo, in MB.", min=0.01)] = 64.0,
    max_pixels: opt.MaxPixels = 2**20,
    tiles: Annotated[
        str | None, option("Map tiles of another server, with {z}, {x} and {y}.", metavar="URL")
    ] = None,
    attribution: Annotated[str, option("Whom the map names, with --tiles.")] = "© OpenStreetMap contributors",
    verbose: Annotated[bool, option("Log every request.", "--verbose")] = False,
    device: opt.Device = "auto",
    precision: opt.Precision = "fp32",
    scales: opt.ScalesFile = None,
    engine: opt.Engine = "auto",
    weights: opt.Weights = "pretrained",
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
    where = opt.choose_device(device)
    loaded = load_network(opt.net_of_index(net, places), device=where, weights=weights)
    read = opt.scales_in(scales, precision)
    finder = PlaceFinder(loaded, places, device=where, precision=precision, engine=engine, scales=read)
    limits = Limits(
        upload_bytes=round(max_upload * 1e6),
        described_pixels=max_pixels,
        heat_pixels=min(max_pixels, Limits.heat_pixels),
        waiting=waiting,
    )
    shown: dict[str, Any] = {"root": str(root or ""), "index_name": Path(index_file).name, "tiles": squares}
    made = app.create_app(finder, limits=limits, hosts=hosts, **shown)
    with server.listen(host, port) as listener:
        if not server.is_loopback(host):
            typer.echo(
                "warning: other machines can reach this page; it asks for no password, and photos travel "
                "unencrypted",
                err=True,
            )

        def ready() -> None:
            typer.echo(f"{how_many(len(places), 'image')}, {finder.engine}", err=True)
            typer.echo(f"page: {server.address_of(listener, allow_host or [])}  (Ctrl+C ends it)")

        server.serve(made, listener, verbose=verbose, ready=ready)
