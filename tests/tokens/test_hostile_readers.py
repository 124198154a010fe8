"""Tokenizer files that nobody vouches for: wrong types everywhere, damaged bytes, sizes out of proportion."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pyembed
from pyembed.tokens.readers import checked_reads
from pyembed.tokens.token_list import MAX_TOKENS
from pyembed.validation.reference import open_reference
from tests.helpers.children import SANITIZED
from tests.helpers.model_files import write_model
from tests.helpers.tokenizer_files import sentencepiece_model, spm_pieces, tekken, varint, write_json

ADDED = [{"id": 3, "content": "<x>", "special": True}, {"id": 4, "content": "<y>", "special": False}]
FILES: dict[str, dict[str, Any]] = {
    "bpe": {
        "tokenizer.json": {
            "version": "1.0",
            "added_tokens": ADDED,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Split"}, {"type": "ByteLevel"}],
            },
            "decoder": {"type": "Sequence", "decoders": [{"type": "ByteLevel"}]},
            "model": {
                "type": "BPE",
                "byte_fallback": True,
                "vocab": {"a": 0, "b": 1, "<0x41>": 2},
                "merges": ["a b", ["b", "a"]],
            },
        },
        "tokenizer_config.json": {
            "eos_token": {"content": "<x>"},
            "bos_token": "<y>",
            "added_tokens_decoder": {"5": {"content": "<z>", "special": True}},
        },
        "special_tokens_map.json": {"pad_token": "<x>", "additional_special_tokens": ["<y>"]},
        "added_tokens.json": {"<z>": 5},
    },
    "unigram": {
        "tokenizer.json": {
            "added_tokens": ADDED,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2]]},
        }
    },
    "word pieces": {
        "tokenizer.json": {
            "added_tokens": ADDED,
            "model": {"type": "WordPiece", "continuing_subword_prefix": "@@", "vocab": {"a": 0, "@@b": 1}},
        }
    },
    "tekken": {"tekken.json": tekken([b"a", b"b", b"ab"], ["<unk>", "<s>"], n_special=3)},
    "vocab.json": {"vocab.json": {"a": 0, "b": 1}, "added_tokens.json": {"<x>": 2}},
}
WRONG: list[Any] = [
    *(None, True, 5, -1, 1.5, 1e308, 10**400, 2**31, "", "x", "\ud800", [], {}, [[]], {"a": 5}),
    *([["a", "b"]], [5], {"type": 5}, {"content": 5}, "x" * 5000),
]


def paths_of(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield where the values of a JSON document stand, the document itself first."""
    yield at
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from paths_of(inner, (*at, key))


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    changed = copy.deepcopy(document)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


@pytest.mark.parametrize("kind", FILES)
def test_no_type_in_a_file_is_assumed(tmp_path: Path, kind: str) -> None:
    files = FILES[kind]
    model = write_model(
        tmp_path / "model.gguf", model="gpt2", tokens=["a", "b", "c", "<x>"], types=[1, 1, 1, 3]
    )
    folder = tmp_path / "hf"
    folder.mkdir()
    for name, content in files.items():
        write_json(folder / name, content)
    pyembed.compare(model, folder)
    messages = []
    for name, content in files.items():
        for path in paths_of(content):
            for wrong in WRONG:
                write_json(folder / name, with_value(content, path, wrong))
                try:
                    pyembed.compare(model, folder)
                except pyembed.FormatError as error:
                    messages.append(str(error))
        write_json(folder / name, content)
    assert len(messages) > 20
    assert [message for message in messages if str(folder) not in message or len(message) > 1000] == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '{"model": {"type": "BPE", "vocab": {}}, "pre_tokenizer": {"pretokenizers": 5}}',
            r"pre_tokenizer\.pretokenizers must be a list, not a number",
        ),
        ('{"model": {"type": "BPE", "vocab": {}}, "decoder": [1]}', "decoder must be an object, not a list"),
        ('{"model": {"type": "Unigram", "vocab": [["a", NaN]]}}', "NaN is not a JSON value"),
        ('{"model": {"type": "Unigram", "vocab": [["a", 1' + "0" * 400 + "]]}}", "a score beyond any float"),
        ('{"model": {"type": "BPE", "vocab": {"a": 1' + "0" * 5000 + "}}}", "digits"),
        ('{"model": {"type": "BPE", "vocab": {"a": 1' + "0" * 400 + "}}}", "more than 64 bits"),
        ('{"model": {"type": "BPE", "vocab": {"a": 1}, "vocab": {"a": 2}}}', "'vocab' stands twice"),
        (
            '{"model": {"type": "BPE", "vocab": ' + '{"a":' * 100_000 + "1" + "}" * 100_003,
            "nested too deeply",
        ),
        (
            '{"config": {"default_num_special_tokens": 5, "default_vocab_size": 2000000000}, "vocab": []}',
            "do not fit",
        ),
    ],
)
def test_wrong_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text, "utf-8")
    with pytest.raises(pyembed.FormatError, match=message) as caught:
        open_reference(path)
    assert str(caught.value).startswith(str(path))
    assert caught.value.path == str(path)


# -------------------------------------------------------------------------------- damaged protobuf

PROTO = sentencepiece_model(spm_pieces()[:262])


def test_a_truncated_sentencepiece_model_is_refused_or_shorter(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    n_pieces, offsets = [], []
    for size in range(len(PROTO) - 200, len(PROTO)):
        path.write_bytes(PROTO[:size])
        try:
            tokens = open_reference(path).file.tokens
            n_pieces.append(0 if tokens is None else len(tokens))
        except pyembed.FormatError as error:
            offsets.append(error.offset)
    assert len(offsets) > 150
    assert None not in offsets
    assert 0 < min(n_pieces) <= max(n_pieces) == 262


def test_damaged_sentencepiece_models_raise_format_errors(tmp_path: Path) -> None:
    path = tmp_path / "m.model"
    draw = random.Random(0)
    n_refused = 0
    for _ in range(400):
        data = bytearray(PROTO)
        for _ in range(draw.choice([1, 2, 8])):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            open_reference(path)
        except pyembed.FormatError:
            n_refused += 1
    assert 50 < n_refused < 400


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n\x06\n\x02ab\x18\x09", "unknown type 9"),
        (b"\n\x06\n\x02ab\x18\x01\n\x7f", "a field of 127 bytes, and 0 are left"),
        (b"\n\x06\n\x02ab\x18\x01\x0b", "wire type 3"),
        (b"\n\x06\n\x02ab\x18\x01" + b"\xff" * 20, "an unfinished number"),
        (b"\n\x04\n\x02ab\n" + varint(1 << 62), f"a field of {1 << 62} bytes"),
    ],
)
def test_wrong_protobuf_is_named(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "m.model"
    path.write_bytes(data)
    with pytest.raises(pyembed.FormatError, match=message) as caught:
        open_reference(path)
    assert "(at byte " in str(caught.value)


def test_ranks_and_merges_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "x.tiktoken"
    for line, message in (
        (b"YQ== 99999999999", "line 2 .at byte 7.: not a token"),
        (b"YQ== 4294967296", "rank 4294967296 is beyond"),
        (b"YQ== 0", "rank 0 a second time"),
        (b"Y 1", "line 2"),
    ):
        path.write_bytes(b"YQ== 0\n" + line + b"\n")
        with pytest.raises(pyembed.FormatError, match=message):
            open_reference(path)
    write_json(tmp_path / "vocab.json", {"a": 0})
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b c\n", "utf-8")
    with pytest.raises(pyembed.FormatError, match=r"merges\.txt: line 2 must be two tokens"):
        open_reference(tmp_path / "vocab.json")


# -------------------------------------------------------------------------------- out of proportion

LARGE = {
    "vocab.txt": b"\n",
    "x.tiktoken": b"YQ== 0\n",
    "tokenizer.json": b'{"model": {"type": "BPE", "vocab": {}, "merges": [' + b"[]," * 1_000_000,
    "tekken.json": b'{"config": {"default_num_special_tokens": 1}, "vocab": [' + b"{}," * 1_000_000,
    "m.model": b"\n\x02\n\0",
}
_CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
import pyembed
from pyembed.validation.reference import open_reference
try:
    open_reference(sys.argv[1])
except pyembed.FormatError as error:
    print(error)
# Of this program alone: what getrusage has begins with the peak of the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.posix
@pytest.mark.skipif(SANITIZED, reason="limits addresses, and a sanitizer takes terabytes of them")
@pytest.mark.parametrize("name", LARGE)
def test_files_out_of_proportion_take_bounded_memory(tmp_path: Path, name: str) -> None:
    """32 MiB of almost nothing: what is counted before it is taken apart never becomes Python objects."""
    import resource

    path = tmp_path / name
    path.write_bytes(LARGE[name] * ((32 << 20) // len(LARGE[name])))
    limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    room = 3 << 30 if limit == resource.RLIM_INFINITY else min(limit, 3 << 30)
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(path), str(room)], capture_output=True, text=True
    )
    assert child.returncode == 0, child.stderr
    message, peak = child.stdout.splitlines()
    assert str(path) in message
    assert "more than" in message
    assert int(peak) < 900 << 10, f"{int(peak) >> 10} MiB"


def test_limits_are_far_above_real_files() -> None:
    assert checked_reads.MAX_FILE_BYTES >= 60_000_000
    assert MAX_TOKENS >= 2_000_000


def test_large_files_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with path.open("wb") as file:
        file.write(b"{")
        file.truncate(checked_reads.MAX_FILE_BYTES + 1)
    with pytest.raises(pyembed.FormatError, match="too large for a vocabulary"):
        open_reference(path)


def test_texts_of_a_reference_reach_messages_escaped(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf", model="llama", tokens=["a", "b", "c"], types=[1] * 3)
    vocab = {"a": 0, "\x1b[31mred\u202e": 1, "c": 2}
    path = write_json(tmp_path / "v", vocab)
    text = str(pyembed.compare(model, path))
    assert "\x1b" not in text
    assert "\u202e" not in text
