"""What an encoder takes and returns: texts and ids, dtypes, streams, threads, progress, bad arguments."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.encoders.choice import differing_texts
from pyembed.encoders.engines import Cuts
from tests.helpers.encoders import (
    DTYPES,
    TEXTS,
    difference,
    rows,
    save_model2vec,
    word_tokenizer,
)

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("no_cache")

VOCABULARY = word_tokenizer()
N = VOCABULARY.get_vocab_size(with_added_tokens=True)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pyembed.Encoder]:
    folder = tmp_path_factory.mktemp("encoder")
    save_model2vec(folder, rows("float16", N), VOCABULARY, {"normalize": True})
    with pyembed.load_encoder(folder, cache=False) as opened:
        yield opened


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "options", [{}, {"normalize": False}, {"dim": 7}, {"dtype": "float16"}, {"threads": 1}], ids=str
)
def test_texts_that_are_cut_already(tmp_path: Path, dtype: str, options: dict[str, Any]) -> None:
    weights = np.linspace(0.1, 2, N).astype(np.float32)
    save_model2vec(tmp_path, rows(dtype, N), VOCABULARY, {"normalize": True, "max_length": 9}, weights)
    with pyembed.load_encoder(tmp_path, cache=False) as opened:
        ids, offsets = opened.tokenize(TEXTS)
        wanted = opened.encode(TEXTS, **options)
        assert difference(opened.pool(ids, offsets, **options), wanted) == 0
        assert difference(opened.pool(ids.tolist(), offsets.tolist(), **options), wanted) == 0
        assert opened.pool([], [0], **options).shape == (0, wanted.shape[1])
        unknown = opened.pool([1, 1], [0, 2], **options)  # which `encode` leaves out
        assert np.abs(unknown).max() > 0


@pytest.mark.parametrize(
    ("ids", "offsets", "kind", "message"),
    [
        ([3, N], [0, 2], IndexError, f"id {N} at position 1"),
        ([-1], [0, 1], IndexError, "id -1 at position 0"),
        ([1.5], [0, 1], TypeError, "integers"),
        ([1], [0, 1.0], TypeError, "offset"),
        ([1, 2], [0, 1], ValueError, "end with 2"),
        ([1, 2], [1, 2], ValueError, "begin with 0"),
        ([1, 2], [0, 2, 1, 2], ValueError, "never fall"),
        ([1, 2], [], ValueError, "begin with 0"),
        ([1, 2], [0, 10**30, 2], ValueError, "never fall"),
    ],
)
def test_ids_that_make_no_texts(
    encoder: pyembed.Encoder, ids: list[Any], offsets: list[Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        encoder.pool(ids, offsets)


def test_one_text_and_none(encoder: pyembed.Encoder) -> None:
    assert encoder.encode("the cat").shape == (96,)
    np.testing.assert_array_equal(encoder.encode("the cat"), encoder.encode(["the cat"])[0])
    assert encoder.encode([]).shape == (0, 96)
    assert encoder.encode([]).dtype == np.float16
    assert not encoder.encode("").any()


def test_dtypes(encoder: pyembed.Encoder) -> None:
    wide = encoder.encode(TEXTS, dtype="float32")
    assert wide.dtype == np.float32
    assert encoder.encode(TEXTS, dtype="float16").tobytes() == wide.astype(np.float16).tobytes()
    assert encoder.encode(TEXTS, dtype="bfloat16").dtype == np.uint16
    np.testing.assert_allclose(np.linalg.norm(wide[np.abs(wide).max(axis=1) > 0], axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_change_nothing(encoder: pyembed.Encoder, threads: int) -> None:
    texts = TEXTS * 40
    np.testing.assert_array_equal(encoder.encode(texts, threads=threads), encoder.encode(texts))


def test_streams(encoder: pyembed.Encoder) -> None:
    texts = TEXTS * 1000
    taken = 0

    def feed() -> Iterator[str]:
        nonlocal taken
        for text in texts:
            taken += 1
            yield text

    parts = encoder.stream(feed())
    first = next(parts)
    assert taken < len(texts)
    np.testing.assert_array_equal(np.concatenate([first, *parts]), encoder.encode(texts))
    np.testing.assert_array_equal(encoder.encode(feed()), encoder.encode(texts))


def test_memory_does_not_grow_with_a_stream(encoder: pyembed.Encoder) -> None:
    def peak(n: int) -> int:
        texts = (f"the cat {number} dog house" for number in range(n))
        tracemalloc.start()
        for part in encoder.stream(texts, threads=1):
            assert len(part)
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(2000)
    assert peak(40_000) < 1.3 * peak(10_000)


def test_progress(encoder: pyembed.Encoder) -> None:
    seen: list[float] = []
    encoder.encode(TEXTS * 200, progress=lambda what, share: seen.append(share))
    assert seen == sorted(seen)
    assert seen[-1] == 1
    with pytest.raises(pyembed.LoadCancelledError):
        encoder.encode(iter(TEXTS), progress=lambda what, share: False)


@pytest.mark.parametrize(
    ("texts", "options", "error", "message"),
    [
        ([b"x"], {}, TypeError, "text 0 is of type bytes"),
        (5, {}, TypeError, "a text is a str"),
        (["a", "\ud800"], {}, ValueError, "surrogate"),
        (["a"], {"max_length": -1}, ValueError, "max_length is -1"),
        (["a"], {"max_length": "mine"}, ValueError, "max_length is 'mine'"),
        (["a"], {"truncation_direction": "Left"}, ValueError, "truncation_direction is 'Left'"),
        (["a"], {"prompt_name": "query"}, ValueError, "has no prompts"),
        (["a"], {"prompt_name": 5}, TypeError, "prompt_name is of type int"),
        (["a"], {"dim": 97}, ValueError, "dim is 97; expected 1 to 96"),
        (["a"], {"dim": 0}, ValueError, "dim is 0"),
        (["a"], {"dtype": "int8"}, ValueError, "int8"),
        (["a"], {"threads": 0}, ValueError, "threads is 0"),
    ],
)
def test_bad_arguments(
    encoder: pyembed.Encoder, texts: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        encoder.encode(texts, **options)


def test_pickles_and_closing(tmp_path: Path) -> None:
    save_model2vec(tmp_path, rows("float32", N), VOCABULARY, {"normalize": True})
    encoder = pyembed.load_encoder(tmp_path)
    data = pickle.dumps(encoder)
    with pickle.loads(data) as again:
        assert again.encode(TEXTS).tobytes() == encoder.encode(TEXTS).tobytes()
    encoder.close()
    encoder.close()
    assert encoder.closed
    for use in (lambda: encoder.encode("a"), lambda: pickle.dumps(encoder)):
        with pytest.raises(pyembed.ClosedError):
            use()
    save_model2vec(tmp_path, rows("float32", N, seed=5), VOCABULARY, {"normalize": True})
    with pytest.raises(pyembed.FormatError, match="not the encoder that was pickled"):
        pickle.loads(data)


def test_cuts_are_compared_text_by_text() -> None:
    right = Cuts(np.array([1, 2, 3, 4, 5]), np.array([2, 0, 3]))
    assert differing_texts(right, right).size == 0
    assert differing_texts(right, Cuts(np.array([1, 2, 3, 9, 5]), right.lengths)).tolist() == [2]
    moved = Cuts(np.array([1, 2, 3, 4, 5]), np.array([1, 1, 3]))
    assert differing_texts(right, moved).tolist() == [0, 1]
    assert differing_texts(right, Cuts(np.array([1]), np.array([1]))).tolist() == [0, 1, 2]
