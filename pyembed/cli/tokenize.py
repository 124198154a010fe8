"""``pyembed tokenize`` cuts texts by a model's vocabulary, ``pyembed tokenizer`` writes a tokenizer.json."""

from __future__ import annotations

import argparse
import io
import sys
from typing import Any

from ..core.handle import Source
from ..files.atomic_write import is_stdout, replacing
from ..model import Model
from ..tokens.cutting.cutter import MAX_CHARACTERS, Piece
from .arguments import add_json, output_argument
from .files import model_path
from .show import print_facts, print_json, print_table


def add_parser(commands: Any) -> None:
    """Add the commands to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "tokenize",
        help="cut texts into tokens",
        description="Cut texts into tokens as llama.cpp does with the model's vocabulary, and show the "
        "characters that each comes from, counted from 0. Needs the extra 'text'.",
        epilog='example: pyembed tokenize demo "a file" "another one"',
    )
    _add_model(parser)
    parser.add_argument("words", nargs="*", metavar="TEXT", help="texts; without any, stdin is one")
    parser.add_argument(
        "--add-special", action="store_true", help="add what begins and ends a text, such as bos"
    )
    parser.add_argument(
        "--parse-special", action="store_true", help="find control tokens that are spelled out in the text"
    )
    add_json(parser, "print ids and pieces as JSON")
    parser.set_defaults(run=run_tokenize)

    parser = commands.add_parser(
        "tokenizer",
        help="write the vocabulary as a tokenizer.json",
        description="Write the model's vocabulary as a tokenizer.json that cuts texts as llama.cpp does; "
        "docs/text.md lists what that format cannot express.",
        epilog="example: pyembed tokenizer demo --out tokenizer.json",
    )
    _add_model(parser)
    parser.add_argument(
        "--out", required=True, type=output_argument, metavar="FILE", help="the file to write; - is stdout"
    )
    parser.add_argument(
        "--published-patterns",
        action="store_true",
        help="cut by the patterns that the model's makers published, where llama.cpp's differ in rare texts",
    )
    add_json(parser, "print what was written as JSON")
    parser.set_defaults(run=run_tokenizer)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .gguf file, or: demo")


def _text_of_stdin() -> str:
    """Return what stdin has to say, in UTF-8 as in all text files, whatever the console's letters are."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8")
    return sys.stdin.read(MAX_CHARACTERS + 1)


def run_tokenize(arguments: argparse.Namespace) -> int:
    """Run the command ``tokenize``."""
    texts = list(arguments.words) or [_text_of_stdin()]
    with Model(Source(model_path(arguments.model))) as model:
        found = [
            model.vocabulary.pieces(
                text, add_special=arguments.add_special, parse_special=arguments.parse_special
            )
            for text in texts
        ]
        path = model.path
    if arguments.json:
        print_json({"path": path, "texts": [_facts(*pair) for pair in zip(texts, found, strict=True)]})
        return 0
    for index, (text, pieces) in enumerate(zip(texts, found, strict=True)):
        if index:
            print()
        rows = [[p.text, text[p.start : p.end], str(p.id), f"{p.start}:{p.end}"] for p in pieces]
        print_table(["token", "of", "id", "place"], rows, left=2)
        print(f"{len(pieces)} tokens of {len(text)} characters")
    return 0


def _facts(text: str, pieces: list[Piece]) -> dict[str, object]:
    return {
        "text": text,
        "ids": [piece.id for piece in pieces],
        "pieces": [piece._asdict() for piece in pieces],
    }


def run_tokenizer(arguments: argparse.Namespace) -> int:
    """Run the command ``tokenizer``."""
    source = Source(model_path(arguments.model))
    with Model(source) as model:
        text = model.tokenizer_json(published_patterns=arguments.published_patterns)
        with replacing(arguments.out, source) as file:
            file.write(text.encode("utf-8"))
        family, n_tokens = model.vocabulary.model, len(model.vocabulary)
    if is_stdout(arguments.out):
        return 0
    facts: dict[str, Any] = {"written": arguments.out, "family": family, "tokens": n_tokens}
    if arguments.json:
        print_json(facts)
    else:
        print_facts([(name, str(value)) for name, value in facts.items()])
    return 0
