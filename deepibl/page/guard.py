"""What every response carries, and which requests are not even looked at; plain ASGI."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepibl.page.refusal import Refused

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_DISCARDED_BYTES, _DISCARDED_SECONDS = 80_000_000, 20.0


class Guard:
    """Adds HEADERS to every response, refuses requests for other hosts and those that pages of other sites
    make, and before an early refusal takes in (and drops) what the client is still sending: a client that
    cannot finish sending never reads why it was refused.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        """hosts: the names in Host headers that are answered, without ports."""
        self._app = app
        self._hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, headers)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.discard()
                shown = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    shown.setdefault(name, value)
            await send(message)

        refusal = self._refusal(headers)
        answer = self._app if refusal is None else refusal.response()
        await answer(scope, body.receive, guarded)

    def _refusal(self, headers: Headers) -> Refused | None:
        host = headers.get("host", "")
        if _name(host) not in self._hosts:
            return Refused(
                400,
                f"the page does not answer for the host {host[:80]!r}",
                "Open it by its own address, or start it with that name: deepibl serve --allow-host NAME.",
            )
        if _foreign(headers):
            found = "the request comes from a page of another site"
            return Refused(403, found, "Open the page itself, or use a program.")
        return None


class _Body:
    """The request's body on its way in; knows whether all of it has come."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._whole = "content-length" not in headers and "transfer-encoding" not in headers
        self._waits = "expect" in headers  # the client sends nothing before it is asked to

    async def receive(self) -> Message:
        message = await self._receive()
        self._waits = False
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._whole = True
        return message

    async def discard(self) -> None:
        """Drops what is still to come, within bounds."""
        dropped = 0
        with anyio.move_on_after(_DISCARDED_SECONDS):
            while not self._whole and not self._waits and dropped < _DISCARDED_BYTES:
                dropped += len((await self.receive()).get("body", b""))


def _name(host: str) -> str:
    """A Host header without its port; IPv6 addresses stand in brackets."""
    address, bracket, _ = host.partition("]")
    return (address + bracket if bracket else host.partition(":")[0]).lower()


def _foreign(headers: Headers) -> bool:
    """Whether a browser says that a page of another site asks."""
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
