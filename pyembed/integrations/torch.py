"""A token table of a file as a ``torch.nn.Module``: ``pip install pyembed-gguf[torch]``."""

from __future__ import annotations

from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError("pyembed.integrations.torch needs torch: pip install 'pyembed-gguf[torch]'") from error

from ..core.dtypes import output_type
from ..tables.table import EmbeddingTable


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


def as_tensor(rows: Any) -> torch.Tensor:
    """Return gathered rows as a tensor on the same memory; uint16 and ml_dtypes' bfloat16 as torch's."""
    if rows.dtype.name == "bfloat16":
        rows = rows.view("uint16")
    tensor = torch.from_dlpack(rows)
    return tensor.view(torch.bfloat16) if tensor.dtype == torch.uint16 else tensor
