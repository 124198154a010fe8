"""Write the figures and pictures of ``docs/published-examples.md`` from a real model.

Usage: ``python -m tools.make_examples [--check]``.  The model is all-MiniLM-L6-v2, from the folder that
``PYEMBED_TEST_DATA`` names or ``make test-data`` filled.  With ``--check`` nothing is written, and the exit
code is 1 if the page's figures are not those of the model.  Pictures need the extra ``plot``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyembed
from pyembed.cli import main as command

from . import test_data

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "published-examples.md"
PICTURES = ROOT / "docs" / "pictures"
MODEL = "models/minilm-f16.gguf"

#: Pairs of words, with the cosine that lessons print for GPT-2's table.
SIMILARITIES = {
    ("cat", "dog"): 0.4442,
    ("cat", "kitten"): 0.3218,
    ("cat", "car"): 0.1487,
    ("Paris", "Tokyo"): 0.4891,
    ("Paris", "France"): 0.3756,
    ("Paris", "bicycle"): 0.0312,
    ("happy", "sad"): 0.2103,
    ("king", "queen"): 0.5190,
    ("king", "table"): 0.1254,
}
#: What is added, what is taken away, and the answer that lessons show.
ANALOGIES = [
    (("king", "woman"), "man", "queen"),
    (("paris", "japan"), "france", "tokyo"),
    (("walking", "swam"), "walked", "swimming"),
    (("france", "tokyo"), "paris", "japan"),
    (("big", "smaller"), "bigger", "small"),
]
NEAR = ("king", "paris", "python", "happy", "blue")
GROUPS = {
    "animals": "cat dog horse fish bird mouse rabbit tiger",
    "countries": "france germany japan brazil india china italy spain",
    "colours": "red blue green yellow purple orange black white",
    "programming": "python java code function variable loop class array",
    "emotions": "happy sad angry fear love hate joy calm",
}
HEAT = "cat dog kitten car king queen table paris tokyo france"
ROWS = "king queen man woman"
#: Tables as published: rows, columns, and the share of the model's parameters where that was given too.
SIZES: dict[str, tuple[int, int, str]] = {
    "GPT-2": (50_257, 768, "33 %"),
    "Gemma 3 270M": (262_144, 640, "62.1 %"),
    "Qwen3 1.7B": (151_936, 2048, "18.3 %"),
    "Ministral 8B": (131_072, 4096, "6.7 %"),
    "Mistral 7B": (32_000, 4096, ""),
    "Llama 3 8B": (128_256, 4096, ""),
    "GPT-3": (50_257, 12_288, ""),
    "DeepSeek V3.2": (129_280, 7168, "0.14 %"),
    "Llama 4 Maverick": (202_048, 5120, "0.26 %"),
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; all columns but the first are for numbers or lists."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def figures(model: pyembed.Model) -> dict[str, str]:
    """Return what stands between the page's marks."""
    return {
        "similarities": table(
            ["words", "GPT-2, as published", "all-MiniLM-L6-v2"],
            [
                [f"{a}, {b}", f"{published:.4f}", f"{model.similarity(a.lower(), b.lower()):.4f}"]
                for (a, b), published in SIMILARITIES.items()
            ],
        ),
        "neighbours": table(
            ["word", "nearest"],
            [[word, _list(model.nearest(word, k=6))] for word in NEAR],
        ),
        "analogies": table(
            ["question", "as published", "nearest"],
            [
                [
                    f"{a} - {without} + {b}",
                    answer,
                    _list(model.analogy(positive=[a, b], negative=[without], k=4)),
                ]
                for (a, b), without, answer in ANALOGIES
            ],
        ),
        "sizes": table(
            ["model", "rows x columns", "parameters", "as float16", "as Q4_K", "of the whole"],
            [
                [
                    name,
                    f"{n:,} x {d:,}",
                    f"{n * d / 1e6:,.1f} M",
                    _bytes(n, d, "F16"),
                    _bytes(n, d, "Q4_K"),
                    share,
                ]
                for name, (n, d, share) in SIZES.items()
            ],
        ),
    }


def _list(found: Iterable[pyembed.Neighbour]) -> str:
    return ", ".join(f"{(near.text or '').removeprefix('▁')} {near.score:.2f}" for near in found)


def _bytes(rows: int, columns: int, kind: str) -> str:
    weights, block = {"F16": (1, 2), "Q4_K": (256, 144)}[kind]
    if columns % weights:
        return "-"
    return f"{rows * columns // weights * block / 1e6:,.0f} MB"


def page(text: str, parts: dict[str, str]) -> str:
    """Return the page with its figures replaced."""
    for name, figure in parts.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, begun, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not begun or not ended:
            raise ValueError(f"{PAGE.name} has no place for {name}")
        text = f"{before}{begin}\n\n{figure}\n\n{end}{after}"
    return text


def draw(model: Path) -> None:
    """Draw the pictures."""
    PICTURES.mkdir(exist_ok=True)
    groups = [
        part for name, words in GROUPS.items() for part in ("--group", f"{name}={words.replace(' ', ',')}")
    ]
    kinds = {
        "map": [*groups, "--seed", "42", "--title", "t-SNE of five groups of words, all-MiniLM-L6-v2"],
        "similarity": [*HEAT.split(), "--title", "Cosines of words, all-MiniLM-L6-v2"],
        "rows": [*ROWS.split(), "--title", "Rows of words, all-MiniLM-L6-v2"],
    }
    for kind, arguments in kinds.items():
        out = str(PICTURES / f"words-{kind}.png")
        if command(["plot", kind, str(model), *arguments, "--out", out]):
            raise SystemExit(f"the picture {kind} was not drawn")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the page's figures and pictures, or compare the figures; return the exit code."""
    parser = argparse.ArgumentParser(description="Write the figures of docs/published-examples.md.")
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    options = parser.parse_args(arguments)
    folder = test_data.find()
    if folder is None:
        raise SystemExit(test_data.MISSING)
    text = PAGE.read_text("utf-8")
    with pyembed.load_model(folder / MODEL) as model:
        new = page(text, figures(model))
    if options.check:
        print("as computed" if new == text else f"{PAGE.name} has other figures than the model")
        return int(new != text)
    PAGE.write_text(new, "utf-8")
    draw(folder / MODEL)
    return 0


if __name__ == "__main__":
    sys.exit(main())
