"""What a server refuses, and how it says so; requests that are meant to harm it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

import pyembed
from tools.servers import Server, running

KEY = "s3cret"
LIMITS = {
    "--max-batch-tokens": 50,
    "--max-client-batch-size": 3,
    "--max-concurrent-requests": 1,
    "--payload-limit": 3000,
}


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """Return a server that grants little, and asks for a key."""
    for package in ("uvicorn", "starlette", "tokenizers"):
        pytest.importorskip(package)
    with running("demo", *chain(*LIMITS.items()), PYEMBED_API_KEY=KEY) as started:
        yield started
        assert started.stop(signal.SIGINT) == 130


WITH_KEY = {"Authorization": f"Bearer {KEY}"}


def test_keys(small: Server) -> None:
    body = {"input": "a file"}
    for headers in (
        {},
        {"Authorization": "Bearer s3cre"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic ?"},
    ):
        answer = small.post("/v1/embeddings", body, **headers)
        assert answer.status == 401
        assert answer.value["error"]["code"] == "invalid_api_key"
    assert small.post("/v1/embeddings", body, **WITH_KEY).status == 200
    assert small.get("/docs", Authorization="Basic Ong6czNjcmV0").status == 401
    assert small.get("/docs", Authorization="Basic OnMzY3JldA==").status == 200, "as browsers send it"
    assert small.get("/health").status == 200
    for path in ("/metrics", "/info", "/v1/models", "/openapi.json", "/"):
        assert small.get(path).status == 401


def test_sizes(small: Server) -> None:
    answer = small.post("/v1/embeddings", {"input": ["a"] * 4}, **WITH_KEY)
    assert (answer.status, answer.value["error"]["code"]) == (422, "too_many_inputs")
    answer = small.post("/embed", {"inputs": ["a"] * 4}, **WITH_KEY)
    assert (answer.status, answer.value["error_type"]) == (422, "Validation")
    for body in ({"input": "file " * 51}, {"input": [7] * 51}):
        answer = small.post("/v1/embeddings", body, **WITH_KEY)
        assert (answer.status, answer.value["error"]["code"]) == (413, "too_many_tokens")
    answer = small.post("/v1/embeddings", {"input": "x" * 3000}, **WITH_KEY)
    assert (answer.status, answer.value["error"]["code"]) == (413, "payload_too_large")
    assert small.post("/v1/embeddings", {"input": "file " * 49}, **WITH_KEY).status == 200


def test_clients_get_an_answer_to_bodies_that_nobody_wants(small: Server) -> None:
    for headers, status in ((WITH_KEY, 413), ({}, 401), ({**WITH_KEY, "Content-Type": "text/plain"}, 415)):
        for size in (100_000, 8_000_000):
            assert small.post("/v1/embeddings", b" " * size, **headers).status == status
    assert small.ask("PUT", "/embed", b" " * 2_000, WITH_KEY).status == 405


def test_a_body_that_is_larger_than_it_says(small: Server) -> None:
    with socket.create_connection(("127.0.0.1", small.port), 20) as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer s3cret\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        try:
            for _ in range(40):
                connection.sendall(b"64\r\n" + b"x" * 100 + b"\r\n")
        except OSError:
            pass  # it has heard enough
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_more_requests_than_it_takes(small: Server) -> None:
    with socket.create_connection(("127.0.0.1", small.port), 20) as slow:
        slow.sendall(
            b"POST /embed HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Authorization: Bearer s3cret\r\nContent-Length: 20\r\n\r\n{"
        )
        for _ in range(100):
            answer = small.post("/v1/embeddings", {"input": "a"}, **WITH_KEY)
            if answer.status == 429:
                break
        assert (answer.status, answer.value["error"]["code"]) == (429, "rate_limit_exceeded")
        assert answer.headers["retry-after"] == "1"
        assert small.post("/embed", {"inputs": "a"}, **WITH_KEY).value["error_type"] == "Overloaded"
        assert small.get("/health").status == 200
    for _ in range(100):
        if small.post("/v1/embeddings", {"input": "a"}, **WITH_KEY).status == 200:
            break
    else:
        raise AssertionError("the place of a client that left is free again")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"null", 400),
        (b"\xff\xfe{}", 400),
        (b'{"input": NaN}', 400),
        (b'{"input": [NaN, 1]}', 400),
        (b'{"input": -Infinity}', 400),
        (b'{"input": "\\ud800"}', 400),
        (b'{"input": ["a", "\\udfff b"]}', 400),
        (b'{"input": "a", "model": "\\ud800"}', 400),
        (b'{"input": "a", "model": "../../etc/passwd"}', 404),
        (b'{"input": "a", "model": "/dev/zero"}', 404),
        (b'{"input": ' + b"[" * 100_000, 400),
        (b'{"input": ' + b"9" * 10_000 + b"}", 400),
        (b'{"input": 1e999}', 400),
        (b'{"input": {"a": 1}}', 400),
        (b'{"input": [[[1]]]}', 400),
        (b'{"input": "a", "dimensions": "7"}', 400),
        (b'{"input": "a", "dimensions": true}', 400),
        (b'{"input": "a", "dimensions": 99999999999}', 400),
        (b'{"input": "a", "encoding_format": "hex"}', 400),
        (b'{"input": "a\\u0000b \\u202e\\u0007"}', 200),
        (b'{"input": "a", "input": "b", "user": null, "more": [1]}', 200),
        (json.dumps({"input": [1] * 600_000}).encode(), 413),
        (json.dumps({"input": [1] * 1_000_000}, separators=(",", ":")).encode(), 413),
        (json.dumps({"input": ["a"] * 2_049}).encode(), 422),
        (json.dumps({"input": "file " * 350_000}).encode(), 413),
        (json.dumps({"input": "x" * 900_000}).encode(), 200),
    ],
    ids=lambda value: repr(value[:30]) if isinstance(value, bytes) else str(value),
)
def test_hostile_bodies(server: Server, body: bytes, status: int) -> None:
    answer = server.post("/v1/embeddings", body)
    assert answer.status == status
    if status != 200:
        assert answer.value["error"]["message"]
    assert server.post("/v1/embeddings", {"input": "still there"}).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_other_content_types(server: Server, kind: str) -> None:
    assert server.post("/embed", b'{"inputs": "a"}', **{"Content-Type": kind}).status == 415


def test_paths_and_methods(server: Server) -> None:
    assert server.get("/v1/nothing").value["error"]["code"] == "unknown_url"
    assert server.get("/v1/embeddings").status == 405
    assert server.ask("DELETE", "/embed").status == 405
    assert server.post("/admin/reload", {}).status == 404, "there is no key that would allow it"
    assert server.get("/v1/models/..%2f..%2fetc%2fpasswd").status == 404
    for path in ("/../pyproject.toml", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd"):
        assert server.get(path).status == 404


def test_hosts_and_sites(server: Server) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", ""):
        assert server.get("/v1/models", Host=host).status == 421
    for host in ("localhost", f"127.0.0.1:{server.port}", "[::1]:80", "LOCALHOST"):
        assert server.get("/v1/models", Host=host).status == 200
    answer = server.get("/v1/models", Origin="https://evil.example")
    assert not any(name.startswith("access-control") for name in answer.headers)


def test_faults_are_not_shown(server: Server) -> None:
    assert not [record for record in server.records() if record["event"] == "fault"]


# ------------------------------------------------------------------------- within this process: no socket


async def _respond(
    app: Any, parts: list[tuple[float, dict[str, Any]]], path: str = "/embed"
) -> tuple[int, Any]:
    """Send a request whose body's parts each take some seconds, and return status and JSON."""
    sent: list[dict[str, Any]] = []
    coming = iter(parts)

    async def receive() -> dict[str, Any]:
        seconds, message = next(coming, (3600, {"type": "http.disconnect"}))
        await asyncio.sleep(seconds)
        return message

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "headers": headers,
        "query_string": b"",
        "root_path": "",
        "http_version": "1.1",
        "scheme": "http",
        "server": ("localhost", 80),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    if not sent:
        return 0, None
    return sent[0]["status"], json.loads(b"".join(one["body"] for one in sent[1:]))


def _part(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def test_slow_bodies_and_clients_that_leave() -> None:
    pytest.importorskip("starlette")
    from pyembed.serve.app import build
    from pyembed.serve.limits import Limits
    from pyembed.serve.models import Given, Models

    async def all_of_them() -> None:
        app = build(models, Limits(body_seconds=0.3))
        status, value = await _respond(app, [(0.2, _part(b"{", True)), (0.2, _part(b"}", False))])
        assert (status, value["error_type"]) == (408, "Validation")
        status, value = await _respond(app, [(0, _part(b'{"inputs"', True)), (0.1, _part(b':"a"}', False))])
        assert (status, len(value)) == (200, 1)
        gone = [(0.0, _part(b"{", True)), (0.0, {"type": "http.disconnect"})]
        assert await _respond(app, gone) == (0, None)
        async with app.router.lifespan_context(app):
            pass  # it ends
        status, value = await _respond(app, [(0, _part(b'{"inputs":"a"}', False))])
        assert (status, value["error_type"]) == (503, "Unhealthy")

    with Models([Given("demo", pyembed.demo_model())]) as models:
        asyncio.run(all_of_them())


def test_what_fails_inside_stays_there(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("starlette")
    from pyembed.serve.app import build
    from pyembed.serve.models import Given, Models

    class Failing(Models):
        def lease(self, name: str) -> Any:
            raise RuntimeError("a secret of the machine")

    with Failing([Given("demo", pyembed.demo_model())]) as models:
        app = build(models)
        for path in ("/embed", "/v1/embeddings"):
            body = _part(b'{"inputs":"a","input":"a"}', False)
            status, value = asyncio.run(_respond(app, [(0, body)], path))
            assert status == 500
            assert "secret" not in json.dumps(value)
    assert "a secret of the machine" in caplog.text


def test_limits_that_make_no_sense(word_model: Path) -> None:
    pytest.importorskip("starlette")
    from pyembed.serve.app import build
    from pyembed.serve.limits import Limits
    from pyembed.serve.models import Given, Models

    with pytest.raises(ValueError, match="payload_limit is 0"):
        Limits(payload_limit=0)
    with pytest.raises(ValueError, match="no model to serve"):
        Models([])
    with pytest.raises(ValueError, match="has no lock"):
        Models([Given("a", str(word_model), "lock.json")])
    with Models([Given("a", pyembed.demo_model())]) as models, pytest.raises(ValueError, match="is empty"):
        build(models, api_key="")
