"""``pyembed edit``: a changed copy of a model, or a model changed where it lies."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack
from typing import Any

from ..core.paths import file_name
from ..editing.model_edit import ModelEdit
from ..editing.operations import apply
from ..editing.undo import undo
from ..files.atomic_write import check_is_not_read, is_stdout, replacing
from ..safe_text import json_text
from .arguments import add_json, output_argument
from .files import model_path
from .progress import progress_bar
from .show import print_facts, print_json, size_text

_OPERATIONS = """operations, each followed by one argument; several are made together:
  set KEY=TYPE:VALUE      a metadata value; TYPE is u8, i8, u16, i16, u32, i32, f32, bool, string, u64, i64 or
                          f64, or one of them with [] behind it for a list, in JSON; TYPE@FILE reads VALUE
                          from a file
  unset KEY               without this key
  rename OLD=NEW          a key under another name
  drop-tensor NAME        without this tensor
  rename-tensor OLD=NEW   a tensor under another name
  resize ROWS[=FILL]      all tables with ROWS rows and the vocabulary with as many tokens; new rows are mean
                          (of all, the default) or zeros, new tokens [PADi]
  resize ROWS=FILL@FILE   likewise, and FILE has the new tokens' names, one a line or a JSON list in a .json
                          file; FILL can be pieces then: the mean of the tokens that a name is cut into
  reorder FILE            tokens and rows in the order of a tokenizer.json or another reference
  trim FILE               only the tokens whose ids are in FILE, a text or .npy file, and those they need
  trim-to-text FILE       only the tokens that a text file is cut into, and those they need
  requantise TABLE=TYPE   token, output or a tensor's name, as a type such as Q8_0, F16 or MXFP4
  undo                    alone: bring back what an interrupted --in-place left half done"""


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "edit",
        help="change metadata and tensors of a GGUF model",
        description="Write a copy of a GGUF model with changes, or change it where it lies. All that is not\n"
        "changed stays as it is, byte for byte.\n\n" + _OPERATIONS,
        epilog="example: pyembed edit demo --out named.gguf set general.name=string:Demo",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("model", metavar="MODEL", help="a .gguf file, of a split set the first; or: demo")
    parser.add_argument("words", nargs="+", metavar="OPERATION", help="such as: set general.name=string:x")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--out", type=output_argument, metavar="FILE", help="the new file; - is stdout")
    where.add_argument(
        "--in-place",
        action="store_true",
        help="change the model itself: only its header where that has room, else the file is replaced",
    )
    parser.add_argument(
        "--map",
        metavar="FILE",
        help="with trim and trim-to-text: write the new id of each old one, or -1, as a list in JSON",
    )
    add_json(parser, "print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    path = model_path(arguments.model)
    if arguments.words == ["undo"]:
        return _undo(path, arguments)
    if not arguments.in_place and arguments.out is None:
        raise ValueError("name the new file with --out, or say --in-place")
    with ModelEdit(path) as edit, progress_bar() as progress:
        apply(edit, arguments.words)
        if arguments.map is not None:
            _check_map(edit, arguments)
        with ExitStack() as stack:
            if arguments.map is not None and edit.new_ids is not None:
                file = stack.enter_context(replacing(arguments.map))  # a map that cannot be written stops it
                file.write(json_text(edit.new_ids.tolist()).encode() + b"\n")
                file.flush()
            done = (
                edit.overwrite(progress=progress)
                if arguments.in_place
                else edit.write(arguments.out, progress=progress)
            )
    if is_stdout(done.path):
        return 0
    if arguments.json:
        print_json(
            {
                "out": done.path,
                "files": list(done.files),
                "n_bytes": done.n_bytes,
                "in_header": done.in_header,
            }
        )
        return 0
    what = "bytes of the header, changed in place" if done.in_header else size_text(done.n_bytes)
    print_facts(
        [("written", ", ".join(done.files)), ("size", f"{done.n_bytes} {what}" if done.in_header else what)]
    )
    return 0


def _check_map(edit: ModelEdit, arguments: argparse.Namespace) -> None:
    """Refuse a map that cannot be written before anything is."""
    if edit.new_ids is None:
        raise ValueError("--map is for trim: nothing else takes tokens out")
    check_is_not_read(arguments.map, edit.source)
    if arguments.out is not None and os.path.realpath(arguments.map) == os.path.realpath(arguments.out):
        raise ValueError("--map and --out name the same file")


def _undo(path: str, arguments: argparse.Namespace) -> int:
    n_bytes = undo(file_name(path))
    if arguments.json:
        print_json({"path": path, "restored": n_bytes})
    else:
        print_facts([("restored", f"{n_bytes} bytes of {path}")])
    return 0
