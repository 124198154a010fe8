"""The package ``tokenizers``, imported when something is first cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import VocabularyError
from .document import document_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MISSING = "cutting texts needs the package tokenizers: pip install 'pyembed-gguf[text]'"


def is_installed() -> bool:
    """Return whether ``tokenizers`` can be imported."""
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        return False
    return True


def build(path: str, document: dict[str, Any]) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``'s content.

    Raises
    ------
    ImportError
        If ``tokenizers`` is not installed; the message names the extra.
    VocabularyError
        If it refuses the content.
    """
    return load(path, document_text(document))


def load(path: str, text: str) -> Tokenizer:
    """Return the tokenizer of a ``tokenizer.json``, given as text; raises as `build` does."""
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError(MISSING) from error
    try:
        return Tokenizer.from_str(text)
    except Exception as error:
        raise VocabularyError(f"{path}: tokenizers does not take it: {error}", path) from None
