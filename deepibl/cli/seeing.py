"""Commands that show: heatmaps, reports compared, and previews in the terminal."""

import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli.options import (
    BatchSize,
    Device,
    Json,
    MaxPixels,
    Net,
    Resize,
    choose_device,
    find_net,
    print_result,
)

reports = typer.Typer(name="report", help="Reports of evaluations.", no_args_is_help=True)


def heatmap(
    net: Net,
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path("heatmap.png"),
    against: Annotated[Path | None, typer.Option(help="Another photo: what makes the two alike?")] = None,
    compare: Annotated[list[str] | None, typer.Option(help="Another network; may be repeated.")] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="gradient, guided, occlusion, clusters, cells, or all; may be repeated."),
    ] = None,
    maps: Annotated[Path | None, typer.Option(help="Folder for each overlay (PNG) and map (.npy).")] = None,
    resize: Resize = None,
    max_pixels: MaxPixels = 2**20,
    patch: Annotated[int | None, typer.Option(min=1, help="Side of occlusion's patch, in pixels.")] = None,
    step: Annotated[int | None, typer.Option(min=1, help="Pixels between patches.")] = None,
    batch_size: BatchSize = 10,
    device: Device = "auto",
    preview: Annotated[bool, typer.Option(help="A small picture, where the terminal can.")] = True,
    as_json: Json = False,
) -> None:
    """Draw which pixels of a photo make its descriptor, or (--against) what makes two photos alike.

    The SARE paper's own way of drawing its heatmaps is not known; these are gradients, guided
    gradients and NetVLAD's occlusion.
    """
    from deepibl.heatmap_sheet import check_sheet, heatmap_rows, write_maps, write_sheet

    check_sheet(output)
    networks = _networks([net, *(compare or [])], choose_device(device))
    rows = heatmap_rows(
        networks, photo, methods=_methods(method, against is not None), against=against,
        resize=resize, max_pixels=max_pixels, progress=None if as_json else _tell,
        patch=patch, step=step, batch_size=batch_size,
    )  # fmt: skip
    write_sheet(rows, output)
    files = write_maps(rows, maps) if maps is not None else []
    if as_json:
        typer.echo(json.dumps(_as_json(rows, output, files), indent=2))
        return
    typer.echo(f"wrote {output}" + (f" and {len(files)} files in {maps}" if files else ""))
    if preview:
        show([rows[0].pixels, *(drawing.picture for drawing in rows[0].drawings)])


@reports.command("compare")
def compare_reports(
    first: Annotated[Path, typer.Argument(help="A report: its folder, or its report.json.")],
    second: Annotated[Path, typer.Argument(help="The other one.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page to write.")] = Path("compare.html"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Put two evaluations of one data set on one page: recalls, curves, and the queries that changed."""
    from deepibl.report.compare import compare_runs, comparison_page
    from deepibl.report.run import read_run
    from matlab_compat.files import atomic_output

    runs = read_run(first), read_run(second)
    with atomic_output(output) as temporary:
        temporary.write_text(comparison_page(*runs), encoding="utf-8")
    summary = compare_runs(*runs)
    print_result(summary.as_dict(), f"{summary}\nwrote {output}", as_json)


def write_report_page(evaluation: Any, folder: Path) -> None:
    """Writes the page of an evaluation, with the command that is running, and says where it is."""
    from deepibl.processes import team
    from deepibl.report import write_report

    if not team().leads:
        return
    command = shlex.join(["deepibl", *sys.argv[1:]])
    typer.echo(f"page: {write_report(evaluation, folder, command)}", err=True)


def show(pictures: Sequence[Any]) -> None:
    """Prints small pictures, (H, W, 3) uint8 each, where standard output is a terminal that can show them."""
    from deepibl.terminal_preview import colours_of, preview

    colours = colours_of(sys.stdout)
    if colours:
        columns = shutil.get_terminal_size().columns
        typer.echo(preview(pictures, columns=columns, colours=colours), color=True)


def show_matches(photos: Sequence[tuple[str, Sequence[str]]], most: int = 3) -> None:
    """Prints small pictures of each photo and its matches, as `show` does, without unreadable ones."""
    from deepibl.report.thumbnails import small_picture
    from deepibl.terminal_preview import colours_of

    if not colours_of(sys.stdout):
        return
    for photo, matches in photos:
        pictures = [small_picture(path, 96) for path in [photo, *matches[:most]]]
        show([picture for picture in pictures if picture is not None])


def _networks(names: Sequence[str], where: str) -> list[tuple[str, Any]]:
    from deepibl.networks import load_network

    paths = [find_net(name) for name in names]
    alike = len({path.stem for path in paths}) < len(paths)
    return [(str(path) if alike else path.stem, load_network(path, device=where)) for path in paths]


def _methods(asked: Sequence[str] | None, pair: bool) -> list[str]:
    from deepibl.heatmap import METHODS as PIXELS
    from deepibl.heatmap_sheet import METHODS

    if not asked:
        return list(PIXELS)
    if "all" in asked:
        return [method for method in METHODS if pair or method != "cells"]
    return list(dict.fromkeys(asked))


def _tell(line: str) -> None:
    if sys.stderr.isatty():
        typer.echo(line, err=True)


def _as_json(rows: Sequence[Any], sheet: Path, files: Sequence[Path]) -> dict[str, Any]:
    """What was drawn, for programs: each map's size, range, and peak as (x, y) shares of the photo."""
    import numpy as np

    listed = []
    for row in rows:
        found = {}
        for drawing in row.drawings:
            y, x = np.unravel_index(int(np.argmax(drawing.values)), drawing.values.shape)
            found[drawing.method] = {
                "size": list(drawing.values.shape),
                "least": float(drawing.values.min()),
                "most": float(drawing.values.max()),
                "peak": [(int(x) + 0.5) / drawing.values.shape[1], (int(y) + 0.5) / drawing.values.shape[0]],
            }
        listed.append(
            {"network": row.network, "photo": row.photo, "similarity": row.similarity, "maps": found}
        )
    return {"sheet": str(sheet), "files": [str(file) for file in files], "rows": listed}
