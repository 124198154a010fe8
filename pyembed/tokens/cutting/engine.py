"""The package ``tokenizers``, imported when something is first cut."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    with _refusals_named(path, "take it"):
        return Tokenizer.from_str(text)


def pre_tokenizer(path: str, step: dict[str, Any] | None) -> Any:
    """Return a step of a ``tokenizer.json`` by itself, to put in another tokenizer's place for it."""
    model = {"type": "BPE", "vocab": {}, "merges": []}
    return build(path, {"version": "1.0", "pre_tokenizer": step, "model": model}).pre_tokenizer


def cut(path: str, tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Return the ids of some texts by a tokenizer that may be another one's; what it panics at is an error.

    Raises
    ------
    VocabularyError
        If it cannot cut one of them.
    """
    with _refusals_named(path, "cut by it"):
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@contextmanager
def _refusals_named(path: str, what: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        # A panic of Rust is not an Exception, although it ends nothing but the call.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if isinstance(error, MemoryError):
            raise
        raise VocabularyError(f"{path}: tokenizers does not {what}: {error}", path) from None
