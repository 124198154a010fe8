"""Texts of strangers reach people only through `pyembed.safe_text`, and programs only as valid JSON."""

from __future__ import annotations

import json
import logging
import os
import time
from pathlib import Path

import pytest

import pyembed
from pyembed.cli import main
from pyembed.core.system import HOLDS_OPEN_FILES
from pyembed.errors import NotFoundError, nearest_names
from pyembed.safe_text import json_text, printable, quote
from pyembed.tokens.lookup import pieces
from pyembed.tokens.token_text import WordPiece
from tests.helpers.gguf_bytes import ARRAY, F32, STRING, U32, Array, GGUFBytes

EVIL = "\x1b]0;owned\x07\nERROR root: forged\u202e\u2028\x9b31m"
#: What a file may be called so: on Windows the lowest 32 characters and some others are in no name.
EVIL_NAME = "owned\u202e\u2028\x9b31m" if HOLDS_OPEN_FILES else EVIL


def evil_file(path: Path) -> Path:
    """Return a file whose architecture, keys, tensors and tokens hold what a terminal obeys."""
    builder = GGUFBytes().add("general.architecture", STRING, EVIL)
    builder.add(f"{EVIL}.block_count", F32, 1.0).add(f"{EVIL}.embedding_length", U32, 77)
    builder.add(b"\xff\xfe" + EVIL.encode(), U32, 1).add("general.name", STRING, f"{EVIL} chat")
    builder.add("tokenizer.ggml.model", STRING, EVIL).add("tokenizer.ggml.pre", STRING, EVIL)
    tokens = [EVIL, EVIL, b"\xff" + EVIL.encode(), f"<|{EVIL}|>"]
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, tokens))
    builder.add("tokenizer.ggml.merges", ARRAY, Array(STRING, [f"{EVIL} x", "a b"]))
    builder.tensor("token_embd.weight", (4, 8), 0, bytes(128)).tensor(EVIL, (4, 8), 0, bytes(128))
    path.write_bytes(bytes(builder))
    return path


def harmless(text: str) -> bool:
    """Return whether each line of a text is plainly printable, and none is forged."""
    return all(line.isprintable() and not line.startswith("ERROR") for line in text.split("\n"))


def test_printable_and_quote() -> None:
    assert printable("plain ▁é") == "plain ▁é"
    assert printable(EVIL).isprintable()
    assert printable(printable(EVIL)) == printable(EVIL)
    assert quote("a" * 101) == repr("a" * 100) + "..."
    assert quote(EVIL).isprintable()
    assert quote({"a": EVIL}).isprintable()


def test_the_c_library_quotes_what_a_terminal_obeys(tmp_path: Path) -> None:
    builder = GGUFBytes()
    for _ in range(2):
        builder.add("a\x1b\x9b\u202e\u2028\ufeff é▁\U0001f600", U32, 1)
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(builder))
    with pytest.raises(pyembed.GGUFError) as caught:
        pyembed.load_model(path, validate="off")
    text = r"\x1b\xc2\x9b\xe2\x80\xae\xe2\x80\xa8\xef\xbb\xbf é▁\U0001f600".replace(
        r"\U0001f600", "\U0001f600"
    )
    assert f"'a{text}' occurs twice" in str(caught.value)


def test_json_holds_no_lone_surrogate_and_no_nan() -> None:
    text = json_text({"a\udcff": ["\udc80x", float("nan"), float("-inf"), 1.5, True, None, "é\U0001f600"]})
    value = json.loads(text.encode("ascii"))
    assert value == {"a\\udcff": ["\\udc80x", None, None, 1.5, True, None, "é\U0001f600"]}
    json.dumps(value, ensure_ascii=False).encode("utf-8")


def test_messages_logs_and_reports_hold_no_control_characters(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = evil_file(tmp_path / "m.gguf")
    with pytest.raises(pyembed.FormatError) as caught:
        pyembed.load_model(path)
    assert harmless(str(caught.value))
    report = pyembed.validate(path)
    assert report.findings
    for finding in report.findings:
        assert finding.message.isprintable(), finding.rule
    for verdict in report.verdicts:
        assert verdict.text.isprintable()
    for text in (report.to_json(), report.to_sarif()):
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")  # no lone surrogate
    errors = {finding.rule for finding in report.findings if finding.severity == "error"}
    with caplog.at_level(logging.WARNING, "pyembed"):
        pyembed.load_model(path, ignore=errors).close()
    assert caplog.records
    for record in caplog.records:
        assert harmless(record.getMessage())


@pytest.mark.parametrize("name", [EVIL, EVIL * 1000])
def test_exceptions_about_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / f"x{EVIL_NAME}"
    folder.mkdir()
    path = evil_file(folder / "m.gguf")
    with pyembed.load_model(path, validate="off") as model:
        calls = [
            lambda: model.open_table(name + "?"),
            lambda: model.tensors[name + "?"],
            lambda: model.metadata[name + "?"],
            lambda: model.vocabulary.id(name + "?"),
            lambda: model.vocabulary.find(name + "?"),
            lambda: model.nearest(name + "?"),
        ]
        for call in calls:
            with pytest.raises(NotFoundError) as caught:
                call()
            assert str(caught.value).isprintable()
            assert len(str(caught.value)) < 4000
    with pytest.raises(pyembed.ClosedError) as closed:
        model.open_table("x")
    assert str(closed.value).isprintable()


@pytest.mark.parametrize(
    "command",
    [
        ("info",),
        ("info", "--tensors"),
        ("info", "--json"),
        ("validate",),
        ("validate", "--format", "json"),
        ("validate", "--format", "sarif"),
        ("embed", "--ids", "0,1"),
        ("embed", "--ids", "0,1", "--json"),
        ("embed", "--tokens", EVIL + "?"),
        ("health",),
        ("lock",),
        ("size",),
    ],
)
def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]) -> None:
    path = evil_file(tmp_path / f"m{EVIL_NAME}.gguf")
    main([command[0], str(path), *command[1:]])
    out, err = capsys.readouterr()
    assert out or err
    assert harmless(out), command
    assert harmless(err), command


def test_progress_shows_file_names_with_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    from pyembed.core.progress import report_to

    report_to(lambda text, done: told.append(text))(EVIL, 0.5)
    assert told[0].isprintable()
    rich = pytest.importorskip("rich.progress")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr(
        rich.Progress, "update", lambda self, task, **facts: told.append(facts["description"])
    )
    from pyembed.cli.progress import progress_bar

    with progress_bar() as tell:
        tell(EVIL, 0.5)
    assert len(told) == 2
    assert told[1].isprintable()


# -------------------------------------------------------------------------------------- cost of texts


def test_the_repr_of_what_is_open_is_one_harmless_line(tmp_path: Path) -> None:
    folder = tmp_path / f"a{EVIL_NAME}"
    folder.mkdir()
    with pyembed.load_model(evil_file(folder / "m.gguf"), validate="off") as model:
        vocabulary = model.vocabulary
        things = (model, model.table, vocabulary, vocabulary.tokens, model.metadata, model.tensors)
        for thing in things:
            assert repr(thing).isprintable(), type(thing)
            assert str(thing).isprintable(), type(thing)


def test_long_texts_take_no_square() -> None:
    long = "ab" * 500_000
    start = time.process_time()
    assert nearest_names(long, ["a" * 64] * 10_000) == []
    assert nearest_names("a" * 60, (f"{'a' * 50}{i:07d}" for i in range(200_000)))
    with pyembed.load_model(pyembed.demo_model()) as model:
        for text in (long, "e " * 500_000):
            for ask in (model.nearest, model.vocabulary.find, model.vocabulary.id):
                with pytest.raises(NotFoundError) as caught:
                    ask(text)
                assert len(str(caught.value)) < 1000
        assert pieces(model.vocabulary, long) == []
    marks = "a" + "\u0301\u0316" * 100_000  # sorting them as Unicode asks takes the square
    assert list(WordPiece(lowercase=True, strip_accents=True).guesses(marks))[1] == "\u2581a"
    assert time.process_time() - start < 20


def test_a_long_token_in_brackets_takes_no_square(tmp_path: Path) -> None:
    tokens = [f"t{i}" for i in range(8)]
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "llama")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, [*tokens, "[" + "pad" * 200_000]))
    path, reference = tmp_path / "m.gguf", tmp_path / "vocab.json"
    path.write_bytes(bytes(builder))
    reference.write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    start = time.process_time()
    pyembed.validate(path, level="order", reference=os.fspath(reference))
    assert time.process_time() - start < 5
