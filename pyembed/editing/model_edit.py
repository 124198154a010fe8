"""An edit that opens its model and writes the result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.handle import Source
from ..core.paths import Files, Path
from ..core.progress import Progress
from ..files.atomic_write import OutPath
from .corpus import ids_used_by
from .edit import Edit
from .reference_order import order_of
from .resize import Fill, resize
from .surgery import reorder, requantise, trim
from .writing import Written, overwrite, write


class ModelEdit(Edit):
    """Changes to the metadata, the tensors and the rows of a GGUF model, from `pyembed.edit`.

    Changes are collected and checked; `write` makes a changed copy of the model, `overwrite` changes the
    model itself. What is not changed is copied byte for byte, in memory that does not grow with the model.
    Close it, or use it in a ``with`` statement.

    Attributes
    ----------
    new_ids : ndarray of int64 or None
        After `trim`, by old id the new one; -1 for a token that is gone.

    Raises
    ------
    OSError
        If the model cannot be read.
    GGUFError
        If it is damaged, of version 1, or an earlier edit of it was interrupted.
    """

    def __init__(self, path: Files) -> None:
        self.new_ids: npt.NDArray[np.int64] | None = None
        source = Source(path, format="gguf")
        try:
            super().__init__(source)
        except BaseException:
            source.close()
            raise

    def resize(self, n: int, fill: Fill = "mean", names: Sequence[str] = ()) -> None:
        """Give all tables `n` rows and the vocabulary as many tokens; see `pyembed.editing.resize.resize`."""
        resize(self, n, fill, names)

    def reorder(self, order: Path | Sequence[int] | npt.NDArray[np.integer[Any]]) -> None:
        """Put tokens and their rows in another order.

        Parameters
        ----------
        order : path-like or array of int
            A tokenizer's file or another model, whose order is taken; or the present id of each new token.

        Raises
        ------
        ValueError
            If `order` does not have the same tokens, each once.
        """
        ids = order_of(self, order) if isinstance(order, str | bytes | os.PathLike) else order
        reorder(self, np.asarray(ids, np.int64))

    def trim(self, ids: Sequence[int] | npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
        """Keep some tokens and those they need, and return the new id of each old one; see `surgery.trim`."""
        self.new_ids = trim(self, np.asarray(ids, np.int64))
        return self.new_ids

    def trim_to_text(self, path: Path) -> npt.NDArray[np.int64]:
        """Keep the tokens that a text file is cut into and those they need; see `trim`.

        The new vocabulary cuts the file into the same tokens.

        Parameters
        ----------
        path : path-like
            A file of UTF-8, which is read in blocks.

        Returns
        -------
        ndarray of int64
            By old id the new one; -1 for a token that is gone.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is not UTF-8.
        ImportError, VocabularyError
            As `Model.tokenize` does.
        """
        return self.trim(ids_used_by(self.source, path))

    def requantise(self, name: str, type_name: str) -> None:
        """Store a table as another type; see `surgery.requantise`."""
        requantise(self, name, type_name)

    def write(self, out: str | os.PathLike[str], *, progress: Progress | None = None) -> Written:
        """Write the changed model to `out`; see `pyembed.editing.writing.write`."""
        return write(self, _out(out), progress=progress)

    def overwrite(self, *, progress: Progress | None = None) -> Written:
        """Change the model where it lies; see `pyembed.editing.writing.overwrite`."""
        return overwrite(self, progress=progress)

    def close(self) -> None:
        """Close the model; nothing more can be written then."""
        self.source.close()

    def __enter__(self) -> ModelEdit:
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        self.close()


def _out(out: OutPath) -> OutPath:
    if isinstance(out, str | os.PathLike):
        return out
    raise TypeError(f"out is of type {type(out).__name__}; expected a path")


def edit(path: Files) -> ModelEdit:
    """Open a GGUF model to change it.

    Parameters
    ----------
    path : path-like
        The model, or the first file of a split set; or all files of a set, in order.

    Returns
    -------
    ModelEdit
        Its methods name the changes: `set_typed`, `unset`, `rename`, `drop_tensor`, `rename_tensor`,
        `resize`, `reorder`, `trim`, `trim_to_text`, `requantise`; then `write` or `overwrite`.

    Examples
    --------
    >>> with pyembed.edit("model.gguf") as changes:  # doctest: +SKIP
    ...     changes.set_typed("tokenizer.ggml.eos_token_id", "u32", 151645)
    ...     changes.write("fixed.gguf")
    """
    return ModelEdit(path)
