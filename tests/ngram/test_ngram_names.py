"""Names of hashed rows: published examples, an oracle, and streams that are cut anywhere."""

from __future__ import annotations

import json
import os
import pickle
import threading
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyembed
from pyembed.ngram import Constants, Ngram, Scheme
from pyembed.ngram.derived import engram_moduli, engram_multipliers, is_prime, ple_moduli, ple_multipliers
from tests.helpers.ngram_constants import (
    COMPRESSED,
    ENGRAM_MODULI,
    ENGRAM_MULTIPLIERS,
    ENGRAM_ROWS,
    PLE_EOS,
    PLE_MODULI,
    PLE_MULTIPLIERS,
    PLE_OFFSETS,
    PLE_VOCAB,
    engram_constants,
    expected,
    numbers,
    ple_constants,
    small,
)

SCHEMES = ["ple", "engram", "longcat"]
IMAGE = COMPRESSED  # the dead one among mapped ids


@pytest.fixture(scope="module")
def vectors() -> dict[str, Any]:
    """Return the file of vectors that lies beside the test data of whoever has them."""
    folder = os.environ.get("PYEMBED_TEST_DATA")
    path = Path(folder).parent / "facts" / "ngram_vectors.json" if folder else None
    if path is None or not path.is_file():
        pytest.skip("no ngram_vectors.json lies in a folder facts beside PYEMBED_TEST_DATA")
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


# ------------------------------------------------------------------------------- published examples


def test_the_published_example_of_ple() -> None:
    names = Ngram(ple_constants()).rows([100, 5, 7])
    assert names[2].tolist() == [
        *(12441580, 26378836, 53347667, 75104214, 99467174, 114254887, 126436461, 156012011),
        *(176235810, 186630072, 218757350, 233409503, 258607903, 263806258, 285539226, 314203612),
    ]


def test_the_published_example_of_engram() -> None:
    names = Ngram(engram_constants()).rows([0, 3, 15], layer=1)
    assert names[2].tolist() == [
        *(10394440, 25597646, 41525500, 56949077, 72088738, 87803199, 103660714, 117890322),
        *(133679554, 149048834, 164909235, 179450177, 194623690, 210212541, 225598121, 241122337),
        *(264857356, 275121728, 291772318, 316098564, 326982803, 351309675, 366718203, 378263177),
    ]


def test_the_published_example_of_longcat() -> None:
    constants = Constants(
        Scheme.LONGCAT, "x", (0,), 4, 4, 131072, numbers([[78 * 131072 + 2 * i + 1 for i in range(12)]])
    )
    names = Ngram(constants).rows([11, 22])
    assert names[0].tolist() == [11] * 12
    assert names[1, 0] == (22 + 11 * 131072) % (78 * 131072 + 1)


def test_published_constants_are_derived() -> None:
    assert ple_multipliers(1234, 0, 3, PLE_VOCAB) == PLE_MULTIPLIERS
    assert ple_moduli(20_000_000, 16, 1) == PLE_MODULI
    assert ple_constants().running_sums[0].tolist() == PLE_OFFSETS
    assert ple_constants(offsets=None).digest == ple_constants().digest
    assert engram_moduli(16_000_000, 4, 8, 2) == [*ENGRAM_MODULI[0], *ENGRAM_MODULI[1]]
    assert engram_constants().n_used_rows == ENGRAM_ROWS
    for layer, multipliers in zip((1, 14), ENGRAM_MULTIPLIERS, strict=True):
        drawn = np.random.default_rng(10007 * layer).integers(0, (2**63 - 1) // COMPRESSED // 2, 4)
        assert (drawn * 2 + 1).tolist() == multipliers == engram_multipliers(layer, 4, COMPRESSED)
    assert engram_multipliers(1, 3, 98627) == [76993395940407, 4862694818241, 36129212583461]  # of the paper


def test_all_vectors_of_ple(vectors: dict[str, Any]) -> None:
    ple = vectors["qwen4_ple"]
    ngram = Ngram(ple_constants())
    assert ple["multipliers"] == PLE_MULTIPLIERS
    assert (ple["head_sizes"], ple["head_offsets"]) == (PLE_MODULI, PLE_OFFSETS)
    assert ngram.rows(ple["worked"]["newest_first"][::-1])[-1].tolist() == ple["worked"]["rows"]
    for case in ple["cases"]:
        history = ngram.history()
        history.advance(case["history_oldest_first"])
        assert ngram.rows(case["ids"], history=history).tolist() == case["rows"], case["name"]
    second = ple["second_ple_layer"]
    assert ple_multipliers(1234, 1, 3, PLE_VOCAB) == second["multipliers"]
    assert ple_moduli(20_000_000, 16, 2)[16:] == second["head_sizes"]
    other = Ngram(
        ple_constants(
            moduli=numbers([second["head_sizes"]]), multipliers=numbers([second["multipliers"]]), offsets=None
        )
    )
    assert other.rows([5, 7, PLE_EOS, 9]).tolist() == second["rows"]


def test_the_small_configuration_of_the_vectors(vectors: dict[str, Any]) -> None:
    small_config = vectors["qwen4_ple"]["small_config"]
    config = small_config["config"]
    size, heads = config["ngram_size"], config["heads_per_ngram"]
    moduli = ple_moduli(config["ngram_vocab_size_base"], (size - 1) * heads, 1)
    multipliers = ple_multipliers(config["seed"], 0, size, config["vocab_size"])
    assert (moduli, multipliers) == (small_config["head_sizes"], small_config["multipliers"])
    constants = Constants(
        Scheme.PLE,
        "x",
        (0,),
        size,
        heads,
        config["vocab_size"],
        numbers([moduli]),
        numbers([multipliers]),
        stand_in=config["eos"],
    )
    assert Ngram(constants).rows(small_config["ids"]).tolist() == small_config["rows"]


def test_all_vectors_of_engram(vectors: dict[str, Any]) -> None:
    engram = vectors["engram_v41"]
    assert engram["multipliers"] == ENGRAM_MULTIPLIERS
    assert engram["primes"] == ENGRAM_MODULI
    assert engram["offsets"] == engram_constants().running_sums.tolist()
    ngram = Ngram(engram_constants())
    for case in engram["cases"]:
        alive = [IMAGE if mapped == -1 else mapped for mapped in case["compressed"]]
        history = ngram.history()
        history.advance([IMAGE if mapped == -1 else mapped for mapped in case["history_oldest_first"]])
        names = [ngram.rows(alive, history=history, layer=layer) for layer in ngram.layers]
        assert np.stack(names, axis=1).tolist() == case["rows"], case["name"]


def test_the_vectors_of_the_paper_and_of_longcat(vectors: dict[str, Any]) -> None:
    paper = vectors["engram_paper_demo"]
    n_hashed = paper["compressed_vocab"]
    constants = engram_constants(
        layers=tuple(paper["layer_ids"]),
        max_size=3,
        moduli=numbers(paper["primes"]),
        multipliers=numbers(paper["multipliers"]),
        stand_in=paper["pad_compressed"],
        n_compressed=n_hashed,
        n_vocab=n_hashed,
        token_map=np.arange(n_hashed, dtype=np.uint32),
    )
    ngram = Ngram(constants)
    names = [ngram.rows(paper["compressed"], layer=layer) for layer in ngram.layers]
    assert np.stack(names, axis=1).tolist() == paper["rows"]
    longcat = vectors["longcat"]
    config = longcat["config"]
    size, heads, n_vocab = config["neighbor_num"], config["split_num"], config["vocab_size"]
    moduli = [config["ratio"] * n_vocab + 2 * i + 1 for i in range((size - 1) * heads)]
    ngram = Ngram(Constants(Scheme.LONGCAT, "x", (0,), size, heads, n_vocab, numbers([moduli])))
    want = [[row for _, row in token] for token in longcat["rows"]]
    assert ngram.rows(longcat["ids"]).tolist() == want


# -------------------------------------------------------------------------------------- properties


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), stream=st.lists(st.integers(0, 11), max_size=24))
def test_names_are_those_of_the_formulas(scheme: str, seed: int, stream: list[int]) -> None:
    constants = small(scheme, np.random.default_rng(seed))
    ngram = Ngram(constants)
    assert ngram.rows(stream).tolist() == expected(constants, stream)
    assert ngram.rows(stream).shape == (len(stream), constants.n_columns)


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_streams_cut_anywhere_with_rewinds_and_forks(scheme: str, data: st.DataObject) -> None:
    """A server's life: chunks, drafts that are accepted in part, forks that go their own ways."""
    constants = small(scheme, np.random.default_rng(data.draw(st.integers(0, 2**32))))
    ngram = Ngram(constants)
    max_rewind = data.draw(st.integers(0, 6))
    lives = [(ngram.history(max_rewind), [])]
    chunk = st.lists(st.integers(0, constants.n_vocab - 1), max_size=7)
    for _ in range(data.draw(st.integers(1, 8))):
        which = data.draw(st.integers(0, len(lives) - 1))
        history, stream = lives[which]
        new = data.draw(chunk)
        names = ngram.rows(new, history=history)
        assert names.tolist() == expected(constants, [*stream, *new])[len(stream) :]
        n_accepted = data.draw(st.integers(0, len(new)))
        history.advance(new[:n_accepted])
        stream += new[:n_accepted]
        back = data.draw(st.integers(0, min(max_rewind, n_accepted)))
        history.rewind(back)
        del stream[len(stream) - back :]
        assert history.n_tokens == len(stream)
        if data.draw(st.booleans()) and len(lives) < 4:
            copied = data.draw(st.booleans())
            lives.append((history.copy() if copied else pickle.loads(pickle.dumps(history)), list(stream)))
    chunks = [data.draw(chunk) for _ in lives]
    offsets = np.cumsum([0, *map(len, chunks)])
    together = ngram.rows([*chain(*chunks)], offsets, [history for history, _ in lives])
    for (_, stream), new, start in zip(lives, chunks, offsets, strict=False):
        assert together[start : start + len(new)].tolist() == expected(constants, stream + new)[len(stream) :]


def test_rewinding_as_far_as_was_promised_and_no_further() -> None:
    ngram = Ngram(ple_constants())
    history = ngram.history(max_rewind=3)
    with pytest.raises(ValueError, match="cannot rewind by 1"):
        history.rewind(1)
    history.advance([1, 2])
    with pytest.raises(ValueError, match="cannot rewind by 3"):
        history.rewind(3)
    history.advance(range(3, 10))
    with pytest.raises(ValueError, match=r"3 of 9 tokens can be taken back, with max_rewind=3"):
        history.rewind(4)
    assert history.window == (8, 9)
    history.rewind(2)
    history.rewind(1)
    assert history.window == (5, 6)
    assert history.n_tokens == 6
    with pytest.raises(ValueError, match="cannot rewind by 1"):
        history.rewind(1)
    history.advance([7])
    history.rewind(1)
    assert history.window == (5, 6)
    for wrong in (-1, True):
        with pytest.raises((ValueError, TypeError)):
            history.rewind(wrong)


def test_a_history_is_left_as_it_is_and_copies_are_their_own() -> None:
    ngram = Ngram(ple_constants())
    history = ngram.history()
    history.advance([5, 7])
    before = history.window
    ngram.rows([9, 11], history=history)
    assert history.window == before
    fork = history.copy()
    fork.advance([1])
    assert (history.window, fork.window) == ((5, 7), (7, 1))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_ids_of_every_type(dtype: str) -> None:
    ngram = Ngram(ple_constants())
    ids = np.array([5, 7, 99, 100])
    assert (ngram.rows(ids.astype(dtype)) == ngram.rows([5, 7, 99, 100])).all()
    assert (ngram.rows(ids.astype(dtype).astype(">i8")) == ngram.rows(ids)).all()


def test_many_tokens_by_many_threads() -> None:
    """As many as are shared out in portions: borders of portions lie inside sequences, and between them."""
    ngram = Ngram(engram_constants())
    rng = np.random.default_rng(3)
    ids = rng.integers(0, COMPRESSED + 1, 60_000, dtype=np.int32)
    ids[rng.integers(0, ids.size, 3000)] = IMAGE
    offsets = np.sort(np.concatenate([[0, 0, ids.size, ids.size], rng.integers(0, ids.size, 500)]))
    for layer in ngram.layers:
        names = ngram.rows(ids, offsets, layer=layer, threads=4)
        assert (names == ngram.rows(ids, offsets, layer=layer, threads=1)).all()
        parts = [ngram.rows(ids[a:b], layer=layer) for a, b in pairwise(offsets)]
        assert (names == np.concatenate(parts)).all()
        ends = np.cumsum(engram_constants().moduli[ngram.layers.index(layer)])
        assert (names < ends.astype(np.int64)).all()
        assert (names[:, 1:] >= ends[:-1].astype(np.int64)).all()


def test_several_threads_share_one() -> None:
    ngram = Ngram(ple_constants())
    ids = np.random.default_rng(1).integers(0, PLE_VOCAB, 20_000)
    want = ngram.rows(ids, threads=1)
    wrong = []

    def work() -> None:
        wrong.extend(1 for _ in range(5) if not (ngram.rows(ids, threads=2) == want).all())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ------------------------------------------------------------------------------------------ errors


def test_ids_that_are_no_tokens() -> None:
    ngram = Ngram(ple_constants())
    for wrong in (-1, PLE_VOCAB, 2**40):
        with pytest.raises(IndexError, match=rf"{wrong} at position 2 .* {PLE_VOCAB}"):
            ngram.rows(np.array([1, 2, wrong]))
        with pytest.raises(IndexError, match=rf"{wrong} at position 1"):
            ngram.history().advance([1, wrong])
    with pytest.raises(IndexError):
        ngram.rows([2**70])
    for kind in ([1.5], [True], ["a"]):
        with pytest.raises(TypeError):
            ngram.rows(kind)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one dimension"):
        ngram.rows([[1, 2]])


def test_an_id_outside_leaves_a_history_alone() -> None:
    history = Ngram(ple_constants()).history()
    history.advance([4])
    with pytest.raises(IndexError):
        history.advance([5, PLE_VOCAB])
    assert history.window == (-1, 4)


def test_a_history_of_another_model() -> None:
    history = Ngram(ple_constants(stand_in=PLE_EOS - 1)).history()
    with pytest.raises(ValueError, match="sequence 0 is of another model"):
        Ngram(ple_constants()).rows([1], history=history)
    fits = Ngram(ple_constants()).history()  # of the same constants, opened another time
    assert Ngram(ple_constants()).rows([1], history=fits).shape == (1, 16)
    with pytest.raises(ValueError, match="sequence 1 is of another model"):
        Ngram(ple_constants()).rows([1], [0, 1, 1], [None, history])


def test_arguments_that_do_not_fit() -> None:
    ngram = Ngram(engram_constants())
    history = ngram.history()
    with pytest.raises(ValueError, match=r"layer is needed: there are 1, 14"):
        ngram.rows([1])
    with pytest.raises(ValueError, match="layer is 2; there are 1, 14"):
        ngram.rows([1], layer=2)
    with pytest.raises(TypeError):
        ngram.rows([1], layer="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="holds 1; offsets say that there are 2"):
        ngram.rows([1, 2], [0, 1, 2], [history], layer=1)
    with pytest.raises(TypeError, match="expected a list"):
        ngram.rows([1, 2], [0, 1, 2], history, layer=1)
    with pytest.raises(TypeError, match="expected a History"):
        ngram.rows([1, 2], None, [1, 2], layer=1)  # type: ignore[list-item]
    for offsets in ([0, 3], [1, 2], [0, 2, 1, 2], []):
        with pytest.raises((ValueError, IndexError)):
            ngram.rows([1, 2], offsets, layer=1)
    with pytest.raises(ValueError, match="max_rewind"):
        ngram.history(max_rewind=-1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"multipliers": numbers([[3, 4, 5]])}, r"multipliers\[0\]\[1\] is 4: a multiplier has to be odd"),
        ({"multipliers": numbers([[3, 2**63 - 1, 5]])}, r"multipliers\[0\]\[1\].*stays below 2\^63"),
        (
            {"moduli": numbers([[*PLE_MODULI[:-1], 20000173]])},
            r"moduli\[0\]\[15\] is 20000173, which is not a prime",
        ),
        ({"moduli": numbers([[1, *PLE_MODULI[1:]]])}, r"moduli\[0\]\[0\] is 1: a modulus is at least 2"),
        (
            {"offsets": numbers([[0, 20000002, *PLE_OFFSETS[2:]]])},
            r"column 1 overlap those of column 0, 0 to 20000002",
        ),
        ({"offsets": numbers([[*PLE_OFFSETS[:-1], 2**63]])}, r"offsets\[0\]\[15\].*does not fit 63 bits"),
        ({"stand_in": PLE_VOCAB}, "stand_in is 248320: it has to be below 248320"),
        ({"max_size": 9}, "max_size is 9: n-grams have 2 to 8 tokens"),
        ({"n_heads": 65}, "n_heads is 65"),
        ({"n_vocab": 0}, "n_vocab is 0"),
    ],
)
def test_constants_that_cannot_be_right(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(pyembed.FormatError, match=message):
        Ngram(ple_constants(**changed))


def test_a_token_map_out_of_range() -> None:
    token_map = np.arange(COMPRESSED, dtype=np.uint32)
    token_map[77] = COMPRESSED
    with pytest.raises(
        pyembed.FormatError, match=r"token_map\[77\] is 99092: it has to be below n_compressed"
    ):
        Ngram(engram_constants(token_map=token_map, n_vocab=COMPRESSED))


@settings(max_examples=300, deadline=None)
@given(n=st.one_of(st.integers(0, 3000), st.integers(2**61, 2**63 - 1)), factor=st.integers(2, 2**20))
def test_primes_are_told_from_composites(n: int, factor: int) -> None:
    """By C and by Python alike: small ones by trial division, products of two by their making."""
    if n < 3000:
        want = n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))
        assert is_prime(n) == want
    else:
        want = is_prime(n)
    composite = factor * (n % 2**30 + 2)
    assert not is_prime(composite)
    for number, prime in ((n, want), (composite, False)):
        if number < 2:
            continue
        constants = Constants(Scheme.PLE, "x", (0,), 2, 1, 4, numbers([[number]]), numbers([[1, 3]]))
        if prime:
            assert Ngram(constants).rows([3]).max() < number
        else:
            with pytest.raises(pyembed.FormatError, match="not a prime"):
                Ngram(constants)


def test_what_is_closed() -> None:
    with Ngram(ple_constants()) as ngram:
        assert ngram.rows([1]).shape == (1, 16)
    assert ngram.closed
    with pytest.raises(pyembed.ClosedError):
        ngram.rows([1])
    with pytest.raises(pyembed.ClosedError):
        ngram.tables  # noqa: B018
