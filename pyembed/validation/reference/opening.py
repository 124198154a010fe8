"""Tells by its content what a reference is, and reads it."""

from __future__ import annotations

import os
import re

from ...core.handle import Path
from ...errors import FormatError
from ...tokens.readers.checked_reads import as_json, read_bytes
from ...tokens.readers.sentencepiece_model import read_sentencepiece
from ...tokens.readers.tokenizer_json import read_tokenizer_json
from ...tokens.readers.vocabulary_files import is_ranks, read_ranks, read_vocab_json, read_vocab_txt
from .model_file import read_model
from .reference import Reference

_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_KINDS = (
    "a GGUF model, tokenizer.json, a SentencePiece .model, vocab.txt, vocab.json (with merges.txt), "
    "tiktoken ranks, "
    'safetensors, a directory that holds one, or a digest "sha256:..."'
)
#: In a directory, best first: what says most about the tokens.
_TOKEN_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")
_ROW_FILES = ("model.safetensors.index.json", "model.safetensors")


def open_reference(reference: Path | object) -> Reference:
    """Read what a model is compared with.

    Parameters
    ----------
    reference : path-like or str
        A file of a kind that is known by its content, a directory that holds one, or a vocabulary's digest.

    Raises
    ------
    OSError
        If it cannot be read.
    FormatError
        If it is damaged or of an unknown kind.
    TypeError
        If it is no path at all.
    """
    if not isinstance(reference, str | bytes | os.PathLike):
        raise TypeError(f"reference is a {type(reference).__name__}; expected {_KINDS}")
    path = os.fsdecode(reference)
    if path.startswith("sha256:"):
        if not _DIGEST.fullmatch(path):
            raise ValueError(f"{path!r} is no digest: sha256: and 64 hexadecimal digits")
        return Reference("digest", path, digest=path.lower())
    if os.path.isdir(path):
        return _open_directory(path)
    if not os.path.isfile(path):
        os.stat(path)
        raise FormatError(f"{path}: not a regular file", path)
    return _open_file(path)


def _open_directory(path: str) -> Reference:
    names = [name for name in _TOKEN_FILES if os.path.isfile(os.path.join(path, name))]
    rows = [name for name in _ROW_FILES if os.path.isfile(os.path.join(path, name))]
    if not names and not rows:
        raise FormatError(
            f"{path}: the directory holds none of {', '.join([*_TOKEN_FILES, *_ROW_FILES])}", path
        )
    if not names:
        return read_model(os.path.join(path, rows[0]))
    found = _open_file(os.path.join(path, names[0]))
    if rows:
        try:
            model = read_model(os.path.join(path, rows[0]))
        except ValueError as error:
            found.no_table = str(error)
        else:
            found.table, found.close = model.table, model.close
    return found


def _open_file(path: str) -> Reference:
    with open(path, "rb") as file:
        head = file.read(4096)
    if head[:4] == b"GGUF" or head[:6] == b"\x93NUMPY" or head[8:9] == b"{":
        return read_model(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"{":
        return _open_json(path)
    if head[:1] == b"\n" and any(byte < 9 for byte in head):
        return Reference.of_tokens(read_sentencepiece(path, read_bytes(path)))
    data = read_bytes(path)
    if is_ranks(data):
        return Reference.of_tokens(read_ranks(path, data))
    named = os.path.basename(path) == "vocab.txt"
    if b"\0" not in data and (named or any(line in data for line in (b"[UNK]", b"\n##"))):
        return Reference.of_tokens(read_vocab_txt(path, data))
    raise FormatError(f"{path}: of no kind that is known here; a reference is {_KINDS}", path)


def _open_json(path: str) -> Reference:
    content = as_json(path, read_bytes(path))
    if "weight_map" in content:
        return read_model(path)
    if isinstance(content.get("model"), dict) and "vocab" in content["model"]:
        return Reference.of_tokens(read_tokenizer_json(path, content))
    if content and all(isinstance(value, int) for value in content.values()):
        return Reference.of_tokens(read_vocab_json(path, content))
    raise FormatError(f"{path}: JSON, but of no kind that is known here; a reference is {_KINDS}", path)
