"""The application both services start from: guarded, problems for errors, offline docs, the shared static files."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import FileResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.staticfiles import StaticFiles

from rtp_workers.web import problems
from rtp_workers.web.guard import READING, Guard, GuardRules, is_open

STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What distinguishes one service's API from the other's.

    Attributes:
        title, description: for the OpenAPI document.
        page: folder with ``index.html`` and what it needs; served at ``/`` and ``/page/``.
        rules: the guard's.
        registry: what ``/metrics`` shows.
        schemas: more components of the OpenAPI document, by name.
    """

    title: str
    description: str
    page: Path
    rules: GuardRules
    registry: CollectorRegistry
    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)


def new_api(parts: ApiParts) -> FastAPI:
    """Returns an application with ``/``, ``/docs``, ``/metrics``, ``/static``, ``/page``; the caller adds its routes.

    Every operation documents what the guard may answer: 400, 408, 413 and 421; 403 if it changes something; 401 if it
    needs a token.
    """
    app = FastAPI(
        title=parts.title,
        description=parts.description,
        version=version("real-time-data-platform"),
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    problems.install(app)
    app.add_middleware(Guard, rules=parts.rules)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    app.mount("/page", StaticFiles(directory=parts.page), name="page")

    @app.get("/", include_in_schema=False)
    def index() -> FileResponse:
        return FileResponse(parts.page / "index.html")

    @app.get("/docs", include_in_schema=False)
    def docs() -> FileResponse:
        return FileResponse(STATIC / "docs.html")

    @app.get("/favicon.ico", include_in_schema=False)
    def favicon() -> FileResponse:
        return FileResponse(STATIC / "icon.svg")

    @app.get("/metrics", summary="Prometheus metrics", tags=["watch"], response_class=PrometheusText)
    def metrics() -> Response:
        return PrometheusText(generate_latest(parts.registry))

    app.openapi = lambda: _document(app, parts)  # type: ignore[method-assign] # FastAPI's documented way to extend it
    return app


class PrometheusText(Response):
    """The exposition format."""

    media_type = CONTENT_TYPE_LATEST


def _document(app: FastAPI, parts: ApiParts) -> dict[str, Any]:
    """Returns the OpenAPI document: FastAPI's, and what the guard may answer on every operation."""
    if app.openapi_schema is None:
        with_token = parts.rules.token is not None
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (problems.ProblemDetails, problems.Finding):
            schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
            schema.pop("$defs", None)
            schemas[model.__name__] = schema
        schemas.update(parts.schemas)
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                changing = method.upper() not in READING
                needs_token = with_token and not is_open(method, path)
                _document_guard(operation, changing=changing, needs_token=needs_token)
        if with_token:
            document["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        app.openapi_schema = document
    return app.openapi_schema


def _document_guard(operation: dict[str, Any], *, changing: bool, needs_token: bool) -> None:
    statuses = [400, 408, 413, 421, *([403] if changing else []), *([401] if changing or needs_token else [])]
    responses = operation["responses"]
    if "422" in responses:
        responses["422"] = problems.documented(422)[422]
    for status, response in problems.documented(*sorted(statuses)).items():
        responses.setdefault(str(status), response)
    if needs_token:
        operation["security"] = [{"bearer": []}]
