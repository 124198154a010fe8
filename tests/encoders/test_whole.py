"""Tokens around texts, by the tokenizer that cuts the encoder's texts, against the file's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.encoders import TEXTS, save_model2vec, word_tokenizer

tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.usefixtures("no_cache")


def processors() -> dict[str, Any]:
    made = tokenizers.processors
    ends = [("[PAD]", 0), ("[UNK]", 1)]
    return {
        "none": None,
        "template": made.TemplateProcessing(single="[PAD] $A [UNK]", special_tokens=ends),
        "bert": made.BertProcessing(("[UNK]", 1), ("[PAD]", 0)),
        "roberta": made.RobertaProcessing(("[UNK]", 1), ("[PAD]", 0)),
        "bytes": made.ByteLevel(trim_offsets=True),
        "sequence": made.Sequence(
            [made.ByteLevel(), made.TemplateProcessing(single="[PAD] $A", special_tokens=ends[:1])]
        ),
    }


@pytest.mark.parametrize("kind", processors())
def test_tokens_around_texts_are_the_files(tmp_path: Path, kind: str) -> None:
    vocabulary = word_tokenizer()
    if (processor := processors()[kind]) is not None:
        vocabulary.post_processor = processor
    rows = np.ones((vocabulary.get_vocab_size(), 4), np.float32)
    limited = tokenizers.Tokenizer.from_str(vocabulary.to_str())
    limited.enable_truncation(3)
    limited.enable_padding(length=9)
    save_model2vec(tmp_path, rows, limited, {})
    with pyembed.load_encoder(tmp_path) as encoder:
        whole = encoder.whole_tokenizer
        for text in [*TEXTS, " the  cat "]:
            for special in (True, False):
                found = whole.cut(text, add_special=special)
                wanted = vocabulary.encode(text, add_special_tokens=special)
                for name in ("ids", "tokens", "offsets", "special_tokens_mask"):
                    assert getattr(found, name) == getattr(wanted, name), (text, name)
                for skip in (True, False):
                    joined = whole.join(found.ids, skip_special=skip)
                    assert joined == vocabulary.decode(found.ids, skip_special_tokens=skip)
        assert whole.n_tokens == vocabulary.get_vocab_size()
        assert whole is encoder.whole_tokenizer


@pytest.mark.parametrize("step", [[], {"type": "Nothing"}, 7])
def test_a_last_step_that_is_none(tmp_path: Path, step: Any) -> None:
    """Vectors do not need it."""
    vocabulary = word_tokenizer()
    save_model2vec(tmp_path, np.ones((vocabulary.get_vocab_size(), 4), np.float32), vocabulary, {})
    path = tmp_path / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**document, "post_processor": step}), "utf-8")
    with pyembed.load_encoder(tmp_path) as encoder:
        assert encoder.encode("the cat").any()
        with pytest.raises(pyembed.VocabularyError, match="tokenizers cannot take it"):
            _ = encoder.whole_tokenizer
