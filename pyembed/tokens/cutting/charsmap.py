"""SentencePiece's map of characters, checked before another program walks it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .source import TokenSource

_LEAF, _FAR = np.uint32(1 << 8), np.uint32(1 << 9)
_LABEL = np.uint32(1 << 31 | 0xFF)

Places = npt.NDArray[np.int64]


def check_charsmap(source: TokenSource, raw: bytes) -> None:
    """Raise unless every text leads through a map of characters to its end or to a replacement.

    The map is a double array: a unit holds the byte that leads to it (bits 0 to 7, and bit 31 clear), whether
    texts end here (bit 8), and where its children are (bits 10 to 31, times 256 where bit 9 is set), combined
    with its own place and the child's byte by exclusive or. Where texts end, byte 0 leads to a value, the
    place of the replacement, which ends with a NUL.

    Raises
    ------
    VocabularyError
    """
    n_bytes = int.from_bytes(raw[:4], "little")
    if len(raw) < 4 or n_bytes % 4 or not 4 <= n_bytes < len(raw) - 4:
        source.fail(f"the map of characters says that {n_bytes} of its {len(raw)} bytes are its table")
    units = np.frombuffer(raw, "<u4", n_bytes // 4, 4)
    replacements = raw[4 + n_bytes :]
    try:
        replacements.decode("utf-8")
    except UnicodeDecodeError as error:
        where = 4 + n_bytes + error.start
        source.fail(f"the replacements of the map of characters are not UTF-8 (at its byte {where})")
    ends = _walk(source, units)
    values = units[ends].astype(np.int64) & 0x7FFFFFFF
    last = replacements.rfind(b"\0")
    if values.size and int(values.max()) > last:
        source.fail(
            f"the map of characters leads to byte {int(values.max())} of {len(replacements)} of replacements"
        )
    starts = np.frombuffer(replacements, np.uint8)[values] & 0xC0 == 0x80
    if starts.any():
        source.fail("the map of characters leads into the middle of a character")


def _walk(source: TokenSource, units: npt.NDArray[np.uint32]) -> Places:
    """Return the places of all values that texts lead to."""
    n = units.size
    seen = np.zeros(n, np.bool_)
    nodes: Places = np.zeros(1, np.int64)
    values = []
    every_byte = np.arange(1, 256, dtype=np.int64)
    while nodes.size:
        seen[nodes] = True
        bases = nodes ^ _offsets(units[nodes])
        if int((bases | 0xFF).max()) >= n:
            source.fail(
                f"the map of characters leads outside itself: to unit {int((bases | 0xFF).max())} of {n}"
            )
        values.append(bases[units[nodes] & _LEAF != 0])
        children = (bases[:, None] ^ every_byte).ravel()
        labels = np.tile(every_byte, bases.size).astype(np.uint32)
        children = children[units[children] & _LABEL == labels]
        nodes = np.unique(children[~seen[children]])
    return np.concatenate(values)


def _offsets(units: npt.NDArray[np.uint32]) -> Places:
    far = np.where(units & _FAR != 0, np.uint32(8), np.uint32(0))
    return ((units >> np.uint32(10)) << far).astype(np.int64)
