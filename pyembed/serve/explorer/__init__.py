"""The page that shows a model: its files, and the routes that answer it."""

from __future__ import annotations

from starlette.routing import BaseRoute

from ..models import Models


def routes(models: Models) -> list[BaseRoute]:
    """Return the routes of the page."""
    return []
