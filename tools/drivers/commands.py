"""The command line on random models, with random arguments: an answer or one line of why not."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from pyembed.cli import main
from pyembed.export import FORMATS

from . import Tally
from .models import Sample, chance, pick, sample

_COMMANDS = (
    "info", "embed", "validate", "diff", "nearest", "similarity", "analogy", "logits", "health", "plot",
    "lock", "size", "extract", "export",
)  # fmt: skip
_WORDS = (
    "t1", "t2", "the", "a b", "", "▁the", "\x1b[31m", "\udcff", "+", "-", "--", "1", "-1", "é", "👍",
    "x" * 300,
)  # fmt: skip
DTYPES = ("float32", "float16", "bfloat16")
_IDS = ("0", "1,2", "0,0,1", "-1", "99999", "1,,2", "a", "", "9" * 400, "1.5", "1e3", " 1", "0x1", "\uff11")
_NUMBERS = ("1", "0", "-1", "3", "9" * 30, "1.5", "nan", "x", "")
_OUTS = (
    "new.npy", "new.npz", "new.safetensors", "new.vec", "new.bin", "new.tsv", "new.gguf", "new.png", "new",
    "new/", "", ".", "..", "x" * 251 + ".npy", "x" * 256, "a\nb.npy", "\udcff.npy", "MODEL", "LINK",
    "/dev/full", "/dev/null", "no/such/x.npy",
)  # fmt: skip


def _options(rng: np.random.Generator, folder: Path) -> dict[str, Callable[[], list[str]]]:
    return {
        "--ids": lambda: [pick(rng, _IDS)],
        "--tokens": lambda: [pick(rng, _WORDS) for _ in range(int(rng.integers(0, 3)))],
        "--k": lambda: [pick(rng, _NUMBERS)],
        "--metric": lambda: [pick(rng, ("cosine", "dot", "x"))],
        "--dtype": lambda: [pick(rng, ("float16", "bfloat16", "float32", "int8"))],
        "--tensor": lambda: [pick(rng, ("token_embd.weight", "output_norm.weight", "", "no", "\udcff", "*"))],
        "--out": lambda: [pick(rng, _OUTS)],
        "--format": lambda: [pick(rng, (*FORMATS, "text", "json", "sarif", "x"))],
        "--range": lambda: [pick(rng, ("0:2", "2:0", "0:99999999999999999999", "-1:3", "x", "1:2:3", ":"))],
        "--level": lambda: [pick(rng, ("header", "order", "full", "x"))],
        "--ignore": lambda: [pick(rng, ("container/damaged", "vocabulary/duplicate-token", "x", ""))],
        "--reference": lambda: [pick(rng, ("MODEL", "demo", "sha256:00", "no", "/dev/null", str(folder)))],
        "--check": lambda: [pick(rng, ("MODEL", "no", "/dev/null"))],
        "--hidden": lambda: [pick(rng, ("MODEL", "no", "/dev/null", "hidden.npy"))],
        "--fail-on": lambda: [pick(rng, ("error", "note", "x"))],
        "--min-cosine": lambda: [pick(rng, ("0.99", "2", "nan", "x"))],
        "--json": list,
        "--force": list,
        "--tensors": list,
        "--any-quantisation": list,
        "--help": list,
        "--no-such-option": list,
    }


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Run ten command lines on one model."""
    made = sample(rng, folder)
    before = made.contents()
    (folder / "LINK.npy").symlink_to(made.files[-1])
    np.save(folder / "hidden.npy", rng.standard_normal(made.shape[1]).astype(np.float32))
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    here = os.getcwd()
    os.chdir(folder)
    try:
        for _ in range(10):
            _run(_arguments(rng, folder, made), tally)
            for path, data in kept.items():
                assert path.read_bytes() == data, f"{path.name} was changed"
            assert not list(folder.rglob("*.tmp")), "a temporary file stayed"
    finally:
        os.chdir(here)
    assert made.contents() == before


def _sensible(rng: np.random.Generator, made: Sample) -> list[str]:
    """Return a command line that ought to work."""
    model, row = str(made.path), str(int(rng.integers(made.shape[0])))
    is_gguf = made.format in ("gguf", "split")
    name = pick(rng, FORMATS)
    out = f"new-{row}{FORMATS[name].suffixes[0]}"
    commands = [
        ["info", model],
        ["embed", model, "--ids", row],
        [
            "embed",
            model,
            "--ids",
            f"{row},0",
            "--out",
            "new.npy",
            "--dtype",
            pick(rng, ("float16", "bfloat16")),
        ],
        ["nearest", model, "--ids", row, "--k", "1"],
        ["similarity", model, "--ids", f"{row},0"],
        ["logits", model, "--hidden", "hidden.npy", "--k", "1"],
        ["size", model],
        ["health", model],
        ["export", model, out, "--ids", row, "--format", name],
        ["export", model, out, "--format", name],
        ["plot", "norms", model, "--out", "new.png"],
        ["plot", "rows", model, "--ids", row, "--out", "new.svg"],
    ]
    if is_gguf:
        commands += [
            ["validate", model, "--level", pick(rng, ("header", "order", "full"))],
            ["validate", model, "demo", "no.gguf", "--format", pick(rng, ("text", "sarif", "json"))],
            ["validate", model, "--reference", model, "--level", "order"],
            ["diff", model, model],
            ["diff", model, "demo"],
            ["lock", model],
            ["extract", model, "small.gguf"],
            ["info", model, "--tensors"],
        ]
    command: list[str] = pick(rng, commands)
    return [*command, "--json"] if command[0] != "validate" and chance(rng, 0.4) else command


def _arguments(rng: np.random.Generator, folder: Path, made: Sample) -> list[str]:
    if chance(rng, 0.5):
        return _sensible(rng, made)
    command = [pick(rng, _COMMANDS)]
    if command == ["plot"]:
        command.append(pick(rng, ("rows", "norms", "similarity")))  # a map by t-SNE takes long
    model = pick(rng, ("MODEL",) * 9 + ("no", "", "demo"))
    reads_it = model == "MODEL"
    command.append(model)
    if command[0] in ("export", "extract"):
        command.append(pick(rng, _OUTS))
    if command[0] == "diff":
        command.append(pick(rng, ("MODEL", "demo", "no")))
    options = _options(rng, folder)
    useful = ("--ids", "--json", "--tensor", "--format", "--k", "--metric", "--dtype", "--out")
    for _ in range(int(rng.integers(0, 4))):
        name = pick(rng, useful if chance(rng, 0.6) else options)
        command += [name, *options[name]()]
    command += [pick(rng, _WORDS) for _ in range(int(rng.integers(0, 3)))]
    names = {"MODEL": str(made.path), "LINK": "LINK.npy"}
    if not reads_it:  # then it is a file like any other, and may be replaced
        command = ["new" if part in names else part for part in command]
    return [names.get(part, part) for part in command]


def _run(arguments: list[str], tally: Tally) -> None:
    out, err = io.StringIO(), io.StringIO()
    shown = f"pyembed {' '.join(map(ascii, arguments))}"
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(arguments)
    except Exception as error:
        raise AssertionError(f"{shown}: {type(error).__name__}: {error}") from error
    tally[f"{arguments[0]} {code}"] += 1
    assert code in (0, 1, 2), f"{shown}: exit {code}"
    errors = err.getvalue()
    says_why = any(line.startswith("pyembed: error: ") for line in errors.splitlines())
    assert (code == 2) == says_why, f"{shown}: exit {code} with {errors!r}"
    assert "Traceback" not in errors, f"{shown}: {errors!r}"
    texts = out.getvalue() + errors
    assert texts.replace("\n", "").isprintable(), f"{shown}: prints what a terminal obeys: {texts!r}"
    if code != 2 and "--json" in arguments and "--help" not in arguments and arguments[0] != "validate":
        _parse(out.getvalue(), shown)


def _parse(text: str, shown: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"{shown}: {name} is no JSON")

    if not text:
        return None  # data went to stdout
    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError as error:
        raise AssertionError(f"{shown}: prints no JSON: {error}: {text[:200]!r}") from error
