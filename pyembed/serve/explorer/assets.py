"""The files of the page, which are in the package, and the headers that keep it to itself."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: The page loads its own files, asks its own server, and does nothing else; it cannot be framed.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Assets:
    """The page's files, read once: no path of a request is ever opened."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[bytes, str, str]] = {}
        for entry in files(__package__).joinpath("page").iterdir():
            kind = _KINDS.get(entry.name[entry.name.rfind(".") :])
            if kind is not None:
                data = entry.read_bytes()
                tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
                self._files[entry.name] = data, kind, tag

    def answer(self, request: Request, name: str) -> Response:
        """Return a file of the page, or that the browser has it already, or that there is none."""
        found = self._files.get(name)
        if found is None:
            return Response("not found", 404, SAFE_HEADERS, media_type="text/plain")
        data, kind, tag = found
        headers = {**SAFE_HEADERS, "etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=kind)
