"""What a model does to rows of its token table before the first layer: as data, and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ..core.records import TensorInfo
from ..errors import RecipeError
from ..files.metadata import Metadata
from ..llama_cpp.architectures import (
    ARCHITECTURES,
    SQRT_WIDTH,
    TRANSFORMERS,
    Architecture,
    NormRule,
    ScaleKey,
)

TYPE_TABLE = "token_types.weight"
POSITION_TABLE = "position_embd.weight"
PER_LAYER_TABLE = "per_layer_token_embd.weight"
_NORM_WEIGHT, _NORM_BIAS = "token_embd_norm.weight", "token_embd_norm.bias"
# No model has more layers. Results are that many times as wide, so that a file must not ask for more.
_MOST = 512
_EPSILON_KEYS = {"layer": "attention.layer_norm_epsilon", "rms": "attention.layer_norm_rms_epsilon"}
ENGINES = ("llama.cpp", "transformers")

# ------------------------------------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True)
class AddRow:
    """Add the row of another table, in float32; `index` says by what it is chosen.

    Attributes
    ----------
    index : {"token type", "position"}
    table : str
        Name of the tensor.
    n_rows : int
        Its rows.
    """

    index: Literal["token type", "position"]
    table: str
    n_rows: int

    def __str__(self) -> str:
        """Say it in words."""
        return f"add the row of {self.table} for the {self.index} ({self.n_rows} rows)"


@dataclass(frozen=True, slots=True)
class Scale:
    """Multiply by `factor`, a float32, in float32; `source` says where it comes from."""

    factor: float
    source: str

    def __str__(self) -> str:
        """Say it in words."""
        return f"multiply by {self.factor:.9g} ({self.source})"


@dataclass(frozen=True, slots=True)
class Norm:
    """Normalise each row: ``(x - mean) / sqrt(variance + epsilon)``, or ``x / sqrt(mean square + epsilon)``.

    Attributes
    ----------
    kind : {"layer", "rms"}
    epsilon : float
    weight, bias : str or None
        Names of the tensors that are multiplied by and added.
    """

    kind: Literal["layer", "rms"]
    epsilon: float
    weight: str | None
    bias: str | None

    def __str__(self) -> str:
        """Say it in words."""
        name = {"layer": "LayerNorm", "rms": "RMS norm"}[self.kind]
        tensors = " and ".join(tensor for tensor in (self.weight, self.bias) if tensor)
        return f"{name} with epsilon {self.epsilon:.9g}" + (
            f", {tensors}" if tensors else ", without weights"
        )


Step: TypeAlias = AddRow | Scale | Norm


@dataclass(frozen=True, slots=True)
class PerLayer:
    """The table that gives every layer a vector of its own for each token.

    Attributes
    ----------
    table : str
        Name of the tensor; a row holds `n_layers` vectors of `width` values.
    n_layers, width : int
    factor : float
        What they are multiplied by.
    """

    table: str
    n_layers: int
    width: int
    factor: float


# ------------------------------------------------------------------------------------------ recipe


@dataclass(frozen=True, slots=True)
class InputRecipe:
    """What a model does to a row of its token table before the first layer; ``str()`` says it in words.

    Attributes
    ----------
    architecture : str or None
    steps : tuple of AddRow, Scale or Norm
        In the order in which they are applied.
    problem : str or None
        Why `Model.input_embeddings` refuses: an architecture that is not known, or that does what cannot be
        computed here. The other fields say nothing then.
    per_layer : PerLayer or None
        What each layer is given beside it; see `Model.per_layer_embeddings`.
    n_streams : int
        Residual streams into which the result is copied; 1 for the usual one.
    n_deepstack : int
        Further vectors of n_embd that the model's input holds, zero for tokens.
    batch_embd : {"raw", "input"}
        What llama.cpp's ``batch.embd`` has to be: raw rows, since it applies the steps to them too, or the
        result of the steps.
    notes : tuple of str
        What else a user should know.
    """

    architecture: str | None
    steps: tuple[Step, ...] = ()
    problem: str | None = None
    per_layer: PerLayer | None = None
    n_streams: int = 1
    n_deepstack: int = 0
    batch_embd: Literal["raw", "input"] = "raw"
    notes: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """The steps, or the problem, on one line."""
        return self.problem or "; ".join(map(str, self.steps)) or "rows as they are"

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as plain data, each step with its ``"step"``: "add_row", "scale" or "norm"."""
        names = {AddRow: "add_row", Scale: "scale", Norm: "norm"}
        steps = [{"step": names[type(step)], **asdict(step)} for step in self.steps]
        return {**asdict(self), "words": self.words, "steps": steps, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Say it in words, a line a step."""
        if self.problem:
            return f"{self.architecture}: {self.problem}"
        lines = [f"{self.architecture}: " + ("the row as it is" if not self.steps else "to each row")]
        lines += [f"{number}. {step}" for number, step in enumerate(self.steps, 1)]
        if self.steps:
            also = (
                "applies them to batch.embd too" if self.batch_embd == "raw" else "takes batch.embd as it is"
            )
            lines.append(f"llama.cpp {also}")
        return "\n".join([*lines, *self.notes])


class _Facts:
    """What a recipe is resolved from: the architecture's row of data, and the file."""

    def __init__(
        self,
        architecture: str,
        metadata: Metadata,
        tensors: Mapping[str, TensorInfo],
        width: int,
    ) -> None:
        self.architecture, self.metadata, self.tensors, self.width = architecture, metadata, tensors, width

    def number(self, key: str) -> float | None:
        """Return a number of the metadata as the float32 that the engine reads; None if it is absent."""
        name = f"{self.architecture}.{key}"
        if name not in self.metadata:
            return None
        value = self.metadata.number(name)
        if value is None:
            raise RecipeError(f"{name} is {self.metadata.describe(name)}; expected a finite number")
        with np.errstate(over="ignore"):
            return float(np.float32(value))

    def count(self, key: str, default: int) -> int:
        """Return a count of the metadata."""
        name = f"{self.architecture}.{key}"
        if name not in self.metadata:
            return default
        value = self.metadata.count(name)
        if value is None or value > _MOST:
            found = self.metadata.describe(name)
            raise RecipeError(f"{name} is {found}; expected a whole number of at most {_MOST}")
        return value

    def tensor(self, name: str, *, required: bool = True) -> TensorInfo | None:
        """Return a tensor whose rows are as wide as the token table's; None if it may be absent and is."""
        if name not in self.tensors:
            if required:
                raise RecipeError(f"the file has no {name}, which {self.architecture} uses")
            return None
        info = self.tensors[name]
        if info.shape[-1:] != (self.width,):
            raise RecipeError(f"{name} has shape {info.shape}; its rows should be {self.width} wide")
        return info


def resolve(
    architecture: str | None, metadata: Metadata, tensors: Mapping[str, TensorInfo], width: int
) -> InputRecipe:
    """Return the recipe of a model whose token table is `width` wide; never raises for what a file says."""
    if architecture is None:
        return InputRecipe(None, problem="the file does not say which architecture it is of")
    known = ARCHITECTURES.get(architecture)
    if known is None:
        return InputRecipe(
            architecture, problem="an unknown architecture: what it does to a row is not known"
        )
    if known.stays_out:
        return InputRecipe(architecture, problem=f"not computed here: {known.stays_out}")
    facts = _Facts(architecture, metadata, tensors, width)
    try:
        return _resolve(known, facts)
    except RecipeError as error:
        return InputRecipe(architecture, problem=str(error))


def _resolve(known: Architecture, facts: _Facts) -> InputRecipe:
    steps = [
        step
        for step in (
            _addition(known.token_types, "token type", TYPE_TABLE, facts),
            _addition(known.positions, "position", POSITION_TABLE, facts),
            _scale(known.scale, facts),
            _norm(known.norm, facts),
        )
        if step is not None
    ]
    n_deepstack = _n_deepstack(known.deepstack, facts)
    per_layer, notes = _per_layer(known, facts)
    n_streams = facts.count("hyper_connection.count", 1) if known.streams else 1
    if n_streams > 1:
        notes.append(f"the result is copied into {n_streams} residual streams, its values unchanged")
    if n_deepstack:
        notes.append(f"the model's input also holds {n_deepstack} vectors for later layers, zero for tokens")
    # With further vectors in its input, llama.cpp takes vectors for images' and leaves them as they are.
    repeats = known.repeats and not n_deepstack
    return InputRecipe(
        facts.architecture,
        tuple(steps),
        None,
        per_layer,
        n_streams,
        n_deepstack,
        "raw" if repeats or not steps else "input",
        tuple(notes),
    )


def _addition(
    rule: str | None, index: Literal["token type", "position"], table: str, facts: _Facts
) -> AddRow | None:
    info = facts.tensor(table, required=rule == "required") if rule else None
    return AddRow(index, table, math.prod(info.shape[:-1])) if info else None


def _scale(rule: str | float | ScaleKey | None, facts: _Facts) -> Scale | None:
    if rule is None:
        return None
    if isinstance(rule, ScaleKey):
        value = facts.number(rule.key)
        name = f"{facts.architecture}.{rule.key}"
        if value is not None:
            return Scale(value, name) if value else None  # 0 stands for no scaling
        return Scale(float(np.float32(rule.default)), f"no {name}: its default") if rule.default else None
    if rule == SQRT_WIDTH:
        return Scale(float(np.sqrt(np.float32(facts.width))), SQRT_WIDTH)
    return Scale(float(np.float32(rule)), "a constant")


def _norm(rule: NormRule | None, facts: _Facts) -> Norm | None:
    if rule is None:
        return None
    epsilon = facts.number(_EPSILON_KEYS[rule.kind])
    if epsilon is None or epsilon < 0:
        found = "is absent" if epsilon is None else f"is {epsilon}"
        raise RecipeError(f"{facts.architecture}.{_EPSILON_KEYS[rule.kind]} {found}: the norm needs it")
    for name in [_NORM_WEIGHT] * rule.weight + [_NORM_BIAS] * rule.bias:
        info = facts.tensor(name)
        if info is not None and math.prod(info.shape) != facts.width:
            raise RecipeError(f"{name} has shape {info.shape}; expected ({facts.width},)")
    return Norm(rule.kind, epsilon, _NORM_WEIGHT if rule.weight else None, _NORM_BIAS if rule.bias else None)


def _n_deepstack(key: str | None, facts: _Facts) -> int:
    if key != "deepstack_mapping":
        return facts.count(key, 0) if key else 0
    # One entry a layer: which of the further vectors it adds, negative for none.
    name = f"{facts.architecture}.{key}"
    if name not in facts.metadata:
        return 0
    mapping = facts.metadata.numbers(name, _MOST)
    if mapping is None or mapping.dtype.kind not in "iu":
        found = facts.metadata.describe(name)
        raise RecipeError(f"{name} is {found}; expected an array of at most {_MOST} integers")
    return len(np.unique(mapping[mapping >= 0]))


def _per_layer(known: Architecture, facts: _Facts) -> tuple[PerLayer | None, list[str]]:
    if not known.per_layer or PER_LAYER_TABLE not in facts.tensors:
        return None, []
    if facts.architecture == "qwen4exp":
        return None, [
            f"layers also get rows of {PER_LAYER_TABLE} by hashes of several ids: not computed here"
        ]
    columns = facts.tensors[PER_LAYER_TABLE].shape[-1]
    key = f"{facts.architecture}.embedding_length_per_layer_input"
    width = facts.metadata.integer(key)
    if width is None or width < 1 or columns % width:
        found = facts.metadata.describe(key)
        raise RecipeError(
            f"{key} is {found}, which does not divide the {columns} columns of " + PER_LAYER_TABLE
        )
    factor = float(np.sqrt(np.float32(width)))
    return PerLayer(PER_LAYER_TABLE, columns // width, width, factor), [
        f"each layer also gets a vector of {PER_LAYER_TABLE}, times {factor:.9g}, and a projection of the "
        "result by weights of the model, which is not computed here",
        "for batch.embd llama.cpp takes row 0 of that table at every position: not the logits of the ids",
    ]


# ------------------------------------------------------------------------------------------ using it


def require(recipe: InputRecipe, path: str) -> None:
    """Raise RecipeError if the recipe cannot be applied."""
    if recipe.problem:
        raise RecipeError(f"{path}: {recipe.architecture}: {recipe.problem}")


def engine_form(engine: str, recipe: InputRecipe, path: str) -> Literal["raw", "input"]:
    """Return what an engine must be given: raw rows, or those that the recipe was applied to."""
    if engine not in ENGINES:
        raise ValueError(f"unknown engine {engine!r}; known: {', '.join(ENGINES)}")
    require(recipe, path)
    if engine == "llama.cpp":
        return recipe.batch_embd
    form = TRANSFORMERS.get(recipe.architecture or "")
    if form is None:
        known = ", ".join(sorted(TRANSFORMERS))
        raise RecipeError(
            f"{path}: what transformers does to inputs_embeds of {recipe.architecture} is not known, "
            f"or differs between its versions; known: {known}"
        )
    return form
