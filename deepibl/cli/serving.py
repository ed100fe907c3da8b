"""The command that serves the page."""

from pathlib import Path
from typing import Annotated

import typer

from deepibl.cli.options import (
    Device,
    Engine,
    IndexFile,
    IndexNet,
    MaxPixels,
    Precision,
    ScalesFile,
    choose_device,
    find_net,
    scales_in,
)
from matlab_compat.errors import ArgumentError

_MISSING = "the page needs FastAPI, uvicorn and python-multipart: pip install 'deepibl[web]'"


def serve(
    index_file: IndexFile,
    net: IndexNet = None,
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes one that is free.")] = 8000,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Name or address that other machines use; may be repeated.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder that the index's images lie in now.")] = None,
    waiting: Annotated[int, typer.Option(min=1, help="Requests at once; the next is refused.")] = 16,
    max_upload: Annotated[float, typer.Option(min=0.01, help="Largest photo, in MB.")] = 20.0,
    max_pixels: MaxPixels = 2**20,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request.")] = False,
    device: Device = "auto",
    precision: Precision = "fp32",
    scales: ScalesFile = None,
    engine: Engine = "auto",
) -> None:
    """Start a page on this machine: drop a photo, see where it was taken. Ends with Ctrl+C."""
    try:
        from deepibl.page import app, server
        from deepibl.page.finder import PlaceFinder
        from deepibl.page.limits import Limits
    except ImportError as problem:
        raise ArgumentError(f"{_MISSING} ({problem})") from None
    from deepibl.index_backends import open_index_file
    from deepibl.networks import load_network

    hosts = server.allowed_hosts(host, allow_host or [])
    places = open_index_file(index_file, "the page")
    where = choose_device(device)
    loaded = load_network(find_net(net or places.network_path), device=where)
    read = scales_in(scales, precision)
    finder = PlaceFinder(loaded, places, device=where, precision=precision, engine=engine, scales=read)
    limits = Limits.of_user(max_upload, max_pixels, waiting)
    made = app.create_app(
        finder, root=str(root or ""), limits=limits, hosts=hosts, index_name=Path(index_file).name
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
