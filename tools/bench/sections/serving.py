"""``pyembed serve`` against what people write with FastAPI and model2vec: each server on one processor."""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..measure import Json, Spread
from ..show import Table, number, spread, times
from . import Settings
from .texts import docstrings, model2vec_folder

N_TOGETHER, N_CLIENTS = 32, 8
TOGETHER, SINGLE = "32 texts, 8 clients", "1 text, 1 client"
RATIOS = ("against FastAPI", "processor against FastAPI")
_HEAD = (
    "POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
)
OURS, _ALONE, _PEER = "pyembed serve", "without batches", "FastAPI, model2vec"


def run(settings: Settings) -> Json:
    """Measure both servers in turns, this process on the other processors."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, set(cores[:-1]) or {cores[0]})
    texts = [text[:2000] for text in docstrings(1500)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = model2vec_folder(Path(name), settings.data)
        if folder is None:
            return {}
        ours = [sys.executable, "-m", "pyembed", "serve", f"m={folder}", "--log-level", "warning", "--port"]
        peer = [sys.executable, "-m", "tools.bench.fastapi_peer", str(folder)]
        servers = {
            OURS: stack.enter_context(_running(ours, [], cores[-1])),
            _ALONE: stack.enter_context(_running(ours, ["--max-batch-requests", "1"], cores[-1])),
            _PEER: stack.enter_context(_running(peer, [], cores[-1])),
        }
        _compare(servers, texts[:N_TOGETHER])
        rounds, seconds = (3, 1.0) if settings.quick else (7, 3.0)
        cases = {}
        for what, n_texts, n_clients in (
            (TOGETHER, N_TOGETHER, N_CLIENTS),
            ("1 text, 8 clients", 1, N_CLIENTS),
            (SINGLE, 1, 1),
        ):
            bodies = _bodies(texts, n_texts)
            runs: dict[str, list[_Run]] = {name: [] for name in servers}
            for _ in range(rounds):
                for name, server in servers.items():
                    runs[name].append(_load(server, bodies, n_clients, seconds))
            cases[what] = _figures(runs, n_texts)
    return {"characters": sum(map(len, texts)) / len(texts), "cases": cases}


@dataclass
class _Running:
    """A server: its port, and its process."""

    port: int
    process: subprocess.Popen[bytes]

    def processor_seconds(self) -> float:
        """Return how long it has computed."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _running(command: list[str], options: list[str], core: int) -> Iterator[_Running]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pin = lambda: os.sched_setaffinity(0, {core})  # noqa: E731
    process = subprocess.Popen([*command, str(port), *options], preexec_fn=pin)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield _Running(port, process)
    finally:
        process.terminate()
        process.wait()


def _bodies(texts: list[str], n: int) -> list[bytes]:
    """Return requests for `n` texts each, as OpenAI's client sends them."""
    bodies = []
    for begin in range(0, len(texts) - n + 1, n):
        value = texts[begin] if n == 1 else texts[begin : begin + n]
        body = json.dumps({"input": value, "model": "m", "encoding_format": "base64"}, separators=(",", ":"))
        bodies.append(f"{_HEAD}{len(body.encode())}\r\n\r\n{body}".encode())
    return bodies


def _ask(connection: socket.socket, request: bytes) -> bytes:
    """Send a request, and return the body of its answer."""
    connection.sendall(request)
    data = bytearray()
    length = -1
    while length < 0 or len(data) < length:
        data += connection.recv(1 << 18)
        end = data.find(b"\r\n\r\n") if length < 0 else -1
        if end >= 0:
            head = bytes(data[:end]).lower()
            length = end + 4 + int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            if b" 200 " not in head[:20]:
                raise RuntimeError(f"answered with {bytes(data[:300])!r}")
    return bytes(data[data.find(b"\r\n\r\n") + 4 :])


def _compare(servers: dict[str, _Running], texts: list[str]) -> None:
    """Raise if the servers do not answer alike."""
    found = []
    for server in servers.values():
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            data = json.loads(_ask(connection, _bodies(texts, len(texts))[0]))["data"]
        found.append(np.array([np.frombuffer(base64.b64decode(one["embedding"]), "<f4") for one in data]))
    for one in found[1:]:
        np.testing.assert_allclose(one, found[0], atol=1e-6)


@dataclass
class _Run:
    """A round: requests a second, seconds of each, and of the server's processor for each."""

    rate: float
    latencies: list[float]
    processor: float


def _load(server: _Running, bodies: list[bytes], n_clients: int, seconds: float) -> _Run:
    latencies: list[float] = []
    problems: list[Exception] = []
    end = time.perf_counter() + seconds

    def client(first: int) -> None:
        at = first
        try:
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                while (begin := time.perf_counter()) < end:
                    _ask(connection, bodies[at % len(bodies)])
                    latencies.append(time.perf_counter() - begin)
                    at += 1
        except Exception as error:
            problems.append(error)

    before, begin = server.processor_seconds(), time.perf_counter()
    threads = [threading.Thread(target=client, args=(7 * number,)) for number in range(n_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    n, took = len(latencies), time.perf_counter() - begin
    return _Run(n / took, latencies, (server.processor_seconds() - before) / n)


def _figures(runs: dict[str, list[_Run]], n_texts: int) -> Json:
    rates = {name: np.array([one.rate for one in found]) for name, found in runs.items()}
    work = {name: np.array([one.processor for one in found]) for name, found in runs.items()}
    return {
        name: {
            "texts a second": Spread.of(rates[name] * n_texts).json(),
            "against FastAPI": Spread.of(rates[name] / rates[_PEER]).json(),
            "processor against FastAPI": Spread.of(work[_PEER] / work[name]).json(),
            "p50 ms": float(1e3 * np.percentile([t for one in found for t in one.latencies], 50)),
            "p99 ms": float(1e3 * np.percentile([t for one in found for t in one.latencies], 99)),
        }
        for name, found in runs.items()
    }


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    if not data:
        return []
    table = Table(
        f"Vectors over HTTP in base64, texts of {data['characters']:.0f} characters, one processor a server",
        ["requests", "server", "texts a second", "x FastAPI", "x in processor time", "p50 ms", "p99 ms"],
        note="Processor time is what the server computed for a request: it says the same on a busy machine.",
        left=2,
    )
    for what, case in data["cases"].items():
        for name, figures in case.items():
            table.rows.append(
                [
                    what,
                    name,
                    spread(figures["texts a second"]),
                    times(figures["against FastAPI"]),
                    times(figures["processor against FastAPI"]),
                    number(figures["p50 ms"]),
                    number(figures["p99 ms"]),
                ]
            )
    return [table]
