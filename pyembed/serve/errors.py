"""What clients get where something is wrong: OpenAI's object, or that of text-embeddings-inference."""

from __future__ import annotations

import json
from enum import Enum
from typing import NamedTuple

from ..safe_text import plain


class _Row(NamedTuple):
    """A status, a type and a code for clients of OpenAI; a status and a type for those of the other."""

    openai_status: int
    openai_type: str
    code: str | None
    tei_status: int
    tei_type: str


_WRONG = "invalid_request_error"


class Reason(Enum):
    """Why a request is refused."""

    INVALID = _Row(400, _WRONG, None, 422, "Validation")
    EMPTY = _Row(400, _WRONG, "empty_input", 400, "Empty")
    KEY = _Row(401, _WRONG, "invalid_api_key", 401, "Validation")
    NO_MODEL = _Row(404, _WRONG, "model_not_found", 404, "Validation")
    NO_ROUTE = _Row(404, _WRONG, "unknown_url", 404, "Validation")
    METHOD = _Row(405, _WRONG, "method_not_allowed", 405, "Validation")
    SLOW = _Row(408, _WRONG, "request_timeout", 408, "Validation")
    REFUSED = _Row(409, _WRONG, "reload_refused", 409, "Validation")
    TOO_LARGE = _Row(413, _WRONG, "payload_too_large", 413, "Validation")
    TOO_MANY_TOKENS = _Row(413, _WRONG, "too_many_tokens", 413, "Validation")
    CONTENT_TYPE = _Row(415, _WRONG, "unsupported_media_type", 415, "Validation")
    HOST = _Row(421, _WRONG, "misdirected_request", 421, "Validation")
    TOO_MANY_INPUTS = _Row(422, _WRONG, "too_many_inputs", 422, "Validation")
    NO_TOKENIZER = _Row(422, _WRONG, "no_tokenizer", 422, "Tokenizer")
    NOT_FINITE = _Row(422, _WRONG, "not_finite", 422, "Validation")
    BUSY = _Row(429, "rate_limit_error", "rate_limit_exceeded", 429, "Overloaded")
    FAULT = _Row(500, "server_error", None, 500, "Backend")
    ENDING = _Row(503, "server_error", "shutting_down", 503, "Unhealthy")


class Refused(Exception):
    """A request that is not answered with what it asked for.

    Attributes
    ----------
    reason : Reason
    message : str
        For the client: nothing of the machine is in it.
    param : str or None
        The field at fault.
    """

    def __init__(self, reason: Reason, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.reason, self.message, self.param = reason, message, param

    def status(self, path: str) -> int:
        """Return the status for a request of a path."""
        row = self.reason.value
        return row.openai_status if of_openai(path) else row.tei_status

    def body(self, path: str) -> bytes:
        """Return the JSON for a request of a path."""
        row, message = self.reason.value, plain(self.message)
        if of_openai(path):
            error = {"message": message, "type": row.openai_type, "param": self.param, "code": row.code}
            return json.dumps({"error": error}).encode()
        return json.dumps({"error": message, "error_type": row.tei_type}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        """Return the header fields that belong to the reason."""
        if self.reason is Reason.KEY:
            return [(b"www-authenticate", b"Bearer"), (b"www-authenticate", b'Basic realm="pyembed"')]
        return [(b"retry-after", b"1")] if self.reason in (Reason.BUSY, Reason.ENDING) else []


def of_openai(path: str) -> bool:
    """Return whether requests of a path get OpenAI's object; others get text-embeddings-inference's."""
    return path.startswith(("/v1/", "/admin/")) or path == "/embeddings"


def invalid(message: str, param: str | None = None) -> Refused:
    """Return the refusal of a request that is not as it should be."""
    return Refused(Reason.INVALID, message, param)
