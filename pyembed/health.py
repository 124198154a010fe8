"""A table's health: rows that were never trained, empty and double rows, norms, and its share of the file."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .analysis import near_duplicates
from .analysis.near_duplicates import Cluster, Signatures
from .analysis.untrained import find_untrained
from .core.address_space import ensure_room
from .core.display import html_table
from .core.progress import Progress, part_of, report_to
from .files.byte_ranges import same_bytes, tensor_range
from .files.metadata import Tensors
from .model import Model
from .safe_text import printable, quote
from .tables.table import EmbeddingTable
from .tables.token_table import OUTPUT_TABLE
from .tokens.vocabulary import Vocabulary

PERCENTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)
_N_OUTLIERS = 10

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Row:
    """A row, its token's stored text (None where it has none) and its norm."""

    id: int
    text: str | None
    norm: float


@dataclass(frozen=True, slots=True)
class Norms:
    """How long rows are, zero rows and those that are not finite left out.

    Attributes
    ----------
    percentiles : tuple of float
        Of `PERCENTILES`; NaN where there is no row.
    lowest, highest : tuple of Row
        The ten shortest, shortest first, and the ten longest, longest first.
    """

    percentiles: tuple[float, ...]
    lowest: tuple[Row, ...]
    highest: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Untrained:
    """Rows that look like those of tokens which are known to be unused.

    Attributes
    ----------
    known : tuple of int
        Rows that are known to be unused: by their type, by a name such as ``[unused7]``, or because they have
        no token.
    max_norm, min_cosine : float or None
        A row at most as long, and as near to the direction of the known ones, counts as untrained:
        the limits are a little beyond the 99th and the first percentile of the known ones themselves.
        Directions are seen from the mean of all rows. Where there are fewer than eight known ones or they do
        not look alike, rows that lie at one point with at least 2 % of all stand for them; None where there
        are none of these either: then no row is called untrained.
    rows : tuple of Row
        The other rows that look so.
    """

    known: tuple[int, ...]
    max_norm: float | None
    min_cosine: float | None
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the model the table is; tensors of unknown size do not count."""

    table_weights: int
    all_weights: int
    table_bytes: int
    all_bytes: int


@dataclass(frozen=True, slots=True, repr=False)
class Health:
    """What `examine` found; a notebook shows it as tables.

    Attributes
    ----------
    path, tensor, type, shape
        The table.
    tied : str or None
        ``"absent"``: the model has no output table of its own; ``"bytes"``: it has one that is the token
        table byte for byte, so it could do without; ``"no"``; None where there is nothing to tie.
    share : Share
    norms : Norms
    zero, not_finite : tuple of int
        Rows of zeros, and rows with NaN or infinity.
    untrained : Untrained
    exact : tuple of tuple of int
        Groups of rows, other than zero, that are the same.
    near : tuple of Cluster
        Rows at `min_cosine` or more of each other, as seen from the mean of all rows; of an exact group only
        the first. A pair at 0.98 is found with a probability of 0.99, one at 0.95 with 0.91.
    near_is_complete : bool
        False if there were too many candidates and only the likeliest were compared.
    min_cosine : float
    """

    path: str
    tensor: str
    type: str
    shape: tuple[int, int]
    tied: str | None
    share: Share
    norms: Norms
    zero: tuple[int, ...]
    not_finite: tuple[int, ...]
    untrained: Untrained
    exact: tuple[tuple[int, ...], ...]
    near: tuple[Cluster, ...]
    near_is_complete: bool
    min_cosine: float

    def _facts(self) -> list[tuple[str, str]]:
        more = "" if self.near_is_complete else ", and more"
        unknown = self.untrained.min_cosine is None
        return [
            ("zero rows", str(len(self.zero))),
            ("NaN or infinite", str(len(self.not_finite))),
            ("known unused", str(len(self.untrained.known))),
            ("look untrained", "unknown" if unknown else str(len(self.untrained.rows))),
            ("exact duplicates", str(sum(map(len, self.exact)))),
            ("near duplicates", f"{sum(len(cluster.ids) for cluster in self.near)}{more}"),
        ]

    def __repr__(self) -> str:
        facts = ", ".join(f"{name}: {found}" for name, found in self._facts())
        rows, columns = self.shape
        return printable(
            f"<Health of {self.tensor!r} of {self.path}, {rows} x {columns} {self.type}: {facts}>"
        )

    def _repr_html_(self) -> str:
        caption = f"{self.path}: {self.tensor}, {' x '.join(map(str, self.shape))} {self.type}"
        ends = [
            html_table(
                title, ("token", "id", "norm"), [(row.text or "", row.id, f"{row.norm:.4g}") for row in some]
            )
            for title, some in (("shortest rows", self.norms.lowest), ("longest rows", self.norms.highest))
        ]
        return html_table(caption, (), self._facts()) + "".join(ends)


def examine(
    opened: Model | EmbeddingTable,
    *,
    tensor: str | None = None,
    min_cosine: float = 0.98,
    progress: Progress | None = None,
) -> Health:
    """Look at all rows of a table; memory is about 40 bytes a row.

    Parameters
    ----------
    opened : Model or EmbeddingTable
        A model also gives known unused rows, and whether the table is tied.
    tensor : str, optional
        Of a model, another table than that of token embeddings.
    min_cosine : float, optional
        From where on two rows are near duplicates, 0.95 to 1: seen from the mean of all rows.
    progress : callable, optional
        Called with what is being done and the share of it that is done, between 0 and 1; a false answer that
        is not None cancels.

    Returns
    -------
    Health

    Raises
    ------
    NotFoundError
        (a KeyError) if there is no such table.
    ValueError
        For a `min_cosine` out of range, or a table without rows.
    """
    if not 0.95 <= min_cosine <= 1:
        raise ValueError(
            f"min_cosine is {min_cosine}; below 0.95, and above 1, near duplicates are not found"
        )
    model = opened if isinstance(opened, Model) else None
    table = _table_of(opened, tensor)
    if not all(table.shape):
        raise ValueError(f"{quote(table.name)} of {printable(table.path)} has no rows")
    ensure_room()
    report = report_to(progress)
    seen = near_duplicates.signatures(table, part_of(report, "reading rows"))
    vocabulary = _vocabulary_of(model)
    usable = seen.finite & (seen.norms > 0)
    exact = near_duplicates.exact(table, seen)
    near, complete = near_duplicates.near(table, seen, exact, min_cosine, part_of(report, "comparing rows"))
    return Health(
        path=table.path,
        tensor=table.name,
        type=table.type,
        shape=table.shape,
        tied=None if model is None else tied_how(model),
        share=share_of(table),
        norms=_norms(seen, usable, vocabulary),
        zero=_ids(seen.finite & (seen.norms == 0)),
        not_finite=_ids(~seen.finite),
        untrained=_untrained(table, seen, vocabulary),
        exact=tuple(exact),
        near=tuple(near),
        near_is_complete=complete,
        min_cosine=min_cosine,
    )


def _table_of(opened: Model | EmbeddingTable, tensor: str | None) -> EmbeddingTable:
    if isinstance(opened, EmbeddingTable):
        return opened
    return opened.table if tensor is None else opened.open_table(tensor)


def _vocabulary_of(model: Model | None) -> Vocabulary | None:
    return model.vocabulary if model is not None and model.has_vocabulary else None


def _ids(mask: Mask) -> tuple[int, ...]:
    return tuple(np.flatnonzero(mask).tolist())


def _norms(seen: Signatures, usable: Mask, vocabulary: Vocabulary | None) -> Norms:
    ids = np.flatnonzero(usable)
    order = ids[np.argsort(seen.norms[ids], kind="stable")]
    percentiles = np.percentile(seen.norms[ids], PERCENTILES) if len(ids) else ()
    rows = _rows(order[:_N_OUTLIERS], seen, vocabulary), _rows(order[::-1][:_N_OUTLIERS], seen, vocabulary)
    return Norms(tuple(map(float, percentiles)) or (math.nan,) * len(PERCENTILES), *rows)


def _rows(ids: Iterable[Any], seen: Signatures, vocabulary: Vocabulary | None) -> tuple[Row, ...]:
    n_tokens, tokens = (0, ()) if vocabulary is None else (len(vocabulary), vocabulary.tokens)
    rows = [int(row) for row in ids]
    return tuple(Row(row, tokens[row] if row < n_tokens else None, float(seen.norms[row])) for row in rows)


def _untrained(table: EmbeddingTable, seen: Signatures, vocabulary: Vocabulary | None) -> Untrained:
    found = find_untrained(table.gather, seen.norms, seen.finite, seen.mean, vocabulary)
    rows = _rows(found.ids, seen, vocabulary)
    return Untrained(_ids(found.known), found.max_norm, found.min_cosine, rows)


def tied_how(model: Model) -> str | None:
    """Return how a model ties its output table to the token table; see `Health.tied`."""
    if model.tied:
        return "absent"
    if OUTPUT_TABLE not in model.tensors or model.table.name == OUTPUT_TABLE:
        return None
    tokens, output = model.tensors[model.table.name], model.tensors[OUTPUT_TABLE]
    if (tokens.type, tokens.shape) != (output.type, output.shape):
        return "no"
    return "bytes" if same_bytes(tensor_range(tokens), tensor_range(output)) else "no"


def share_of(table: EmbeddingTable) -> Share:
    """Return how much of its model a table is."""
    tensors = list(Tensors(table._source).values())
    layout, own = table.layout, set(table.layout.tensors)
    n_weights = layout.n_stored_rows * table.shape[1]
    others = (info for info in tensors if info.n_bytes is not None and info.name not in own)
    return Share(
        n_weights,
        n_weights + sum(math.prod(info.shape) for info in others),
        table.n_bytes,
        sum(info.n_bytes or 0 for info in tensors),
    )
