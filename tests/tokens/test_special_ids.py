"""Ids of tokens with a role: keys of the file, defaults of the families, and ids that are no tokens."""

from __future__ import annotations

import gguf
import pytest

from tests.helpers.model_files import MakeVocabulary


def special(make: MakeVocabulary, model: str | None, n: int = 200, **ids: object) -> dict[str, int]:
    def add(writer: gguf.GGUFWriter) -> None:
        for key, value in ids.items():
            put = {str: writer.add_string, bool: writer.add_bool}.get(type(value))
            if put is None:
                put = writer.add_uint32 if value >= 0 else writer.add_int32  # type: ignore[operator]
            put(f"tokenizer.ggml.{key}", value)  # type: ignore[operator]

    return dict(make(model, [f"t{i}" for i in range(n)], add=add).special)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("llama", {"bos": 1, "eos": 2, "unk": 0}),
        ("gpt2", {"bos": 11, "eos": 11}),
        ("bert", {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103, "cls": 101}),
        ("t5", {"eos": 1, "unk": 2, "pad": 0}),
        ("plamo2", {"bos": 1, "eos": 2, "unk": 0, "pad": 3}),
        ("plamo3", {"bos": 1, "eos": 2, "unk": 0, "pad": 3}),
        ("gemma4", {}),
        ("rwkv", {}),
        (None, {}),
    ],
)
def test_defaults_of_families(model: str | None, expected: dict[str, int], make: MakeVocabulary) -> None:
    assert special(make, model) == expected


def test_keys_of_special_ids(make: MakeVocabulary) -> None:
    fim = " fim_pre fim_suf fim_mid fim_pad fim_rep fim_sep"
    names = "bos eos eot eom unknown seperator padding mask cls" + fim
    ids = {f"{name}_token_id": index for index, name in enumerate(names.split(), 20)}
    short = "bos eos eot eom unk sep pad mask cls" + fim
    assert special(make, "llama", **ids) == {name: index for index, name in enumerate(short.split(), 20)}


def test_deprecated_names_win(make: MakeVocabulary) -> None:
    ids = {"fim_pre_token_id": 1, "prefix_token_id": 4, "suffix_token_id": 5, "middle_token_id": 6}
    assert special(make, "gemma4", **ids) == {"fim_pre": 4, "fim_suf": 5, "fim_mid": 6}


def test_ids_that_are_no_tokens_are_left_out(make: MakeVocabulary) -> None:
    assert special(make, "gpt2", 5) == {}
    assert special(make, "llama", 5, eos_token_id=5, padding_token_id=4) == {"bos": 1, "unk": 0, "pad": 4}
    assert special(make, "gemma4", 5, eos_token_id=-1, bos_token_id="1", mask_token_id=True) == {}
    assert special(make, "gemma4", 5, separator_token_id=1) == {}, "the key that is read is spelled seperator"


def test_a_bert_that_names_its_cls(make: MakeVocabulary) -> None:
    assert special(make, "bert", bos_token_id=7)["cls"] == 7
    assert special(make, "bert", bos_token_id=7, cls_token_id=8)["cls"] == 8
