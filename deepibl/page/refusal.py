"""Every error of the API as JSON {error, what_to_do}, with the HTTP status that fits."""

import logging
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from deepibl.errors import PageError

_log = logging.getLogger(__name__)
_PATHS = "The page is at /, the API is described by /openapi.json."


class Refused(PageError):
    """A request that gets no answer: status, what was found, what to do, and headers of the response."""

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
    """Makes the application answer every error in this form; what was not foreseen is logged, not told."""

    @app.exception_handler(Refused)
    async def refused(request: Request, problem: Refused) -> JSONResponse:
        return problem.response()

    @app.exception_handler(RequestValidationError)
    async def not_understood(request: Request, problem: RequestValidationError) -> JSONResponse:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        return Refused(422, f"{where}: {first['msg']}", _PATHS).response()

    @app.exception_handler(HTTPException)
    async def no_such_thing(request: Request, problem: HTTPException) -> JSONResponse:
        said = f"{request.method} {request.url.path}: {problem.detail}"
        return Refused(problem.status_code, said, _PATHS, problem.headers).response()

    @app.exception_handler(Exception)
    async def not_foreseen(request: Request, problem: Exception) -> JSONResponse:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=problem)
        advice = "Try another photo; the terminal that runs `deepibl serve` says more."
        return Refused(500, "the page made a mistake that was not foreseen", advice).response()
