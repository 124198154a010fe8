"""How libraries of static encoders turn ids into vectors: they differ, and not by rounding alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

LibraryName: TypeAlias = Literal["model2vec", "sentence-transformers", "wordllama", "none"]
LIBRARIES = ("model2vec", "sentence-transformers", "wordllama", "none")
#: Which end of a text with too many tokens is left out.
Direction: TypeAlias = Literal["right", "left"]
DIRECTIONS = ("right", "left")


@dataclass(frozen=True)
class Rules:
    """What becomes of a text's tokens.

    Attributes
    ----------
    library : str
        ``"none"``: the plain mean of the rows of all tokens.
    normalize : bool
        Whether vectors are divided by their norm where the caller does not say.
    max_length : int or None
        Tokens that a text is cut to, before unknown ones are dropped.
    direction : {"right", "left"}
        Which end of a longer text is left out.
    cuts_characters : bool
        Whether a text is first cut to as many characters as that number of tokens of median length has.
    drops_unknown : bool
        Whether unknown tokens are left out; else their row counts.
    clips_ids : bool
        Whether ids beyond the table stand for its last row; else they are an error.
    keeps_dtype : bool
        Whether vectors have the table's dtype, with means and quotients rounded to it.
    narrows_last : bool
        Whether columns are left out after the division by the norm; else before it.
    as_bits : bool
        Whether vectors are one bit a column.
    prompts : mapping of str to str
        Texts by name; the one that is chosen is put before every text.
    default_prompt : str or None
        The name of the one that is used where the caller names none.
    dim : int or None
        Columns that are kept where the caller does not say.
    """

    library: LibraryName
    normalize: bool = False
    max_length: int | None = None
    direction: Direction = "right"
    cuts_characters: bool = False
    drops_unknown: bool = False
    clips_ids: bool = False
    keeps_dtype: bool = False
    narrows_last: bool = False
    as_bits: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None
    dim: int | None = None
