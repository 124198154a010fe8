"""llama.cpp loads models that each kind of mending repaired, and computes what the original leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.mending.by_law import MENDINGS as BY_LAW
from pyembed.mending.from_reference import mendings_from
from pyembed.mending.names import MENDINGS as BY_NAME
from pyembed.mending.row_mendings import TheirRows, mendings_of_counts, mendings_of_rows
from tests.helpers.complete_models import WIDTH, write_complete_model
from tests.helpers.llama_cpp_engine import Engine
from tests.helpers.vocabulary_files import Parts, read_parts

pytestmark = pytest.mark.integration

N_RESERVED, N_LEARNED, N_PIECES = 32, 1500, 1500
IDS = np.array([1, 300, 301, 700, 5, 1200])


def bpe(data_dir: Path) -> Parts:
    """Return the first tokens of GPT-2, and numbered placeholders behind them."""
    parts = read_parts(data_dir / "vocab/ggml-vocab-gpt-2.gguf")
    assert parts.types is not None
    assert parts.merges is not None
    reserved = [f"<|reserved_special_token_{i}|>".encode() for i in range(N_RESERVED)]
    parts.tokens = [*parts.tokens[: 256 + N_LEARNED], b"<|endoftext|>", *reserved]
    parts.types = [*parts.types[: 256 + N_LEARNED], *[3] * (1 + N_RESERVED)]
    parts.merges = parts.merges[:N_LEARNED]
    for key in parts.others:
        if key.endswith("_token_id"):
            parts.others[key] = 256 + N_LEARNED
    return parts


def spm(data_dir: Path) -> Parts:
    """Return bytes, the first pieces and the last characters of Llama 2."""
    parts = read_parts(data_dir / "vocab/ggml-vocab-llama-spm.gguf")
    for column in parts.columns():
        del column[259 + N_PIECES : -500]
    return parts


def whole_spm(data_dir: Path) -> Parts:
    """Return all of Llama 2, whose order is judged by its scores."""
    return read_parts(data_dir / "vocab/ggml-vocab-llama-spm.gguf")


def write(parts: Parts, path: Path) -> Path:
    """Write a complete model with a vocabulary."""
    names = path.with_suffix(".vocab")
    names.write_bytes(parts.to_bytes())
    with pyembed.load_model(names, vocab_only=True, validate="off") as named:
        return write_complete_model(path, "llama", table_type="F16", vocabulary=named)


def restate(whole: Path, parts: Parts, out: Path) -> None:
    """Write a model with another vocabulary and the same rows."""
    with pyembed.edit(whole) as edit:
        for name, kind, values in (
            ("tokens", "string[]", [text.decode("utf-8", "surrogateescape") for text in parts.tokens]),
            ("token_type", "i32[]", parts.types),
            ("scores", "f32[]", parts.scores),
            (
                "merges",
                "string[]",
                None if parts.merges is None else [text.decode() for text in parts.merges],
            ),
        ):
            key = f"tokenizer.ggml.{name}"
            if values is not None:
                edit.set_typed(key, kind, values)
            elif edit.has(key):
                edit.unset(key)
        for key, value in parts.others.items():
            if value is None:
                edit.unset(key)
            elif isinstance(value, str):
                edit.set_typed(key, "string", value)
            elif not isinstance(value, bool):
                edit.set_typed(key, "u32", value)
        edit.write(out)


@dataclass(frozen=True)
class Case:
    """A mending that is to repair a damage, by a reference or by the file alone."""

    mending: str
    base: Callable[[Path], Parts]
    damage: Callable[[Parts], object]
    by_reference: bool = False


def set_types(ids: range, kind: int) -> Callable[[Parts], object]:
    def change(parts: Parts) -> None:
        assert parts.types is not None
        parts.types[ids.start : ids.stop] = [kind] * len(ids)

    return change


def without(name: str) -> Callable[[Parts], object]:
    return lambda parts: setattr(parts, name, None)


def stating(key: str, value: object) -> Callable[[Parts], object]:
    return lambda parts: parts.others.update({f"tokenizer.ggml.{key}": value})


def all_at_once(parts: Parts) -> None:
    parts.swap(600, 1200)
    stating("eos_token_id", 90_000)(parts)
    stating("pre", "llama-bpe")(parts)


def scores_of_zero(parts: Parts) -> None:
    assert parts.scores is not None
    parts.scores = [0.0] * len(parts.scores)


#: Damages that leave rows where they are, after which the repaired file is the original.
EXACT = [
    Case("order of merges", bpe, lambda parts: parts.swap(600, 1200)),
    Case("order of numbers", bpe, lambda parts: parts.swap(256 + N_LEARNED + 3, 256 + N_LEARNED + 20)),
    Case("types by text", bpe, set_types(range(256 + N_LEARNED, 257 + N_LEARNED), 1)),
    Case("order of scores", whole_spm, lambda parts: parts.swap(300, 900)),  # pieces between are made of 300
    Case("order of bytes", spm, lambda parts: parts.swap(20, 200)),
    Case("the reference's types", spm, set_types(range(600, 650), 9), True),
    Case("the reference's scores", whole_spm, scores_of_zero, True),
    Case("the reference's merges", bpe, without("merges"), True),
    Case("the reference's special tokens", bpe, stating("eos_token_id", 90_000), True),
    Case("the reference's pre-tokenizer", bpe, stating("pre", "no-such"), True),
    Case("the reference's tokens", bpe, lambda parts: parts.move(300, 309, [*range(9, -1, -1)]), True),
    Case("the reference's vocabulary", bpe, all_at_once, True),
]
#: What other tests below repair.
ELSEWHERE = {
    *("names for empty tokens", "names for duplicate tokens", "a token for each row"),
    *("rows without tokens", "rows for padding"),
    *("rows of the reference", "rows by spelling", "rows that are not finite"),
}


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[object], tuple[Parts, Path]]:
    folder, known = tmp_path_factory.mktemp("whole"), dict[object, tuple[Parts, Path]]()

    def find(base: object) -> tuple[Parts, Path]:
        if base not in known:
            assert callable(base)
            parts = base(data_dir)
            known[base] = parts, write(parts, folder / f"{len(known)}.gguf")
        return known[base]

    return find


def logits(path: Path, ids: np.ndarray = IDS) -> np.ndarray:
    with Engine(path) as engine:
        return engine.run(ids=ids)


def repaired(path: Path, out: Path, mending: str, reference: Path | None = None) -> Path:
    plan = pyembed.repair(path, reference)
    assert mending in {planned.mending for planned in plan.mendable}, plan
    plan.apply(out)
    return out


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.mending)
def test_what_is_mended_exactly(
    case: Case, whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path
) -> None:
    parts, original = whole(case.base)
    damaged = parts.copy()
    case.damage(damaged)
    restate(original, damaged, tmp_path / "m.gguf")
    reference = original if case.by_reference else None
    out = repaired(tmp_path / "m.gguf", tmp_path / "out.gguf", case.mending, reference)
    assert read_parts(out) == read_parts(original)
    np.testing.assert_array_equal(logits(out), logits(original))


def test_every_mending_is_tried(data_dir: Path) -> None:
    named = data_dir / "vocab/ggml-vocab-gpt-2.gguf"
    theirs = TheirRows(keys=[])
    known = (*BY_LAW, *BY_NAME, *mendings_from(named), *mendings_of_counts(theirs), *mendings_of_rows(theirs))
    tried = {case.mending for case in EXACT} | ELSEWHERE
    assert {mending.name for mending in known} - tried == set()


@pytest.mark.parametrize("what", ["empty", "duplicate"])
def test_tokens_without_a_text(
    what: str, whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path
) -> None:
    """llama.cpp aborts on a text that two tokens have; rows and logits stay as they are."""
    parts, original = whole(bpe)
    damaged = parts.copy()
    first = 256 + N_LEARNED + 3
    damaged.tokens[first] = b"" if what == "empty" else damaged.tokens[first + 1]
    assert damaged.types is not None
    damaged.types[first] = 5
    restate(original, damaged, tmp_path / "m.gguf")
    out = repaired(tmp_path / "m.gguf", tmp_path / "out.gguf", f"names for {what} tokens")
    np.testing.assert_array_equal(logits(out), logits(original))


@pytest.mark.parametrize("by_reference", [True, False])
def test_rows_that_no_token_has(
    by_reference: bool, whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path
) -> None:
    """llama.cpp loads no table with more rows than tokens: rows are cut, or tokens are added."""
    parts, original = whole(bpe)
    with pyembed.edit(original) as edit:
        edit.resize(len(parts.tokens) + 7, "zeros")
        edit.write(tmp_path / "wide.gguf")
    restate(tmp_path / "wide.gguf", parts, tmp_path / "m.gguf")
    with pytest.raises(AssertionError, match="does not load"):
        logits(tmp_path / "m.gguf")
    mending = "rows without tokens" if by_reference else "a token for each row"
    out = repaired(tmp_path / "m.gguf", tmp_path / "out.gguf", mending, original if by_reference else None)
    found = logits(out)
    assert found.shape[1] == len(parts.tokens) + (0 if by_reference else 7)
    # A product of matrices of another size adds up in another order.
    np.testing.assert_allclose(found[:, : len(parts.tokens)], logits(original), atol=1e-5)


def test_padding_without_rows(whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path) -> None:
    parts, original = whole(bpe)
    longer = parts.copy()
    assert longer.types is not None
    longer.tokens += [f"[PAD{i}]".encode() for i in range(len(parts.tokens), len(parts.tokens) + 5)]
    longer.types += [5] * 5
    restate(original, longer, tmp_path / "m.gguf")
    out = repaired(tmp_path / "m.gguf", tmp_path / "out.gguf", "rows for padding")
    np.testing.assert_array_equal(logits(out)[:, : len(parts.tokens)], logits(original))


def test_rows_at_the_ids_of_others(whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path) -> None:
    parts, original = whole(bpe)
    data = bytearray(original.read_bytes())
    with pyembed.load_model(original) as named:
        info = named.tensors["token_embd.weight"]
    assert info.n_bytes is not None
    rows = np.frombuffer(data, np.uint8, info.n_bytes, info.offset).reshape(len(parts.tokens), -1)
    rows[200:900] = np.roll(rows[200:900], 5, axis=0)
    (tmp_path / "m.gguf").write_bytes(data)
    assert not np.array_equal(logits(tmp_path / "m.gguf"), logits(original))
    out = repaired(tmp_path / "m.gguf", tmp_path / "out.gguf", "rows of the reference", original)
    assert out.read_bytes() == original.read_bytes()
    np.testing.assert_array_equal(logits(out), logits(original))


@pytest.mark.parametrize("by_reference", [True, False])
def test_rows_that_are_not_finite(
    by_reference: bool, whole: Callable[[object], tuple[Parts, Path]], tmp_path: Path
) -> None:
    """By the file alone the row of the token is another one; the logits of all others are the original's."""
    parts, original = whole(bpe)
    data = bytearray(original.read_bytes())
    with pyembed.load_model(original) as named:
        info = named.tensors["token_embd.weight"]
    assert info.n_bytes is not None
    rows = np.frombuffer(data, np.float16, info.n_bytes // 2, info.offset).reshape(len(parts.tokens), WIDTH)
    rows[900, 3] = np.nan
    (tmp_path / "m.gguf").write_bytes(data)
    out = repaired(
        *(tmp_path / "m.gguf", tmp_path / "out.gguf", "rows that are not finite"),
        original if by_reference else None,
    )
    found, wanted = logits(out), logits(original)
    assert np.isfinite(found).all()
    others = np.arange(len(parts.tokens)) != 900
    np.testing.assert_array_equal(found[:, others], wanted[:, others])
    if by_reference:
        np.testing.assert_array_equal(found, wanted)


def test_rows_by_spelling(tmp_path: Path) -> None:
    """The rows of the demo model, which were learned, twice beside each other, under an encoder."""
    original, path = tmp_path / "original.gguf", tmp_path / "m.gguf"
    with pyembed.load_model(pyembed.demo_model()) as demo:
        write_complete_model(tmp_path / "bert.gguf", "bert", table_type="F32", vocabulary=demo)
        learned = np.concatenate([demo.table[:], demo.table[:]], axis=1)
    assert learned.shape[1] == WIDTH
    with pyembed.edit(tmp_path / "bert.gguf") as edit:
        edit.set_typed("tokenizer.ggml.token_type_count", "u32", 2)
        edit.write(original)
    with pyembed.load_model(original) as named:
        info = named.tensors["token_embd.weight"]
    data = bytearray(original.read_bytes())
    for order, file in ((np.arange(len(learned)), original), (np.arange(len(learned))[::-1], path)):
        assert info.n_bytes is not None
        data[info.offset : info.offset + info.n_bytes] = learned[order].astype("<f4").tobytes()
        file.write_bytes(data)
    out = repaired(path, tmp_path / "out.gguf", "rows by spelling")
    assert out.read_bytes() == original.read_bytes()
    ids = np.array([2, 700, 1500, 3])
    found = []
    for file in (out, original, path):
        with Engine(file) as engine:
            found.append(engine.run(ids=ids, encode=True))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[1], found[2])
