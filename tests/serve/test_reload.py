"""Models that are opened anew under load, and servers that are asked to end."""

from __future__ import annotations

import json
import logging
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.deployed import put
from tests.helpers.model_files import rows_of_floats
from tools.servers import Server, running

KEY = {"Authorization": "Bearer k"}


@pytest.fixture(autouse=True)
def _packages() -> None:
    for package in ("uvicorn", "starlette", "tokenizers"):
        pytest.importorskip(package)


@pytest.fixture
def tables(tmp_path: Path) -> list[Path]:
    """Return two files whose rows differ by 1000."""
    paths = [tmp_path / "a.npy", tmp_path / "b.npy"]
    for number, path in enumerate(paths):
        np.save(path, rows_of_floats(64, 8).astype(np.float32) + 1000 * number)
    return paths


def test_no_request_is_lost_while_models_are_swapped(tables: list[Path], tmp_path: Path) -> None:
    path = tmp_path / "model.npy"
    shutil.copy(tables[0], path)
    rows = [np.load(table) for table in tables]
    found: list[int] = []
    problems: list[object] = []
    done = threading.Event()

    def client(server: Server, number: int) -> None:
        ids = [number, number + 8, number]
        wanted = [((one[ids[0]] + one[ids[1]]) + one[ids[2]]) / np.float32(3) for one in rows]
        while not done.is_set():
            answer = server.post("/v1/embeddings", {"input": [ids, [number]]}, **KEY)
            if answer.status != 200:
                problems.append(answer)
                return
            vectors = np.array([one["embedding"] for one in answer.value["data"]], np.float32)
            which = [
                number_of
                for number_of, one in enumerate(rows)
                if np.array_equal(vectors, np.array([wanted[number_of], one[number]]))
            ]
            if len(which) != 1:
                problems.append(vectors)
                return
            found.append(which[0])

    with running(f"m={path}", "--api-key", "k") as server:
        threads = [threading.Thread(target=client, args=(server, number)) for number in range(6)]
        for thread in threads:
            thread.start()
        for turn in range(16):
            put(tables[turn % 2].read_bytes(), path)
            answer = server.post("/admin/reload", {"model": "m"} if turn % 2 else {}, **KEY)
            assert answer.value == {
                "object": "list",
                "data": [{"object": "reload", "id": "m", "ok": True, "message": ""}],
            }
        done.set()
        for thread in threads:
            thread.join()
        assert problems == []
        assert set(found) == {0, 1}
        assert 'pyembed_reloads{model="m",result="ok"} 16' in server.get("/metrics", **KEY).value.decode()
        assert server.stop() == 128 + signal.SIGTERM


def test_what_is_not_what_it_should_be_is_refused(tmp_path: Path) -> None:
    path, lock = tmp_path / "m.gguf", tmp_path / "lock.json"
    shutil.copy(pyembed.demo_model(), path)
    with pyembed.load_model(path) as model:
        lock.write_text(json.dumps(pyembed.make_lock(model)))
    body = {"input": "read the file"}
    with running(f"m={path}", "--lock", lock, "--api-key", "k") as server:
        before = server.post("/v1/embeddings", body, **KEY).value
        for content, message in (
            (b"GGUF" + b"\0" * 100, "version"),
            (Path(pyembed.demo_model()).read_bytes()[:-5000], "file"),
            (_with_another_row(Path(pyembed.demo_model())), "not the model that was locked"),
        ):
            put(content, path)
            answer = server.post("/admin/reload", {}, **KEY)
            assert (answer.status, answer.value["error"]["code"]) == (409, "reload_refused")
            assert message in answer.value["error"]["message"]
            assert str(tmp_path) not in answer.value["error"]["message"]
            assert server.post("/v1/embeddings", body, **KEY).value == before
        put(Path(pyembed.demo_model()).read_bytes(), path)
        assert server.post("/admin/reload", {}, **KEY).status == 200
        assert server.post("/v1/embeddings", body, **KEY).value == before


@pytest.mark.posix  # Windows has no signal for it
def test_a_signal_opens_models_anew(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    whole = Path(pyembed.demo_model()).read_bytes()
    path.write_bytes(whole)
    with running(f"m={path}") as server:
        put(whole[:-5000], path)
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("reload refused")["model"] == "m"
        put(whole, path)
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("reloaded")
        assert server.post("/v1/embeddings", {"input": "read the file"}).status == 200


def _with_another_row(path: Path) -> bytes:
    with pyembed.load_model(path) as model:
        at = model.tensors[model.table.name].offset
    data = bytearray(path.read_bytes())
    data[at + 2] ^= 1
    return bytes(data)


def test_requests_that_have_begun_are_answered_before_it_ends(tables: list[Path]) -> None:
    with running(f"m={tables[0]}") as server:
        answers: list[int] = []
        body = {"input": [[number % 64] * 2000 for number in range(100)], "encoding_format": "base64"}
        threads = [
            threading.Thread(target=lambda: answers.append(server.post("/v1/embeddings", body).status))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        while b"pyembed_active_requests 0\n" in server.get("/metrics").value:
            assert any(thread.is_alive() for thread in threads)
        assert server.stop() == 128 + signal.SIGTERM
        for thread in threads:
            thread.join()
        assert answers.count(200) >= 1
        assert not [record for record in server.records() if record["event"] == "fault"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["demo", "demo"], "two models are called 'demo'"),
        (["no-such-file.gguf"], "error: no-such-file.gguf: "),
        (["a=no-such-file.gguf"], "error: no-such-file.gguf: "),
        (["demo", "--lock", "x=lock.json"], "there is no model 'x'"),
        (["demo", "--max-batch-tokens", "0"], "max_batch_tokens is 0"),
        (["demo", "--host", "203.0.113.7"], "cannot listen on 203.0.113.7"),
        (["demo", "--api-key", ""], "the API key is empty"),
        (["demo", "--port", "65536"], "the port is 65536"),
    ],
)
def test_calls_that_are_wrong(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    from pyembed.cli import main

    logger = logging.getLogger("pyembed")
    before = (logger.handlers[:], logger.propagate, logger.level)
    assert main(["serve", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert (logger.handlers, logger.propagate, logger.level) == before


def test_models_are_named_by_their_files(word_model: Path, tables: list[Path]) -> None:
    from pyembed.cli.serve import given_models

    given = given_models([str(word_model), str(tables[0]), "demo", "x=demo"], ["x=lock.json", "first.json"])
    assert [(one.name, one.lock) for one in given] == [
        (word_model.name, "first.json"),
        ("a", None),
        ("demo", None),
        ("x", "lock.json"),
    ]
