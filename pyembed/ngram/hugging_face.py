"""Constants of hashed rows in a folder of Hugging Face: its configuration, and tensors that say the same."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.handle import Source
from ..core.records import TensorInfo
from ..errors import FormatError
from ..files.metadata import Tensors
from ..safe_text import printable, quote
from ..tokens.readers.checked_reads import as_json, as_object, read_bytes
from .constants import MAX_HEADS, MAX_LAYERS, MAX_SIZE, MAX_TOKENS, Constants, Numbers, Scheme, as_table
from .derived import engram_moduli, engram_multipliers, longcat_moduli, ple_moduli, ple_multipliers
from .stored import read_integers
from .token_map import MAP_FILE, TOKENIZER_FILE, find_token_map

CONFIG_FILE = "config.json"
_MAX_NUMBER = 2**62
#: Primes are walked through one by one, and a configuration is a stranger's.
_MAX_BASE, _MAX_DERIVED = 2**40, 4096

_PLE_TENSOR = re.compile(r"(?:.*\.)?layers\.(?P<layer>\d{1,6})\.ple\.ple_embedding\.(?P<what>.+)")
_PLE_ROWS = re.compile(r"ngram_embedding(?P<shard>\.shards?[._]\d{1,9})?(?:\.weight(?:_packed)?)?")
_PLE_FIELDS = {
    "layer_multipliers": "multipliers",
    "ngram_heads_vocab_sizes": "moduli",
    "ngram_heads_offsets": "offsets",
}
_ENGRAM_TABLE = re.compile(r"(?:.*\.)?layers\.(?P<layer>\d{1,6})\.engram\.embed\.weight")
_LONGCAT_TABLE = re.compile(r"(?:.*\.)?ngram_embeddings\.embedders\.(?P<column>\d{1,6})\.weight")


class _Config:
    """The configuration of a model, whose numbers are checked as they are asked for."""

    def __init__(self, path: str, content: Mapping[str, Any]) -> None:
        self.path = path
        self._content = content

    def __contains__(self, key: str) -> bool:
        return self._content.get(key) is not None

    def number(self, key: str, low: int, high: int, default: int | None = None) -> int:
        """Return a whole number from `low` to `high`."""
        value = self._content.get(key, default)
        value = default if value is None else value
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise FormatError(
                f"{self.path}: {key} is {_shown(value)}; expected a whole number from {low} to {high}",
                self.path,
            )
        return value

    def numbers(self, key: str, low: int, high: int, most: int) -> list[int]:
        """Return a list of 1 to `most` such numbers."""
        value = self._content.get(key)
        numbers = value if isinstance(value, list) else [value]
        if not 1 <= len(numbers) <= most:
            raise FormatError(
                f"{self.path}: {key} holds {len(numbers)} numbers; expected 1 to {most}", self.path
            )
        if value is None:
            raise FormatError(f"{self.path}: {key} is missing", self.path)
        for number in numbers:
            if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
                raise FormatError(
                    f"{self.path}: {key} holds {_shown(number)}; expected whole numbers from {low} to {high}",
                    self.path,
                )
        return list(numbers)

    def layers(self, key: str, first: int) -> tuple[int, ...]:
        """Return numbers of layers, counted from 0; the list counts from `first`."""
        layers = tuple(number - first for number in self.numbers(key, first, 2**20, MAX_LAYERS))
        if len(set(layers)) != len(layers):
            raise FormatError(f"{self.path}: {key} names a layer twice", self.path)
        return layers


def _shown(value: object) -> str:
    return "missing" if value is None else quote(str(value), 40)


def find_constants(folder: str, source: Source | None) -> Constants | None:
    """Return the constants of a model's folder; None where its configuration names no hashed rows.

    Parameters
    ----------
    folder : str
    source : Source or None
        Its tensors, where they are there. What they hold counts; the configuration is what they are compared
        with.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If something is missing, damaged or contradicts something else.
    """
    path = os.path.join(folder, CONFIG_FILE)
    content = as_object(path, as_json(path, read_bytes(path)), "its content")
    text = content.get("text_config")
    merged = {**content, **text} if isinstance(text, dict) else content
    config = _Config(path, merged)
    tensors = {} if source is None else dict(Tensors(source))
    if "ple_layer_ids" in config and merged["ple_layer_ids"] != []:
        return _ple(config, source, tensors)
    if "engram_layer_ids" in config and merged["engram_layer_ids"] != []:
        return _engram(folder, config, tensors)
    if "ngram_vocab_size_ratio" in config and "emb_neighbor_num" in config:
        return _longcat(config, tensors)
    return None


# --------------------------------------------------------------------------------------------- PLE


def _ple(config: _Config, source: Source | None, tensors: Mapping[str, TensorInfo]) -> Constants:
    layers = config.layers("ple_layer_ids", 1)
    max_size = config.number("ngram_size", 2, MAX_SIZE)
    n_heads = config.number("heads_per_ngram", 1, MAX_HEADS)
    n_vocab = config.number("vocab_size", 1, 2**31 - 1)
    eos = config.numbers("eos_token_id", 0, 2**31 - 1, 64)[0]  # of several the first, as transformers has it
    n_columns = (max_size - 1) * n_heads
    found = _ple_tensors(config, source, tensors, layers, max_size, n_columns)
    derived = _derived_ple(config, len(layers), max_size, n_columns, n_vocab, required=len(found) < 2)
    _compare(config.path, found, derived)
    origins = {name: tensor for name, (_, tensor) in found.items()}
    numbers = {**derived, **{name: value for name, (value, _) in found.items()}}
    names, rows = _ple_tables(tensors, layers)
    image = config.number("image_token_id", 0, 2**31 - 1) if "image_token_id" in config else None
    return Constants(
        Scheme.PLE,
        os.path.dirname(config.path),
        layers,
        max_size,
        n_heads,
        n_vocab,
        numbers["moduli"],
        numbers["multipliers"],
        numbers.get("offsets"),
        stand_in=eos,
        image_token=image,
        tables=names,
        n_rows=rows,
        origins={"stand_in": "eos_token_id", "n_vocab": "vocab_size", **origins},
    )


def _derived_ple(
    config: _Config, n_layers: int, max_size: int, n_columns: int, n_vocab: int, *, required: bool
) -> dict[str, Numbers]:
    """Return what follows from the seed and the first prime; nothing where they are not there, nor needed."""
    if not required and not ("seed" in config and "ngram_vocab_size_base" in config):
        return {}
    seed = config.number("seed", 0, _MAX_NUMBER)
    base = config.number("ngram_vocab_size_base", 2, _MAX_BASE)
    if n_layers * n_columns > _MAX_DERIVED:
        raise FormatError(
            f"{config.path}: {n_layers} layers of {n_columns} columns are too many", config.path
        )
    multipliers = [ple_multipliers(seed, index, max_size, n_vocab) for index in range(n_layers)]
    return {
        "multipliers": as_table(multipliers, n_layers),
        "moduli": as_table(ple_moduli(base, n_columns, n_layers), n_layers),
    }


def _ple_tensors(
    config: _Config,
    source: Source | None,
    tensors: Mapping[str, TensorInfo],
    layers: tuple[int, ...],
    max_size: int,
    n_columns: int,
) -> dict[str, tuple[Numbers, str]]:
    """Return the constants that are tensors, each with the name of the first; of all layers or of none."""
    n_numbers = {"multipliers": max_size, "moduli": n_columns, "offsets": n_columns}
    stored: dict[tuple[str, int], tuple[Numbers, str]] = {}
    for name, info in tensors.items():
        match = _PLE_TENSOR.fullmatch(name)
        field = None if match is None else _PLE_FIELDS.get(match["what"])
        if source is None or match is None or field is None:
            continue
        numbers = read_integers(source, info, MAX_SIZE * MAX_HEADS)
        if numbers.size != n_numbers[field] or numbers.min() < 0:
            raise FormatError(
                f"{info.path}: {quote(name)} holds {numbers.size} numbers; expected {n_numbers[field]}, "
                "none below 0",
                info.path,
                info.offset,
            )
        if (field, int(match["layer"])) in stored:
            raise FormatError(
                f"{info.path}: several tensors are the {field} of layer {match['layer']}", info.path
            )
        stored[field, int(match["layer"])] = numbers.astype(np.uint64), name
    found = {}
    for field in n_numbers:
        have = [layer for layer in layers if (field, layer) in stored]
        others = sorted(layer for name, layer in stored if name == field and layer not in layers)
        if others or (have and len(have) != len(layers)):
            raise FormatError(
                f"{config.path}: ple_layer_ids names the layers {list(layers)}, counted from 0, and the "
                f"{field} "
                f"that are tensors are of {sorted([*have, *others])}",
                config.path,
            )
        if have:
            parts = [stored[field, layer] for layer in layers]
            found[field] = np.stack([numbers for numbers, _ in parts]), parts[0][1]
    return found


def _compare(path: str, found: Mapping[str, tuple[Numbers, str]], derived: Mapping[str, Numbers]) -> None:
    """Log where tensors differ from what the configuration makes: the model learned with the tensors."""
    for field, expected in derived.items():
        if field in found and not np.array_equal(found[field][0], expected):
            logging.getLogger("pyembed").warning(
                printable(
                    f"{path}: the {field} in {quote(found[field][1])} are not those that it derives; they "
                    "count"
                )
            )


def _ple_tables(
    tensors: Mapping[str, TensorInfo], layers: tuple[int, ...]
) -> tuple[tuple[str | None, ...], tuple[int | None, ...]]:
    """Return the names of tables and their rows: one tensor, or what its shards are called together."""
    names: dict[int, str] = {}
    rows: dict[int, int] = {}
    for name, info in tensors.items():
        match = _PLE_TENSOR.fullmatch(name)
        part = None if match is None else _PLE_ROWS.fullmatch(match["what"])
        if match is None or part is None or len(info.shape) != 2:
            continue
        layer, together = int(match["layer"]), name[: -len(match["what"])] + "ngram_embedding"
        names[layer] = together if part["shard"] else name
        rows[layer] = rows.get(layer, 0) + info.shape[0]
    return tuple(names.get(layer) for layer in layers), tuple(rows.get(layer) for layer in layers)


# ------------------------------------------------------------------------------------------ Engram


def _engram(folder: str, config: _Config, tensors: Mapping[str, TensorInfo]) -> Constants:
    layers = config.layers("engram_layer_ids", 0)
    max_size = config.number("engram_max_ngram_size", 2, MAX_SIZE)
    n_heads = config.number("engram_n_heads", 1, MAX_HEADS)
    base = config.number("engram_vocab_size", 2, _MAX_BASE)
    if len(layers) * (max_size - 1) * n_heads > _MAX_DERIVED:
        raise FormatError(f"{config.path}: {len(layers)} layers of {n_heads} heads are too many", config.path)
    token_map, map_path = _engram_map(folder, config)
    n_compressed = int(token_map.max()) + 1
    stated = config.number("engram_compressed_vocab_size", 1, MAX_TOKENS, default=n_compressed)
    if n_compressed != stated:
        raise FormatError(
            f"{map_path}: the token map has {n_compressed} mapped ids, and engram_compressed_vocab_size "
            f"is {stated}: "
            "another one would change every row",
            map_path,
        )
    pad_key = "engram_pad_token_id" if "engram_pad_token_id" in config else "engram_pad_id"
    pad = int(token_map[config.number(pad_key, 0, len(token_map) - 1)])
    image = config.number("image_token_id", 0, 2**31 - 1) if "image_token_id" in config else None
    moduli = as_table(engram_moduli(base, max_size, n_heads, len(layers)), len(layers))
    names, rows = _engram_tables(config, tensors, layers, moduli)
    return Constants(
        Scheme.ENGRAM,
        folder,
        layers,
        max_size,
        n_heads,
        len(token_map),
        moduli,
        as_table([engram_multipliers(layer, max_size, n_compressed) for layer in layers], len(layers)),
        stand_in=pad,
        token_map=token_map,
        n_compressed=n_compressed,
        image_token=image,
        tables=names,
        n_rows=rows,
        origins={"stand_in": pad_key, "token_map": os.path.basename(map_path)},
    )


def _engram_map(folder: str, config: _Config) -> tuple[Any, str]:
    found = find_token_map(folder)
    if found is None:
        raise FormatError(
            f"{folder}: neither {MAP_FILE} nor {TOKENIZER_FILE} is there: Engram hashes mapped ids, and "
            "the map "
            "follows from the tokenizer",
            folder,
        )
    n_vocab = config.number("vocab_size", 1, MAX_TOKENS, default=len(found[0]))
    if n_vocab != len(found[0]):
        raise FormatError(
            f"{found[1]}: maps {len(found[0])} tokens, and vocab_size is {n_vocab}: it is of another "
            "tokenizer",
            found[1],
        )
    return found


def _engram_tables(
    config: _Config, tensors: Mapping[str, TensorInfo], layers: tuple[int, ...], moduli: Numbers
) -> tuple[tuple[str | None, ...], tuple[int | None, ...]]:
    """Return the names of tables and their rows, which the moduli of a layer have to make together."""
    by_layer = {int(match["layer"]): name for name in tensors if (match := _ENGRAM_TABLE.fullmatch(name))}
    names = tuple(by_layer.get(layer) for layer in layers)
    key = "engram_num_embeddings"
    stated = config.numbers(key, 1, _MAX_NUMBER, MAX_LAYERS) if key in config else [None] * len(layers)
    if len(stated) != len(layers):
        raise FormatError(
            f"{config.path}: {key} holds {len(stated)} numbers for {len(layers)} layers", config.path
        )
    rows = tuple(
        count if name is None else tensors[name].shape[0] for name, count in zip(names, stated, strict=True)
    )
    for layer, row, count, sizes in zip(layers, rows, stated, moduli, strict=True):
        used = int(sizes.sum(dtype=np.uint64))
        if any(number is not None and number != used for number in (row, count)):
            raise FormatError(
                f"{config.path}: the table of layer {layer} has {row if row != used else count} rows, and "
                "the primes "
                f"from engram_vocab_size on make {used}",
                config.path,
            )
    return names, rows


# ----------------------------------------------------------------------------------------- LongCat


def _longcat(config: _Config, tensors: Mapping[str, TensorInfo]) -> Constants:
    n_vocab = config.number("vocab_size", 1, 2**31 - 1)
    max_size = config.number("emb_neighbor_num", 2, MAX_SIZE)
    n_heads = config.number("emb_split_num", 1, MAX_HEADS)
    ratio = config.number("ngram_vocab_size_ratio", 1, 2**20)
    moduli = as_table(longcat_moduli(n_vocab, ratio, max_size, n_heads), 1)
    by_column = {int(match["column"]): name for name in tensors if (match := _LONGCAT_TABLE.fullmatch(name))}
    names = tuple(by_column.get(column) for column in range(moduli.size))
    rows = tuple(None if name is None else tensors[name].shape[0] for name in names)
    for column, (found, expected) in enumerate(zip(rows, moduli[0], strict=True)):
        if found is not None and found != int(expected):
            raise FormatError(
                f"{config.path}: {names[column]} has {found} rows, and the configuration makes it "
                f"{int(expected)}",
                config.path,
            )
    return Constants(
        Scheme.LONGCAT,
        os.path.dirname(config.path),
        (0,),
        max_size,
        n_heads,
        n_vocab,
        moduli,
        tables=names,
        n_rows=rows,
        origins={"moduli": "ngram_vocab_size_ratio", "n_vocab": "vocab_size"},
    )
