"""What a table does in the background: rows that are fetched before they are asked for, and tickets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import DTypeLike, IdsLike, Raw
from ..core.dtypes import OutputType
from ..core.handle import Source
from ..core.records import Stats
from ..errors import CData, Status
from .arguments import (
    as_ids,
    as_rows,
    as_window,
    gathered_kind,
    id_error,
    refuse_common_memory,
    row_stride,
)
from .ticket import Ticket

Out = TypeVar("Out")


class Ahead:
    """The part of `EmbeddingTable` that does not wait."""

    if TYPE_CHECKING:
        _source: Source
        _shape: tuple[int, int]
        _raw_bytes: Any

        def _ensure_open(self) -> CData: ...
        def _width(self, kind: OutputType) -> int: ...
        def _options(self, ids: np.dtype[Any], kind: OutputType, threads: int | None) -> CData: ...

    def prefetch(self, ids: IdsLike) -> None:
        """Fetch the rows of some ids in the background, for a gather that follows soon; return at once.

        A hint: it does nothing for rows that are in memory, and too many at a time are given up, which
        `Stats.n_prefetches_lost` counts.

        Raises
        ------
        IndexError, TypeError, ClosedError
            As `gather`.
        """
        table = self._ensure_open()
        array = as_ids(ids, self._shape[0])
        options = self._options(array.dtype, gathered_kind(None, None), 1)
        error = ffi.new("pye_error *")
        status = lib.pye_table_prefetch(table, ffi.from_buffer(array), array.size, options, error)
        if status == Status.ID:
            id_error(array, error.offset, self._shape[0])
        self._source.check(status, error)

    @overload
    def submit(
        self,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: DTypeLike | Raw | None = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Ticket[npt.NDArray[Any]]: ...
    @overload
    def submit(
        self,
        ids: IdsLike,
        *,
        out: Out,
        dtype: DTypeLike | Raw | None = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Ticket[Out]: ...
    def submit(
        self,
        ids: Any,
        *,
        out: Any = None,
        dtype: Any = None,
        threads: int | None = None,
        window: tuple[int, int] | None = None,
    ) -> Ticket[Any]:
        """Begin a `gather` in a thread of the model's and return at once.

        Parameters
        ----------
        ids, out, dtype, threads, window
            As in `gather`. The ids are copied. `out` is written until the ticket is done; its rows must lie
            at equal distances. Without `threads` the rows are decoded by one thread.

        Returns
        -------
        Ticket
            Its `wait` returns what `gather` would have returned.

        Raises
        ------
        TypeError, ValueError
            As `gather`. An id that is not a row, and whatever goes wrong later, `Ticket.wait` raises.
        """
        table = self._ensure_open()
        limits = None if window is None else as_window(window, self._shape[0])
        ids = as_ids(ids, self._shape[0] if limits is None else None)
        kind = gathered_kind(dtype, out)
        options = self._options(ids.dtype, kind, 1 if threads is None else threads)
        if limits is not None:
            options.has_window, (options.window_first, options.window_end) = 1, limits
        if out is None:
            out = np.empty((*ids.shape, self._width(kind)), kind.storage)
        widths = tuple(self._raw_bytes) if isinstance(out, tuple) else (self._width(kind),)
        outputs = out if isinstance(out, tuple) else (out,)
        parts = [as_rows(part, (*ids.shape, n), kind) for part, n in zip(outputs, widths, strict=True)]
        strides = [row_stride(part) for part in parts]
        if None in strides:
            raise ValueError("the rows of out lie at unequal distances: submit needs equal ones")
        options.out_row_bytes = strides[0]
        if len(parts) == 2:
            refuse_common_memory(*parts)
            options.out_scales = ffi.cast("void *", parts[1].ctypes.data)
            options.out_scales_row_bytes = strides[1]
        return Ticket(self._source, table, ids, parts, options, out)

    def stats(self) -> Stats:
        """Return what all tables of the file have done since it was opened; takes no lock, stops nobody."""
        return self._source.stats()
