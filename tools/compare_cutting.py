"""Compare the ids of random texts with llama.cpp's: every vocabulary, every pre-tokenizer.

Texts with what the engines are known to cut differently (``tests/helpers/cut_differently.py``) are counted
and left out. The exit code is 1 if any other text gets other ids; the shortest few are shown.

Usage: ``python -m tools.compare_cutting [--texts N] [--seed N] [VOCABULARY ...]``; without a vocabulary, all
that ``PYEMBED_TEST_DATA`` has, and all pre-tokenizers with the vocabulary of llama 3.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import pyembed
from pyembed.llama_cpp.pre_cuts import CUTS_OF
from tests.helpers.cut_differently import is_cut_differently
from tests.helpers.llama_cutter import MISSING, LlamaCutter, is_installed
from tests.helpers.random_texts import random_texts

from . import test_data

_BATCH = 5000
_SHOWN = 3
_OF_ALL = "ggml-vocab-llama-bpe.gguf"


def compare(path: Path, n_texts: int, seed: int, pre: str | None = None) -> bool:
    """Compare some texts by one vocabulary, print the figures, and return whether all ids are equal."""
    overrides = {} if pre is None else {"tokenizer.ggml.pre": pre}
    begin = time.perf_counter()
    wrong: list[tuple[str, list[int], list[int]]] = []
    n_compared = n_left_out = n_batches = 0
    with (
        pyembed.load_model(path, vocab_only=True, validate="off", kv_overrides=overrides) as model,
        LlamaCutter(path, pre) as llama,
    ):
        kinds = (pyembed.TokenType.CONTROL, pyembed.TokenType.USER_DEFINED, pyembed.TokenType.UNKNOWN)
        special = [token.text for token in model.vocabulary if token.type in kinds][:100]
        name = model.metadata.text("general.name") or ""
        texts = random_texts(n_texts, seed, also=special)
        batch = list(islice(texts, _BATCH))
        while batch:
            kept = [text for text in batch if not is_cut_differently(text, model.vocabulary, name=name)]
            n_compared, n_left_out = n_compared + len(kept), n_left_out + len(batch) - len(kept)
            parse, n_batches = n_batches % 2 == 1, n_batches + 1
            expected = llama.cutting(kept, add_special=True, parse_special=parse)
            found = model.tokenize(kept, add_special=True, parse_special=parse)
            batch = list(islice(texts, _BATCH))  # made while the other process still cuts
            bounds = found.offsets.tolist()
            for index, theirs in enumerate(expected()):
                ours = found.ids[bounds[index] : bounds[index + 1]].tolist()
                if ours != theirs:
                    wrong.append((kept[index], ours, theirs))
    seconds = time.perf_counter() - begin
    label = path.name if pre is None else f"pre {pre}"
    print(
        f"{label:40} {n_compared:8} compared {n_left_out:8} left out {len(wrong):6} differ {seconds:7.1f} s",
        flush=True,
    )
    for text, ours, theirs in sorted(wrong, key=lambda one: len(one[0]))[:_SHOWN]:
        print(f"    {text!a}\n      here      {ours}\n      llama.cpp {theirs}")
    return not wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vocabularies", nargs="*", type=Path, metavar="VOCABULARY")
    parser.add_argument("--texts", type=int, default=100_000, help="a vocabulary; default: 100000")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    if not is_installed():
        print(MISSING, file=sys.stderr)
        return 2
    folder = test_data.find()
    found = arguments.vocabularies or ([] if folder is None else sorted((folder / "vocab").glob("*.gguf")))
    if not found:
        print(test_data.MISSING, file=sys.stderr)
        return 2
    equal = [compare(path, arguments.texts, arguments.seed) for path in found]
    if not arguments.vocabularies and folder is not None:
        n_texts = max(1, arguments.texts // 20)
        equal += [
            compare(folder / "vocab" / _OF_ALL, n_texts, arguments.seed, pre) for pre in sorted(CUTS_OF)
        ]
    return int(not all(equal))


if __name__ == "__main__":
    sys.exit(main())
