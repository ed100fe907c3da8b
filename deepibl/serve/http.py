"""HTTP around the API: which requests are refused or wait, reading uploads, and errors as JSON.

`Guard` (plain ASGI) sets the headers of every response and refuses requests of other hosts and sites.
`read_upload` reads a multipart request into memory (never a file), within `Limits` of bytes and time. Every
error of the API is JSON {error, what_to_do}, with the HTTP status that fits.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deepibl.errors import PageError
from matlab_compat.errors import ArgumentError

_log = logging.getLogger(__name__)
_PATHS = "The page is at /, the API is described by /openapi.json."


class Refused(PageError):
    """A request that is refused: HTTP status, what was found, what to do, and headers of the response."""

    def __init__(
        self, status: int, error: str, what_to_do: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{error}. {what_to_do}")
        self.status = status
        self.error = error
        self.what_to_do = what_to_do
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The refusal as the API answers it."""
        content = {"error": self.error, "what_to_do": self.what_to_do}
        return JSONResponse(content, self.status, {"Cache-Control": "no-store", **self.headers})


def answer_errors(app: FastAPI) -> None:
    """Makes the application answer every error in this form; an unexpected one is logged, not sent."""

    @app.exception_handler(Refused)
    async def refused(request: Request, problem: Refused) -> JSONResponse:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part not in ("path", "query")) or "the request"
        return Refused(422, f"{where}: {first['msg']}", _PATHS).response()

    @app.exception_handler(HTTPException)
    async def no_such_thing(request: Request, problem: HTTPException) -> JSONResponse:
        found = f"{request.method} {request.url.path}: {problem.detail}"
        return Refused(problem.status_code, found, _PATHS, problem.headers).response()

    @app.exception_handler(Exception)
    async def not_foreseen(request: Request, problem: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
        advice = "Try another photo; the terminal that runs `deepibl serve` shows the error."
        return Refused(500, "the server failed on this request", advice).response()


@dataclass(frozen=True)
class Limits:
    """Bounds of one page. All are checked before the work that they bound."""

    upload_bytes: int = 64_000_000  # of a photo's file
    described_pixels: int = 2**20  # larger photos are scaled down to this many for the network
    heat_pixels: int = 2**18  # the same for heatmaps, whose gradients need ten times the memory
    waiting: int = 16  # requests being read, waiting or computed at a time; the next one is refused
    top: int = 50  # places that one request may ask for
    upload_seconds: float = 60.0
    stall_seconds: float = 10.0  # between two bytes of an upload
    patience_seconds: float = 120.0  # for an answer

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if not value > 0]
        if wrong:
            raise ArgumentError(f"limits must be above 0; got {wrong[0]}={getattr(self, wrong[0])!r}")


_ENVELOPE = 16_384  # bytes of a request besides the photo: boundaries, headers, fields
_FIELD_BYTES = 1024
_FIELDS = 8
_SEND = "Send multipart/form-data with one file named `photo`, as /openapi.json describes."


async def read_upload(request: Request, limits: Limits) -> tuple[bytes, dict[str, str]]:
    """The bytes of the request's photo, and the other fields of its form.

    Raises Refused: 415 for another content type, 413 as soon as more bytes than allowed are announced or have
    arrived, 408 when the upload stalls or takes too long, 400 for a malformed body or one without a photo.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        found = f"is {kind[:80]!r}" if kind else "is not given"
        raise Refused(415, f"the request's content type {found}", _SEND)
    try:
        with anyio.fail_after(limits.upload_seconds):
            form = await _InMemory(
                request.headers,
                _bounded(request, limits),
                max_files=1,
                max_fields=_FIELDS,
                max_part_size=_FIELD_BYTES,
            ).parse()
    except TimeoutError:
        found = f"the photo did not arrive within {limits.upload_seconds:g} seconds"
        raise Refused(408, found, "Send a smaller one, or try a faster connection.") from None
    except MultiPartException as problem:
        raise Refused(400, f"the request cannot be read: {problem.message}", _SEND) from None
    try:
        photo = form.get("photo")
        if not isinstance(photo, UploadFile):
            raise Refused(400, "the request holds no file named `photo`", _SEND)
        data = await photo.read()
    finally:
        await form.close()
    if not data:
        raise Refused(400, "the photo is empty: it has 0 bytes", "Choose another file.")
    if len(data) > limits.upload_bytes:
        raise too_large(limits)
    return data, {name: value for name, value in form.items() if isinstance(value, str)}


def too_large(limits: Limits) -> Refused:
    """The refusal of a photo of too many bytes."""
    most = limits.upload_bytes / 1e6
    return Refused(413, f"the photo has more than {most:g} MB", "Send a smaller one, e.g. 2000 pixels wide.")


class _InMemory(MultiPartParser):
    spool_max_size = 0  # to SpooledTemporaryFile 0 means: never roll over to disk; `_bounded` limits the size


async def _bounded(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    most = limits.upload_bytes + _ENVELOPE
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > most:
        raise too_large(limits)
    received = 0
    stream = request.stream()
    while (chunk := await _next(stream, limits.stall_seconds)) is not None:
        received += len(chunk)
        if received > most:
            raise too_large(limits)
        yield chunk


async def _next(stream: AsyncGenerator[bytes, None], seconds: float) -> bytes | None:
    """The next chunk; None at the end. Raises Refused (408) when none arrives in time."""
    try:
        with anyio.fail_after(seconds):
            return await anext(stream, None)
    except TimeoutError:
        found = f"no byte of the photo has arrived for {seconds:g} seconds"
        raise Refused(408, found, "Send it again, over a better connection.") from None


def headers(images_from: str = "") -> dict[str, str]:
    """The headers of every response. images_from: the one other origin that pictures may come from.

    Servers of map tiles refuse browsers that do not say which site asks: that origin learns this page's.
    """
    pictures = f"'self' blob: {images_from}".rstrip()
    return {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
        f"img-src {pictures}; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "strict-origin-when-cross-origin" if images_from else "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
    }


_DISCARDED_BYTES, _DISCARDED_SECONDS = 80_000_000, 20.0


class Guard:
    """Adds `headers` to every response; refuses requests for other hosts and from pages of other sites.

    Before an early refusal it reads and drops what the client is still sending: a client that cannot finish
    sending never reads why it was refused. Starlette's TrustedHostMiddleware is not used: it answers in plain
    text without advice, and its older versions refuse every IPv6 address.
    """

    def __init__(self, app: ASGIApp, hosts: Sequence[str], images_from: str = "") -> None:
        """hosts: the names in Host headers that are answered, without ports. images_from: see `headers`."""
        self._app, self._headers = app, headers(images_from)
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
                for name, value in self._headers.items():
                    shown.setdefault(name, value)
            await send(message)

        refusal = self._refusal(headers)
        answer = self._app if refusal is None else refusal.response()
        await answer(scope, body.receive, guarded)

    def _refusal(self, headers: Headers) -> Refused | None:
        host = headers.get("host", "")
        address, bracket, _ = host.partition("]")  # an IPv6 address is in brackets
        name = address + bracket if bracket else host.partition(":")[0]
        if name.lower() not in self._hosts:
            return Refused(
                400,
                f"the page does not answer for the host {host[:80]!r}",
                "Open it by its own address, or allow the name: deepibl serve --allow-host NAME, "
                "create_app(…, hosts=[NAME]).",
            )
        origin = headers.get("origin")  # sent by browsers
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            found = "the request comes from a page of another site"
            return Refused(403, found, "Open the page itself, or use a program.")
        return None


class _Body:
    """A request's body as it arrives."""

    def __init__(self, receive: Receive, headers: Headers) -> None:
        self._receive = receive
        self._whole = "content-length" not in headers and "transfer-encoding" not in headers
        self._waits = "expect" in headers  # the client waits for "100 Continue"

    async def receive(self) -> Message:
        message = await self._receive()
        self._waits = False
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._whole = True
        return message

    async def discard(self) -> None:
        """Reads and drops the rest, within bounds of bytes and time."""
        dropped = 0
        with anyio.move_on_after(_DISCARDED_SECONDS):
            while not self._whole and not self._waits and dropped < _DISCARDED_BYTES:
                dropped += len((await self.receive()).get("body", b""))
