"""The tokens that a text file is cut into, read in blocks."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..core.handle import Source
from ..core.paths import Path
from ..files.metadata import Metadata
from ..safe_text import printable
from ..tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from typing import BinaryIO

_BLOCK = 1 << 20
#: Characters that are cut with the block behind them once more: what stands at a seam is seen whole.
_SEAM = 4096


def ids_used_by(source: Source, path: Path) -> npt.NDArray[np.int64]:
    """Return the ids of the tokens that the texts of a file are cut into, in order.

    The file is cut in blocks of 2**20 bytes that overlap: a few more tokens may be found at their ends than
    in the text as a whole.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not UTF-8; the message has the byte.
    ImportError, VocabularyError
        If the extra ``text`` is not installed, or no tokenizer can be made of the vocabulary.
    """
    vocabulary = Vocabulary(source, Metadata(source))
    used = np.zeros(len(vocabulary), np.bool_)
    with open(path, "rb") as file:
        for block in _blocks(file, printable(os.fsdecode(path))):
            found = vocabulary.cutter.tokenize(block, add_special=False, parse_special=True)
            used[np.asarray(found, np.int64)] = True
    return np.flatnonzero(used)


def _blocks(file: BinaryIO, name: str) -> Iterator[str]:
    """Yield a file's text in parts that each begin with the end of the one before."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept, done = "", 0
    while True:
        data = file.read(_BLOCK)
        pending = len(decoder.getstate()[0])
        try:
            text = decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise ValueError(f"{name}: not UTF-8 at byte {done - pending + error.start}") from None
        done += len(data)
        if text:
            yield kept + text
            kept = _end_of(kept + text)
        if not data:
            return


def _end_of(text: str) -> str:
    """Return the end of a text, from the beginning of a line or a word where there is one."""
    end = text[-_SEAM:]
    if len(end) == len(text):
        return end
    first = end.find("\n", 0, _SEAM // 2)
    if first < 0:
        first = max(end.find(" ", 0, _SEAM // 2), 0)
    return end[first:]
