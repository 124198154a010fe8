"""Recognises a reference by its content and reads it."""

from __future__ import annotations

import os
import re
from typing import Any

from ...core.paths import Path, file_name
from ...core.recognise import recognise
from ...errors import FormatError
from ...tokens.readers.checked_reads import as_json, read_bytes, refuse_pointer
from ...tokens.readers.sentencepiece_model import is_sentencepiece, read_sentencepiece
from ...tokens.readers.tekken import is_tekken, read_tekken
from ...tokens.readers.tokenizer_json import read_tokenizer_json
from ...tokens.readers.vocabulary_files import is_ranks, read_ranks, read_vocab_json, read_vocab_txt
from ...tokens.token_list import TokenFile
from .model_file import read_model
from .reference import Reference, Rows
from .row_files import rows_in

_DIGEST = re.compile(r"sha256:[0-9a-fA-F]{64}")
_KINDS = (
    "a GGUF model, tokenizer.json, tekken.json, a SentencePiece .model, vocab.txt, vocab.json (with "
    'merges.txt), tiktoken ranks, safetensors, .npy, a directory that holds one, or a digest "sha256:..."'
)
#: In a directory, best first: what states most about the tokens.
_TOKEN_FILES = (
    "tokenizer.json",
    "tekken.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tiktoken.model",
    "vocab.json",
    "vocab.txt",
)
#: Names with a version in them, or a model's; looked for where none of the above is there.
_OTHER_TOKEN_FILES = re.compile(r"tokenizer\.model\.v\d+\w*|.+\.tiktoken")


def open_reference(reference: Path | object) -> Reference:
    """Read what a model is compared with.

    Parameters
    ----------
    reference : path-like or str
        A file, recognised by its content, a directory that holds one, or a vocabulary's digest.

    Raises
    ------
    OSError
        If it cannot be read.
    FormatError
        If it is damaged, a Git LFS pointer, or of an unknown kind.
    ValueError
        If it begins like a digest and is not one.
    TypeError
        If it is not a path.
    """
    if not isinstance(reference, str | bytes | os.PathLike):
        raise TypeError(f"reference is of type {type(reference).__name__}; expected {_KINDS}")
    path = file_name(reference)
    if path.startswith("sha256:"):
        if not _DIGEST.fullmatch(path):
            raise ValueError(f"{path!r} is not a digest: sha256: and 64 hexadecimal digits")
        return Reference(TokenFile("digest", path, digest=path.lower()), Rows())
    if os.path.isdir(path):
        return _open_directory(path)
    if not os.path.isfile(path):
        os.stat(path)
        raise FormatError(f"{path}: not a regular file", path)
    return _open_file(path)


def _open_directory(path: str) -> Reference:
    name = _token_file_in(path)
    rows = rows_in(path)
    try:
        if name is not None:
            found = _open_file(os.path.join(path, name))
            return Reference(found.file, rows or found.rows)
    except BaseException:
        if rows is not None:
            rows.close()
        raise
    if rows is None:
        listed = ", ".join(_TOKEN_FILES)
        raise FormatError(
            f"{path}: the directory holds no tokenizer ({listed}) and no weights (*.safetensors)", path
        )
    if rows.table is None:
        raise FormatError(f"{path}: neither tokens nor rows to compare with: {rows.unread}", path)
    return Reference(TokenFile("directory", path), rows)


def _token_file_in(directory: str) -> str | None:
    for name in _TOKEN_FILES:
        if os.path.isfile(os.path.join(directory, name)):
            return name
    others = [name for name in os.listdir(directory) if _OTHER_TOKEN_FILES.fullmatch(name)]
    # The highest of several versions of a file is the one that belongs to the weights.
    return max(others, default=None, key=lambda name: ([int(n) for n in re.findall(r"\d+", name)[:1]], name))


def _open_file(path: str) -> Reference:
    with open(path, "rb") as file:
        head = file.read(4096)
    refuse_pointer(path, head)
    # safetensors begin with the length of their header, which in a text of 8 characters would be huge.
    is_safetensors = head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 1 << 48
    if head[:4] == b"GGUF" or head[:6] == b"\x93NUMPY" or is_safetensors:
        return read_model(path)
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:1] == b"{":
        return _open_json(path)
    data = read_bytes(path)
    if is_sentencepiece(head):
        return Reference(read_sentencepiece(path, data), Rows())
    if is_ranks(data):
        return Reference(read_ranks(path, data), Rows())
    named = os.path.basename(path) == "vocab.txt"
    if b"\0" not in data and (named or any(line in data for line in (b"[UNK]", b"\n##"))):
        return Reference(read_vocab_txt(path, data), Rows())
    what = recognise(path)
    but = f", but {what}" if what is not None else ""
    raise FormatError(f"{path}: not a kind of reference that is known{but}; expected {_KINDS}", path)


def _open_json(path: str) -> Reference:
    content = as_json(path, read_bytes(path))
    if "weight_map" in content:
        return read_model(path)
    return Reference(_tokens_of_json(path, content), Rows())


def _tokens_of_json(path: str, content: dict[str, Any]) -> TokenFile:
    if is_tekken(content):
        return read_tekken(path, content)
    if isinstance(content.get("model"), dict) and "vocab" in content["model"]:
        return read_tokenizer_json(path, content)
    if content and all(isinstance(value, int) for value in content.values()):
        return read_vocab_json(path, content)
    raise FormatError(f"{path}: JSON, but not a kind of reference that is known; expected {_KINDS}", path)
