"""No type in a file is assumed: every key may hold every kind of value, and only our own errors come out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed import validation
from pyembed.cli import main
from pyembed.core.handle import Source
from pyembed.files.metadata import Metadata
from pyembed.llama_cpp.special_tokens import ID_KEYS
from tests.helpers.children import output_of
from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    I64,
    STRING,
    U8,
    U32,
    U64,
    Array,
    GGUFBytes,
)

Q8_0 = 8
TOKENS = ["a", "b", "c", "d"]
VALUES: dict[str, tuple[int, Any]] = {
    "string": (STRING, "llama"),
    "u32": (U32, 3),
    "negative": (I32, -1),
    "huge": (U64, 2**64 - 1),
    "most negative": (I64, -(2**63)),
    "nan": (F32, float("nan")),
    "infinite": (F64, float("inf")),
    "bool": (BOOL, 1),
    "strings": (ARRAY, Array(STRING, ["llama", "gpt2"])),
    "ints": (ARRAY, Array(I32, [1, -2])),
    "floats": (ARRAY, Array(F32, [float("nan"), 1.0])),
    "bools": (ARRAY, Array(BOOL, [0, 1])),
    "no strings": (ARRAY, Array(STRING, [])),
    "no ints": (ARRAY, Array(U8, [])),
    "arrays": (ARRAY, Array(ARRAY, [Array(I32, [1]), Array(I32, [])])),
}
# Every key that anything here reads.
KEYS = [
    "general.architecture",
    "general.name",
    "general.finetune",
    "general.basename",
    "general.quantization_version",
    "general.file_type",
    "tokenizer.chat_template",
    *(
        f"tokenizer.ggml.{name}"
        for name in (
            "model",
            "pre",
            "tokens",
            "scores",
            "token_type",
            "merges",
            "precompiled_charsmap",
            "normalizer.lowercase",
            "normalizer.strip_accents",
            "add_bos_token",
            *ID_KEYS,
        )
    ),
    *(
        f"{architecture}.{name}"
        for architecture in ("llama", "granite", "gemma3n", "bert", "t5")
        for name in (
            "embedding_length",
            "vocab_size",
            "embedding_scale",
            "deepstack_mapping",
            "hyper_connection.count",
            "embedding_length_per_layer_input",
            "attention.layer_norm_epsilon",
            "attention.layer_norm_rms_epsilon",
        )
    ),
]


def file_with(key: str, kind: int, value: Any, architecture: str, family: str) -> bytes:
    entries: dict[str, tuple[int, Any]] = {
        "general.architecture": (STRING, architecture),
        "tokenizer.ggml.model": (STRING, family),
        "tokenizer.ggml.tokens": (ARRAY, Array(STRING, TOKENS)),
        key: (kind, value),
    }
    builder = GGUFBytes()
    for name, entry in entries.items():
        builder.add(name, *entry)
    builder.tensor("token_embd.weight", (4, 32), Q8_0, bytes(4 * 34))
    builder.tensor("per_layer_token_embd.weight", (4, 32), Q8_0, bytes(4 * 34))
    return bytes(builder)


def everything(path: Path) -> None:
    """Ask for all that reads metadata; only our own exceptions may come."""
    calls: list[Callable[[pyembed.Model], object]] = [
        lambda model: model.input_recipe.to_json(),
        lambda model: str(model.input_recipe),
        lambda model: model.n_embd,
        lambda model: model.n_vocab,
        lambda model: model.tied,
        lambda model: dict(model.vocabulary.special),
        lambda model: list(model.vocabulary.tokens),
        lambda model: model.vocabulary[0],
        lambda model: model.vocabulary.find("A"),
        lambda model: model.vocabulary.digest,
        lambda model: pyembed.make_lock(model),
        lambda model: {key: repr(value) for key, value in model.metadata.items()},
    ]
    with pyembed.load_model(path, validate="off") as model:
        for call in calls:
            with suppress(pyembed.PyembedError, IndexError):
                call(model)


@pytest.mark.parametrize("key", KEYS)
def test_every_key_with_every_kind_of_value(tmp_path: Path, key: str) -> None:
    prefix = key.split(".")[0]
    architecture = prefix if prefix not in ("general", "tokenizer") else "llama"
    families = ("gpt2", "t5" if "charsmap" in key else "bert")
    for name, family in itertools.product(VALUES, families if prefix == "tokenizer" else ("llama",)):
        path = tmp_path / "m.gguf"
        path.write_bytes(file_with(key, *VALUES[name], architecture, family))
        everything(path)
        report = pyembed.validate(path)
        failed = [finding.message for finding in report.findings if "examination" in finding.rule]
        assert failed == [], (key, name, family)
        with suppress(pyembed.FormatError):
            pyembed.load_model(path).close()
        if family == "gpt2":
            with suppress(pyembed.FormatError):
                against = pyembed.validate(pyembed.demo_model(), level="order", reference=path)
                assert not any("examination" in finding.rule for finding in against.findings)


def test_getters_know_the_type_they_want(tmp_path: Path) -> None:
    builder = GGUFBytes()
    for name, (kind, value) in VALUES.items():
        builder.add(name, kind, value)
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    source = Source(path)
    metadata = Metadata(source)
    getters: dict[str, set[str]] = {
        "text": {"string"},
        "flag": {"bool"},
        "integer": {"u32", "negative", "huge", "most negative"},
        "count": {"u32", "huge"},
        "number": {"u32", "negative", "huge", "most negative"},
        "strings": {"strings", "no strings"},
        "numbers": {"ints", "floats", "bools", "no ints"},
    }
    for getter, fitting in getters.items():
        found = {name for name in (*VALUES, "absent") if getattr(metadata, getter)(name) is not None}
        assert found == fitting, getter
    assert metadata.numbers("ints", 1) is None
    assert np.array_equal(metadata.numbers("ints", 2), [1, -2])  # type: ignore[arg-type]
    assert metadata.describe("strings") == "an array of 2 strings"
    assert metadata.describe("absent") == "absent"
    source.close()


def test_a_family_that_is_not_a_text_is_not_called_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "m.gguf"
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", ARRAY, Array(STRING, ["llama"]))
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TOKENS))
    path.write_bytes(bytes(builder))
    findings = pyembed.validate(path).findings
    [found] = [finding for finding in findings if finding.rule == "vocabulary/model-unknown"]
    assert "None" not in found.message
    main(["info", str(path)])
    assert "4 tokens, family not said" in capsys.readouterr().out


def test_long_strings_in_an_array_are_not_made_one_array(tmp_path: Path) -> None:
    """NumPy would give each of 20,000 elements the length of the longest: 4 GB for this file of 224 KB."""
    builder = GGUFBytes().add("general.architecture", STRING, "granite")
    builder.add("granite.deepstack_mapping", ARRAY, Array(STRING, ["x" * 50_000] + ["y"] * 20_000))
    builder.tensor("token_embd.weight", (4, 8), 0, bytes(4 * 8 * 4))
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    text = output_of(
        """
before = peak_bytes()
with pyembed.load_model(sys.argv[1], validate="off") as model:
    print(model.input_recipe)
assert peak_bytes() - before < 64 << 20, (before, peak_bytes())
""",
        path,
    )
    assert "an array of 20001 strings; expected an array of at most 512 integers" in text


def test_what_nobody_foresaw_is_that_files_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyembed.validation import vocabulary

    def examine(subject: object, findings: object) -> None:
        raise AssertionError("nobody\nthought of this")

    monkeypatch.setattr(vocabulary, "examine", examine)
    report = pyembed.validate(pyembed.demo_model())
    found = next(finding for finding in report.findings if finding.rule == "container/examination-failed")
    assert "AssertionError" in found.message
    assert "\\n" in found.message
    assert "test_hostile_types.py" in found.message
    assert not report.ok
    assert {verdict.evidence for verdict in report.verdicts if not verdict.has_evidence} >= {"vocabulary"}
    with pytest.raises(pyembed.GGUFError, match="examination-failed"):
        pyembed.load_model(pyembed.demo_model())


def test_what_a_progress_callback_raises_is_no_finding() -> None:
    def progress(text: str, done: float) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pyembed.validate(pyembed.demo_model(), progress=progress)


def test_nothing_else_reads_metadata_by_key() -> None:
    """Readers go through the typed getters: a bare ``get`` or index would assume a type."""
    package = Path(validation.__file__).parent.parent
    # The others show or compare values of any type.
    compare = {"validation/comparison.py", "mending/draft.py", "mending/from_reference.py"}
    allowed = {"files/metadata.py", *compare}
    for path in sorted(package.rglob("*.py")):
        text = path.read_text("utf-8")
        if path.relative_to(package).as_posix() not in allowed:
            assert "metadata.get(" not in text, path
            assert "metadata[" not in text, path
