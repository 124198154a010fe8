"""``.npy`` and ``.npz``."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from ..core.dtypes import output_type
from .selection import Selection
from .tables import write_metadata

_MAX_TOKEN_BYTES = 4 << 30


def write_npy(files: list[IO[bytes]], chosen: Selection, dtype: str) -> None:
    """Write the rows as one array, bfloat16 as uint16, and ids and tokens to the file beside it."""
    _write_rows(files[0], chosen, dtype)
    write_metadata(files[1], chosen)


def _write_header(file: IO[bytes], dtype: np.dtype[Any], shape: tuple[int, ...]) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _write_rows(file: IO[bytes], chosen: Selection, dtype: str) -> None:
    _write_header(file, output_type(dtype).storage, chosen.shape)
    for _, _, rows in chosen.rows(dtype):
        file.write(rows.data)


def write_npz(files: list[IO[bytes]], chosen: Selection, dtype: str) -> None:
    """Write the arrays ``embeddings``, ``ids`` (int64) and, where there are any, ``tokens`` (str)."""
    with zipfile.ZipFile(files[0], "w") as archive:
        _member(archive, "embeddings", lambda file: _write_rows(file, chosen, dtype))
        _member(archive, "ids", lambda file: np.save(file, np.asarray(chosen.ids, np.int64)))
        if chosen.vocabulary is not None:
            _member(archive, "tokens", lambda file: _write_tokens(file, chosen), zipfile.ZIP_DEFLATED)


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


def _write_tokens(file: IO[bytes], chosen: Selection) -> None:
    """Write the texts as NumPy keeps them: each as wide as the longest, which compresses well."""
    n, longest, row = chosen.shape[0], 1, None
    for token, text in chosen.texts():
        if len(text or "") > longest:
            longest, row = len(text or ""), token
    if 4 * n * longest > _MAX_TOKEN_BYTES:
        raise ValueError(
            f"token {row} has {longest} characters, and .npz keeps all {n} tokens as wide as that; "
            "choose fewer rows or another format"
        )
    kind = np.dtype(f"U{longest}")
    _write_header(file, kind, (n,))
    for _, text in chosen.texts():
        file.write(np.array(text or "", kind).tobytes())
