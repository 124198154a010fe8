"""Runs ``pyembed serve`` on loopback, and talks to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from .signalled import Command

_PATIENCE = 180


class Answer(NamedTuple):
    """A response: `value` is its JSON, or its bytes where it is something else."""

    status: int
    value: Any
    headers: dict[str, str]


class Server:
    """A running server.

    Attributes
    ----------
    process : subprocess.Popen
    url : str
    port : int
    """

    def __init__(self, process: subprocess.Popen[bytes], log: str, url: str = "") -> None:
        self.process, self._log = process, log
        self.url = url or self._wait_for("serving")["url"]
        self.port = int(self.url.rpartition(":")[2])

    def records(self) -> list[dict[str, Any]]:
        """Return what it wrote to its log so far; a line that is not JSON fails."""
        with open(self._log, encoding="ascii") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def _wait_for(self, event: str, n: int = 1) -> dict[str, Any]:
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            found = [record for record in self.records() if record["event"] == event]
            if len(found) >= n:
                return found[n - 1]
            assert self.process.poll() is None, self.records()
            time.sleep(0.02)
        raise AssertionError(f"no {event!r} in the log: {self.records()}")

    def wait_for(self, event: str, n: int = 1) -> dict[str, Any]:
        """Return the nth record of an event, once it is there."""
        return self._wait_for(event, n)

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Answer:
        """Send a request on a connection of its own; a body that is not bytes goes as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PATIENCE)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            fields = {name.lower(): value for name, value in response.getheaders()}
            is_json = fields.get("content-type", "").startswith("application/json")
            return Answer(response.status, json.loads(text) if is_json and text else text, fields)
        finally:
            connection.close()

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        """Send a request with a body."""
        return self.ask("POST", path, body, headers)

    def get(self, path: str, **headers: str) -> Answer:
        """Send a request without one."""
        return self.ask("GET", path, None, headers)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal, and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(_PATIENCE)


@contextmanager
def running(*arguments: object, **environment: str) -> Iterator[Server]:
    """Run ``pyembed serve`` with these arguments and a port of its own."""
    with tempfile.TemporaryDirectory(prefix="pyembed-serve-") as folder:
        log = os.path.join(folder, "log")
        with open(log, "wb") as file:
            begun = Command("serve", *arguments, "--port", 0, stderr=file, env={**os.environ, **environment})
        with begun as process:
            try:
                yield Server(process, log)
            finally:
                process.kill()


@contextmanager
def exploring(*arguments: object) -> Iterator[Server]:
    """Run ``pyembed explore`` with these arguments, without a browser."""
    with Command("explore", *arguments, "--no-browser", stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().decode("ascii").partition("/  ")[0]
            assert url.startswith("http://127.0.0.1:"), url
            yield Server(process, os.devnull, url)
        finally:
            process.terminate()
