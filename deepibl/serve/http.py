"""Reading a multipart request into memory, within bounds of bytes and time; never into a file."""

import math
from collections.abc import AsyncGenerator
from dataclasses import dataclass

import anyio
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from deepibl.page.limits import Limits
from deepibl.page.refusal import Refused

_ENVELOPE = 16_384  # bytes of a request beside the photo: boundaries, headers, fields
_FIELD_BYTES = 1024
_FIELDS = 8
_SEND = "Send multipart/form-data with one file named `photo`, as /openapi.json describes."


@dataclass(frozen=True)
class Upload:
    """What was sent: the photo's bytes, and the other fields as text."""

    photo: bytes
    fields: dict[str, str]

    def choice(self, name: str, choices: tuple[str, ...], default: str) -> str:
        """A field that is one of `choices`. Raises Refused."""
        value = self.fields.get(name, default)
        if value not in choices:
            raise Refused(422, f"{name} is {value[:40]!r}", f"Give one of {', '.join(choices)}.")
        return value

    def number(self, name: str, default: int | None, least: int, most: int) -> int:
        """A field that is a whole number from `least` to `most`. Raises Refused."""
        text = self.fields.get(name, "" if default is None else str(default))
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None
        if value is None or not least <= value <= most:
            found = f"{name} is {text[:40]!r}" if text else f"{name} is missing"
            raise Refused(422, found, f"Give a whole number from {least} to {most}.")
        return value

    def real(self, name: str, least: float, most: float) -> float | None:
        """A field that is a number from `least` to `most`; None where it is missing. Raises Refused."""
        text = self.fields.get(name)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not least <= value <= most:
            raise Refused(422, f"{name} is {text[:40]!r}", f"Give a number from {least:g} to {most:g}.")
        return value


async def read_upload(request: Request, limits: Limits) -> Upload:
    """The request's photo and fields.

    Raises Refused: 415 for another content type, 413 as soon as more bytes than allowed have come (or are
    announced), 408 when sending stalls or takes too long, 400 for a body that is not well-formed or has no
    photo.
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
    return Upload(data, {name: value for name, value in form.items() if isinstance(value, str)})


def too_large(limits: Limits) -> Refused:
    """The refusal of a photo of too many bytes."""
    most = limits.upload_bytes / 1e6
    return Refused(413, f"the photo has more than {most:g} MB", "Send a smaller one, e.g. 2000 pixels wide.")


class _InMemory(MultiPartParser):
    spool_max_size = 0  # for SpooledTemporaryFile 0 means: never a file on disk; `_bounded` bounds it


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
    """The next bytes that come; None at the end. Raises Refused (408) when the client falls silent."""
    try:
        with anyio.fail_after(seconds):
            return await anext(stream, None)
    except TimeoutError:
        found = f"no byte of the photo has come for {seconds:g} seconds"
        raise Refused(408, found, "Send it again, over a better connection.") from None
