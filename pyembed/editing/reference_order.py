"""The order that another file has the same tokens in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..core.paths import Path
from ..errors import FormatError, VocabularyError
from ..files.metadata import Metadata
from ..safe_text import quote
from ..tokens.vocabulary import Vocabulary
from ..validation.reference import open_reference
from ..validation.reference.alignment import align
from ..validation.reference.model_file import tokens_of
from .edit import Edit


def order_of(edit: Edit, path: Path) -> npt.NDArray[np.int64]:
    """Return the present id of each token in the order that a tokenizer's file has.

    Tokens behind its last one stay behind it.

    Raises
    ------
    OSError, FormatError
        If the file cannot be read.
    ValueError
        If it does not have the same tokens.
    """
    source = edit.source
    ours = tokens_of(source.path, Vocabulary(source, Metadata(source)), Metadata(source)).tokens
    with open_reference(path) as reference:
        theirs = reference.file.tokens
        if theirs is None:
            raise FormatError(f"{reference.file.path}: no list of tokens", reference.file.path)
        if ours is None:
            raise VocabularyError(f"{source.path}: no list of tokens", source.path)
        partner = align(ours, theirs).partner
        shared = partner >= 0
        n = len(theirs)
        if int(shared.sum()) != n or not np.array_equal(np.sort(partner[shared]), np.arange(n)):
            missing = sorted(set(theirs.ids) - set(partner[shared].tolist()))
            what = f", such as {quote(theirs.texts[theirs.ids.index(missing[0])])}" if missing else ""
            raise ValueError(
                f"{source.path} does not have the tokens of {reference.file.path}: {len(missing)} of its {n} "
                f"are missing{what}"
            )
    order = np.empty(len(partner), np.int64)
    order[partner[shared]] = np.flatnonzero(shared)
    order[n:] = np.flatnonzero(~shared)
    return order
