"""The package ``tokenizers``, imported when something is first cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...core.address_space import ensure_address_space
from ...errors import VocabularyError
from .document import document_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MISSING = "cutting texts needs the package tokenizers: pip install 'pyembed-gguf[text]'"


#: Of a thread: its stack, and the arena that the system's allocator maps for it.
_THREAD_BYTES = (8 + 128) << 20
_MOST_THREADS = 64
#: Of a file's text: its JSON, the vocabulary, the merges and what is being made of them.
_BYTES_A_BYTE = 24
_LONGEST_REASON = 200


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
    ensure_address_space(_room(len(text)), "tokenizers, which ends the process without,")
    with refusals_named(path, "take it"):
        return Tokenizer.from_str(text)


def _room(n_bytes: int) -> int:
    """Return the address space that a tokenizer of a file of this size and its threads may take."""
    threads = min(os.cpu_count() or 1, _MOST_THREADS) + 1
    return _THREAD_BYTES * threads + _BYTES_A_BYTE * n_bytes


def pre_tokenizer(path: str, step: dict[str, Any] | None) -> Any:
    """Return a step of a ``tokenizer.json`` by itself, to put in another tokenizer's place for it."""
    return _around_nothing(path, "pre_tokenizer", step).pre_tokenizer


def post_processor(path: str, step: Any) -> Any:
    """Return the last step of a ``tokenizer.json`` by itself; None where it has none."""
    return None if step is None else _around_nothing(path, "post_processor", step).post_processor


def _around_nothing(path: str, name: str, step: Any) -> Tokenizer:
    return build(path, {"version": "1.0", name: step, "model": {"type": "BPE", "vocab": {}, "merges": []}})


def cut(path: str, tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    """Return the ids of some texts by a tokenizer that may be another one's; what it panics at is an error.

    Raises
    ------
    VocabularyError
        If it cannot cut one of them.
    """
    with refusals_named(path, "cut by it"):
        return [encoding.ids for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]


@contextmanager
def refusals_named(path: str, what: str) -> Iterator[None]:
    """Raise VocabularyError for what `tokenizers` fails at."""
    try:
        yield
    except BaseException as error:
        raise VocabularyError(f"{path}: tokenizers cannot {what}: {failure(error)}", path) from None


def failure(error: BaseException) -> str:
    """Return in a line why a package failed.

    A panic of Rust is not an `Exception`, although it ends nothing but the call. What is nobody's failure is
    raised: interrupts, and a lack of memory.
    """
    is_panic = type(error).__name__ == "PanicException"
    if isinstance(error, MemoryError) or not (isinstance(error, Exception) or is_panic):
        raise error
    return str(error).partition("\n")[0][:_LONGEST_REASON]
