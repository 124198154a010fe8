"""The routes of the page: its files, its questions as JSON, and all tokens as bytes."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from ... import errors
from ...analysis.projection import METHODS
from ...safe_text import json_text, printable
from ..models import Models, Served
from .assets import SAFE_HEADERS, Assets
from .questions import QUESTIONS, Question
from .requests import Fields, read_fields
from .view import View

#: Questions that are worked on at a time; others wait for their turn.
_MAX_THREADS = 8
_Answer = TypeVar("_Answer")
#: What is answered to which error, the first that fits.
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (errors.ClosedError, 503),
    (KeyError, 404),
    (IndexError, 404),
    (errors.FormatError, 422),
    (ValueError, 400),
    (ImportError, 501),
    (OSError, 503),
    (MemoryError, 503),
)


class _Page:
    """The page of a server's models."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._assets = Assets()
        self._views: WeakKeyDictionary[Served, View] = WeakKeyDictionary()
        self._lock = threading.Lock()
        self._limiter: CapacityLimiter | None = None

    async def index(self, request: Request) -> Response:
        return self._assets.answer(request, "index.html")

    async def asset(self, request: Request) -> Response:
        return self._assets.answer(request, request.path_params["name"])

    async def list_models(self, request: Request) -> Response:
        return _json({"models": [printable(name) for name in self._models], "names": list(self._models)})

    def question(self, ask: Question) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                fields = await read_fields(request)
            except ValueError as error:
                return _json({"error": printable(str(error))}, 400)

            def work(view: View, served: Served) -> Response:
                return _json(ask(view, served, fields))

            return await self._in_thread(fields, work)

        return answer

    async def cloud(self, request: Request) -> Response:
        def work(view: View, served: Served) -> Response:
            method = fields.choice("method", METHODS)
            return Response(view.cloud.binary(method), headers=_FRESH, media_type="application/octet-stream")

        fields = Fields(dict(request.query_params))
        return await self._in_thread(fields, work)

    async def parquet(self, request: Request) -> Response:
        def work(view: View, served: Served) -> Response:
            data = view.cloud.parquet(fields.choice("method", METHODS))
            headers = {**_FRESH, "content-disposition": 'attachment; filename="tokens.parquet"'}
            return Response(data, headers=headers, media_type="application/vnd.apache.parquet")

        fields = Fields(dict(request.query_params))
        return await self._in_thread(fields, work)

    async def _in_thread(self, fields: Fields, work: Callable[[View, Served], Response]) -> Response:
        if self._limiter is None:
            self._limiter = CapacityLimiter(_MAX_THREADS)
        return await to_thread.run_sync(lambda: self._with_view(fields, work), limiter=self._limiter)

    def _with_view(self, fields: Fields, work: Callable[[View, Served], Response]) -> Response:
        """Do the work with a model that stays open meanwhile, and turn what goes wrong into an answer."""
        try:
            name = fields.text("model", default=self._models.default)
            if name not in self._models:
                return _json({"error": f"there is no model named {printable(name)}"}, 404)
            with self._models.lease(name) as served:
                try:
                    return work(self._view(served), served)
                except tuple(kind for kind, _ in _STATUS) as error:
                    return _failure(error, served.path)
        except (ValueError, KeyError) as error:
            return _failure(error, "")

    def _view(self, served: Served) -> View:
        with self._lock:
            view = self._views.get(served)
            if view is None:
                vocabulary, why = None, ""
                try:
                    vocabulary = served.vocabulary
                except (errors.FormatError, ImportError) as error:
                    why = str(error)
                view = self._views[served] = View(served.table, vocabulary, why)
            return view


#: Answers are of what is open now: a reload brings others.
_FRESH = {**SAFE_HEADERS, "cache-control": "no-store"}


def _json(value: Any, status: int = 200) -> Response:
    return Response(json_text(value), status, _FRESH, media_type="application/json")


def _failure(error: Exception, path: str) -> Response:
    """Return an error as an answer, without where the file lies."""
    status = next(code for kind, code in _STATUS if isinstance(error, kind))
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = f"the file cannot be read: {error.strerror}"
    if path:
        message = message.replace(path, os.path.basename(path.rstrip(os.sep)))
    return _json({"error": printable(message) or type(error).__name__}, status)


def routes(models: Models) -> list[BaseRoute]:
    """Return the routes of the page: ``/``, and what lies below ``/explorer``."""
    page = _Page(models)
    questions = [
        Route(f"/explorer/{name}", page.question(ask), methods=["POST"]) for name, ask in QUESTIONS.items()
    ]
    return [
        Route("/", page.index, methods=["GET"]),
        Route("/explorer/page/{name}", page.asset, methods=["GET"]),
        Route("/explorer/models", page.list_models, methods=["GET"]),
        Route("/explorer/cloud", page.cloud, methods=["GET"]),
        Route("/explorer/tokens.parquet", page.parquet, methods=["GET"]),
        *questions,
    ]
