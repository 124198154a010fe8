"""The routes of text-embeddings-inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyembed
from tests.helpers.encoders import TEXTS as ODD_TEXTS
from tools.servers import Server

TEXTS = ["read the file", "a string of bytes"]


@pytest.mark.parametrize("normalize", [True, False])
def test_embed(server: Server, normalize: bool) -> None:
    answer = server.post("/embed", {"inputs": TEXTS, "normalize": normalize})
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        np.testing.assert_array_equal(
            np.array(answer.value, np.float32), encoder.encode(TEXTS, normalize=normalize)
        )
        assert answer.headers["x-compute-tokens"] == str(encoder.tokenize(TEXTS)[0].size)
    one = server.post("/embed", {"inputs": TEXTS[0], "normalize": normalize, "dimensions": 3})
    assert np.shape(one.value) == (1, 3)
    if normalize:
        assert np.linalg.norm(one.value[0]) == pytest.approx(1)


def test_limits_of_the_model(server: Server, word_model: Path) -> None:
    long = "the " * 41
    with pyembed.load_encoder(word_model) as encoder:
        wanted = encoder.encode([long])
    answer = server.post("/embed", {"inputs": long, "model": "words"})
    np.testing.assert_array_equal(np.array(answer.value, np.float32), wanted)
    answer = server.post("/embed", {"inputs": long, "model": "words", "truncate": False})
    assert (answer.status, answer.value["error_type"]) == (422, "Validation")
    assert "41 tokens; the model takes 40" in answer.value["error"]
    assert server.post("/embed", {"inputs": long[:160], "model": "words", "truncate": False}).status == 200


def test_prompts_and_the_end_that_is_cut_off(server: Server, asked_model: Path) -> None:
    texts = ["the cat", "dog " * 12 + "house"]
    with pyembed.load_encoder(asked_model) as encoder:
        for name, direction in ((None, None), ("query", "Left"), ("passage", "right"), ("query", None)):
            given = {"inputs": texts, "normalize": False, "model": "asked"}
            answer = server.post("/embed", {**given, "prompt_name": name, "truncation_direction": direction})
            wanted = encoder.encode(
                texts, prompt_name=name, truncation_direction=direction and direction.lower()
            )
            np.testing.assert_array_equal(np.array(answer.value, np.float32), wanted)
        answer = server.post("/v1/embeddings", {"input": texts, "model": "asked"})
        found = np.array([one["embedding"] for one in answer.value["data"]], np.float32)
        np.testing.assert_array_equal(found, encoder.encode(texts, prompt_name="passage"))
        pair = {"source_sentence": texts[0], "sentences": texts}
        how = {"prompt_name": "query", "truncation_direction": "Left"}
        answer = server.post("/similarity", {"inputs": pair, "parameters": how, "model": "asked"})
        vectors = encoder.encode(texts, prompt_name="query", truncation_direction="left", normalize=True)
        np.testing.assert_allclose(answer.value, vectors.astype(np.float64) @ vectors[0], atol=1e-6)
    body = {"inputs": "cat", "model": "asked", "add_special_tokens": False}
    tokens = [server.post("/tokenize", {**body, "prompt_name": name}).value[0] for name in (None, "query")]
    assert [[token["text"] for token in found] for found in tokens] == [["cat"], ["dog", "cat"]]
    answer = server.post("/embed", {**body, "inputs": texts, "truncate": False})
    assert "14 tokens; the model takes 6" in answer.value["error"]


def test_texts_of_all_kinds(server: Server, word_model: Path) -> None:
    texts = [text for text in ODD_TEXTS if text]
    answer = server.post("/v1/embeddings", {"input": texts, "model": "words"})
    with pyembed.load_encoder(word_model) as encoder:
        wanted = encoder.encode(texts)
    found = np.array([one["embedding"] for one in answer.value["data"]], np.float32)
    np.testing.assert_array_equal(found, wanted)


def test_similarity(server: Server) -> None:
    pair = {"source_sentence": TEXTS[0], "sentences": [*TEXTS, "open"]}
    answer = server.post("/similarity", {"inputs": pair, "parameters": {"truncate": True}})
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        vectors = encoder.encode([*TEXTS, "open"], normalize=True).astype(np.float64)
    np.testing.assert_allclose(answer.value, vectors @ vectors[0], atol=1e-6)


def test_tokenize_and_decode(server: Server) -> None:
    text = "the café, ünknown"
    (tokens,) = server.post("/tokenize", {"inputs": text, "add_special_tokens": False}).value
    with pyembed.load_model(pyembed.demo_model()) as model:
        pieces = model.vocabulary.pieces(text)
        assert [token["id"] for token in tokens] == [piece.id for piece in pieces]
        data = text.encode()
        for token, piece in zip(tokens, pieces, strict=True):
            assert token["text"] == text[piece.start : piece.end]
            assert data[token["start"] : token["stop"]].decode() == token["text"]
        ids = [token["id"] for token in tokens]
        assert server.post("/decode", {"ids": ids}).value == [model.detokenize(ids)]
        assert server.post("/decode", {"ids": [ids, ids[:1]]}).value == [
            model.detokenize(ids),
            model.detokenize(ids[:1]),
        ]
        special = model.tokenize("the", add_special=True)
    (tokens,) = server.post("/tokenize", {"inputs": "the"}).value
    assert [token["id"] for token in tokens] == special.tolist()
    added = [token for token in tokens if token["special"]]
    assert len(added) == len(special) - 1
    assert all(token["start"] is None and token["stop"] is None for token in added)


def test_tokens_of_a_folder(server: Server) -> None:
    found = server.post("/tokenize", {"inputs": ["The über-cat", "dog"], "model": "words"}).value
    assert [token["text"] for token in found[0]][:2] == ["The", "über"]
    assert found[0][1] == {"id": found[0][1]["id"], "text": "über", "special": False, "start": 4, "stop": 9}
    ids = [token["id"] for token in found[1]]
    assert server.post("/decode", {"ids": ids, "model": "words"}).value == ["dog"]
    answer = server.post("/decode", {"ids": [10**6], "model": "words"})
    assert (answer.status, answer.value["error_type"]) == (422, "Validation")
    answer = server.post("/tokenize", {"inputs": "a", "model": "rows"})
    assert (answer.status, answer.value["error_type"]) == (422, "Tokenizer")


def test_facts(server: Server) -> None:
    info = server.get("/info").value
    assert (info["model_id"], info["model_dtype"], info["max_client_batch_size"]) == ("demo", "Q8_0", 2048)
    health = server.get("/health")
    assert (health.status, health.value) == (200, b"")


def test_metrics(server: Server) -> None:
    prometheus = pytest.importorskip("prometheus_client.parser")

    def figures() -> dict[str, float]:
        text = server.get("/metrics").value.decode()
        return {
            sample.name.removesuffix("_total") + "".join(sorted(sample.labels.values())): sample.value
            for family in prometheus.text_string_to_metric_families(text)
            for sample in family.samples
        }

    before = figures()
    server.post("/embed", {"inputs": TEXTS})
    server.post("/embed", {"inputs": "one"})
    server.post("/embed", {"inputs": ["one", ""]})
    after = figures()
    grown = {name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name, 0)}
    assert grown["te_embed_success"] == 3
    assert (grown["te_request_successbatch"], grown["te_request_successsingle"]) == (1, 1)
    assert grown["te_request_failureempty"] == 1
    assert grown["te_request_duration_count"] == 2
    assert grown["te_request_input_length_bucket+Inf"] == 2
    assert after["te_queue_size"] == 0


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/embed", {}, 422, "inputs is missing"),
        ("/embed", {"inputs": []}, 400, "inputs is empty"),
        ("/embed", {"inputs": 7}, 422, "inputs must be"),
        ("/embed", {"inputs": "a", "dimensions": 0}, 422, "dimensions is 0"),
        ("/embed", {"inputs": "a", "normalize": "yes"}, 422, "true or false"),
        (
            "/embed",
            {"inputs": "a", "prompt_name": "query"},
            422,
            "'demo' has none: put the prompt into the text",
        ),
        ("/tokenize", {"inputs": "a", "prompt_name": "query"}, 422, "there is no prompt 'query'"),
        ("/embed", {"inputs": "a", "prompt_name": "qu", "model": "asked"}, 422, "has 'query', 'passage'"),
        (
            "/embed",
            {"inputs": [1], "prompt_name": "query", "model": "asked"},
            422,
            "prompt_name is for texts",
        ),
        ("/embed", {"inputs": "a", "prompt_name": 7}, 422, "prompt_name must be a text"),
        ("/embed", {"inputs": "a", "truncation_direction": "Up"}, 422, "expected one of"),
        ("/embed", {"inputs": ["a", 1]}, 422, "text 1 is of type int"),
        ("/embed", {"inputs": [[1], "a"]}, 422, "is not an array"),
        ("/embed", {"inputs": [1, True]}, 422, "expected a token id"),
        ("/embed", {"inputs": [10**30]}, 422, "no token has"),
        ("/embed", {"inputs": [-1]}, 422, "id -1 at position 0"),
        ("/similarity", {"inputs": {"source_sentence": "a"}}, 422, "sentences"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": "b"}}, 422, "sentences"),
        ("/decode", {"ids": "a"}, 422, "ids must be"),
        ("/decode", {"ids": [99999]}, 422, "id 99999"),
    ],
)
def test_refusals(server: Server, path: str, body: object, status: int, message: str) -> None:
    answer = server.post(path, body)
    assert answer.status == status
    assert set(answer.value) == {"error", "error_type"}
    assert message in answer.value["error"]
