"""Which tensor of a file holds the token embeddings."""

from __future__ import annotations

from ..core.handle import Source
from ..files.metadata import Tensors
from ..safe_text import printable, quote

_TOKEN_TABLE = "token_embd.weight"
# Token tables of the architectures that Hugging Face's transformers knows, with the prefixes they come with.
_NAMES = (
    "model.embed_tokens.weight",
    "embed_tokens.weight",
    "language_model.model.embed_tokens.weight",
    "model.language_model.embed_tokens.weight",
    "model.tok_embeddings.weight",
    "tok_embeddings.weight",
    "model.decoder.embed_tokens.weight",
    "transformer.wte.weight",
    "wte.weight",
    "transformer.word_embeddings.weight",
    "word_embeddings.weight",
    "transformer.embedding.word_embeddings.weight",
    "gpt_neox.embed_in.weight",
    "embeddings.word_embeddings.weight",
    "bert.embeddings.word_embeddings.weight",
    "roberta.embeddings.word_embeddings.weight",
    "distilbert.embeddings.word_embeddings.weight",
    "model.embeddings.tok_embeddings.weight",
    "embeddings.tok_embeddings.weight",
    "backbone.embeddings.weight",
    "backbone.embedding.weight",
    "rwkv.embeddings.weight",
    "shared.weight",
    "embeddings",
    "embedding.weight",
    _TOKEN_TABLE,
)


def token_table_name(source: Source) -> str:
    """Return the name of the tensor that holds an open file's token embeddings.

    Raises
    ------
    ValueError
        If the file does not say; the message lists the candidates.
    """
    if source.format == "gguf":
        return _TOKEN_TABLE
    if source.format != "safetensors":
        return "data"
    tables = [info.name for info in Tensors(source).values() if len(info.shape) == 2]
    if len(tables) == 1:
        return tables[0]
    known = [name for name in tables if name in _NAMES]
    if len(known) == 1:
        return known[0]
    candidates = known or tables
    names = ", ".join(map(quote, candidates[:20])) + (", ..." if len(candidates) > 20 else "")
    why = f"its tensors of two dimensions are {names}" if candidates else "it has no tensor of two dimensions"
    raise ValueError(f"{printable(source.path)}: which tensor is the token table? Say tensor=...; {why}")
