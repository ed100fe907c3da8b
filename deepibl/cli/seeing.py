"""Commands that draw: heatmaps, comparisons of reports, and previews in the terminal.

A preview needs a terminal that shows colours: two pixels a character, as the upper half block ▀.
"""

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from deepibl.cli import options as opt
from matlab_compat.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console
    from rich.text import Text

_GAP = 2  # characters between pictures


def picture_console(stream: TextIO) -> "Console | None":
    """A console that writes to `stream`; None unless that is a terminal of at least 256 colours that has ▀.

    rich reads TERM, COLORTERM and NO_COLOR (https://no-color.org), and finds the nearest of 256 colours.
    """
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    shows = console.color_system in ("256", "truecolor") and not console.no_color
    # FORCE_COLOR makes a pipe a terminal for rich: programs that read the output get no pictures
    return console if shows and stream.isatty() and not console.options.ascii_only else None


def preview(pictures: Sequence["np.ndarray"], *, columns: int = 80, widest: int = 32) -> "list[Text]":
    """Pictures (H, W, 3) uint8 RGB side by side as lines of coloured half blocks, at most `columns` wide.

    widest: characters a picture. A picture keeps its shape; blanks fill the rest of its width and height.
    Empty without pictures, or where each would have fewer than 8 characters.
    """
    import numpy as np
    from PIL import Image
    from rich.color import Color
    from rich.style import Style
    from rich.text import Text

    width = min(widest, (columns + _GAP) // max(1, len(pictures)) - _GAP)
    if not pictures or width < 8:
        return []
    rows = min(
        width, max(2, round(max(width * shape[0] / shape[1] for shape in (p.shape for p in pictures)) / 2))
    )
    lines = [Text() for _ in range(rows)]
    for number, picture in enumerate(pictures):
        scale = min(width / picture.shape[1], 2 * rows / picture.shape[0])
        size = max(1, round(scale * picture.shape[1])), 2 * max(1, round(scale * picture.shape[0] / 2))
        pixels = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)).tolist()
        for line, above, below in zip(lines, pixels[0::2], pixels[1::2], strict=False):
            for colours in zip(above, below, strict=True):
                line.append("▀", Style.from_color(*(Color.from_rgb(*colour) for colour in colours)))
        for line in lines:
            line.pad_right((number + 1) * (width + _GAP) - _GAP * (number + 1 == len(pictures)) - len(line))
    return lines


def heatmap(
    photos: Annotated[
        list[str], opt.argument("A photo; a network before it, if not the default one.", "[NET] PHOTO")
    ],
    output: Annotated[Path, opt.option("The sheet to write.", "--output", "-o")] = Path("heatmap.png"),
    against: Annotated[Path | None, opt.option("Another photo: what makes the two alike?")] = None,
    compare: Annotated[list[str] | None, opt.option("Another network; may be repeated.")] = None,
    method: Annotated[
        list[str] | None,
        opt.option(
            "cells, guided, smooth, gradient, occlusion, clusters, all.", show_default="cells, else guided"
        ),
    ] = None,
    maps: Annotated[Path | None, opt.option("Folder for each overlay (PNG) and map (.npy).")] = None,
    resize: opt.Resize = None,
    max_pixels: opt.MaxPixels = 2**20,
    patch: Annotated[int | None, opt.option("Side of occlusion's patch, in pixels.", min=1)] = None,
    step: Annotated[int | None, opt.option("Pixels between patches.", min=1)] = None,
    batch_size: opt.BatchSize = 10,
    device: opt.Device = "auto",
    show_preview: Annotated[
        bool, opt.option("A small picture in the terminal.", "--preview/--no-preview")
    ] = True,
    as_json: opt.Json = False,
) -> None:
    """Draw which pixels of a photo determine its descriptor, or (--against) what makes two photos alike.

    With two photos and NetVLAD, numbered frames show the parts that match. How the SARE paper drew its
    heatmaps is not known.
    """
    from deepibl.images import Reading
    from deepibl.report.sheet import METHODS, check_sheet, heatmap_rows, write_maps, write_sheet

    check_sheet(output)
    net, named = opt.split_net(photos)
    if len(named) != 1:
        raise ArgumentError(f"give one photo (and --against another); got {len(named)}")
    networks = _networks([net, *(compare or [])], opt.choose_device(device))
    reading = Reading(**{"upright": True, **opt.image_reading(resize)})
    rows = heatmap_rows(
        networks, named[0], methods=METHODS if "all" in (method or ()) else method, against=against,
        reading=reading, max_pixels=max_pixels,
        patch=patch, step=step, batch_size=batch_size,
    )  # fmt: skip
    write_sheet(rows, output)
    files = write_maps(rows, maps) if maps is not None else []
    if as_json:
        typer.echo(json.dumps(_as_json(rows, output, files), indent=2))
        return
    typer.echo(f"wrote {output}" + (f" and {len(files)} files in {maps}" if files else ""))
    if show_preview:
        show([rows[0].pixels, *(drawing.picture for drawing in rows[0].drawings)])


def compare(
    first: Annotated[Path, opt.argument("A report: its folder, or its report.json.")],
    second: Annotated[Path, opt.argument("The other report.")],
    output: Annotated[Path, opt.option("The page to write.", "--output", "-o")] = Path("compare.html"),
    as_json: opt.Json = False,
) -> None:
    """Compare two evaluations of one data set on one page: recalls, curves, and the queries that changed."""
    from deepibl.report.compare import compare_runs, comparison_page
    from deepibl.report.run import read_run
    from matlab_compat.files import atomic_output

    runs = read_run(first), read_run(second)
    with atomic_output(output) as temporary:
        temporary.write_text(comparison_page(*runs), encoding="utf-8")
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


def show(pictures: Sequence[Any]) -> None:
    """Prints small pictures, (H, W, 3) uint8 each, if standard output is a terminal that can show them."""
    console = picture_console(sys.stdout)
    if console is not None:
        for line in preview(pictures, columns=console.width):
            console.print(line, soft_wrap=True)


def show_matches(photos: Sequence[tuple[str, Sequence[str]]], most: int = 3) -> None:
    """Prints small pictures of each photo and its matches, as `show` does, without unreadable ones."""
    from deepibl.report.html import small_picture

    if picture_console(sys.stdout) is None:
        return
    for photo, matches in photos:
        pictures = [small_picture(path, 96) for path in [photo, *matches[:most]]]
        show([picture for picture in pictures if picture is not None])


def _networks(names: Sequence[str], where: str) -> list[tuple[str, Any]]:
    from deepibl.networks.io import load_network

    paths = [opt.find_net(name) for name in names]
    alike = len({path.stem for path in paths}) < len(paths)
    return [(str(path) if alike else path.stem, load_network(path, device=where)) for path in paths]


def _as_json(rows: Sequence[Any], sheet: Path, files: Sequence[Path]) -> dict[str, Any]:
    """The files and rows as JSON: each map's size, range, peak as (x, y) from 0 to 1, and matching parts."""
    from dataclasses import asdict

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
                "parts": [asdict(part) for part in drawing.parts],
            }
        listed.append(
            {"network": row.network, "photo": row.photo, "similarity": row.similarity, "maps": found}
        )
    return {"sheet": str(sheet), "files": [str(file) for file in files], "rows": listed}
