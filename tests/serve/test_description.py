"""The OpenAPI description: it is valid, and what servers answer is as it says."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tools.http_requests import Request, requests_of, violation
from tools.servers import Answer, Server

EXAMPLES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"input": ["a file", "b"], "encoding_format": "base64"},
    "/embeddings": {"input": [1, 2, 3], "dimensions": 4},
    "/embed": {"inputs": "a file"},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["a", "b"]}},
    "/tokenize": {"inputs": ["a file"]},
    "/decode": {"ids": [[1, 2], [3]]},
    "/v1/nearest": {"input": "file", "k": 2},
    "/v1/rows": {"ids": [1, 2]},
    "/v1/prompt_embeds": {"input": "a file"},
}


@pytest.fixture(scope="module")
def description(server: Server) -> dict[str, Any]:
    value = server.get("/openapi.json").value
    assert isinstance(value, dict)
    return value


def send(server: Server, request: Request) -> Answer:
    return server.ask(request.method, request.path, request.body, request.headers)


def test_it_is_valid(description: dict[str, Any]) -> None:
    validator = pytest.importorskip("openapi_spec_validator")
    validator.validate(description)


def test_answers_are_as_described(server: Server, description: dict[str, Any]) -> None:
    posts = {path for path, methods in description["paths"].items() if "post" in methods}
    assert posts == set(EXAMPLES)
    for path, body in EXAMPLES.items():
        answer = server.post(path, body)
        assert answer.status == 200
        assert violation(description, Request("POST", path, b""), answer.status, answer.value) == ""
    for path in description["paths"]:
        if "get" in description["paths"][path]:
            answer = server.get(path.replace("{name}", "demo"))
            assert answer.status == 200
            assert violation(description, Request("GET", path, b""), answer.status, answer.value) == ""


def test_a_wrong_answer_is_seen(description: dict[str, Any]) -> None:
    request = Request("POST", "/embed", b"")
    assert violation(description, request, 200, [[1.0], ["a"]])
    assert violation(description, request, 200, {})
    assert violation(description, request, 418, {})
    assert violation(description, request, 500, {"error": "a", "error_type": "Backend"})
    assert violation(description, request, 422, {"error": "a"})
    assert violation(description, request, 422, {"error": "a", "error_type": "Validation"}) == ""


@pytest.mark.parametrize("seed", range(3))
def test_requests_made_of_it(server: Server, description: dict[str, Any], seed: int) -> None:
    statuses = set()
    for request in requests_of(description, seed, 120):
        answer = send(server, request)
        statuses.add(answer.status)
        wrong = violation(description, request, answer.status, answer.value)
        assert wrong == "", f"{request}: {answer.status} {answer.value}"
    assert {200, 400, 422} <= statuses


def test_the_page_names_every_field(server: Server, description: dict[str, Any]) -> None:
    page = server.get("/docs").value.decode()
    assert not re.search(r"(src|href)=['\"]?(https?:)?//", page), "it loads nothing from elsewhere"
    for schema in description["components"]["schemas"].values():
        for name in schema["properties"] if "Request" in str(schema) else ():
            assert f"<code>{name}</code>" in page
    for path in description["paths"]:
        assert path.partition("{")[0] in page
