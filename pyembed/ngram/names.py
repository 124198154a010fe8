"""The names of hashed rows of one model, and the tables that have the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import numpy as np
import numpy.typing as npt

from .._native import ffi, lib
from ..core.aliases import IdsLike
from ..core.callbacks import raise_kept
from ..core.closing import Closing
from ..errors import CData, ClosedError, FormatError, NotFoundError, Status
from ..inputs.batching import as_offsets
from ..safe_text import printable, quote
from ..tables.arguments import ID_TYPES, IntArray, as_ids, id_error, thread_count
from ..tables.table import EmbeddingTable
from .constants import Constants, Scheme
from .history import Histories, History

_SCHEMES: Mapping[Scheme, int] = {
    Scheme.PLE: lib.PYE_NGRAM_PLE,
    Scheme.ENGRAM: lib.PYE_NGRAM_ENGRAM,
    Scheme.LONGCAT: lib.PYE_NGRAM_LONGCAT,
}
_VOCABULARY = "the vocabulary"
OpenTable = Callable[[str], EmbeddingTable]


class LayerTables(Mapping[int, EmbeddingTable]):
    """The tables of a model's hashed rows, opened when they are asked for.

    The keys are those of `Ngram.layers`; for LongCat, whose columns have tables of their own, the numbers of
    the columns.
    """

    def __init__(self, constants: Constants, open_table: OpenTable | None) -> None:
        self._path = constants.path
        keys = range(constants.n_columns) if constants.scheme is Scheme.LONGCAT else constants.layers
        names = constants.tables or (None,) * len(keys)
        self._names = dict(zip(keys, names, strict=True))
        self._used = dict(zip(keys, constants.n_used_rows, strict=True))
        self._open_table = open_table
        self._opened: dict[int, EmbeddingTable] = {}

    def __getitem__(self, key: int) -> EmbeddingTable:
        table = self._opened.get(key)
        if table is None or table.closed:  # no lock: a model's own is taken to open it, and to close it all
            table = self._opened[key] = self._open(key)
        return table

    def _open(self, key: int) -> EmbeddingTable:
        if key not in self._names:
            raise NotFoundError(
                f"{self._path}: {quote(key)} is not a layer with hashed rows; these are: "
                f"{', '.join(map(str, self._names))}"
            )
        name = self._names[key]
        if name is None or self._open_table is None:
            raise NotFoundError(f"{self._path}: the table of hashed rows of layer {key} is not in the file")
        table = self._open_table(name)
        if len(table) < self._used[key]:
            raise FormatError(
                f"{table.path}: {name} has {len(table)} rows, and names of rows go up to "
                f"{self._used[key] - 1}",
                table.path,
            )
        return table

    def __iter__(self) -> Iterator[int]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def close(self) -> None:
        """Close the tables that were opened."""
        for table in list(self._opened.values()):
            table.close()


class RowNames(Closing):
    """Names rows, and knows the tables that they are of: what `Ngram` computes with.

    Raises
    ------
    FormatError
        If the constants cannot be right.
    """

    def __init__(self, constants: Constants, open_table: OpenTable | None = None) -> None:
        self._constants = constants
        self._open_table = open_table
        if constants.contradictions:
            raise FormatError(f"{constants.path}: {constants.contradictions[0]}", constants.path)
        self._ngram: CData | None = _open(constants)
        self._digest = constants.digest
        self._tables = LayerTables(constants, open_table)

    # ---------------------------------------------------------------------------------------- facts

    @property
    def scheme(self) -> str:
        """How names are made: ``"ple"``, ``"engram"`` or ``"longcat"``."""
        return self._constants.scheme.value

    @property
    def layers(self) -> tuple[int, ...]:
        """The model's numbers, from 0, of the layers that look rows up; (0,) for LongCat's input."""
        return self._constants.layers

    @property
    def columns(self) -> int:
        """Rows that a token looks up in each layer."""
        return self._constants.n_columns

    @property
    def n_vocab(self) -> int:
        """Ids are below this."""
        return self._constants.n_vocab

    @property
    def image_token(self) -> int | None:
        """The id that stands in place of an image; None where the file does not say."""
        return self._constants.image_token

    @property
    def constants(self) -> Constants:
        """What the names are computed from."""
        return self._constants

    @property
    def digest(self) -> str:
        """SHA-256 of the constants, in hexadecimal digits: equal where all names are equal."""
        return self._digest

    # ---------------------------------------------------------------------------------------- names

    def rows(
        self,
        ids: IdsLike,
        offsets: IdsLike | None = None,
        history: Histories | None = None,
        layer: int | None = None,
        *,
        threads: int | None = None,
    ) -> npt.NDArray[np.int64]:
        """Return the names of the rows that tokens look up.

        Parameters
        ----------
        ids : array-like of int, of one dimension
            The tokens of one sequence, or with `offsets` of several, one after the other.
        offsets : array-like of int, optional
            As for `Model.embed`: 0, where each further sequence begins, and the number of ids.
        history : History, or with `offsets` a sequence of one or None a sequence, optional
            What came before. Without it, the sequence begins here. It is read, and left as it is.
        layer : int, optional
            One of `layers`. Needed where there are several.
        threads : int, optional
            As for `EmbeddingTable.gather`.

        Returns
        -------
        numpy.ndarray of int64, shape (n, columns)
            Rows of ``tables[layer]``; for LongCat, of each column's table.

        Raises
        ------
        IndexError
            For an id outside the vocabulary; it names the position.
        ValueError
            For a history of another model, offsets that do not fit, or a layer that is needed or unknown.
        TypeError
            If `ids` are not integers, or `history` is something else.
        """
        ngram = self._ensure_open()
        flat = as_ids(ids, self.n_vocab, table=_VOCABULARY, row="token")
        if flat.ndim != 1:
            raise ValueError(
                f"ids has shape {flat.shape}; expected one dimension: offsets say where sequences begin in it"
            )
        options = ffi.new("pye_ngram_options *")
        options.struct_bytes = ffi.sizeof("pye_ngram_options")
        options.id_type, options.n_threads = ID_TYPES[flat.dtype], thread_count(threads)
        bounds = None if offsets is None else as_offsets(offsets, flat.size).astype(np.uint64)
        if bounds is not None:
            options.offsets = ffi.from_buffer("uint64_t[]", bounds)
            options.n_sequences = bounds.size - 1
        windows = self._windows(history, None if bounds is None else bounds.size - 1)
        if windows is not None:
            options.histories = ffi.from_buffer("int64_t[]", windows)
        out = np.empty((flat.size, self.columns), np.int64)
        number, error = self._layer_number(layer), ffi.new("pye_error *")
        names = ffi.from_buffer("int64_t[]", out)
        status = lib.pye_ngram_rows(ngram, number, ffi.from_buffer(flat), flat.size, names, options, error)
        if status:
            self._raise(status, error, flat)
        return out

    def _raise(self, status: int, error: CData, ids: IntArray) -> None:
        raise_kept()
        if status == Status.ID:
            id_error(ids, error.offset, self.n_vocab, table=_VOCABULARY, row="token")
        message = f"{self._constants.path}: {ffi.string(error.message).decode('utf-8', 'replace')}"
        raise MemoryError(message) if status == Status.MEMORY else ValueError(printable(message))

    def _layer_number(self, layer: int | None) -> int:
        if layer is None:
            if len(self.layers) > 1:
                raise ValueError(f"layer is needed: there are {', '.join(map(str, self.layers))}")
            return 0
        if isinstance(layer, bool) or not isinstance(layer, int | np.integer):
            raise TypeError(f"layer is a {type(layer).__name__}; expected an int")
        if layer not in self.layers:
            raise ValueError(f"layer is {layer}; there are {', '.join(map(str, self.layers))}")
        return self.layers.index(int(layer))

    def _windows(self, history: object, n_sequences: int | None) -> npt.NDArray[np.int64] | None:
        """Return what all sequences look back on, of shape (sequences, max_size - 1)."""
        if history is None:
            return None
        if n_sequences is None:
            if not isinstance(history, History):
                raise TypeError(f"history is a {type(history).__name__}; without offsets expected a History")
            given: list[object] = [history]
        elif isinstance(history, History) or not isinstance(history, Sequence):
            raise TypeError(
                f"history is a {type(history).__name__}; with offsets expected a list, one History or None "
                "for each sequence"
            )
        else:
            given = list(history)
            if len(given) != n_sequences:
                raise ValueError(
                    f"history holds {len(given)}; offsets say that there are {n_sequences} sequences"
                )
        windows = np.full((len(given), self._constants.max_size - 1), -1, np.int64)
        for number, one in enumerate(given):
            if one is not None:
                windows[number] = self._window(one, number)
        return windows

    def _window(self, history: object, number: int) -> tuple[int, ...]:
        if not isinstance(history, History):
            raise TypeError(f"history[{number}] is a {type(history).__name__}; expected a History or None")
        if history.digest != self._digest:
            raise ValueError(
                f"the history of sequence {number} is of another model: it was made for other constants than "
                f"those of {printable(self._constants.path)}"
            )
        return history.window

    def history(self, max_rewind: SupportsIndex = 64) -> History:
        """Return the history of a sequence that is about to begin.

        Parameters
        ----------
        max_rewind : int, optional
            How many tokens can be taken back at most. It keeps that many more.
        """
        return History(self._digest, self._constants.max_size - 1, self.n_vocab, max_rewind)

    # ----------------------------------------------------------------------------------------- rows

    @property
    def tables(self) -> LayerTables:
        """The tables by layer, for LongCat by column; each is opened when it is first asked for."""
        self._ensure_open()
        return self._tables

    # -------------------------------------------------------------------------------------- closing

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._ngram is None

    def close(self) -> None:
        """Drop the constants and close the tables that were opened through it."""
        self._ngram = None
        self._tables.close()

    def _ensure_open(self) -> CData:
        ngram = self._ngram
        if ngram is None:
            raise ClosedError(f"the names of hashed rows of {self._constants.path} are closed")
        return ngram

    def __reduce__(self) -> tuple[Any, ...]:
        self._ensure_open()
        return type(self), (self._constants, self._open_table)

    def __repr__(self) -> str:
        layers = ", ".join(map(str, self.layers))
        return printable(
            f"<Ngram {self._constants.path}: {self.scheme}, {self.columns} columns, layers {layers}>"
        )


def _open(constants: Constants) -> CData:
    """Return the ``pye_ngram *`` of constants, which is closed when the last reference goes."""
    description, kept = ffi.new("pye_ngram_description *"), []

    def pointer(kind: str, numbers: npt.NDArray[Any] | None) -> CData:
        if numbers is None:
            return ffi.NULL
        kept.append(np.ascontiguousarray(numbers))  # for the time of the call
        return ffi.from_buffer(kind, kept[-1])

    description.struct_bytes = ffi.sizeof("pye_ngram_description")
    description.scheme = _SCHEMES[constants.scheme]
    description.n_layers, description.max_size = len(constants.layers), constants.max_size
    description.n_heads, description.n_vocab = constants.n_heads, constants.n_vocab
    description.multipliers = pointer("uint64_t[]", constants.multipliers)
    description.moduli = pointer("uint64_t[]", constants.moduli)
    description.offsets = pointer("uint64_t[]", constants.offsets)
    description.token_map = pointer("uint32_t[]", constants.hashed_map)
    description.n_compressed, description.stand_in = constants.n_compressed, constants.stand_in
    description.interrupted = lib.pye_python_interrupted
    out, error = ffi.new("pye_ngram **"), ffi.new("pye_error *")
    status = lib.pye_ngram_open(description, out, error)
    if status == Status.MEMORY:
        raise MemoryError(f"{constants.path}: no memory for the constants of hashed rows")
    if status:
        message = ffi.string(error.message).decode("utf-8", "replace")
        field = message.split("[")[0].split(" ")[0]
        origin = constants.origins.get(field)
        where = f"{quote(origin)}: " if origin is not None else ""
        raise FormatError(f"{constants.path}: {where}{message}", constants.path)
    return ffi.gc(out[0], lib.pye_ngram_close)
