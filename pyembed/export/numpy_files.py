"""``.npy`` and ``.npz``."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeName
from ..core.dtypes import output_type
from ..files.npy_writer import write_array, write_header
from .selection import Selection
from .tables import write_metadata

_MAX_TOKEN_BYTES = 4 << 30


def write_npy(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    """Write the rows as one array, bfloat16 as uint16, and ids and tokens to the file beside it, if any."""
    _write_rows(files[0], chosen, dtype)
    for file in files[1:]:
        write_metadata(file, chosen)


def _write_rows(file: IO[bytes], chosen: Selection, dtype: DTypeName) -> None:
    write_header(file, output_type(dtype).storage, chosen.shape)
    for _, _, rows in chosen.rows(dtype):
        file.write(rows.data)


def write_npz(files: list[IO[bytes]], chosen: Selection, dtype: DTypeName) -> None:
    r"""Write the arrays ``embeddings``, ``ids`` (int64) and, where there are any, ``tokens`` (str).

    NumPy drops NULs from the end of a str. Where a token ends in one, ``token_lengths`` (int32) says how many
    characters each has, so that ``text.ljust(length, "\0")`` is the whole text.
    """
    with _archive(files[0]) as archive:
        _member(archive, "embeddings", lambda file: _write_rows(file, chosen, dtype))
        _member(archive, "ids", lambda file: write_array(file, np.asarray(chosen.ids, np.int64)))
        if chosen.vocabulary is None:
            return
        lengths, has_nuls = _token_lengths(chosen)
        compression = zipfile.ZIP_DEFLATED
        _member(archive, "tokens", lambda file: _write_tokens(file, chosen, lengths), compression)
        if has_nuls:
            _member(archive, "token_lengths", lambda file: write_array(file, lengths), compression)


@contextmanager
def _archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    """Open a zip file for writing; what is raised meanwhile survives what closing it would raise."""
    archive = zipfile.ZipFile(file, "w")
    try:
        yield archive
    except BaseException:
        archive.fp = None  # nothing more is written, and closing a member that was cut off must not fail
        raise
    archive.close()


def _member(
    archive: zipfile.ZipFile,
    name: str,
    write: Callable[[IO[bytes]], None],
    compression: int = zipfile.ZIP_STORED,
) -> None:
    info = zipfile.ZipInfo(f"{name}.npy")  # its date is 1980-01-01: the same rows give the same file
    info.compress_type = compression
    with archive.open(info, "w", force_zip64=True) as file:
        write(file)


def _token_lengths(chosen: Selection) -> tuple[npt.NDArray[np.int32], bool]:
    """Return how many characters each token has, 0 without one, and whether any ends in a NUL.

    Raises
    ------
    ValueError
        Where one is too long for NumPy to keep all as wide as that.
    """
    n, has_nuls = chosen.shape[0], False
    lengths = np.zeros(n, np.int32)
    for place, (_, text) in enumerate(chosen.texts()):
        lengths[place] = len(text or "")
        has_nuls = has_nuls or (text or "").endswith("\0")
    longest = int(np.argmax(lengths))
    if 4 * n * int(lengths[longest]) > _MAX_TOKEN_BYTES:
        raise ValueError(
            f"token {chosen.ids[longest]} has {lengths[longest]} characters, and .npz keeps all {n} tokens "
            "as wide as that; choose fewer rows or another format"
        )
    return lengths, has_nuls


def _write_tokens(file: IO[bytes], chosen: Selection, lengths: npt.NDArray[np.int32]) -> None:
    """Write the texts as NumPy keeps them: each as wide as the longest, which compresses well."""
    kind = np.dtype(f"U{max(1, int(lengths.max()))}")
    write_header(file, kind, (len(lengths),))
    for _, text in chosen.texts():
        file.write(np.array(text or "", kind).tobytes())
