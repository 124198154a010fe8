"""What a folder or file of a static encoder consists of."""

from __future__ import annotations

import os
import re
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ..core.handle import Source
from ..core.paths import Path, file_name
from ..errors import FormatError
from ..safe_text import quote
from ..tables.token_table import find_token_table
from ..tokens.cutting.cutter import checked_text
from ..tokens.readers.checked_reads import as_json, as_list, as_object, read_bytes
from .rules import LibraryName, Rules

_TABLES = {"model2vec": "embeddings", "sentence-transformers": "embedding.weight"}
#: The names of WordLlama's files: a configuration, the columns, and whether vectors are bits.
_WORDLLAMA = re.compile(r"(?P<config>\w+?)_(?P<dim>\d+)(?P<binary>_binary)?\.safetensors")
_DEFAULT_MAX_LENGTH = 512
#: Where sentence-transformers keeps a model's settings.
_SETTINGS = "config_sentence_transformers.json"


@dataclass(frozen=True)
class EncoderFiles:
    """Where the parts of an encoder lie, and the rules by which they work together.

    Attributes
    ----------
    table_file, tensor : str
        The rows; "" for the token table of a GGUF file, whose vocabulary is the tokenizer.
    tokenizer_file : str
        A ``tokenizer.json``; "" for such a file.
    rules : Rules
    """

    table_file: str
    tensor: str
    tokenizer_file: str
    rules: Rules


def find_encoder(path: Path, library: LibraryName | None, tokenizer: Path | None) -> EncoderFiles:
    """Return the parts of the encoder that a path stands for.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If the path is not an encoder, or could be more than one; the message says what is missing.
    """
    name = os.fsdecode(file_name(path))
    given = None if tokenizer is None else os.fsdecode(file_name(tokenizer))
    os.stat(name)  # a missing file raises the OSError that says so
    if os.path.isdir(name):
        return _of_folder(name, library, given)
    if _is_gguf(name) and given is None:
        return EncoderFiles(name, "", "", Rules(library or "none"))
    return _of_table(name, library, given)


def _is_gguf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"GGUF"


def _of_folder(folder: str, library: LibraryName | None, tokenizer: str | None) -> EncoderFiles:
    config = _json(os.path.join(folder, "config.json"))
    modules_file = os.path.join(folder, "modules.json")
    table = os.path.join(folder, "model.safetensors")
    if config is not None and library in (None, "model2vec") and _has(table, "embeddings"):
        beside = tokenizer or os.path.join(folder, "tokenizer.json")
        return EncoderFiles(table, "embeddings", beside, _model2vec_rules(folder, config))
    settings = _json(os.path.join(folder, _SETTINGS))
    if settings is not None or os.path.isfile(modules_file):
        return _of_modules(folder, modules_file, settings or {}, library, tokenizer)
    if os.path.isdir(os.path.join(folder, "weights")):
        return _of_table(_only_weights(os.path.join(folder, "weights")), library or "wordllama", tokenizer)
    if os.path.isfile(table) or os.path.isfile(f"{table}.index.json"):
        return _of_table(folder if not os.path.isfile(table) else table, library, tokenizer)
    return _of_table(_only_weights(folder), library, tokenizer)


def _model2vec_rules(folder: str, config: dict[str, Any]) -> Rules:
    where = os.path.join(folder, "config.json")
    max_length = config.get("max_length", _DEFAULT_MAX_LENGTH)
    if max_length is not None and (type(max_length) is not int or max_length < 0):
        raise FormatError(
            f"{where}: max_length must be a whole number or null, not {quote(str(max_length))}", where
        )
    return Rules(
        "model2vec",
        normalize=config.get("normalize") is True,
        max_length=max_length,
        cuts_characters=True,
        drops_unknown=True,
        keeps_dtype=True,
    )


def _of_modules(
    folder: str,
    modules_file: str,
    settings: dict[str, Any],
    library: LibraryName | None,
    tokenizer: str | None,
) -> EncoderFiles:
    """Read a folder of sentence-transformers; the same files are model2vec's to model2vec."""
    inside, normalizes = _static_module(modules_file)
    home = os.path.join(folder, inside) if inside else folder
    table = os.path.join(home, "model.safetensors")
    beside = tokenizer or os.path.join(home, "tokenizer.json")
    names = [name for name in ("embedding.weight", "embeddings") if _has(table, name)]
    if not names:
        raise FormatError(f"{table}: neither 'embedding.weight' nor 'embeddings' is among its tensors", table)
    if library == "model2vec":
        return EncoderFiles(table, names[0], beside, _model2vec_rules(folder, settings))
    dim = settings.get("truncate_dim")
    if dim is not None and (type(dim) is not int or dim < 1):
        where = os.path.join(folder, _SETTINGS)
        raise FormatError(
            f"{where}: truncate_dim must be a whole number above 0, not {quote(str(dim))}", where
        )
    prompts = _prompts(os.path.join(folder, _SETTINGS), settings)
    rules = Rules(
        library or "sentence-transformers",
        normalize=normalizes,
        keeps_dtype=True,
        narrows_last=True,
        prompts=prompts,
        default_prompt=_default_prompt(os.path.join(folder, _SETTINGS), settings, prompts),
        dim=dim,
    )
    return EncoderFiles(table, names[0], beside, rules)


def _static_module(modules_file: str) -> tuple[str, bool]:
    """Return the folder of the module that has the table, and whether vectors are normalised after it."""
    if not os.path.isfile(modules_file):
        nested = os.path.join(os.path.dirname(modules_file), "0_StaticEmbedding")
        return ("0_StaticEmbedding" if os.path.isdir(nested) else ""), False
    content = as_list(modules_file, as_json(modules_file, read_bytes(modules_file)), "modules.json")
    modules = [as_object(modules_file, entry, "a module") for entry in content]
    kinds = [str(entry.get("type")).rpartition(".")[2] for entry in modules]
    if not kinds or kinds[0] != "StaticEmbedding" or any(kind != "Normalize" for kind in kinds[1:]):
        listed = ", ".join(map(quote, kinds)) or "none"
        raise FormatError(
            f"{modules_file}: its modules are {listed}; expected StaticEmbedding, and at most Normalize "
            "behind it: other models need sentence-transformers",
            modules_file,
        )
    inside = modules[0].get("path", "")
    parts = inside.replace("\\", "/").split("/") if isinstance(inside, str) else [".."]
    is_relative = inside == "" or bool(parts[0])
    if not is_relative or ".." in parts or os.path.splitdrive(inside)[0] or "\x00" in inside:
        raise FormatError(
            f"{modules_file}: the path {quote(str(inside))} leads out of the folder", modules_file
        )
    return ("" if inside in ("", ".") else inside), len(kinds) > 1


def _prompts(where: str, settings: dict[str, Any]) -> dict[str, str]:
    """Return what may be put before texts, by name."""
    given = settings.get("prompts")
    prompts = {} if given is None else as_object(where, given, "prompts")
    for name, prompt in prompts.items():
        try:
            checked_text(prompt)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{where}: the prompt {quote(name)} cannot be cut: {error}", where) from None
    return prompts


def _default_prompt(where: str, settings: dict[str, Any], prompts: dict[str, str]) -> str | None:
    name = settings.get("default_prompt_name")
    if name is not None and (not isinstance(name, str) or name not in prompts):
        known = ", ".join(map(quote, prompts)) or "none"
        raise FormatError(
            f"{where}: the default prompt {quote(str(name))} is not among the prompts, which are {known}",
            where,
        )
    return name


def _of_table(path: str, library: LibraryName | None, tokenizer: str | None) -> EncoderFiles:
    """Take the token table of a file, and the tokenizer beside it."""
    named = _WORDLLAMA.fullmatch(os.path.basename(path))
    beside = tokenizer or _tokenizer_beside(path, named["config"] if named else None)
    if library is None:
        is_wordllama = named is not None and beside.endswith("_tokenizer_config.json")
        library = "wordllama" if is_wordllama else "none"
    with closing(Source(path)) as source:
        known = _TABLES.get("sentence-transformers" if library == "wordllama" else library, "")
        tensor = known if known and source.tensor(known) is not None else find_token_table(source).name
    if library == "model2vec":
        return EncoderFiles(path, tensor, beside, _model2vec_rules(os.path.dirname(path), {}))
    is_wordllama = library == "wordllama"
    as_bits = is_wordllama and named is not None and named["binary"] is not None
    rules = Rules(
        library,
        clips_ids=is_wordllama,
        as_bits=as_bits,
        keeps_dtype=library == "sentence-transformers",
        narrows_last=library == "sentence-transformers",
    )
    return EncoderFiles(path, tensor, beside, rules)


def _tokenizer_beside(path: str, config: str | None) -> str:
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    names = [os.path.join(folder, "tokenizer.json")]
    if config is not None:
        name = f"{config}_tokenizer_config.json"
        names = [
            os.path.join(folder, *up, name) for up in ((), ("..", "tokenizers"), ("..", "tokenizer"))
        ] + names
    for name in names:
        if os.path.isfile(name):
            return name
    raise FormatError(
        f"{path}: no tokenizer beside the table: looked for {', '.join(map(quote, names))}; give tokenizer=",
        path,
    )


def _only_weights(folder: str) -> str:
    found = sorted(
        name
        for name in os.listdir(folder)
        if name.endswith(".safetensors") and os.path.isfile(os.path.join(folder, name))
    )
    if len(found) == 1:
        return os.path.join(folder, found[0])
    listed = f": {', '.join(map(quote, found[:8]))}" if found else ""
    raise FormatError(
        f"{folder}: {len(found)} safetensors files are in this folder{listed}; expected a model2vec or "
        "sentence-transformers folder, or the path of one file",
        folder,
    )


def _has(path: str, tensor: str) -> bool:
    if not os.path.isfile(path):
        return False
    with closing(Source(path)) as source:
        return source.tensor(tensor) is not None


def _json(path: str) -> dict[str, Any] | None:
    return as_object(path, as_json(path, read_bytes(path)), "the content") if os.path.isfile(path) else None
