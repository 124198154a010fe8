"""The application: all routes over some models."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from . import explorer
from .limits import Limits
from .models import Models


async def _health(request: Request) -> Response:
    return Response()


def build(models: Models, limits: Limits) -> Starlette:
    """Return the application that serves some models.

    Parameters
    ----------
    models : Models
        They stay open when the application ends.
    limits : Limits
    """
    return Starlette(routes=[Route("/health", _health), *explorer.routes(models)])
