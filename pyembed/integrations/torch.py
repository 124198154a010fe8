"""Tables of a file as ``torch.nn.Module``: ``pip install pyembed-gguf[torch]``."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

try:
    import torch
except ImportError as error:
    raise ImportError("pyembed.integrations.torch needs torch: pip install 'pyembed-gguf[torch]'") from error

from ..core.dtypes import output_type
from ..ngram import History, Ngram
from ..tables.table import EmbeddingTable
from ..tables.ticket import Ticket, Tickets


class Embedding(torch.nn.Module):
    """Stands in for ``torch.nn.Embedding``, over a table that stays in its file, quantised and mapped.

    It has no parameters: nothing of it is trained, saved with a state dict, or moved by ``.to()``. Rows are
    gathered on the CPU, straight into the memory of the tensor that is returned, and are raw.

    Parameters
    ----------
    table : EmbeddingTable
        Such as ``model.table``. It is used, not owned: keep its model open.
    dtype : torch.dtype, optional
        float32, float16 or bfloat16.
    follow_ids : bool, optional
        Whether ids may lie on another device: they are then copied from it, and the rows to it. Without it
        such ids are a ValueError, since every call would wait for the device.
    threads : int, optional
        As for `EmbeddingTable.gather`.

    Attributes
    ----------
    num_embeddings, embedding_dim : int
        Rows and columns of the table, under the names of ``torch.nn.Embedding``.
    """

    def __init__(
        self,
        table: EmbeddingTable,
        *,
        dtype: torch.dtype = torch.float32,
        follow_ids: bool = False,
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.table = table
        self.num_embeddings, self.embedding_dim = table.shape
        self.dtype = dtype
        self.follow_ids = follow_ids
        self.threads = threads
        self._dtype_name = output_type(dtype).name

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of some ids: of shape ``ids.shape + (embedding_dim,)``, on the ids' device.

        Raises
        ------
        IndexError, TypeError, ValueError
            As `EmbeddingTable.gather` does.
        """
        # Arrays on the same memory: a gather takes them in fewer steps than tensors.
        if ids.is_cpu:
            return self._tensor(self._rows(ids.detach().numpy()))
        if self.follow_ids:
            return self._tensor(self._rows(ids.cpu().numpy())).to(ids.device)
        return self._tensor(self._rows(ids))  # which says what is wrong with them

    def _rows(self, ids: Any) -> Any:
        return self.table.gather(ids, dtype=self._dtype_name, threads=self.threads)

    def _tensor(self, rows: Any) -> torch.Tensor:
        tensor = torch.from_numpy(rows)
        return tensor.view(self.dtype) if tensor.dtype != self.dtype else tensor

    def extra_repr(self) -> str:
        """Return what ``repr`` says between the brackets."""
        return f"{self.num_embeddings}, {self.embedding_dim}, type={self.table.type}, dtype={self.dtype}"


class NgramEmbedding(torch.nn.Module):
    """The hashed rows of one layer, read from their file while the layers before it compute.

    Call `prefetch` when the tokens are known, and the module in its layer: that waits for what is not there
    yet. Without a `prefetch` for the same tokens it gathers at once. It has no parameters.

    Parameters
    ----------
    ngram : Ngram
        ``model.ngram``. It is used, not owned: keep its model open.
    layer : int, optional
        One of ``ngram.layers``; needed where there are several.
    dtype : torch.dtype, optional
        float32, float16 or bfloat16.
    pin_memory : bool, optional
        Whether rows go to page-locked memory, from where a GPU fetches them without a copy.

    Attributes
    ----------
    embedding_dim : int
        Columns times the width of a row.
    """

    #: Prefetches that nobody came for; the oldest are dropped.
    MOST_PENDING = 8

    def __init__(
        self,
        ngram: Ngram,
        layer: int | None = None,
        *,
        dtype: torch.dtype = torch.bfloat16,
        pin_memory: bool = False,
    ) -> None:
        super().__init__()
        if layer is None:
            if len(ngram.layers) > 1:
                raise ValueError(f"layer is needed: there are {', '.join(map(str, ngram.layers))}")
            layer = ngram.layers[0]
        self.ngram, self.layer = ngram, layer
        self.dtype, self.pin_memory = dtype, pin_memory
        output_type(dtype)  # refuses the others
        key = layer if layer in ngram.tables else next(iter(ngram.tables))
        self._width = ngram.tables[key].shape[1]
        self.embedding_dim = ngram.columns * self._width
        self._pending: deque[tuple[npt.NDArray[np.int64], Ticket[Any] | Tickets[Any]]] = deque(
            maxlen=self.MOST_PENDING
        )

    def prefetch(
        self,
        ids: Any,
        history: History | Sequence[History | None] | None = None,
        offsets: Any = None,
    ) -> None:
        """Begin to read the rows of tokens and return at once.

        Parameters
        ----------
        ids, history, offsets
            As for `Ngram.rows`; `history` is what came before these tokens.

        Raises
        ------
        IndexError, TypeError, ValueError
            As `Ngram.rows`.
        """
        names = self.ngram.rows(ids, offsets, history, self.layer)
        out = self._empty(len(names))
        ticket = self.ngram.submit_names(names, out, layer=self.layer)
        self._pending.append((names, ticket))

    def forward(
        self,
        ids: Any,
        history: History | Sequence[History | None] | None = None,
        offsets: Any = None,
    ) -> torch.Tensor:
        """Return the rows of tokens, those of each put side by side: of shape (n, embedding_dim), on the CPU.

        Parameters
        ----------
        ids, history, offsets
            As for `prefetch`, with the same history: advance it after this.

        Raises
        ------
        IndexError, TypeError, ValueError, OSError
            As `Ngram.embed`.
        """
        names = self.ngram.rows(ids, offsets, history, self.layer)
        for index, (asked, ticket) in enumerate(self._pending):
            if np.array_equal(asked, names):
                del self._pending[index]
                rows: torch.Tensor = ticket.wait()
                return rows.reshape(len(names), -1)
        out = self._empty(len(names))
        self.ngram.gather_names(names, out, layer=self.layer)
        return out.reshape(len(names), -1)

    def _empty(self, n: int) -> torch.Tensor:
        shape = (n, self.ngram.columns, self._width)
        return torch.empty(shape, dtype=self.dtype, pin_memory=self.pin_memory)

    def extra_repr(self) -> str:
        """Return what ``repr`` says between the brackets."""
        return f"{self.ngram.scheme}, layer={self.layer}, {self.embedding_dim}, dtype={self.dtype}"


def as_tensor(rows: Any) -> torch.Tensor:
    """Return gathered rows as a tensor on the same memory; uint16 and ml_dtypes' bfloat16 as torch's."""
    if rows.dtype.name == "bfloat16":
        rows = rows.view("uint16")
    tensor = torch.from_dlpack(rows)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor
