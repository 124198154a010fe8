"""Clients that exist: OpenAI's own, what LangChain sends, curl."""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tools.servers import Server, running

TEXTS = ["read the file", "a string of bytes", "read the file"]


def from_base64(text: str) -> np.ndarray:  # type: ignore[type-arg]
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")


def test_openai(server: Server, word_model: Path) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        assert [model.id for model in client.models.list()] == ["demo", "words", "rows", "asked"]
        assert client.models.retrieve("words").owned_by == "pyembed"
        with pyembed.load_encoder(pyembed.demo_model()) as encoder:
            wanted = encoder.encode(TEXTS)
            n_tokens = encoder.tokenize(TEXTS)[0].size
        found = client.embeddings.create(model="demo", input=TEXTS)
        np.testing.assert_array_equal(np.array([one.embedding for one in found.data], np.float32), wanted)
        assert [one.index for one in found.data] == [0, 1, 2]
        assert found.model == "demo"
        assert (found.usage.prompt_tokens, found.usage.total_tokens) == (n_tokens, n_tokens)
        as_floats = client.embeddings.create(
            model="demo", input=TEXTS[0], encoding_format="float", dimensions=7
        )
        np.testing.assert_array_equal(np.array(as_floats.data[0].embedding, np.float32), wanted[0, :7])
        with pyembed.load_encoder(word_model) as encoder:
            short = client.embeddings.create(model="words", input="the cat, a dog", dimensions=5)
            wanted = encoder.encode("the cat, a dog", dim=5)
        np.testing.assert_array_equal(np.array(short.data[0].embedding, np.float32), wanted)


def test_errors_of_openai(server: Server) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError, match="no model 'gpt'") as caught:
            client.embeddings.create(model="gpt", input="a")
        assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
        with pytest.raises(openai.BadRequestError, match="is an empty text"):
            client.embeddings.create(model="demo", input=["a", ""])
        with pytest.raises(openai.BadRequestError, match="vectors of demo have 128"):
            client.embeddings.create(model="demo", input="a", dimensions=129)
        with pytest.raises(openai.UnprocessableEntityError, match="send token ids") as caught:
            client.embeddings.create(model="rows", input="a")
        assert caught.value.code == "no_tokenizer"
        assert "rows.npy" not in str(caught.value), "the path is nobody's business"
        with pytest.raises(openai.UnprocessableEntityError, match="at most 2048"):
            client.embeddings.create(model="rows", input=[[1]] * 2049)


def test_asynchronous_openai(server: Server) -> None:
    openai = pytest.importorskip("openai")
    import asyncio

    texts = [f"file {number} of a string" for number in range(40)]

    async def ask() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused") as client:
            found = await asyncio.gather(
                *(client.embeddings.create(model="demo", input=text) for text in texts)
            )
        return [one.data[0].embedding for one in found]

    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        np.testing.assert_array_equal(np.array(asyncio.run(ask()), np.float32), encoder.encode(texts))


def test_what_langchain_sends(server: Server) -> None:
    """It cuts texts itself, and sends arrays of ids with encoding_format base64."""
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        ids, offsets = encoder.tokenize(TEXTS)
        wanted = encoder.encode(TEXTS)
    arrays = [ids[begin:end].tolist() for begin, end in pairwise(offsets)]
    body = {"input": arrays, "model": "demo", "encoding_format": "base64"}
    answer = server.post(
        "/v1/embeddings", body, **{"X-Stainless-Lang": "python", "Authorization": "Bearer x"}
    )
    assert answer.status == 200
    found = np.array([from_base64(one["embedding"]) for one in answer.value["data"]])
    np.testing.assert_array_equal(found, wanted)
    assert answer.value["usage"]["prompt_tokens"] == ids.size


def test_the_guide(word_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and the program of docs/server.md, but for the port."""
    pytest.importorskip("openai")
    pytest.importorskip("uvicorn")
    guide = (Path(__file__).parents[2] / "docs" / "server.md").read_text("utf-8")
    (command,) = re.findall(r"^pyembed serve (.*) --port 8080$", guide, re.MULTILINE)
    (program,) = re.findall(r"^```python\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    shutil.copy(pyembed.demo_model(), "model.gguf")
    Path("models").mkdir()
    shutil.copytree(word_model, "models/potion-base-8M")
    with running(*command.split()) as started:
        assert program.count("http://127.0.0.1:8080/") == 1
        names: dict[str, Any] = {}
        lines = program.replace(":8080/", f":{started.port}/").strip().splitlines()
        exec("\n".join([*lines[:-1], f"vector = {lines[-1]}"]), names)
        names["client"].close()
    with pyembed.load_encoder(word_model) as encoder:
        np.testing.assert_array_equal(np.array(names["vector"], np.float32), encoder.encode("open the file"))


def test_curl(server: Server) -> None:
    if not shutil.which("curl"):
        pytest.skip("curl is not installed")
    command = ["curl", "-sS", f"{server.url}/v1/embeddings", "-H", "Content-Type: application/json"]
    body = '{"input": "read the file", "model": "demo"}'
    done = subprocess.run([*command, "-d", body], capture_output=True, check=True, timeout=60)
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        wanted = encoder.encode("read the file")
    found = json.loads(done.stdout)["data"][0]["embedding"]
    np.testing.assert_array_equal(np.array(found, np.float32), wanted)


def test_rows_without_tokens_serve_ids(server: Server, plain_rows: Path) -> None:
    answer = server.post("/v1/embeddings", {"input": [[1, 2], [5]], "model": "rows"})
    table = np.load(plain_rows)
    np.testing.assert_array_equal(
        np.array([one["embedding"] for one in answer.value["data"]], np.float32),
        np.array([(table[1] + table[2]) / np.float32(2), table[5]]),
    )
    damaged = server.post("/v1/embeddings", {"input": [[1], [2, 3]], "model": "rows"})
    assert damaged.status == 422
    assert "vector of input 1 is not finite" in damaged.value["error"]["message"]
    beyond = server.post("/v1/embeddings", {"input": [1, 10], "model": "rows"})
    assert beyond.status == 400
    assert "id 10 at position 1" in beyond.value["error"]["message"]
