"""The application: all routes over some models, behind the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from . import explorer, openai, own, tei
from .answers import as_json
from .description import describe, page
from .errors import Reason, Refused
from .guard import Guard
from .limits import Limits
from .models import Models
from .operations import json_response
from .service import Service

Lifespan = Callable[[Service], AbstractAsyncContextManager[None]]


def build(
    models: Models,
    limits: Limits | None = None,
    *,
    api_key: str | None = None,
    hosts: Iterable[str] = (),
    origins: Iterable[str] = (),
    lifespan: Lifespan | None = None,
) -> Starlette:
    """Return the ASGI application that serves some models.

    Parameters
    ----------
    models : Models
        They stay open when the application ends.
    limits : Limits, optional
    api_key : str, optional
        What every client has to send. Only with one can models be opened anew over HTTP.
    hosts : iterable of str, optional
        The names that the Host field of requests may have; any without.
    origins : iterable of str, optional
        Sites whose pages may use the server, as ``https://example.org``; ``*`` for all. None without.
    lifespan : callable, optional
        Makes of the service an asynchronous context manager that is open while the application is.

    Returns
    -------
    Starlette

    Raises
    ------
    ValueError
        For a key that is empty.
    """
    if api_key is not None and not api_key:
        raise ValueError("the API key is empty: leave it out to serve everybody")
    service = Service(models, Limits() if limits is None else limits)
    operations = [*openai.OPERATIONS, *tei.OPERATIONS, *own.OPERATIONS]
    if api_key is not None:
        operations += own.ADMIN_OPERATIONS
    description = as_json(describe(operations, api_key is not None))
    readable = page(operations, api_key is not None)

    async def openapi(request: Request) -> Response:
        return json_response(description)

    async def docs(request: Request) -> Response:
        return HTMLResponse(readable)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        try:
            if lifespan is None:
                yield
            else:
                async with lifespan(service):
                    yield
        finally:
            await anyio.to_thread.run_sync(service.end)

    routes = [
        *(operation.route(service) for operation in operations),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
        *explorer.routes(models),
    ]
    allowed = list(origins)
    middleware = [Middleware(Guard, service=service, api_key=api_key, hosts=tuple(hosts))]
    if allowed:  # before the guard: a browser asks without a key whether it may ask
        middleware.insert(
            0,
            Middleware(
                CORSMiddleware, allow_origins=allowed, allow_methods=["GET", "POST"], allow_headers=["*"]
            ),
        )
    return Starlette(
        routes=routes,
        middleware=middleware,
        lifespan=living,
        exception_handlers={HTTPException: _not_served},
    )


def _not_served(request: Request, error: Exception) -> Response:
    """Refuse a path that there is not, or a method that it does not take."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        raise Refused(Reason.METHOD, f"{request.url.path} does not take {request.method}")
    if status == 404:
        raise Refused(Reason.NO_ROUTE, f"there is nothing at {request.url.path}")
    raise error
