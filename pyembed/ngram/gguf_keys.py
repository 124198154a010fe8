"""Constants of hashed rows in GGUF files, whose keys differ from program to program.

Of PLE two sets of keys are known: that of llama.cpp, and that of ds4, which keeps the names of the model's
configuration. Of Engram there are many; they agree in what they store, and partly in names. Paths that a file
names are never opened.
"""

from __future__ import annotations

import re

import numpy as np

from ..core.handle import Source
from ..errors import FormatError
from ..files.metadata import Metadata, Tensors
from ..safe_text import quote
from .constants import MAX_HEADS, MAX_LAYERS, MAX_SIZE, MAX_TOKENS, Constants, Numbers, Scheme, as_table
from .derived import ENGRAM_IMAGE_TOKEN, ENGRAM_MAP_SHAPE, engram_moduli
from .stored import StoredNumbers

#: Of all layers and columns together: the released models have 48.
_MOST_MODULI = 4096
_MOST_IDS = 2**31 - 1
PLE_TABLE = "per_layer_token_embd.weight"

_PLE_KEY = re.compile(r"(?P<prefix>[^.]+)\.ple\.[^.]+")
_ENGRAM_KEY = re.compile(r"(?:.*[.-])?engram\.(?P<stem>[^.]+)")
_ENGRAM_TABLES = ("blk.{}.engram_embd.weight", "layers.{}.engram.embed.weight")
_ENGRAM_TABLE = re.compile(r"(?:blk\.\d+\.engram_embd|layers\.\d+\.engram\.embed)\.weight")


def find_constants(source: Source, metadata: Metadata, tensors: Tensors) -> Constants | None:
    """Return the constants of an open GGUF file; None where it has no hashed rows.

    Raises
    ------
    FormatError
        If keys of hashed rows are there, and some are missing, unknown, of another type or truncated.
    """
    ple = next((match["prefix"] for key in metadata if (match := _PLE_KEY.fullmatch(key))), None)
    stored = StoredNumbers(source, metadata, tensors)
    for name in (*metadata, *tensors):
        match = _ENGRAM_KEY.fullmatch(name)
        if match is not None:
            stored.know(match["stem"], name)
    if ple is not None and stored:
        raise FormatError(
            f"{source.path}: keys of two schemes of hashed rows are there, '{ple}.ple' and {stored.listed()}",
            source.path,
        )
    if ple is not None:
        return _Ple(source, metadata, tensors, ple).constants()
    if stored:
        return _Engram(stored, metadata, tensors).constants()
    _refuse_bare_tables(source, metadata, tensors)
    return None


def _refuse_bare_tables(source: Source, metadata: Metadata, tensors: Tensors) -> None:
    """Raise FormatError for tables of hashed rows without constants: a gather by token id would be wrong."""
    table = next((name for name in tensors if _ENGRAM_TABLE.fullmatch(name)), None)
    if table is None and metadata.text("general.architecture") == "qwen4exp" and PLE_TABLE in tensors:
        table = PLE_TABLE
    near = [key for key in metadata if "engram" in key or "ple" in key.split(".")][:8]
    if table is not None:
        keys = f"; found: {', '.join(map(quote, near))}" if near else ""
        raise FormatError(
            f"{source.path}: {table} is a table of hashed rows, and no key that is known here says how "
            "they are "
            f"hashed{keys}",
            source.path,
        )


def _split(stored: StoredNumbers, field: str, numbers: Numbers, n_layers: int, of: str) -> Numbers:
    """Return flat numbers as a table of layers; FormatError if they are not as many for each."""
    if numbers.size % n_layers:
        raise FormatError(
            f"{stored.path}: {quote(stored.origins[field])} holds {numbers.size} numbers, which "
            f"{n_layers} layers "
            f"of {of} do not share evenly: it is truncated, or the layers are others",
            stored.path,
        )
    return as_table(numbers, n_layers)


def _heads(stored: StoredNumbers, n_columns: int, max_size: int, declared: int | None) -> int:
    """Return the heads of each size of n-grams."""
    heads, rest = divmod(n_columns, max_size - 1)
    if rest or not 1 <= heads <= MAX_HEADS or declared not in (None, heads):
        said = "" if declared is None else f" of {quote(stored.origins['n_heads'])}, {declared},"
        raise FormatError(
            f"{stored.path}: {quote(stored.origins['moduli'])} holds {n_columns} moduli a layer, which "
            f"heads{said} "
            f"and n-grams of 2 to {max_size} tokens do not make: it is truncated, or the counts are wrong",
            stored.path,
        )
    return heads


def _checked_size(stored: StoredNumbers, found: int, declared: int | None) -> int:
    """Return the tokens of the longest n-grams, which the multipliers are as many as."""
    if not 2 <= found <= MAX_SIZE or declared not in (None, found):
        said = "" if declared is None else f", and {quote(stored.origins['max_size'])} is {declared}"
        raise FormatError(
            f"{stored.path}: {quote(stored.origins['multipliers'])} holds {found} multipliers a layer{said}; "
            f"expected one for each token of the longest n-grams, 2 to {MAX_SIZE}",
            stored.path,
        )
    return found


def _check_offsets(stored: StoredNumbers, offsets: Numbers | None, moduli: Numbers) -> Numbers | None:
    if offsets is not None and offsets.size != moduli.size:
        raise FormatError(
            f"{stored.path}: {quote(stored.origins['offsets'])} holds {offsets.size} offsets for "
            f"{moduli.size} "
            "moduli: it is truncated, or the moduli are",
            stored.path,
        )
    return None if offsets is None else offsets.reshape(moduli.shape)


class _Ple:
    """The keys of PLE; one layer is what llama.cpp and ds4 know."""

    _NAMES = (
        *("ple.layers", "ple.layer_ids", "text.ple_layer_ids", "ple.ngram_size", "text.ngram_size"),
        *("ple.heads_per_ngram", "text.heads_per_ngram", "ple.layer_multipliers", "ple.head_vocab_sizes"),
        *("ple.head_primes", "ple.head_offsets", "ple.eos_token_id", "text.eos_token_id"),
        *("tokenizer.end_of_text_token_id", "ple.image_token_id", "top.image_token_id", "ple.rows"),
        "text.vocab_size",
    )

    def __init__(self, source: Source, metadata: Metadata, tensors: Tensors, prefix: str) -> None:
        self._metadata = metadata
        self._tensors = tensors
        self._stored = stored = StoredNumbers(source, metadata, tensors)
        for name in metadata:
            short = name.removeprefix(f"{prefix}.")
            if short in self._NAMES or short.startswith("ple."):
                stored.know(short, name)

    def constants(self) -> Constants:
        stored = self._stored
        multipliers = stored.numbers("multipliers", ["ple.layer_multipliers"], MAX_LAYERS * MAX_SIZE)
        moduli = stored.numbers("moduli", ["ple.head_vocab_sizes", "ple.head_primes"], _MOST_MODULI)
        if multipliers is None or moduli is None:
            raise stored.missing("multipliers" if multipliers is None else "moduli")
        declared = stored.count("max_size", ["ple.ngram_size", "text.ngram_size"], 2, MAX_SIZE)
        if declared is not None:
            multipliers = multipliers[:declared]  # llama.cpp takes as many as it needs
        max_size = _checked_size(stored, multipliers.size, declared)
        heads = stored.count("n_heads", ["ple.heads_per_ngram", "text.heads_per_ngram"], 1, MAX_HEADS)
        offsets = stored.numbers("offsets", ["ple.head_offsets"], _MOST_MODULI)
        eos = stored.count(
            "stand_in",
            ["ple.eos_token_id", "text.eos_token_id", "tokenizer.end_of_text_token_id"],
            0,
            _MOST_IDS,
        )
        if eos is None:  # never the vocabulary's own: that ends turns of a chat
            raise stored.missing("the end of text (eos_token_id)")
        image = stored.count("image_token", ["ple.image_token_id", "top.image_token_id"], 0, _MOST_IDS)
        table = self._tensors.get(PLE_TABLE)
        rows = stored.count("n_rows", ["ple.rows"])
        return Constants(
            Scheme.PLE,
            stored.path,
            self._layers(),
            max_size,
            _heads(stored, moduli.size, max_size, heads),
            self._n_vocab(),
            as_table(moduli, 1),
            as_table(multipliers, 1),
            _check_offsets(stored, offsets, as_table(moduli, 1)),
            stand_in=eos,
            image_token=image or None,
            tables=(None if table is None else PLE_TABLE,),
            n_rows=(rows if table is None else _rows_of(table.shape),),
            origins=stored.origins,
            contradictions=tuple(stored.contradictions),
        )

    def _layers(self) -> tuple[int, ...]:
        stored = self._stored
        layers = stored.numbers("layers", ["ple.layers", "ple.layer_ids"], MAX_LAYERS)
        if layers is None:
            from_one = stored.numbers("layers", ["text.ple_layer_ids"], MAX_LAYERS)
            if from_one is None or from_one.min() < 1:
                raise stored.missing("layers")
            layers = from_one - np.uint64(1)  # the configuration counts from 1
        if layers.size != 1:
            raise FormatError(
                f"{stored.path}: {quote(stored.origins['layers'])} names {layers.size} layers with hashed "
                "rows; one "
                "is known for these keys",
                stored.path,
            )
        return (int(layers[0]),)

    def _n_vocab(self) -> int:
        """Return the tokens of the vocabulary: rows of the token table, which may be padded."""
        table = self._tensors.get("token_embd.weight")
        if table is not None and len(table.shape) == 2:
            return table.shape[0]
        found = self._stored.count("n_vocab", ["text.vocab_size"], 1, _MOST_IDS)
        tokens = self._metadata.strings("tokenizer.ggml.tokens")
        if found is None and tokens is None:
            raise self._stored.missing("the size of the vocabulary (tokens, or a token table)")
        return found if found is not None else len(tokens or ())


class _Engram:
    """The keys of Engram, in all dialects."""

    def __init__(self, stored: StoredNumbers, metadata: Metadata, tensors: Tensors) -> None:
        self._stored = stored
        self._metadata = metadata
        self._tensors = tensors

    def constants(self) -> Constants:
        stored = self._stored
        layers = stored.numbers("layers", ["layer_ids", "layers"], MAX_LAYERS)
        multipliers = stored.numbers(
            "multipliers", ["multipliers", "hash_multipliers"], MAX_LAYERS * MAX_SIZE
        )
        given_map = stored.numbers("token_map", ["token_map"], MAX_TOKENS, _MOST_IDS)
        if layers is None or multipliers is None or given_map is None:
            absent = {"layers": layers, "multipliers": multipliers, "the token map": given_map}
            raise stored.missing(" and ".join(what for what, found in absent.items() if found is None))
        numbers = tuple(map(int, layers))
        if len(set(numbers)) != len(numbers):
            raise FormatError(
                f"{stored.path}: {quote(stored.origins['layers'])} names a layer twice", stored.path
            )
        by_layer = _split(stored, "multipliers", multipliers, len(numbers), "multipliers")
        max_size = _checked_size(
            stored, by_layer.shape[1], stored.count("max_size", ["max_ngram_size"], 2, MAX_SIZE)
        )
        tables = tuple(self._table(layer) for layer in numbers)
        rows = self._rows(numbers, tables)
        moduli, heads = self._moduli(len(numbers), max_size, rows)
        offsets = stored.numbers("offsets", ["offsets", "hash_offsets"], _MOST_MODULI)
        n_compressed = stored.count("n_compressed", ["compressed_vocab_size"], 1, MAX_TOKENS)
        if n_compressed is None:
            n_compressed = int(given_map.max()) + 1
            if n_compressed > len(given_map):
                name = quote(stored.origins["token_map"])
                raise FormatError(
                    f"{stored.path}: {name} maps {len(given_map)} tokens, and one of them to "
                    f"{n_compressed - 1}: mapped ids are below the number of tokens",
                    stored.path,
                )
        token_map = given_map.astype(np.uint32)
        pad = self._pad(given_map)
        image = self._image_token(len(token_map), n_compressed)
        return Constants(
            Scheme.ENGRAM,
            stored.path,
            numbers,
            max_size,
            heads,
            len(token_map),
            moduli,
            by_layer,
            _check_offsets(stored, offsets, moduli),
            stand_in=pad,
            token_map=token_map,
            n_compressed=n_compressed,
            image_token=image,
            tables=tables,
            n_rows=rows,
            origins=stored.origins,
            contradictions=tuple(stored.contradictions),
        )

    def _moduli(self, n_layers: int, max_size: int, rows: tuple[int | None, ...]) -> tuple[Numbers, int]:
        """Return the moduli and the heads; where a file leaves them to be derived, its rows have to agree."""
        stored = self._stored
        heads = stored.count("n_heads", ["head_count", "n_heads"], 1, MAX_HEADS)
        moduli = stored.numbers("moduli", ["primes", "hash_primes"], _MOST_MODULI)
        if moduli is not None:
            by_layer = _split(stored, "moduli", moduli, n_layers, "moduli")
            return by_layer, _heads(stored, by_layer.shape[1], max_size, heads)
        base = stored.count("base", ["vocab_size"], 2, 2**40)
        if base is None or heads is None or n_layers * heads > MAX_HEADS * 4:
            raise stored.missing("moduli (primes)")
        derived = as_table(engram_moduli(base, max_size, heads, n_layers), n_layers)
        sums = tuple(map(int, derived.sum(axis=1, dtype=np.uint64)))
        if sums != rows:
            raise FormatError(
                f"{stored.path}: the moduli (primes) are not there, and primes from "
                f"{quote(stored.origins['base'])}, {base}, on make tables of {sums} rows, not {rows}",
                stored.path,
            )
        stored.origins["moduli"] = stored.origins["base"]
        return derived, heads

    def _table(self, layer: int) -> str | None:
        names = [name.format(layer) for name in _ENGRAM_TABLES]
        return next((name for name in names if name in self._tensors), None)

    def _rows(self, layers: tuple[int, ...], tables: tuple[str | None, ...]) -> tuple[int | None, ...]:
        """Return the rows of each table: of its tensor, else as a key states them."""
        stored = self._stored
        stated = stored.numbers("n_rows", ["num_embeddings", "rows", "row_counts"], MAX_LAYERS)
        if stated is not None and stated.size != len(layers):
            raise FormatError(
                f"{stored.path}: {quote(stored.origins['n_rows'])} holds {stated.size} numbers for "
                f"{len(layers)} "
                "layers",
                stored.path,
            )
        found: list[int | None] = []
        for number, name in enumerate(tables):
            declared = None if stated is None else int(stated[number])
            actual = None if name is None else _rows_of(self._tensors[name].shape)
            if name is not None and None not in (declared, actual) and declared != actual:
                stored.contradict(stored.origins["n_rows"], name, f"{declared} rows and {actual}")
            found.append(declared if actual is None else actual)
        return tuple(found)

    def _pad(self, token_map: Numbers) -> int:
        """Return the mapped id of padding; a name that says token means an id that is mapped yet."""
        stored = self._stored
        mapped = stored.count("stand_in", ["pad_id", "pad_id_compressed", "compressed_pad_id"], 0, _MOST_IDS)
        token = stored.count("pad_token", ["pad_token_id"], 0, _MOST_IDS)
        if token is not None and token >= token_map.size:
            raise FormatError(
                f"{stored.path}: {quote(stored.origins['pad_token'])} is {token}, beyond the token map of "
                f"{token_map.size} tokens",
                stored.path,
            )
        if mapped is None and token is None:
            raise stored.missing("the padding (pad_id)")
        if token is None:
            assert mapped is not None
            return mapped
        if mapped is not None and mapped != int(token_map[token]):
            stored.contradict(
                stored.origins["stand_in"],
                stored.origins["pad_token"],
                f"{mapped}, and token {token} is mapped to {int(token_map[token])}",
            )
        stored.origins.setdefault("stand_in", stored.origins["pad_token"])
        return int(token_map[token])

    def _image_token(self, n_tokens: int, n_compressed: int) -> int | None:
        """Return the id in place of images: as a key says, or that of the released vocabulary."""
        stored = self._stored
        architecture = self._metadata.text("general.architecture")
        if f"{architecture}.image_token_id" in self._metadata:
            stored.know("image_token_id", f"{architecture}.image_token_id")
        found = stored.count("image_token", ["image_token_id"], 0, _MOST_IDS)
        if found is None and (n_tokens, n_compressed) == ENGRAM_MAP_SHAPE:
            return ENGRAM_IMAGE_TOKEN
        return found


def _rows_of(shape: tuple[int, ...]) -> int | None:
    return shape[0] if len(shape) == 2 else None
