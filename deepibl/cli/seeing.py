"""Commands that draw: heatmaps, comparisons of reports."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from deepibl.cli import options as opt
from deepibl.cli.options import argument, option
from matlab_compat.errors import ArgumentError


def heatmap(
    photos: Annotated[list[str], argument("A photo; another network before it.", "[NET] PHOTO")],
    output: Annotated[Path, option("The sheet to write.", "--output", "-o")] = Path("heatmap.png"),
    against: Annotated[Path | None, option("Another photo: what makes the two alike?")] = None,
    compare: Annotated[list[str] | None, option("Another network; may be repeated.")] = None,
    method: Annotated[
        list[str] | None, option("cells, guided, smooth, gradient, occlusion, clusters, all.")
    ] = None,
    resize: opt.Resize = None,
    max_pixels: opt.MaxPixels = 2**20,
    patch: Annotated[int | None, option("Side of occlusion's patch, in pixels.", min=1)] = None,
    step: Annotated[int | None, option("Pixels between patches.", min=1)] = None,
    batch_size: opt.BatchSize = 10,
    device: opt.Device = "auto",
    as_json: opt.Json = False,
) -> None:
    """Draw which pixels of a photo determine its descriptor, or (--against) what makes two photos alike.

    With two photos and NetVLAD, numbered frames show the parts that match. How the SARE paper drew its
    heatmaps is not known.
    """
    from deepibl.images import Reading
    from deepibl.report.sheet import METHODS, check_sheet, heatmap_rows, write_sheet

    check_sheet(output)
    net, named = opt.split_net(photos)
    if len(named) != 1:
        raise ArgumentError(f"give one photo (and --against another); got {len(named)}")
    if (patch or step) and not {"occlusion", "all"}.intersection(method or ()):
        raise ArgumentError("--patch and --step go with --method occlusion")
    networks = _networks([net, *(compare or [])], opt.choose_device(device))
    reading = Reading(**{"upright": True, **opt.image_reading(resize)})
    occlusion = {"patch": patch, "step": step, "batch_size": batch_size}
    how: dict[str, Any] = {"against": against, "reading": reading, "max_pixels": max_pixels, **occlusion}
    rows = heatmap_rows(networks, named[0], methods=METHODS if "all" in (method or ()) else method, **how)
    write_sheet(rows, output)
    opt.print_result(_as_json(rows, output), f"wrote {output}", as_json)


def compare(
    first: Annotated[Path, argument("A report: its folder, or its report.json.")],
    second: Annotated[Path, argument("The other report.")],
    output: Annotated[Path, option("The page to write.", "--output", "-o")] = Path("compare.html"),
    as_json: opt.Json = False,
) -> None:
    """Compare two evaluations of one data set on one page: recalls, curves, and the queries that changed."""
    from deepibl.report.compare import compare_runs, comparison_page
    from deepibl.report.run import read_run
    from matlab_compat.files import write_text

    runs = read_run(first), read_run(second)
    write_text(output, comparison_page(*runs))
    summary = compare_runs(*runs)
    opt.print_result(summary.as_dict(), f"{summary}\nwrote {output}", as_json)


def write_report_page(evaluation: Any, folder: Path) -> None:
    """Writes the page of an evaluation, with the running command, and prints its path."""
    from deepibl.report.retrieval import write_report
    from deepibl.runtime.processes import team

    if not team().leads:
        return
    command = shlex.join(["deepibl", *sys.argv[1:]])
    typer.echo(f"page: {write_report(evaluation, folder, command)}", err=True)


def _networks(names: Sequence[str], where: str) -> list[tuple[str, Any]]:
    from deepibl.networks.io import load_network

    paths = [opt.find_net(name) for name in names]
    alike = len({path.stem for path in paths}) < len(paths)
    return [(str(path) if alike else path.stem, load_network(path, device=where)) for path in paths]


def _as_json(rows: Sequence[Any], sheet: Path) -> dict[str, Any]:
    """The rows as JSON: of each map the range, the peak as (x, y) from 0 to 1, and matching parts."""
    from dataclasses import asdict

    listed = []
    for row in rows:
        maps = {}
        for drawing in row.drawings:
            values, (height, width) = drawing.values, drawing.values.shape
            y, x = divmod(int(values.argmax()), width)
            maps[drawing.method] = {
                "range": [float(values.min()), float(values.max())],
                "peak": [(x + 0.5) / width, (y + 0.5) / height],
                "parts": [asdict(part) for part in drawing.parts],
            }
        about = {"network": row.network, "photo": row.photo, "similarity": row.similarity, "maps": maps}
        listed.append(about)
    return {"sheet": str(sheet), "rows": listed}
