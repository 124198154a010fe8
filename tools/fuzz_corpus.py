"""The inputs that fuzzing found worth keeping: one archive a target, ``tests/fuzz/corpus/<target>.zip``.

An archive of the same inputs is the same file, byte for byte: names are sorted, times fixed, and nothing is
compressed, which git does anyway. Inputs that a fuzzer found are named by their content and are replaced by
smaller ones in time (``python -m tools.fuzz --keep``). An input that shows a bug is added under a name that
says what it is, and stays.

Usage: ``python -m tools.fuzz_corpus list|unpack|add TARGET ...``: ``list TARGET`` prints names and sizes,
``unpack TARGET FOLDER`` writes the inputs as files, ``add TARGET FILE ...`` adds files under their names.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path

from .native import FUZZ, targets

CORPUS = FUZZ / "corpus"
_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that an archive can hold
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def archive(target: str) -> Path:
    """Return where the archive of a target is, or would be."""
    return CORPUS / f"{target}.zip"


def content_name(content: bytes) -> str:
    """Return the name of an input that a fuzzer found."""
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()[:16]


def read(target: str) -> dict[str, bytes]:
    """Return the inputs of a target by name; none where it has no archive."""
    if not archive(target).exists():
        return {}
    with zipfile.ZipFile(archive(target)) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(target: str, inputs: Mapping[str, bytes]) -> None:
    """Replace the archive of a target."""
    CORPUS.mkdir(parents=True, exist_ok=True)
    partial = archive(target).with_suffix(".partial")
    with zipfile.ZipFile(partial, "w") as file:
        for name in sorted(inputs):
            if not _PLAIN_NAME.fullmatch(name):
                raise ValueError(f"{name!r} cannot name an input: letters, digits, '.', '_' and '-' can")
            entry = zipfile.ZipInfo(name, _TIME)
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # as on every system
            file.writestr(entry, inputs[name])
    partial.replace(archive(target))


def unpack(target: str, folder: Path) -> list[Path]:
    """Write the inputs of a target as files of a folder, and return these."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in read(target).items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


def add(target: str, files: list[Path]) -> None:
    """Add files to the archive of a target, under their names."""
    write(target, {**read(target), **{path.name: path.read_bytes() for path in files}})


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, meaning in {
        "list": "print names and sizes",
        "unpack": "write the inputs as files of a folder",
        "add": "add files under their names, such as build/fuzz/found/gguf/crash-...",
    }.items():
        command = commands.add_parser(name, help=meaning)
        command.add_argument("target", choices=targets())
        if name != "list":
            command.add_argument("path", type=Path, nargs=None if name == "unpack" else "+")
    arguments = parser.parse_args()
    if arguments.command == "list":
        for name, content in read(arguments.target).items():
            print(f"{len(content):6,} {name}")
    elif arguments.command == "unpack":
        print(f"{len(unpack(arguments.target, arguments.path)):,} inputs in {arguments.path}")
    else:
        add(arguments.target, arguments.path)
        print(f"{archive(arguments.target)} has {len(read(arguments.target)):,} inputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
