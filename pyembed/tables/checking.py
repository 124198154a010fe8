"""Bytes of rows as the file stores them: their digest, and what is wrong with them."""

from __future__ import annotations

from enum import IntFlag
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.constants import DIGEST_BYTES
from ..core.handle import Source
from ..errors import CData
from ..safe_text import quote
from .scan import index_of

_KEY_BYTES = 16


class RowFault(IntFlag):
    """What `EmbeddingTable.check_rows` says of a row.

    ``REFUSED`` is what llama.cpp refuses when it is asked to check tensors: a float or a scale that is not
    finite, the exponent 255 of MXFP4, every row of Q8_1. ``EQUAL`` is that all weights are the same number,
    ``ZERO_SCALE`` that the scale of some group of columns is zero and that of others is not.
    """

    NAN = lib.PYE_ROW_NAN
    INFINITE = lib.PYE_ROW_INFINITE
    REFUSED = lib.PYE_ROW_REFUSED
    ZERO = lib.PYE_ROW_ZERO
    EQUAL = lib.PYE_ROW_EQUAL
    ZERO_SCALE = lib.PYE_ROW_ZERO_SCALE


class Checked:
    """The part of `EmbeddingTable` that looks at stored bytes."""

    if TYPE_CHECKING:  # what a table has
        _source: Source
        _shape: tuple[int, int]

        def _ensure_open(self) -> CData: ...

    def digest(self, step: int = 1) -> str:
        """Return ``"sha256:..."`` over the bytes of rows 0, `step`, 2 `step`, ... as the file stores them.

        A step of 1 takes all rows, about a second for 200 MB; a larger one a sample, without reading the
        rows between. Of rows with scales it takes codes, scales and biases of one row after those of another,
        and last the factor of `layout`: it does not depend on how a table is cut into shards.

        Raises
        ------
        ValueError
            If `step` is below 1, or the table is closed.
        TypeError
            If it is not an int.
        """
        step = index_of("step", step)
        if not 1 <= step < 2**64:
            raise ValueError(f"step is {step}; expected at least 1")
        out, error = ffi.new("char[]", DIGEST_BYTES), ffi.new("pye_error *")
        self._source.check(lib.pye_table_digest(self._ensure_open(), step, out, error), error)
        return ffi.string(out).decode("ascii")

    def check_rows(
        self, first: int, n: int, *, key: bytes | None = None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint64]]:
        """Return what is wrong with rows `first` to `first` + `n` - 1, and hashes of their bytes.

        Parameters
        ----------
        first, n : int
        key : 16 bytes, optional
            Of the hashes: chosen at random, so that no file can make different rows collide. Without it no
            hashes are computed.

        Returns
        -------
        faults : array of uint8
            The members of `RowFault` that apply, 0 for a row that is like any other.
        hashes : array of uint64
            Equal rows have equal hashes; empty without `key`.

        Raises
        ------
        IndexError
            If not all of the rows are there.
        TypeError, ValueError
            If `first` or `n` is not an int, or `key` is not 16 bytes.
        """
        first, n = index_of("first", first), index_of("n", n)
        if key is not None and (not isinstance(key, bytes) or len(key) != _KEY_BYTES):
            raise ValueError(f"key is {quote(key)}; expected {_KEY_BYTES} bytes")
        if first < 0 or n < 0 or first + n > self._shape[0]:
            raise IndexError(
                f"rows {first} to {first + n - 1} are not all there: the table has {self._shape[0]}"
            )
        faults = np.empty(n, np.uint8)
        hashes = np.empty(n if key is not None else 0, np.uint64)
        where = ffi.cast("uint64_t *", hashes.ctypes.data) if key is not None else ffi.NULL
        words = (
            ffi.new("uint64_t[2]", np.frombuffer(key, np.uint64).tolist()) if key is not None else ffi.NULL
        )
        error = ffi.new("pye_error *")
        out = ffi.cast("uint8_t *", faults.ctypes.data)
        status = lib.pye_table_check(self._ensure_open(), first, n, out, words, where, error)
        self._source.check(status, error)
        return faults, hashes
