"""The rows that names of hashed rows stand for: gathered at once, or in the background."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeLike, IdsLike, Raw
from ..core.dtypes import OutputType
from ..errors import FormatError
from ..tables.arguments import as_rows, gathered_kind
from ..tables.ticket import Ticket, Tickets
from .constants import Scheme
from .history import Histories
from .names import RowNames


class Ngram(RowNames):
    """Which rows of its n-gram tables a model looks up. Use `Model.ngram` or `pyembed.open_ngram`.

    A model with conditional memory hashes the last 2, 3, ... tokens, with several heads, to rows of a large
    table. The names of these rows follow from ids alone. The columns of a token are the heads of its 2-grams,
    then those of its 3-grams, and so on.

    What ends the window of tokens that is hashed differs: PLE looks back to the last end of text (EOS) before
    the token, Engram to the last image, whichever sequence begins there. Between calls a `History` keeps what
    the next tokens look back on. In place of images, ids of a stream hold `image_token`.

    It is immutable, and any number of threads may use it. It pickles with its constants.

    Raises
    ------
    FormatError
        If the constants cannot be right: keys that contradict each other, even or too large multipliers,
        moduli that are not prime, columns that overlap, a token map out of range.
    """

    def embed(
        self,
        ids: IdsLike,
        history: Histories | None = None,
        out: Any = None,
        dtype: DTypeLike | Raw | None = None,
        *,
        offsets: IdsLike | None = None,
        layer: int | None = None,
        threads: int | None = None,
    ) -> Any:
        """Return the rows that tokens look up: `rows`, gathered.

        Parameters
        ----------
        ids, history, offsets, layer, threads
            As for `rows`.
        out, dtype
            As for `EmbeddingTable.gather`, of shape (n, columns, width); with ``dtype="raw"`` the stored
            bytes, of PLE and Engram also to two outputs, codes and scales.

        Returns
        -------
        numpy.ndarray of shape (n, columns, width)
            Put side by side, the rows of a token are what the layer is given: ``result.reshape(n, -1)``. Or
            `out` itself where that was given.

        Raises
        ------
        IndexError, ValueError, TypeError
            As for `rows` and `EmbeddingTable.gather`; `out` is untouched then.
        NotFoundError
            (a KeyError) if the table is not in the file.
        """
        names = self.rows(ids, offsets, history, layer, threads=threads)
        return self.gather_names(names, out, dtype, layer=layer, threads=threads)

    def gather_names(
        self,
        names: npt.NDArray[np.int64],
        out: Any = None,
        dtype: DTypeLike | Raw | None = None,
        *,
        layer: int | None = None,
        threads: int | None = None,
    ) -> Any:
        """Return the rows of names that `rows` returned for a layer; all else as for `embed`."""
        if self._constants.scheme is not Scheme.LONGCAT:
            table = self._tables[self.layers[self._layer_number(layer)]]
            return table.gather(names, out=out, dtype=dtype, threads=threads)
        return self._embed_columns(names, out, dtype, threads)

    def submit(
        self,
        ids: IdsLike,
        history: Histories | None = None,
        out: Any = None,
        dtype: DTypeLike | Raw | None = None,
        *,
        offsets: IdsLike | None = None,
        layer: int | None = None,
    ) -> Ticket[Any] | Tickets[Any]:
        """Begin an `embed` of a layer, or of all layers at once, and return without waiting for a disk.

        The names are computed here, in some nanoseconds a row; rows are read and decoded by the model's
        threads.

        Parameters
        ----------
        ids, history, out, dtype, offsets
            As for `embed`; without `layer` where there are several, `out` is a mapping of layers to theirs.
        layer : int, optional
            One of `layers`; without it all of them.

        Returns
        -------
        Ticket or Tickets
            Its `wait` returns what `embed` would have returned; of several layers a dictionary by layer.

        Raises
        ------
        IndexError, ValueError, TypeError, NotFoundError
            As for `embed`. What goes wrong later, `wait` raises.
        """
        if layer is not None or len(self.layers) == 1:
            return self._submit_layer(ids, history, out, dtype, offsets, layer)
        given = {} if out is None else out
        if not hasattr(given, "get"):
            raise TypeError("out must be a mapping of layers to outputs: several layers are asked for")
        tickets = {
            one: self._submit_layer(ids, history, given.get(one), dtype, offsets, one) for one in self.layers
        }
        return Tickets(tickets.values(), lambda: {one: ticket.wait() for one, ticket in tickets.items()})

    def _submit_layer(
        self, ids: Any, history: Any, out: Any, dtype: Any, offsets: Any, layer: int | None
    ) -> Ticket[Any] | Tickets[Any]:
        return self.submit_names(self.rows(ids, offsets, history, layer), out, dtype, layer=layer)

    def submit_names(
        self,
        names: npt.NDArray[np.int64],
        out: Any = None,
        dtype: DTypeLike | Raw | None = None,
        *,
        layer: int | None = None,
    ) -> Ticket[Any] | Tickets[Any]:
        """Begin a `gather_names` and return without waiting for a disk."""
        if self._constants.scheme is not Scheme.LONGCAT:
            return self._tables[self.layers[self._layer_number(layer)]].submit(names, out=out, dtype=dtype)
        found, rows, kind = self._outputs(names, out, dtype)
        tickets = [
            table.submit(np.ascontiguousarray(names[:, column]), out=rows[:, column], dtype=kind.name)
            for column, table in enumerate(self._tables.values())
        ]
        return Tickets(tickets, lambda: found)

    def _embed_columns(
        self, names: npt.NDArray[np.int64], out: Any, dtype: DTypeLike | Raw | None, threads: int | None
    ) -> Any:
        """Gather each column from a table of its own."""
        found, rows, kind = self._outputs(names, out, dtype)
        for column, table in enumerate(self._tables.values()):
            table.fill(rows[:, column], np.ascontiguousarray(names[:, column]), kind, threads)
        return found

    def _outputs(
        self, names: npt.NDArray[np.int64], out: Any, dtype: DTypeLike | Raw | None
    ) -> tuple[Any, npt.NDArray[Any], OutputType]:
        """Return what is handed back, the array over it that columns are written to, and its kind."""
        if isinstance(out, tuple):
            raise ValueError("two outputs are for rows of one table; here each column has its own: give one")
        kind = gathered_kind(dtype, out)
        tables = list(self._tables.values())
        widths = {table.raw_stride if kind.name == "raw" else table.shape[1] for table in tables}
        if len(widths) > 1:
            listed = ", ".join(map(str, sorted(widths)))
            raise FormatError(
                f"{self._constants.path}: tables of hashed rows have {listed} columns; expected one number",
                self._constants.path,
            )
        shape = (*names.shape, widths.pop())
        found = np.empty(shape, kind.storage) if out is None else out
        return found, as_rows(found, shape, kind), kind
