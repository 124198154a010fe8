"""Rules about hashed rows: each is violated by a real file, and good files violate none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers import ngram_files as files
from tests.helpers.ngram_constants import PLE_EOS, PLE_MODULI, PLE_MULTIPLIERS
from tests.helpers.ngram_files import i32, u32, u64

ENGRAM = "deepseek41.engram."
PLE = "qwen4exp.ple."
ALIAS = {"deepseek41.engram.layers": u32(1, 15)}


def findings(path: Path, level: str = "order") -> list[tuple[str, str, str]]:
    report = pyembed.validate(path, level=level)  # type: ignore[arg-type]
    return [
        (finding.rule.removeprefix("ngram/"), finding.severity.value, finding.message)
        for finding in report.findings
        if finding.rule.startswith("ngram/")
    ]


def conclusions(path: Path) -> list[tuple[bool, str]]:
    report = pyembed.validate(path, level="order")
    return [
        (verdict.has_evidence, verdict.text) for verdict in report.verdicts if verdict.evidence == "ngram"
    ]


def write(path: Path, keys: dict[str, Any], **tensors: np.ndarray) -> Path:
    is_ple = any(".ple." in key for key in keys)
    named = {name.replace("__", "."): array for name, array in tensors.items()}
    rows = files.token_table() if is_ple else {}
    return files.write(path / "m.gguf", "qwen4exp" if is_ple else "deepseek41", keys, {**rows, **named})


GOOD: dict[str, Callable[[], Any]] = {
    "ple": files.ple_of_llama_cpp,
    "ple of ds4": files.ple_of_ds4,
    "d1": files.engram_d1,
    "d2": files.engram_d2,
    "d3": files.engram_d3,
    "d4": files.engram_d4,
    "d5": files.engram_d5,
    "d7": files.engram_d7,
}


@pytest.mark.parametrize("name", GOOD)
def test_good_constants_violate_nothing(name: str, tmp_path: Path) -> None:
    made = GOOD[name]()
    keys, tensors = made if isinstance(made, tuple) else (made, {})
    path = write(tmp_path, keys, **tensors)
    assert findings(path) == []
    [(has_evidence, text)] = conclusions(path)
    assert has_evidence
    assert text.startswith(f"the constants of {'ple' if 'ple' in name else 'engram'} were looked at")


def test_other_files_are_not_asked(tmp_path: Path) -> None:
    assert conclusions(Path(pyembed.demo_model())) == []
    path = write(tmp_path, files.engram_d1())
    report = pyembed.validate(path, level="header")
    assert [verdict for verdict in report.verdicts if verdict.evidence == "ngram"] == []


WRONG: dict[str, tuple[Callable[[], dict[str, Any]], list[tuple[str, str, str]]]] = {
    "no map": (
        lambda: {key: value for key, value in files.engram_d1().items() if "token_map" not in key},
        [("keys", "error", "the token map of hashed rows: not there")],
    ),
    "two layers": (
        lambda: {**files.engram_d1(), **ALIAS},
        [
            (
                "contradiction",
                "error",
                "'deepseek41.engram.layer_ids' and 'deepseek41.engram.layers' contradict",
            )
        ],
    ),
    "even": (
        lambda: {**files.engram_d1(), ENGRAM + "multipliers": u64(3, 5, 6, 7, 9, 11)},
        [
            (
                "multiplier",
                "error",
                "multiplier 2 of layer 1 in 'deepseek41.engram.multipliers' is 6, which is even",
            )
        ],
    ),
    "too large": (
        lambda: {**files.engram_d1(), ENGRAM + "multipliers": u64(3, 5, 7, 2**62 + 1, 9, 11)},
        [
            (
                "multiplier",
                "error",
                "multiplier 0 of layer 14 .* with 30 ids that are hashed, 307445734561825860 is",
            )
        ],
    ),
    "composite": (
        lambda: {**files.engram_d2(), ENGRAM + "primes": u32(101, 103, 107, 111, 113, 127, 131, 137)},
        [
            (
                "modulus",
                "error",
                "the modulus of column 3 of layer 1 in 'deepseek41.engram.primes' is 111, which",
            ),
            (
                "rows",
                "error",
                "the table of layer 1, 'deepseek41.engram.rows', has 420 rows, and .* add up to 422",
            ),
        ],
    ),
    "not in a row": (
        lambda: {
            **files.engram_d1(),
            ENGRAM + "primes": u64(101, 103, 107, 109, 113, 131, 127, 137),
            ENGRAM + "offsets": u64(*files.sums([101, 103, 107, 109], [113, 131, 127, 137])),
        },
        [("moduli-not-consecutive", "warning", "column 1 of layer 14 .* is 131; the next prime is 127")],
    ),
    "overlapping": (
        lambda: {**files.engram_d1(), ENGRAM + "offsets": u64(0, 100, 204, 311, 0, 113, 240, 371)},
        [("offsets", "error", "column 1 of layer 1 begins at row 100, inside column 0, which ends at 100")],
    ),
    "gaps": (
        lambda: {**files.engram_d1(), ENGRAM + "offsets": u64(0, 110, 220, 330, 0, 113, 240, 371)},
        [("offsets", "warning", "'deepseek41.engram.offsets' are not the running sums of the moduli")],
    ),
    "rows of the other layer": (
        lambda: {**files.engram_d2(), ENGRAM + "rows": u64(*files.SMALL_ROWS[::-1])},
        [
            (
                "rows",
                "error",
                "of layer 1, 'deepseek41.engram.rows', has 508 rows, and its moduli add up to 420",
            ),
            ("rows", "error", "of layer 14, .* has 420 rows, and its moduli add up to 508"),
        ],
    ),
    "beyond": (
        lambda: {**files.engram_d2(), ENGRAM + "compressed_vocab_size": 29},
        [("token-map", "error", "maps token 29 to 29, and mapped ids are below 29")],
    ),
    "unused": (
        lambda: {**files.engram_d2(), ENGRAM + "compressed_vocab_size": 32},
        [("token-map", "warning", "no token in .* is mapped to 2 of the 32 numbers")],
    ),
    "permuted": (
        lambda: {**files.engram_d1(), ENGRAM + "token_map": files.SMALL_MAP[::-1].copy()},
        [("token-map-order", "warning", "maps token 0 to 9, and all tokens before it to -1 or less")],
    ),
    "wide": (
        lambda: {
            **files.ple_of_llama_cpp(),
            PLE + "ngram_size": 2,
            PLE + "heads_per_ngram": 1,
            PLE + "layer_multipliers": u64(3, 5),
            PLE + "head_vocab_sizes": u64(4294967311),
            PLE + "head_offsets": u64(0),
        },
        [("rows-beyond-int32", "warning", "names of rows go up to 4294967310")],
    ),
    "padding": (
        lambda: {**files.engram_d1(), ENGRAM + "pad_id": 30},
        [("stand-in", "error", "'deepseek41.engram.pad_id' is 30, and ids that are hashed are below 30")],
    ),
    "another end of text": (
        lambda: {**files.ple_of_llama_cpp(), PLE + "eos_token_id": PLE_EOS + 2},
        [
            (
                "not-released",
                "warning",
                "'qwen4exp.ple.eos_token_id' differs from the end of text of the",
            )
        ],
    ),
    "other multipliers": (
        lambda: {**files.ple_of_llama_cpp(), PLE + "layer_multipliers": u64(*PLE_MULTIPLIERS[::-1])},
        [("not-released", "warning", "'qwen4exp.ple.layer_multipliers' differs from the multipliers")],
    ),
    "cut to 32 bits": (
        lambda: {
            **files.ple_of_llama_cpp(),
            PLE + "layer_multipliers": u64(*(number & 0xFFFFFFFF for number in PLE_MULTIPLIERS)),
        },
        [("not-released", "warning", "'qwen4exp.ple.layer_multipliers'")],
    ),
    "other primes": (
        lambda: {
            **files.ple_of_llama_cpp(),
            PLE + "head_vocab_sizes": u64(*PLE_MODULI[1:], 20000213),
            PLE + "head_offsets": u64(*files.sums([*PLE_MODULI[1:], 20000213])),
        },
        [("not-released", "warning", "'qwen4exp.ple.head_vocab_sizes' differs from the moduli")],
    ),
    "layers of Engram in the wrong order": (
        lambda: {**files.engram_published(), ENGRAM + "layer_ids": i32(14, 1)},
        [
            ("not-released", "warning", "'deepseek41.engram.multipliers' differs"),
            ("not-released", "warning", "'deepseek41.engram.token_map' differs from the token map"),
        ],
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found(name: str, tmp_path: Path) -> None:
    make, expected = WRONG[name]
    found = findings(write(tmp_path, make()))
    assert [(rule, severity) for rule, severity, _ in found] == [
        (rule, severity) for rule, severity, _ in expected
    ]
    for (_, _, message), (_, _, pattern) in zip(found, expected, strict=True):
        assert re.search(pattern, message), message


def test_a_table_of_another_model(tmp_path: Path) -> None:
    table = {"blk.1.engram_embd.weight": np.zeros((421, 4), np.float32)}
    found = findings(write(tmp_path, files.engram_d1(), **table))
    assert found == [
        (
            "rows",
            "error",
            "the table of layer 1, blk.1.engram_embd.weight, has 421 rows, and its moduli add up to 420",
        )
    ]
    ple = {"per_layer_token_embd.weight": np.zeros((424, 32), np.float32)}
    small = {
        **files.ple_of_llama_cpp(),
        PLE + "heads_per_ngram": 2,
        PLE + "head_vocab_sizes": u64(101, 103, 107, 109),
        PLE + "head_offsets": u64(0, 101, 204, 311),
    }
    assert findings(write(tmp_path, small, **ple)) == []  # padded
    ple["per_layer_token_embd.weight"] = np.zeros((419, 32), np.float32)
    assert [rule for rule, _, _ in findings(write(tmp_path, small, **ple))] == ["rows"]


def test_a_map_that_does_not_fit_the_vocabulary(tmp_path: Path) -> None:
    keys = {
        **files.engram_d1(),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [f"t{i}" for i in range(41)],
    }
    assert (
        "token-map",
        "warning",
        "'deepseek41.engram.token_map' maps 40 tokens, and the vocabulary has 41",
    ) in (findings(write(tmp_path, keys)))


def test_an_error_is_raised_where_a_model_is_loaded(tmp_path: Path) -> None:
    path = write(tmp_path, {**files.engram_d1(), **ALIAS})
    with pytest.raises(pyembed.FormatError, match="contradict each other") as caught:
        pyembed.load_model(path)
    assert caught.value.report.findings
    with (
        pyembed.load_model(path, ignore=["ngram/contradiction"]) as model,
        pytest.raises(pyembed.FormatError),
    ):
        _ = model.ngram  # which key counts nobody knows


def test_ten_thousand_wrong_entries_are_counted(tmp_path: Path) -> None:
    keys = {**files.engram_d2(), ENGRAM + "token_map": np.full(10_000, 77, np.uint32)}
    report = pyembed.validate(write(tmp_path, keys), level="order")
    assert report.omitted["ngram/token-map"] == 10_000 - 20
