"""RFC 9457 problem details. Every refusal has this form, whichever part refuses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from rtp_workers import logs
from rtp_workers.errors import AttentionError, ConfigError, RecordError, RtpError, TransientError

MEDIA_TYPE = "application/problem+json"
MAX_FINDINGS = 100
RETRY_AFTER_S = 5

log = logs.get(__name__)


class Finding(BaseModel):
    """One thing that is wrong in a request."""

    field: str | None = Field(None, description="where: a field's name, or a path such as `body.records_per_s`")
    index: int | None = Field(None, description="which item of a list, counted from 0; absent if no list was sent")
    message: str = Field(description="what is wrong, and what is allowed")


class ProblemDetails(BaseModel):
    """RFC 9457 problem details."""

    type: str = "about:blank"
    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status again")
    detail: str = Field(description="what happened, to what, and what to do next")
    errors: list[Finding] = Field(default=[], description="each finding, if there are several")


class Problem(Exception):  # noqa: N818 - named after RFC 9457; it is an answer, not one of the project's errors
    """Raised in a handler to answer with problem details."""

    def __init__(
        self, status: int, detail: str, *, errors: Sequence[Finding] = (), headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.errors, self.headers = status, detail, list(errors), dict(headers or {})


def problem_body(status: int, detail: str, errors: Sequence[Finding] = ()) -> bytes:
    """Returns the JSON of a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = [finding.model_dump(exclude_none=True) for finding in errors]
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")


def problem_response(problem: Problem) -> Response:
    """Returns the answer that carries `problem`; 401 and 503 get the header that their status asks for."""
    headers = dict(problem.headers)
    if problem.status == 503:
        headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    body = problem_body(problem.status, problem.detail, problem.errors)
    return Response(body, problem.status, headers, media_type=MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Returns FastAPI's `responses=` for problems with these statuses."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def install(app: FastAPI) -> None:
    """Turns every error of `app` into a problem: its own errors, the framework's, and unexpected ones."""

    @app.exception_handler(Problem)
    def own(_request: Request, error: Problem) -> Response:
        return problem_response(error)

    @app.exception_handler(RequestValidationError)
    def invalid(_request: Request, error: RequestValidationError) -> Response:
        return problem_response(_problem_of_invalid(error))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> Response:
        return problem_response(_problem_of_http(request, error))

    @app.exception_handler(RtpError)
    def project(request: Request, error: RtpError) -> Response:
        if isinstance(error, TransientError | AttentionError):
            return problem_response(Problem(503, str(error)))
        if isinstance(error, RecordError | ConfigError):
            return problem_response(Problem(422, str(error)))
        return unforeseen(request, error)

    @app.exception_handler(Exception)
    def unforeseen(request: Request, error: Exception) -> Response:
        log.error("request_failed", path=request.url.path, exc_info=error)
        return problem_response(Problem(500, "an unexpected error occurred in the service; its log has the details"))


def _problem_of_invalid(error: RequestValidationError) -> Problem:
    findings = [
        Finding(field=".".join(str(part) for part in item["loc"]), message=str(item["msg"]), index=None)
        for item in error.errors()[:MAX_FINDINGS]
    ]
    detail = "; ".join(f"{finding.field}: {finding.message}" for finding in findings[:3])
    return Problem(422, f"the request is not valid: {detail}", errors=findings)


def _problem_of_http(request: Request, error: HTTPException) -> Problem:
    headers = dict(error.headers or {})
    detail = str(error.detail)
    if error.status_code == 404:
        detail = f"there is nothing at {request.url.path}; /docs lists what there is"
    if error.status_code == 405:
        allowed = headers.get("Allow", "another method")
        detail = f"{request.method} is not allowed at {request.url.path}; use {allowed}"
    return Problem(error.status_code, detail, headers=headers)
