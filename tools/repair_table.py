"""Counts which damaged models are repaired to what they were, and writes the tables into ``docs/repair.md``.

Every corruption of ``tests/helpers/vocabulary_files.py`` is made in the vocabulary it names, and every wrong
order of ``tests/helpers/order_cases.py`` in the rows of the demo model; each is repaired with the original as
the reference, and by the file alone.

Usage: ``python -m tools.repair_table [--vocabulary NAME ...]``, with the real vocabularies that
`make test-data` fetches: both kinds of damage at the same time, in some minutes a vocabulary.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain
from pathlib import Path

import numpy as np

import pyembed
from pyembed.files.atomic_write import replacing
from tests.helpers.order_cases import partial_orders, whole_orders
from tests.helpers.vocabulary_files import corruptions, read_parts

from . import test_data

PAGE = Path(__file__).parent.parent / "docs/repair.md"
BEGIN, END = "<!-- repairs: begin -->", "<!-- repairs: end -->"
OUTCOMES = ("as it was", "nearly", "mended", "refused", "not seen")
#: Rows that are not the original's behind a repair that counts as nearly one: at the edges of runs.
_NEARLY = 0.01
#: Ids in reasons, which differ where these do not.
_NUMBERS = re.compile(r"\b\d+\b")
#: The table, the damage, with or without a reference, the outcome, and of one that is refused why.
Line = tuple[str, str, str, str, str]


def repaired(path: Path, reference: Path | None, out: Path) -> tuple[str, str]:
    """Repair a model; return an outcome and, of one that is refused, why."""
    out.unlink(missing_ok=True)
    plan = pyembed.repair(path, reference)
    if not plan.findings:
        return "not seen", ""
    try:
        plan.apply(out)
    except ValueError as error:
        needed = dict.fromkeys(_NUMBERS.sub("N", str(one.refused)) for one in plan.refused)
        if len(needed) > 1:  # rows of zeros at learned tokens follow from rows that moved
            needed.pop("the original weights", None)
        return "refused", "; ".join(needed) or str(error)
    return "mended", ""


def of_vocabulary(folder: Path, scratch: Path, name: str) -> Iterator[Line]:
    """Repair a vocabulary with each damage that is made in it."""
    path, out, original = (scratch / f"{name}.gguf" for name in ("damaged", "out", "original"))
    for case in corruptions():
        if case.vocabulary != name:
            continue
        whole = read_parts(folder / f"vocab/ggml-vocab-{case.vocabulary}.gguf")
        original.write_bytes(whole.to_bytes())
        path.write_bytes(case.change(whole.copy()).to_bytes())
        for how, reference in (("reference", original), ("alone", None)):
            outcome, why = repaired(path, reference, out)
            if outcome == "mended" and out.read_bytes() == original.read_bytes():
                outcome = "as it was"
            elif outcome == "mended":
                parts = read_parts(out)
                lists = [(p.tokens, p.types, p.scores, p.merges, p.others) for p in (parts, whole)]
                outcome = "as it was" if lists[0] == lists[1] else "mended"
            print(f"{case.vocabulary}: {case.name}: {how}: {outcome} {why}", file=sys.stderr, flush=True)
            yield "vocabulary", case.name.split(":")[0], how, outcome, why


def _vocabulary(folder: Path, name: str) -> list[Line]:
    with tempfile.TemporaryDirectory() as scratch:
        return list(of_vocabulary(folder, Path(scratch), name))


def _rows() -> list[Line]:
    with tempfile.TemporaryDirectory() as scratch:
        return list(of_rows(Path(scratch)))


def of_rows(scratch: Path) -> Iterator[Line]:
    """Repair the demo model with its rows out of order."""
    path, out, original = scratch / "damaged.gguf", scratch / "out.gguf", Path(pyembed.demo_model())
    data = original.read_bytes()
    with pyembed.load_model(original) as model:
        info, stored, right = (
            model.tensors["token_embd.weight"],
            list(model.vocabulary.tokens),
            model.table[:],
        )
    assert info.n_bytes is not None
    n = len(right)
    rows = np.frombuffer(data, np.uint8, info.n_bytes, info.offset).reshape(n, -1)
    rng = np.random.default_rng(1)
    for case in chain(whole_orders(n, stored, rng, 1), partial_orders(n, rng, 1)):
        changed = bytearray(data)
        changed[info.offset : info.offset + info.n_bytes] = rows[case.order].tobytes()
        path.write_bytes(changed)
        for how, reference in (("reference", original), ("alone", None)):
            outcome, why = repaired(path, reference, out)
            if outcome == "mended":
                with pyembed.load_model(out, validate="off") as model:
                    # Rows that the damage lost come from the reference, and are quantised again.
                    wrong = int(
                        (np.abs(model.table[:] - right) > 0.02 * np.abs(right).max()).any(axis=1).sum()
                    )
                outcome = "as it was" if wrong == 0 else "nearly" if wrong <= _NEARLY * n else "mended"
            print(f"{case.kind}: {case.name}: {how}: {outcome} {why}", file=sys.stderr, flush=True)
            yield "rows", case.kind, how, outcome, why


def render(lines: Iterable[Line]) -> str:
    """Return the tables as Markdown."""
    found = list(lines)
    texts = []
    for table in dict.fromkeys(line[0] for line in found):
        texts.append(
            f"| {table}: damage | tried | with the original as the reference | by the file alone |\n"
            "|---|---|---|---|"
        )
        own = [line for line in found if line[0] == table]
        for damage in (*dict.fromkeys(line[1] for line in own), None):
            of_it = [line for line in own if damage in (None, line[1])]
            n = sum(line[2] == "alone" for line in of_it)
            cells = [_cell([line[3] for line in of_it if line[2] == how]) for how in ("reference", "alone")]
            texts.append(f"| {damage or 'all'} | {n} | {cells[0]} | {cells[1]} |")
        texts.append("")
        texts += _reasons(own)
    return "\n".join(texts).rstrip()


def _reasons(lines: list[Line]) -> list[str]:
    """Return what refused repairs would need, as a list in Markdown, the most frequent first."""
    counts = Counter(why for *_, outcome, why in lines if outcome == "refused")
    if not counts:
        return []
    return ["What was refused needs:", "", *(f"- {n} of them {why}" for why, n in counts.most_common()), ""]


def _cell(outcomes: list[str]) -> str:
    counts = [(outcomes.count(outcome), outcome) for outcome in OUTCOMES]
    return ", ".join(f"{n} {outcome}" for n, outcome in counts if n)


def main() -> None:
    """Write the tables into the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabulary", action="append", metavar="NAME", help="these alone; may be repeated")
    given = parser.parse_args()
    folder = test_data.find()
    if folder is None:
        parser.error(test_data.MISSING)
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        names = given.vocabulary or dict.fromkeys(case.vocabulary for case in corruptions())
        parts = [pool.submit(_vocabulary, folder, name) for name in names]
        parts.append(pool.submit(_rows))
        made = render(chain.from_iterable(part.result() for part in parts))
    if given.vocabulary:
        made = f"Vocabularies: {', '.join(given.vocabulary)}.\n\n{made}"
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n{made}\n{END}{rest.split(END)[1]}".encode())


if __name__ == "__main__":
    main()
