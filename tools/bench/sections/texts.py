"""Texts to vectors, end to end, against model2vec and WordLlama on the same tables and texts."""

from __future__ import annotations

import ast
import importlib
import json
import logging
import multiprocessing
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from tests.helpers.tokenizer_files import write_safetensors

from ..measure import Json, Race, Rival, race
from ..show import Table, number, spread, times
from . import Settings

N_TEXTS, COLUMNS = 6000, 256
VOCABULARY = "ggml-vocab-bert-bge.gguf"


def run(settings: Settings) -> Json:
    """Measure every library that is installed, on one processor."""
    logging.disable(logging.WARNING)
    processors = _one_processor()
    texts = docstrings(N_TEXTS // 4 if settings.quick else N_TEXTS)
    cases = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, prepare in (("model2vec", _model2vec), ("WordLlama", _wordllama)):
            found = prepare(Path(folder), settings.data)
            if found is not None:
                rounds = 3 if settings.quick else 7
                case = _measure(name, *found, texts, rounds)
                cases.append(case | {"two threads": _two_threads(found[0], texts, rounds, processors)})
    return {"texts": len(texts), "characters": sum(map(len, texts)), "cases": cases}


def _one_processor() -> list[int]:
    """Keep this process, which is a section's own, on one processor; return those that it had."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, processors[-1:])
    return processors


def docstrings(n: int) -> list[str]:
    """Return docstrings of Python's own library, in the order of its files."""
    texts: list[str] = []
    home = Path(os.__file__).parent
    for path in sorted([*home.glob("*.py"), *home.glob("*/*.py")]):
        texts.extend(_of_file(path))
        if len(texts) >= n:
            break
    return texts[:n]


def _of_file(path: Path) -> Iterator[str]:
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node)
            if text:
                yield text


def _model2vec(folder: Path, data: Path | None) -> tuple[Path, Callable[[list[str]], Any]] | None:
    home, library = model2vec_folder(folder, data), _imported("model2vec")
    if home is None or library is None:
        return None
    return home, library.StaticModel.from_pretrained(home).encode


def model2vec_folder(folder: Path, data: Path | None) -> Path | None:
    """Make a model of BERT's vocabulary with random rows, as the library writes them; None without that."""
    if data is None or not (data / "vocab" / VOCABULARY).is_file():
        return None
    with pyembed.load_model(data / "vocab" / VOCABULARY, vocab_only=True, validate="off") as model:
        text, n = model.tokenizer_json(), len(model.vocabulary)
    home = folder / "model2vec"
    home.mkdir()
    rows = np.random.default_rng(0).standard_normal((n, COLUMNS)).astype(np.float32)
    write_safetensors(home / "model.safetensors", {"embeddings": ("F32", rows)})
    (home / "tokenizer.json").write_text(text, "utf-8")
    (home / "config.json").write_text(json.dumps({"normalize": True}), "utf-8")
    return home


def _wordllama(folder: Path, data: Path | None) -> tuple[Path, Callable[[list[str]], Any]] | None:
    """Take the model that the package ships, in the folders in which it looks for one."""
    library = _imported("wordllama")
    if library is None:
        return None
    home, shipped = folder / "wordllama", Path(library.__file__).parent
    for name in ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json"):
        (home / name).parent.mkdir(parents=True)
        shutil.copy(shipped / name, home / name)
    model = library.WordLlama.load(config="l2_supercat", dim=256, cache_dir=home, disable_download=True)
    return home, model.embed


def _imported(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _measure(name: str, path: Path, peer: Callable[[list[str]], Any], texts: list[str], rounds: int) -> Json:
    """Encode all texts with the best engine, with `tokenizers` alone and by the library; and in parts."""
    with ExitStack() as stack:
        best = stack.enter_context(pyembed.load_encoder(path))
        standard = stack.enter_context(pyembed.load_encoder(path, engine="tokenizers"))
        largest = float(np.abs(best.encode(texts) - peer(texts)).max())
        cut = best.tokenize(texts)
        rivals: dict[str, Rival] = {
            "encode": lambda: best.encode(texts),
            "encode, tokenizers": lambda: standard.encode(texts),
            "library": lambda: peer(texts),
            "cutting": lambda: best.tokenize(texts),
            "pooling": lambda: best.table.pool(*cut, normalize=best.normalize),
        }
        result = race(rivals, rounds=rounds, seconds=0)
        return {
            "library": name,
            "engine": best.engine.name,
            "largest difference": largest,
            "tokens": int(cut[0].size),
            "texts a second": {key: result.rate(key, len(texts)) for key in result.times},
            "against the library": {
                key: result.ratio(key, "library") for key in ("encode", "encode, tokenizers")
            },
        }


#: What a process of `_two_threads` encodes again and again.
_encode_all: Callable[[], Any]


def _two_threads(path: Path, texts: list[str], rounds: int, processors: list[int]) -> Json | None:
    """Return how many times as fast two threads are, on two processors, as one on one; None where one is all.

    In processes of their own: packages that cut texts start as many threads as a process has processors.
    """
    if len(processors) < 2:
        return None
    context = multiprocessing.get_context("spawn")
    times: dict[str, list[float]] = {"one": [], "two": []}
    with (
        context.Pool(1, _begin, (processors[-1:], path, texts, 1)) as one,
        context.Pool(1, _begin, (processors[-2:], path, texts, 2)) as two,
    ):
        for _ in range(rounds):
            times["one"].append(one.apply(_seconds))
            times["two"].append(two.apply(_seconds))
    return Race(times).ratio("two", "one")


def _begin(processors: list[int], path: Path, texts: list[str], threads: int) -> None:
    global _encode_all
    logging.disable(logging.WARNING)
    os.sched_setaffinity(0, processors)
    encoder = pyembed.load_encoder(path)
    _encode_all = partial(encoder.encode, texts, threads=threads)
    _encode_all()


def _seconds() -> float:
    begin = time.perf_counter()
    _encode_all()
    return time.perf_counter() - begin


def tables(data: Json) -> list[Table]:
    """Lay the figures out."""
    table = Table(
        f"{data['texts']:,} docstrings ({data['characters'] / 1e6:.1f} MB) to vectors of {COLUMNS}, one "
        "processor: texts a second",
        [
            "as",
            "the library",
            "tokenizers",
            "x library",
            "fast engine",
            "x library",
            "cutting",
            "pooling",
            "two threads",
            "differs",
        ],
        note="Cutting and pooling are what the fast engine's figure consists of. model2vec's rows are "
        "random.",
    )
    for case in data["cases"]:
        rates, ratios = case["texts a second"], case["against the library"]
        table.rows.append(
            [
                case["library"],
                spread(rates["library"]),
                spread(rates["encode, tokenizers"]),
                times(ratios["encode, tokenizers"]),
                f"{spread(rates['encode'])} ({case['engine']})",
                times(ratios["encode"]),
                spread(rates["cutting"]),
                spread(rates["pooling"]),
                times(case["two threads"]),
                number(case["largest difference"]),
            ]
        )
    if not data["cases"]:
        table.note = "Neither model2vec nor WordLlama is installed here."
    return [table]
