"""Compare how `tokenizers` cuts random texts by patterns with what the package ``regex`` makes of the same.

`tokenizers` reads patterns by Oniguruma. Compared are all of them: also those of ``pre`` names whose
vocabularies are nowhere at hand, and those that were published. The exit code is 1 if any text is cut
otherwise; the shortest few are shown.

Usage: ``python -m tools.compare_patterns [--texts N] [--seed N] [NAME ...]``
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from pyembed.llama_cpp.pre_cuts import CUTS, PUBLISHED, Cut
from tests.helpers.cut_differently import has_unassigned
from tests.helpers.oracles.patterns import cut_by_regex
from tests.helpers.random_texts import random_texts

_SHOWN = 3
#: By name; what was published is the name and " as published".
ALL_CUTS: Mapping[str, tuple[Cut, ...]] = {
    **CUTS,
    **{f"{name} as published": cuts for name, cuts in PUBLISHED.items()},
}


def _splits(cuts: Sequence[Cut]) -> Any:
    """Return the steps of a pre-tokenizer without the spelling of bytes."""
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(cut.pattern), "merged_with_previous" if cut.joins else "isolated")
            for cut in cuts
        ]
    )


def _is_other_number(sign: str) -> bool:
    return unicodedata.category(sign) in ("No", "Nl")


def differences(name: str, n_texts: int, seed: int) -> tuple[int, list[tuple[str, list[str], list[str]]]]:
    """Return how many texts were compared, and those that are cut otherwise, with both lists of parts.

    Texts with characters that this Python's Unicode does not know are left out: the two libraries have
    tables of different versions. So are, where a pattern asks for the end of a word, those with numbers that
    are not digits, such as a fraction: of a word to one library, not to the other.
    """
    cuts = ALL_CUTS[name]
    knows_words = any(r"\b" in cut.pattern for cut in cuts)
    steps = _splits(cuts)
    n_compared, wrong = 0, []
    for text in random_texts(n_texts, seed):
        if not text or has_unassigned(text) or (knows_words and any(map(_is_other_number, text))):
            continue
        n_compared += 1
        found = [part for part, _ in steps.pre_tokenize_str(text)]
        wanted = cut_by_regex(cuts, text)
        if found != wanted:
            wrong.append((text, found, wanted))
    return n_compared, wrong


def main(argv: Sequence[str] | None = None) -> int:
    """Compare what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of patterns; default: all")
    parser.add_argument("--texts", type=int, default=20_000, help="a pattern; default: 20000")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    unknown = [name for name in arguments.names if name not in ALL_CUTS]
    if unknown:
        parser.error(f"no patterns are named {', '.join(unknown)}")
    is_equal = True
    for name in arguments.names or ALL_CUTS:
        n_compared, wrong = differences(name, arguments.texts, arguments.seed)
        print(f"{name:40} {n_compared:8} compared {len(wrong):6} differ", flush=True)
        for text, found, wanted in sorted(wrong, key=lambda one: len(one[0]))[:_SHOWN]:
            print(f"    {text!a}\n      here  {found!a}\n      regex {wanted!a}")
        is_equal = is_equal and not wrong
    return int(not is_equal)


if __name__ == "__main__":
    sys.exit(main())
