"""deepibl calibrate."""

from pathlib import Path
from typing import Annotated

import typer

from deepibl.cli.options import Images, ListFile, NamesRoot, Net, Resize, find_net, names_given


def calibrate(
    net: Net,
    images: Images = None,
    list_file: ListFile = None,
    root: NamesRoot = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="FILE.json")] = Path("scales.json"),
    resize: Resize = None,
) -> None:
    """Measure, on photos of the kind to come, the scales that --precision int8 needs for this network."""
    from deepibl.int8_scales import calibrate as measure
    from deepibl.networks import load_network

    names = names_given(images, list_file)
    scales = measure(load_network(find_net(net)), names, root=root, resize=resize)
    scales.save(output)
    typer.echo(
        f"{output}: {len(scales.ranges)} convolutions, measured on {scales.images} images; "
        f"use it with --precision int8 --scales {output}"
    )
