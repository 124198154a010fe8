"""The row as a model's first layer is given it, and what other engines have to be given for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ..core.aliases import DTypeLike, EngineName, IdsLike
from ..core.dtypes import OUTPUT_TYPES, OutputType, round_to
from ..errors import NotFoundError, RecipeError
from ..files.metadata import Metadata, Tensors
from ..tables.arguments import IntArray, as_ids, as_rows, check_ids, flat_rows, rows_kind
from ..tables.table import EmbeddingTable
from . import batching
from .recipes import TYPE_TABLE, AddRow, InputRecipe, Norm, Scale, Step, engine_form, require, resolve

Out = TypeVar("Out")
Floats: TypeAlias = npt.NDArray[np.float32]
OpenTable: TypeAlias = Callable[[str], EmbeddingTable]

# Rows that are worked on at a time: what lies between two steps stays in the cache.
_TILE_FLOATS = 1 << 17

_NOTHING_GIVEN: Mapping[str, Any] = {"position": None, "token type": None}

# Does one step to some rows in place; the slice says which of the batch they are.
Action: TypeAlias = Callable[[Floats, slice], object]


def _action(
    step: Step, open_table: OpenTable, shape: tuple[int, ...], given: Mapping[str, Any], threads: int | None
) -> Action:
    """Return what does `step`, with all that it needs at hand and checked."""
    if isinstance(step, Scale):
        factor = np.float32(step.factor)
        return lambda rows, part: np.multiply(rows, factor, out=rows)
    if isinstance(step, Norm):
        weight, bias = (
            None if name is None else open_table(name).gather(0) for name in (step.weight, step.bias)
        )
        return lambda rows, part: normalise(rows, step, weight, bias)
    table = open_table(step.table)
    if step.index == "token type" and given[step.index] is None:
        first = table.gather(0)
        return lambda rows, part: np.add(rows, first, out=rows)
    index = _index(step, given[step.index], shape)
    return lambda rows, part: np.add(rows, table.gather(index[part], threads=threads), out=rows)


def _actions(
    recipe: InputRecipe, open_table: OpenTable, ids: IntArray, given: Mapping[str, Any], threads: int | None
) -> list[Action]:
    return [_action(step, open_table, ids.shape, given, threads) for step in recipe.steps]


def _write(
    table: EmbeddingTable,
    ids: IntArray,
    actions: Sequence[Action],
    flat: npt.NDArray[Any],
    kind: OutputType,
    threads: int | None,
) -> None:
    """Write the rows of flat `ids`, with the actions done to them, to `flat`, a tile at a time."""
    step = max(1, _TILE_FLOATS // max(1, flat.shape[1]))
    tile = None if kind.name == "float32" else np.empty((min(step, len(ids)), flat.shape[1]), np.float32)
    for first in range(0, len(ids), step):
        part = slice(first, min(first + step, len(ids)))
        rows = flat[part] if tile is None else tile[: part.stop - first]
        table.fill(rows, ids[part], OUTPUT_TYPES["float32"], threads)
        with np.errstate(all="ignore"):
            for action in actions:
                action(rows, part)
        if tile is not None:
            flat[part] = round_to(rows, kind)


def normalise(rows: Floats, norm: Norm, weight: Floats | None, bias: Floats | None) -> None:
    """Normalise rows in place, in float32, with sums in float64."""
    n = rows.shape[1]
    if norm.kind == "layer":
        rows -= (rows.sum(axis=1, dtype=np.float64, keepdims=True) / n).astype(np.float32)
    square = ((rows * rows).sum(axis=1, dtype=np.float64, keepdims=True) / n).astype(np.float32)
    rows *= np.float32(1) / np.sqrt(square + np.float32(norm.epsilon))
    if weight is not None:
        rows *= weight
    if bias is not None:
        rows += bias


def input_embeddings(
    recipe: InputRecipe,
    open_table: OpenTable,
    table: EmbeddingTable,
    ids: Any,
    *,
    positions: Any = None,
    token_types: Any = None,
    out: Any = None,
    dtype: Any = None,
    threads: int | None = None,
) -> Any:
    """Return rows with a recipe applied; see `Model.input_embeddings`."""
    require(recipe, table.path)
    n_rows, width = table.shape
    ids = as_ids(ids, n_rows)
    check_ids(ids, n_rows)
    kind = rows_kind(dtype, out)
    if token_types is not None and "token type" not in {
        getattr(step, "index", None) for step in recipe.steps
    }:
        raise ValueError(f"token_types were given, but the model has no {TYPE_TABLE}")
    given = {"position": positions, "token type": token_types}
    actions = _actions(recipe, open_table, ids, given, threads)
    shape = (*ids.shape, width)
    rows = np.empty(shape, kind.storage) if out is None else as_rows(out, shape, kind)
    fill(table, rows, ids, actions, kind, threads)
    return rows if out is None else out


def fill(
    table: EmbeddingTable,
    rows: npt.NDArray[Any],
    ids: IntArray,
    actions: Sequence[Action],
    kind: OutputType,
    threads: int | None,
) -> None:
    """Write rows to `rows`, with `actions` done; both arrays are as `as_rows` and `as_ids` return them."""
    flat = flat_rows(rows)
    target = np.empty((ids.size, table.shape[1]), kind.storage) if flat is None else flat
    if np.may_share_memory(rows, ids):  # one tile would be written over the ids of the next
        ids = ids.copy()
    _write(table, ids.reshape(-1), actions, target, kind, threads)
    if flat is None:
        rows[...] = target.reshape(rows.shape)


def _index(step: AddRow, given: Any, shape: tuple[int, ...]) -> IntArray:
    """Return, for each id, the row of the step's table: as given, or positions counted from 0."""
    n_positions = shape[-1] if shape else 1
    name = "positions" if step.index == "position" else "token_types"
    if given is None:
        chosen: IntArray = np.arange(n_positions).reshape(shape[-1:])
    else:
        chosen = as_ids(given, step.n_rows, step.index, step.table)
    try:
        chosen = np.broadcast_to(chosen, shape)
    except ValueError:
        raise ValueError(f"{name} has shape {chosen.shape}; expected {shape}, that of ids") from None
    check_ids(chosen, step.n_rows, step.index, step.table)
    return chosen.flatten()  # a copy: it may lie in the memory of the output


def per_layer_embeddings(
    recipe: InputRecipe,
    open_table: OpenTable,
    path: str,
    ids: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    threads: int | None = None,
) -> Any:
    """Return the vectors of each layer; see `Model.per_layer_embeddings`."""
    require(recipe, path)
    part = recipe.per_layer
    if part is None:
        raise RecipeError(f"{path}: the model has no table of vectors for each layer that can be used here")
    table = open_table(part.table)
    ids = as_ids(ids, table.shape[0])
    shape = (*ids.shape, part.n_layers, part.width)
    kind = rows_kind(dtype, out)
    target = None if out is None else as_rows(out, shape, kind)
    scaled = InputRecipe(recipe.architecture, (Scale(part.factor, "sqrt(width)"),))
    rows = input_embeddings(scaled, open_table, table, ids, dtype=kind.name, threads=threads).reshape(shape)
    if target is None:
        return rows
    target[...] = rows
    return out


# ------------------------------------------------------------------------------------------- model


class FirstLayer:
    """What `Model` can say and compute of the input of its first layer."""

    _recipe: InputRecipe | None = None

    if TYPE_CHECKING:  # what a model has

        @property
        def path(self) -> str: ...  # noqa: D102
        @property
        def architecture(self) -> str | None: ...  # noqa: D102
        @property
        def metadata(self) -> Metadata: ...  # noqa: D102
        @property
        def tensors(self) -> Tensors: ...  # noqa: D102
        @property
        def n_embd(self) -> int: ...  # noqa: D102
        @property
        def table(self) -> EmbeddingTable: ...  # noqa: D102
        def open_table(self, name: str) -> EmbeddingTable: ...  # noqa: D102

    @property
    def input_recipe(self) -> InputRecipe:
        """What the architecture does to a row before its first layer, as data; ``str()`` says it in words.

        An architecture that is not known says so, in ``.problem``.
        """
        if self._recipe is None:  # two threads that both get here make the same
            try:
                width = self.n_embd
            except NotFoundError as error:
                return InputRecipe(self.architecture, problem=str(error))
            self._recipe = resolve(self.architecture, self.metadata, self.tensors, width)
        return self._recipe

    @overload
    def input_embeddings(
        self,
        ids: IdsLike,
        positions: IdsLike | None = None,
        token_types: IdsLike | None = None,
        *,
        out: None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
    ) -> npt.NDArray[Any]: ...
    @overload
    def input_embeddings(
        self,
        ids: IdsLike,
        positions: IdsLike | None = None,
        token_types: IdsLike | None = None,
        *,
        out: Out,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
    ) -> Out: ...
    def input_embeddings(
        self,
        ids: Any,
        positions: Any = None,
        token_types: Any = None,
        *,
        out: Any = None,
        dtype: Any = None,
        threads: int | None = None,
    ) -> Any:
        """Return what the model's first layer is given for some tokens: rows with `input_recipe` applied.

        Scales and sums are those of llama.cpp in float32, bit for bit. Norms sum in float64, and agree with
        it to the last few bits. 16-bit dtypes are the float32 result rounded to nearest even.

        Parameters
        ----------
        ids, out, dtype, threads
            As for `EmbeddingTable.gather`.
        positions : array-like of int, optional
            For an architecture with a table of positions: of the ids' shape, or one that NumPy broadcasts to
            it. Without it they count from 0 along the last axis. Others ignore it.
        token_types : array-like of int, optional
            Segment of each token, likewise; without it the first, which is what llama.cpp always takes.

        Raises
        ------
        RecipeError
            (a ValueError) If the architecture is not known, or does what cannot be computed here.
        IndexError
            For an id, a position or a token type beyond its table.
        ValueError
            Also for token types where the model has no table of them.
        """
        return input_embeddings(
            self.input_recipe,
            self.open_table,
            self.table,
            ids,
            positions=positions,
            token_types=token_types,
            out=out,
            dtype=dtype,
            threads=threads,
        )

    @overload
    def per_layer_embeddings(
        self, ids: IdsLike, *, out: None = None, dtype: DTypeLike | None = None, threads: int | None = None
    ) -> npt.NDArray[Any]: ...
    @overload
    def per_layer_embeddings(
        self, ids: IdsLike, *, out: Out, dtype: DTypeLike | None = None, threads: int | None = None
    ) -> Out: ...
    def per_layer_embeddings(
        self, ids: Any, *, out: Any = None, dtype: Any = None, threads: int | None = None
    ) -> Any:
        """Return the vectors that each layer of a Gemma 3n or Gemma 4 is given for some tokens.

        They are rows of ``per_layer_token_embd.weight``, times the square root of their width. To them the
        model adds a projection of `input_embeddings` by weights of its own, which is not computed here.

        Returns
        -------
        numpy.ndarray of shape ``ids.shape + (layers, width)``

        Raises
        ------
        RecipeError
            (a ValueError) If the model has no such table.
        """
        return per_layer_embeddings(
            self.input_recipe, self.open_table, self.path, ids, out=out, dtype=dtype, threads=threads
        )

    @overload
    def embeddings_for(
        self,
        engine: EngineName,
        ids: IdsLike,
        *,
        out: None = None,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
    ) -> npt.NDArray[Any]: ...
    @overload
    def embeddings_for(
        self,
        engine: EngineName,
        ids: IdsLike,
        *,
        out: Out,
        dtype: DTypeLike | None = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
    ) -> Out: ...
    def embeddings_for(
        self,
        engine: EngineName,
        ids: Any,
        *,
        out: Any = None,
        dtype: Any = None,
        threads: int | None = None,
        replace: Mapping[Any, Any] | None = None,
    ) -> Any:
        """Return what an engine has to be given instead of ids so that it computes the same.

        Some engines scale the vectors of some architectures as they do their own rows: those are given raw
        rows. Others take vectors as they are.

        Parameters
        ----------
        engine : {"llama.cpp", "transformers"}
            For llama.cpp's ``batch.embd``, which is float32, or for transformers' ``inputs_embeds``.
        ids, out, dtype, threads
            As for `EmbeddingTable.gather`. For llama.cpp the last axis is as long as the engine's own input,
            which for some models that see images is a multiple of n_embd.
        replace : mapping of position to vectors, optional
            As for `embed`; the vectors go to the engine as they are given.

        Raises
        ------
        RecipeError
            (a ValueError) If it is not known what the engine does with this architecture.
        ValueError
            For an engine that is not known.
        """
        form = engine_form(engine, self.input_recipe, self.path)
        n_deepstack = self.input_recipe.n_deepstack if engine == "llama.cpp" else 0

        kind = rows_kind(dtype, out)

        def gather(rows: npt.NDArray[Any], live: IntArray) -> None:
            if form == "input":
                check_ids(live, len(self.table))
                actions = _actions(self.input_recipe, self.open_table, live, _NOTHING_GIVEN, threads)
                fill(self.table, rows, live, actions, kind, threads)
            else:
                self.table.fill(rows, live, kind, threads)

        return batching.widened(self.table, gather, ids, 1 + n_deepstack, kind, out=out, replace=replace)
