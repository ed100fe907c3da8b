"""Serving the page at an address; one that other machines reach only with the names that they use for it."""

import ipaddress
import socket
from collections.abc import Callable, Sequence

import uvicorn
from starlette.types import ASGIApp

from deepibl.errors import PageError
from deepibl.serve.app import LOOPBACK
from matlab_compat.errors import ArgumentError

_MOST_CONNECTIONS = 512
_GRACE_SECONDS = 5


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def allowed_hosts(host: str, names: Sequence[str]) -> list[str]:
    """The names in Host headers to answer. names: those that other machines use.

    Raises ArgumentError for a host that others can reach, without names, and for names with wildcards.
    """
    if any("*" in name or "/" in name or not name for name in names):
        raise ArgumentError("--allow-host takes a name or address as people type it, without * and /")
    if not is_loopback(host) and not names:
        raise ArgumentError(
            f"--host {host} lets other machines reach the page, which asks for no password: to allow that, "
            "give the name or address by which they reach it, e.g. --allow-host 192.168.1.5"
        )
    return [*LOOPBACK, *dict.fromkeys(map(_in_an_address, names))]


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. port: 0 takes any that is free. Raises PageError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as problem:
        raise PageError(
            f"the page cannot listen at {host}, port {port}: {problem.strerror or problem}; give another "
            "--port (0 takes one that is free) or --host"
        ) from None


def address_of(listener: socket.socket, names: Sequence[str] = ()) -> str:
    """The page's URL. names: what other machines call this one; the first is shown."""
    host, port = listener.getsockname()[:2]
    return f"http://{_in_an_address(names[0] if names else host)}:{port}/"


def _in_an_address(host: str) -> str:
    """A host as in URLs and Host headers: IPv6 in brackets."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def serve(
    app: ASGIApp, listener: socket.socket, *, verbose: bool = False, ready: Callable[[], object]
) -> None:
    """Serves until interrupted. ready: called before the first request. verbose: logs every request."""
    settings = uvicorn.Config(
        app,
        log_level="info" if verbose else "warning",
        access_log=verbose,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        ws="none",
        proxy_headers=False,
    )
    ready()
    uvicorn.Server(settings).run(sockets=[listener])
