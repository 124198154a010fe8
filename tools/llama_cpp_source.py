"""What the source tree of llama.cpp says it knows: the tables of names in its files, read as text.

The files are not compiled, so that only what is written out is seen: rows of tables, and comparisons with a
text in quotes.
"""

from __future__ import annotations

import re
from pathlib import Path

_ARCHITECTURES = Path("src/llama-arch.cpp")
_VOCABULARY = Path("src/llama-vocab.cpp")
_TYPES = Path("ggml/include/ggml.h")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
#: Rows of the table of architectures that are not architectures of models.
_NO_MODELS = {"clip", "(unknown)"}


class SourceError(RuntimeError):
    """The tree is not what it was; the message says what is missing."""


class Source:
    """A checkout of llama.cpp.

    Parameters
    ----------
    root : Path
        Its top folder.

    Raises
    ------
    SourceError
        Here and in every method, if a file is missing or holds none of what is looked for.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        for path in (_ARCHITECTURES, _VOCABULARY, _TYPES):
            if not (root / path).is_file():
                raise SourceError(f"{root} is not a source tree of llama.cpp: it has no {path}")

    def _find(self, path: Path, pattern: str) -> list[tuple[str, ...]]:
        text = _COMMENT.sub("", (self._root / path).read_text("utf-8", "replace"))
        found = [match.groups() for match in re.finditer(pattern, text)]
        if not found:
            raise SourceError(f"{self._root / path}: nothing looks like {pattern}")
        return found

    def architectures(self) -> set[str]:
        """Return the architectures of models."""
        rows = self._find(_ARCHITECTURES, r'\{\s*LLM_ARCH_\w+,\s*"([^"]+)"')
        return {name for (name,) in rows} - _NO_MODELS

    def keys(self) -> set[str]:
        """Return the metadata keys that have a name of their own, ``%s`` for the architecture."""
        return {name for (name,) in self._find(_ARCHITECTURES, r'\{\s*LLM_KV_\w+,\s*"([^"]+)"')}

    def tokenizer_models(self) -> set[str]:
        """Return the tokenizer models."""
        return {name for (name,) in self._find(_VOCABULARY, r'\btokenizer_model\s*==\s*"([^"]+)"')}

    def pre_tokenizers(self) -> set[str]:
        """Return the pre-tokenizers."""
        return {name for (name,) in self._find(_VOCABULARY, r'\btokenizer_pre\s*==\s*"([^"]+)"')}

    def tensor_types(self) -> dict[int, str]:
        """Return the names of the tensor types by id."""
        rows = self._find(_TYPES, r"\bGGML_TYPE_(\w+)\s*=\s*(\d+)")
        return {int(number): name for name, number in rows if name != "COUNT"}
