"""One function object for batches of all kinds: Arrow, pandas, dictionaries of columns, lists."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from ..safe_text import printable, quote
from ..tables.arguments import as_ids, thread_count
from .arrow import pyarrow
from .columns import Made, check_column, vector_column, vectors_of, with_nulls
from .vectors import Options, PoolName, VectorMaker, VectorType

ErrorsName: TypeAlias = Literal["raise", "null"]

#: Models that pickles were opened as in this process, by what the pickles say: a pool sends one a task.
_opened: dict[bytes, Any] = {}
_opening = threading.Lock()


class Counts(NamedTuple):
    """What an `Encode` has done in this process.

    Attributes
    ----------
    rows, failed, vectors : int
        Rows that were given, those of them that failed, and vectors that were made.
    """

    rows: int = 0
    failed: int = 0
    vectors: int = 0


class Encode:
    """A function that gives batches their vectors; it pickles, and a process opens its model once.

    Parameters
    ----------
    model : path-like, Encoder, EmbeddingTable or Model
        For texts what `load_encoder` opens, for ids a table. What was open already is not closed by `close`.
    text, ids : str, optional
        The column of texts, or that of ids: whole numbers or lists of them. Batches without columns need
        neither, or ``ids="ids"``.
    into : str, optional
        The column of vectors.
    pool : {"mean", "none"}, optional
        One vector a row, or a list of one for each token.
    dim : int, optional
        Keep this many columns, the first ones.
    dtype : {"float32", "float16", "binary"}, optional
        ``"binary"`` is one bit a column, whether it is above 0, eight in a uint8, the first one highest.
    normalize : bool, optional
        Whether to divide vectors by their Euclidean norm; without it as the model says, and not for ids.
    threads : int, optional
        As in `Encoder.encode`.
    errors : {"raise", "null"}, optional
        What to do about a row that is null or cannot be encoded: raise, or leave its vector null.

    Raises
    ------
    OSError, FormatError
        As for `load_encoder` and `open_table`.
    ValueError
        If an argument is unknown or out of range.
    """

    def __init__(
        self,
        model: Any,
        *,
        text: str | None = None,
        ids: str | None = None,
        into: str = "embedding",
        pool: PoolName = "mean",
        dim: int | None = None,
        dtype: VectorType = "float32",
        normalize: bool | None = None,
        threads: int | None = None,
        errors: ErrorsName = "raise",
    ) -> None:
        if text is not None and ids is not None:
            raise ValueError("text and ids both name a column; give one of them")
        if errors not in ("raise", "null"):
            raise ValueError(f"errors is {errors!r}; expected 'raise' or 'null'")
        self.column, self.into = text if ids is None else ids, into
        self._threads, self._errors = thread_count(threads) or None, errors
        self._maker = VectorMaker(model, ids is not None, Options(pool, dim, dtype, normalize))
        self.counts = Counts()
        self._counting = threading.Lock()

    def __call__(self, batch: Any) -> Any:
        """Return a batch with a column of vectors; of texts or ids alone, the vectors.

        Parameters
        ----------
        batch : pyarrow.Table or RecordBatch, pandas.DataFrame, or mapping of str to columns
            Comes back with the column `into` behind the others; one of that name is replaced. A mapping's is
            an array of two dimensions, or a list where rows have several vectors each, or none.
        batch : pandas.Series
            A Series of arrays comes back, as a pandas UDF wants.
        batch : sequence of str, or of ids
            An array [rows, width] comes back; without pooling, a list of arrays.

        Raises
        ------
        ValueError
            For a row that cannot be encoded, unless `errors` says otherwise.
        TypeError
            If the column is of another type.
        NotFoundError, KeyError
            If there is no such column.
        """
        if isinstance(batch, pyarrow.Table | pyarrow.RecordBatch):
            return self._of_arrow(batch)
        pandas = sys.modules.get("pandas")
        if pandas is not None and isinstance(batch, pandas.DataFrame):
            return batch.assign(**{self.into: self._listed(batch[self._column(batch.columns)])})
        if pandas is not None and isinstance(batch, pandas.Series):
            return pandas.Series(self._listed(batch), index=batch.index, dtype=object)
        if isinstance(batch, Mapping):
            return {**batch, self.into: self._dense(batch[self._column(list(batch))])}
        return self._dense(batch)

    def _column(self, names: Any) -> Any:
        if self.column is not None:
            return self.column
        raise ValueError(
            f"which column has the texts? text= names one of {', '.join(map(quote, list(names)[:20]))}"
        )

    # ---------------------------------------------------------------------------------------- batches

    def _of_arrow(self, batch: Any) -> Any:
        name = self._column(batch.schema.names)
        if name not in batch.schema.names:
            raise KeyError(f"the batch has no column {quote(name)}; it has {quote(batch.schema.names)}")
        column = batch.column(name)
        check_column(name, column.type, self._maker.of_ids)
        vectors = self._column_of(column)
        if self.into in batch.schema.names:
            batch = batch.drop_columns([self.into])
        return batch.append_column(self.into, vectors)

    def _column_of(self, column: Any) -> Any:
        """Return the vectors of a column of Arrow as another one."""
        made = self._made(column)
        return with_nulls(vector_column(self._maker, made), len(column), made.faults)

    def _made(self, column: Any) -> Made:
        made = vectors_of(column, self._maker, self._threads)
        if made.faults and self._errors == "raise":
            place = min(made.faults)
            raise ValueError(printable(f"row {place} of the batch: {made.faults[place]}"))
        with self._counting:
            rows, failed, vectors = self.counts
            self.counts = Counts(
                rows + len(column), failed + len(made.faults), vectors + len(made.vectors.values)
            )
        return made

    def _listed(self, values: Any) -> list[Any]:
        """Return an array for each row, None for one that failed."""
        column = _as_arrow(values, self._maker.of_ids)
        made = self._made(column)
        if made.vectors.lengths is None:
            found = list(made.vectors.values)
        else:
            found = np.split(made.vectors.values, np.cumsum(made.vectors.lengths)[:-1]) if len(column) else []
        good = iter(found)
        return [None if place in made.faults else next(good) for place in range(len(column))]

    def _dense(self, values: Any) -> Any:
        """Return one array where every row has one vector, else a list."""
        if self._errors == "null" or self._maker.options.pool == "none":
            return self._listed(values)
        return self._made(_as_arrow(values, self._maker.of_ids)).vectors.values

    # ----------------------------------------------------------------------------------- as an object

    def close(self) -> None:
        """Close the model, unless it was open before."""
        self._maker.close()

    def __copy__(self) -> Encode:
        return self  # who copies shares the model

    def __deepcopy__(self, memo: object) -> Encode:
        return self

    def __reduce__(self) -> tuple[Callable[..., Encode], tuple[Any, ...]]:
        maker, column = self._maker, self.column
        names = {"ids": column or "ids"} if maker.of_ids else {"text": column}
        options = {**vars(maker.options), **names, "into": self.into}
        options.update(threads=self._threads, errors=self._errors)
        model = maker.table if maker.encoder is None else maker.encoder
        return _reopened, (type(self), pickle.dumps(model), options)


def _reopened(kind: type[Encode], model: bytes, options: dict[str, Any]) -> Encode:
    """Return an `Encode` that was pickled, with the model that others like it have in this process."""
    with _opening:
        opened = _opened.get(model)
        if opened is None or opened.closed:
            opened = _opened[model] = pickle.loads(model)
    return kind(opened, **options)


def _as_arrow(values: Any, of_ids: bool) -> Any:
    """Return a column of Arrow of texts, or of ids, that are in Python or NumPy."""
    if isinstance(values, pyarrow.Array | pyarrow.ChunkedArray):
        check_column("of the batch", values.type, of_ids)
        return values
    if isinstance(values, str | bytes | Mapping) or not (
        isinstance(values, Sequence) or hasattr(values, "__array__")
    ):
        raise TypeError(f"a batch is a sequence of rows, or has columns; got a {type(values).__name__}")
    try:
        column = pyarrow.array(values, None if of_ids else pyarrow.string(), from_pandas=True)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, UnicodeEncodeError) as error:
        _explain(values, of_ids)
        raise TypeError(f"the batch is not a column: {error}") from None
    check_column("of the batch", column.type, of_ids)
    return column


def _explain(values: Any, of_ids: bool) -> None:
    """Raise what says best which of some values is of a wrong kind."""
    for place, value in enumerate(values):
        if of_ids:
            as_ids(value, None)
        elif not isinstance(value, str | None):
            raise TypeError(f"row {place} of the batch is of type {type(value).__name__}; expected str")
        elif value is not None:
            try:
                value.encode("utf-8")
            except UnicodeEncodeError as error:
                raise ValueError(
                    f"row {place} of the batch has the lone surrogate U+{ord(value[error.start]):04X}: "
                    "decode bytes as what they are, or with errors='replace'"
                ) from None
