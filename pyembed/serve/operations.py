"""Operations: a path, the shape of its body, what answers it. Routes and descriptions are made of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .guard import ClientGone
from .service import Service
from .shapes import Schema, Shape


@dataclass(frozen=True)
class Call:
    """A request to an operation.

    Attributes
    ----------
    service : Service
    body : bytes
    path : dict
        The parts of the path that the operation leaves open.
    """

    service: Service
    body: bytes
    path: dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """What a server does at a path.

    Attributes
    ----------
    method, path : str
    about : str
        For people, in one line.
    answer : callable
        Makes the response.
    schema : dict
        Of the answer's body, as JSON Schema; empty where it is not JSON.
    shape : Shape or None
        The body of the request.
    refusals : tuple of int
        Statuses other than 200 that it may answer with.
    media_type : str
        Of the answer.
    """

    method: str
    path: str
    about: str
    answer: Callable[[Call], Awaitable[Response]]
    schema: Schema = field(default_factory=dict)
    shape: Shape | None = None
    refusals: tuple[int, ...] = ()
    media_type: str = "application/json"

    def route(self, service: Service) -> Route:
        """Return the route that serves it."""
        return Route(self.path, _Endpoint(self, service), methods=[self.method])


class _Endpoint:
    """An operation as an ASGI application: Starlette's way to call a function costs as much as an answer."""

    def __init__(self, operation: Operation, service: Service) -> None:
        self._operation, self._service = operation, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await _body(receive) if self._operation.method == "POST" else b""
        response = await self._operation.answer(Call(self._service, body, scope["path_params"]))
        await response(scope, receive, send)


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def json_response(body: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Response:
    """Return a response of JSON that is written already; `headers` as ASGI has them."""
    response = Response(body, media_type="application/json")
    response.raw_headers.extend(headers)
    return response
