"""What every request passes before a route sees it, and every response after: keys, limits, records."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import logging
import time
from collections.abc import Iterable

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .errors import Reason, Refused
from .limits import Limits
from .logs import LOGGER, record
from .service import Service

#: Answered without a key: it says nothing of the models.
_OPEN_PATHS = frozenset({"/health", "/ping"})
#: Answered however busy the server is.
_QUICK_PATHS = _OPEN_PATHS | {"/metrics"}
_GONE = 499  # nginx's status for a client that did not wait
_JSON = "application/json"
#: Of a body that is refused, as many bytes are still read, for as many seconds.
_MOST_DRAINED, _DRAIN_SECONDS = 64 << 20, 5.0


class ClientGone(Exception):
    """The client closed the connection before its request was there."""


class Guard:
    """An ASGI application around another one.

    Parameters
    ----------
    app : ASGI application
    service : Service
    api_key : str or None
        What clients have to send, as ``Authorization: Bearer KEY``; browsers, as the password of Basic.
    hosts : iterable of str
        Names that the Host field may have; any if there are none. It keeps pages of other sites from a server
        that only this machine is meant to reach, under a name of theirs that leads here.
    """

    def __init__(self, app: ASGIApp, service: Service, api_key: str | None, hosts: Iterable[str]) -> None:
        self._app, self._service = app, service
        self._key = None if api_key is None else api_key.encode()
        self._hosts = frozenset(host.lower().encode() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self, self._service, scope, receive, send).run(self._app)

    def check(self, scope: Scope) -> None:
        """Refuse a request by its header fields."""
        headers = dict(scope["headers"])
        if self._hosts and _host(headers.get(b"host", b"")) not in self._hosts:
            raise Refused(
                Reason.HOST, "the Host of the request is not a name of this server: see --allow-host"
            )
        if self._key is not None and scope["path"] not in _OPEN_PATHS:
            given = _key(headers.get(b"authorization", b""))
            if not hmac.compare_digest(given, self._key):
                raise Refused(Reason.KEY, "the API key is missing or wrong")
        if scope["method"] == "POST":
            kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")
            if kind != _JSON:  # which pages of other sites can only send after asking
                raise Refused(Reason.CONTENT_TYPE, f"the content type must be {_JSON}")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:20]) > self._service.limits.payload_limit:
            raise too_large(self._service.limits)


def too_large(limits: Limits) -> Refused:
    """Return the refusal of a body that is too large."""
    return Refused(Reason.TOO_LARGE, f"the body has more than {limits.payload_limit} bytes")


def _host(value: bytes) -> bytes:
    """Return the host of a Host field without its port."""
    if value.startswith(b"["):
        return value.partition(b"]")[0].lower() + b"]"
    return value.partition(b":")[0].lower()


def _key(value: bytes) -> bytes:
    """Return the key of an Authorization field; b"" where there is none."""
    scheme, _, given = value.partition(b" ")
    given = given.strip()
    if scheme.lower() == b"bearer":
        return given
    if scheme.lower() != b"basic":
        return b""
    try:
        return base64.b64decode(given, validate=True).partition(b":")[2]
    except binascii.Error:
        return b""


class _Exchange:
    """One request and its response."""

    def __init__(self, guard: Guard, service: Service, scope: Scope, receive: Receive, send: Send) -> None:
        self._guard, self._service = guard, service
        self._scope, self._receive, self._send = scope, receive, send
        self._begin = time.perf_counter()
        self._n_read = 0
        self._is_active = self._is_whole = False
        self._status = 0

    async def run(self, app: ASGIApp) -> None:
        """Answer it, count it and write a record of it."""
        try:
            try:
                self._guard.check(self._scope)
                self._enter()
                await app(self._scope, self._receive_some, self._send_some)
            except Refused as refused:
                await self._refuse(refused)
            except ClientGone:
                self._status = _GONE
            except Exception as error:
                LOGGER.error("fault", exc_info=error, extra={"facts": {"path": self._scope["path"]}})
                await self._refuse(Refused(Reason.FAULT, "the server failed; its log says why"))
        finally:
            self._leave()
            self._record()

    def _enter(self) -> None:
        if self._scope["path"] in _QUICK_PATHS:
            return
        service = self._service
        if service.n_active >= service.limits.max_concurrent_requests:
            raise Refused(
                Reason.BUSY, f"{service.n_active} requests are being worked on already: try again in a moment"
            )
        service.n_active += 1
        self._is_active = True

    def _leave(self) -> None:
        if self._is_active:
            self._is_active = False
            self._service.n_active -= 1

    async def _receive_some(self) -> Message:
        """Receive a part of the body, within the limits of its size and its time."""
        limits = self._service.limits
        if self._status:  # the response has begun: what is awaited is the end of the connection
            return await self._receive()
        message = await self._receive_in_time(limits.body_seconds)
        self._n_read += len(message.get("body", b""))
        self._is_whole = not message.get("more_body", False)
        if self._n_read > limits.payload_limit:
            raise too_large(limits)
        return message

    async def _receive_in_time(self, seconds: float) -> Message:
        """Receive a message in what is left of the seconds; a timer of its own is cheaper than a scope."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            if task is not None:
                task.cancel()

        timer = loop.call_later(self._begin + seconds - time.perf_counter(), expire)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not expired:
                raise
            if task is not None and hasattr(task, "uncancel"):
                task.uncancel()
            raise Refused(Reason.SLOW, f"the body was not there after {seconds:g} seconds") from None
        finally:
            timer.cancel()

    async def _send_some(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._leave()  # how fast the client reads is its own business
            message["headers"] = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
        await self._send(message)

    async def _refuse(self, refused: Refused) -> None:
        if self._status:
            return  # the response has begun: its connection is closed
        path = self._scope["path"]
        body = refused.body(path)
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            *refused.headers(),
        ]
        if refused.reason is Reason.SLOW:
            headers.append((b"connection", b"close"))  # what may still come is nobody's
        await self._send_some(
            {"type": "http.response.start", "status": refused.status(path), "headers": headers}
        )
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        if not self._is_whole and refused.reason is not Reason.SLOW:
            await self._drain()
        await self._send({"type": "http.response.body", "body": b""})

    async def _drain(self) -> None:
        """Read what is left of the body: clients that cannot send it to its end would see no answer."""
        left = _MOST_DRAINED
        with anyio.move_on_after(_DRAIN_SECONDS):
            while left > 0:
                message = await self._receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return

    def _record(self) -> None:
        path, route = self._scope["path"], self._scope.get("route")
        known = getattr(route, "path", "other")
        self._service.metrics.count("pyembed_http_requests", path=known, status=str(self._status))
        if LOGGER.isEnabledFor(logging.INFO):
            client = self._scope.get("client")
            record(
                logging.INFO,
                "request",
                method=self._scope["method"],
                path=path[:200],
                status=self._status,
                ms=round(1e3 * (time.perf_counter() - self._begin), 3),
                bytes=self._n_read,
                client=client[0] if client else None,
            )
