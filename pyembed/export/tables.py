"""Files of lines: word2vec's two formats, and the tab-separated ones of TensorBoard's projector."""

from __future__ import annotations

from typing import IO

import numpy as np

from ..core.aliases import DTypeName
from .safetensors import little_endian
from .selection import Selection
from .words import unique_word, word_of

#: The first line of a file of ids and tokens.
METADATA_HEADER = b"token\tid\n"


def write_word2vec_text(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write "rows columns", then a line for each row: its word and its numbers, with single spaces."""
    _check_once(chosen)
    n, columns = chosen.shape
    files[0].write(f"{n} {columns}\n".encode("ascii"))
    line = " ".join(["%s", *["%.9g"] * columns]) + "\n"  # nine digits lead back to the same float32
    for ids, texts, rows in chosen.rows(dtype):
        for row_id, text, row in zip(ids.tolist(), texts, rows, strict=True):
            word = unique_word(row_id, text, chosen.vocabulary)
            files[0].write((line % (word, *row.tolist())).encode("utf-8"))


def write_word2vec_binary(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write "rows columns" and a newline, then each row: its word, a space and its float32, little-endian."""
    _check_once(chosen)
    n, columns = chosen.shape
    files[0].write(f"{n} {columns}\n".encode("ascii"))
    for ids, texts, rows in chosen.rows(dtype):
        for row_id, text, row in zip(ids.tolist(), texts, rows, strict=True):
            word = unique_word(row_id, text, chosen.vocabulary)
            files[0].write(word.encode("utf-8") + b" " + little_endian(row))


def _check_once(chosen: Selection) -> None:
    if isinstance(chosen.ids, range):
        return
    ids, counts = np.unique(chosen.ids, return_counts=True)
    if counts.max() > 1:
        raise ValueError(f"id {ids[counts.argmax()]} was chosen twice; word2vec files hold a word once")


def write_projector(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write the rows as tab-separated numbers, and ids and tokens to the file beside it, if any."""
    line = "\t".join(["%.9g"] * chosen.shape[1]) + "\n"
    for _, _, rows in chosen.rows(dtype):
        for row in rows:
            files[0].write((line % tuple(row.tolist())).encode("ascii"))
    for file in files[1:]:
        write_metadata(file, chosen)


def write_metadata(file: IO[bytes], chosen: Selection) -> None:
    """Write "token" and "id", then both for each row, tab-separated; tokens spelled by `words.word_of`."""
    file.write(METADATA_HEADER)
    for row_id, text in chosen.texts():
        word = str(row_id) if chosen.vocabulary is None else "" if text is None else word_of(text)
        file.write(f"{word}\t{row_id}\n".encode())
