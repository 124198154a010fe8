"""Loads ``pyembed serve`` as many clients do, some of them a nuisance, while its model is swapped.

64 clients send requests of mixed sizes and compare every vector, bit for bit, with those of the two models
that take turns. Beside them one reads its answers slowly, one leaves in the middle, one sends garbage, and a
model is opened anew every second. No request may be lost or wrong, and memory must not grow. All of it runs
with batching, then without.

Usage: ``python -m tools.load_http [--seconds N] [--clients N]``
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import os
import random
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import pyembed

from .servers import Server, running

KEY = {"Authorization": "Bearer k", "Content-Type": "application/json"}
_SIZES = (1, 1, 1, 1, 2, 4, 8, 32, 32, 200)
_N_TEXTS = 500
_WORDS = "the file string bytes of a read open archive path name error value list index is not"
_BLOCK = 34  # bytes of a Q8_0 block: its scale comes first
#: Memory may grow by this much after the first half: pools of allocators, nothing that goes on.
_MOST_GROWTH = 24 << 20


@dataclass
class Load:
    """What clients share, and what they found."""

    texts: list[str]
    ids: list[list[int]]
    vectors: list[npt.NDArray[np.float32]]
    ended: threading.Event = field(default_factory=threading.Event)
    seconds: list[float] = field(default_factory=list)
    versions: Counter[int] = field(default_factory=Counter)
    nuisances: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Keep what was wrong, and end."""
        self.problems.append(text[:500])
        self.ended.set()


def negated(source: Path, path: Path) -> None:
    """Write a copy of a model whose rows have the opposite signs."""
    with pyembed.load_model(source) as model:
        table = model.tensors[model.table.name]
        begin, size = table.offset, model.table.n_bytes
    data = bytearray(source.read_bytes())
    codes = np.frombuffer(data, np.uint8)[begin : begin + size].reshape(-1, _BLOCK)
    codes[:, 1] ^= 0x80
    path.write_bytes(data)


def prepare() -> Load:
    """Return texts with their ids and their vectors by both models."""
    rng = random.Random(0)
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        words = _WORDS.split()
        texts = [" ".join(rng.choices(words, k=rng.choice((1, 5, 30, 200)))) for _ in range(_N_TEXTS)]
        ids, offsets = encoder.tokenize(texts)
        vectors = encoder.encode(texts)
    return Load(texts, [ids[a:b].tolist() for a, b in pairwise(offsets)], [vectors, -vectors])


# ---------------------------------------------------------------------------------------------------- clients


def client(server: Server, load: Load, seed: int) -> None:
    """Send requests until the end, and look at every answer."""
    rng = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    while not load.ended.is_set():
        which = rng.choices(range(_N_TEXTS), k=rng.choice(_SIZES))
        inputs = [load.texts[i] for i in which] if rng.random() < 0.7 else [load.ids[i] for i in which]
        encoding = "base64" if rng.random() < 0.8 or len(which) > 32 else "float"
        body = json.dumps({"input": inputs, "encoding_format": encoding}).encode()
        begin = time.perf_counter()
        try:
            connection.request("POST", "/v1/embeddings", body, KEY)
            response = connection.getresponse()
            data = response.read()
        except OSError as error:
            load.problem(f"lost: {error!r}")
            return
        load.seconds.append(time.perf_counter() - begin)
        if response.status != 200:
            load.problem(f"{response.status}: {data!r}")
            return
        _compare(load, which, json.loads(data))
    connection.close()


def _compare(load: Load, which: list[int], value: dict[str, Any]) -> None:
    found = np.array([_vector(one["embedding"]) for one in value["data"]])
    for version, vectors in enumerate(load.vectors):
        if np.array_equal(found, vectors[which]):
            load.versions[version] += 1
            return
    load.problem(f"wrong: the vectors of {which} are those of neither model")


def _vector(value: str | list[float]) -> npt.NDArray[np.float32]:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value), "<f4")
    return np.array(value, np.float32)


def _raw(server: Server, body: bytes, length: int | None = None) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), 60)
    fields = "".join(f"{name}: {value}\r\n" for name, value in KEY.items())
    n = len(body) if length is None else length
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {n}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def slow_reader(server: Server, load: Load, seed: int) -> None:
    """Read a large answer a little at a time."""
    body = json.dumps({"input": [[index % 5000] for index in range(2000)]}).encode()
    while not load.ended.is_set():
        with _raw(server, body) as connection:
            while not load.ended.wait(0.05) and connection.recv(2048):
                pass
        load.nuisances["slow answers"] += 1


def leaver(server: Server, load: Load, seed: int) -> None:
    """Leave in the middle of a request, or before its answer."""
    rng = random.Random(seed)
    body = json.dumps({"input": load.texts[:50]}).encode()
    while not load.ended.wait(0.02):
        at = rng.choice((0, 1, len(body) // 2, len(body)))
        _raw(server, body[:at], len(body)).close()
        load.nuisances["clients that left"] += 1


def garbage(server: Server, load: Load, seed: int) -> None:
    """Send what is not HTTP, or not JSON."""
    rng = random.Random(seed)
    while not load.ended.wait(0.02):
        data = rng.randbytes(rng.randrange(1, 3000))
        try:
            if rng.random() < 0.5:
                with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
                    connection.sendall(data)
                    connection.settimeout(0.2)
                    connection.recv(1000)
            else:
                with _raw(server, data) as connection:
                    status = connection.recv(12)
                if not status.startswith(b"HTTP/1.1 400"):
                    load.problem(f"garbage was answered with {status!r}")
        except (TimeoutError, ConnectionError):
            pass  # it hung up, as it may
        load.nuisances["times garbage"] += 1


def reloader(server: Server, load: Load, folder: Path) -> None:
    """Swap the model every second for the other one."""
    turn = 0
    while not load.ended.wait(1):
        turn += 1
        shutil.copy(folder / f"{turn % 2}.gguf", folder / "new.gguf")
        os.replace(folder / "new.gguf", folder / "model.gguf")
        answer = server.post("/admin/reload", {}, **KEY)
        if answer.status != 200:
            load.problem(f"reload: {answer}")
        load.nuisances["reloads"] += 1
        load.resident.append(_resident(server.process.pid))


def _resident(pid: int) -> int:
    """Return the bytes of memory that are a process's own."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    return int(fields["RssAnon"].split()[0]) * 1024


# ------------------------------------------------------------------------------------------------------ a run


def run(folder: Path, seconds: float, n_clients: int, *options: object) -> Load:
    """Load a server for some seconds."""
    load = prepare()
    shutil.copy(folder / "0.gguf", folder / "model.gguf")
    with running(f"m={folder / 'model.gguf'}", "--api-key", "k", *options) as server:
        kinds: list[Callable[[Server, Load, int], None]] = [slow_reader, leaver, garbage]
        threads = [threading.Thread(target=kind, args=(server, load, 7)) for kind in kinds]
        threads += [threading.Thread(target=client, args=(server, load, seed)) for seed in range(n_clients)]
        threads.append(threading.Thread(target=reloader, args=(server, load, folder)))
        for thread in threads:
            thread.start()
        load.ended.wait(seconds)
        load.ended.set()
        for thread in threads:
            thread.join()
        load.problems += [str(one) for one in server.records() if one["event"] == "fault"]
        _judge_memory(load)
    return load


def _judge_memory(load: Load) -> None:
    half = len(load.resident) // 2
    if half < 5:
        return
    before, after = max(load.resident[:half]), max(load.resident[half:])
    if after - before > _MOST_GROWTH:
        load.problems.append(f"memory grew from {before >> 20} to {after >> 20} MiB")


def report(name: str, load: Load) -> str:
    """Return the figures as a line."""
    p50, p99 = 1e3 * np.percentile(load.seconds, (50, 99))
    memory = [one >> 20 for one in load.resident] or [0]
    counts = ", ".join(f"{n} {what}" for what, n in load.nuisances.items())
    return (
        f"{name}: {len(load.seconds)} requests, {sum(load.versions.values())} right "
        f"(of the two models {load.versions[0]} and {load.versions[1]}), p50 {p50:.1f} ms, "
        f"p99 {p99:.1f} ms; {counts}; memory {memory[len(memory) // 2]} MiB half-way, {memory[-1]} at the end"
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.load_http", description="Load pyembed serve.")
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two runs; default: 60")
    parser.add_argument("--clients", type=int, default=64, help="default: 64")
    arguments = parser.parse_args()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(pyembed.demo_model(), folder / "0.gguf")
        negated(folder / "0.gguf", folder / "1.gguf")
        for what, options in (("with batching", ()), ("without", ("--max-batch-requests", "1"))):
            load = run(folder, arguments.seconds, arguments.clients, *options)
            print(report(what, load), flush=True)
            problems += load.problems
    print("\n".join(problems) if problems else "nothing was lost, nothing was wrong")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
