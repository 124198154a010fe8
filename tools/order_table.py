"""Measures how well rows reveal their order, and writes the table of results into ``docs/validation.md``.

Each case is a real learned table, put out of order or changed in a way that leaves it sound, and judged as
`pyembed validate --level full` does. Quantised copies are made by ggml's own quantisers.

Usage: ``python tools/order_table.py MODEL.gguf --jobs 2 --write``, in some 15 minutes; ``--quick`` in half of
that. ``--speed VOCABULARY.gguf`` measures time and memory instead, on 4096 columns of Q4_K under that
vocabulary.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import gguf
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pyembed  # noqa: E402
from pyembed.files.atomic_write import replacing  # noqa: E402
from pyembed.validation.row_order.judge import judge  # noqa: E402
from tests.helpers.learned_rows import LearnedRows  # noqa: E402
from tests.helpers.oracles.ggml import ggml_dequantize, ggml_quantize  # noqa: E402
from tests.helpers.order_cases import (  # noqa: E402
    WRONG,
    Floats,
    Model,
    Outcome,
    assess,
    odd_tables,
    odd_vocabularies,
    partial_orders,
    whole_orders,
)

PAGE = ROOT / "docs" / "validation.md"
BEGIN, END = "<!-- order: begin -->", "<!-- order: end -->"
TYPES = ("F16", "Q8_0", "Q4_0", "Q4_K")
_FALSE_ALARMS = "legitimate tables called wrong"
_NO_GGML = "the ggml library of pywhispercpp is needed for quantised rows"


@dataclass
class Line:
    """Results of one kind of case under one type."""

    n: int = 0
    found: int = 0
    noted: int = 0
    located: int = 0
    edges: list[int] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one case."""
        self.n += 1
        self.found += outcome.found
        self.noted += outcome.noted
        self.located += outcome.located
        if outcome.located:
            self.edges.append(outcome.edge)


def main() -> int:
    """Measure, and print or write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", help="a GGUF model with learned rows; with --speed, a vocabulary")
    parser.add_argument("--type", action="append", choices=TYPES, help="all of them by default")
    parser.add_argument("--quick", action="store_true", help="one case of each kind instead of two")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--speed", action="store_true", help="measure time and memory instead")
    parser.add_argument("--seed", type=int, default=0, help="other places, noise and judgements by chance")
    parser.add_argument("--jobs", type=int, default=1, help="types that are measured at the same time")
    parser.add_argument("--verbose", action="store_true", help="print each case")
    arguments = parser.parse_args()
    if arguments.speed:
        print(speed(arguments.model))
        return 0
    names = arguments.type or TYPES
    rounds = 1 if arguments.quick else 2
    task = partial(measure, arguments.model, rounds=rounds, seed=arguments.seed, verbose=arguments.verbose)
    with ProcessPoolExecutor(arguments.jobs, multiprocessing.get_context("spawn")) as pool:
        table = render(dict(zip(names, pool.map(task, names), strict=True)))
    print(table)
    if arguments.write:
        write(table)
    return 0


def read(path: str) -> Model:
    """Read all tokens and rows of a model."""
    with pyembed.load_model(path, validate="off") as model:
        tokens = list(model.vocabulary)
        return Model(
            [token.bytes for token in tokens],
            [int(token.type) for token in tokens],
            [token.text for token in tokens],
            model.table.gather(np.arange(len(model.table))),
        )


def as_type(rows: Floats, name: str) -> Floats:
    """Return rows as they come out of a table of this type; of Q4_K the first columns, a multiple of 256."""
    if name == "F16":
        return rows.astype(np.float16).astype(np.float32)
    if name.endswith("_K"):
        rows = rows[:, : rows.shape[1] // 256 * 256]
    blocks = ggml_quantize(name, rows)
    values = None if blocks is None else ggml_dequantize(name, blocks)
    if values is None:
        raise SystemExit(_NO_GGML)
    return values.reshape(rows.shape)


def measure(path: str, type_name: str, *, rounds: int, seed: int, verbose: bool) -> dict[str, Line]:
    """Judge all cases under one type, and count."""
    right = read(path)
    model = Model(right.texts, right.types, right.stored, as_type(right.rows, type_name))
    lines: dict[str, Line] = {}
    for kind, name, outcome in chain(_wrong(model, rounds, seed), _foreign(model, seed), _sound(model, seed)):
        lines.setdefault(kind, Line()).add(outcome)
        if verbose:
            print(f"{type_name}: {kind}: {name}: {outcome}", file=sys.stderr, flush=True)
    return lines


Cases = Iterator[tuple[str, str, Outcome]]


def _wrong(model: Model, rounds: int, seed: int) -> Cases:
    """Put the rows out of order."""
    n, rng = len(model), np.random.default_rng(1 + 2 * seed)
    for wrong in chain(whole_orders(n, model.stored, rng, rounds), partial_orders(n, rng, rounds)):
        yield wrong.kind, wrong.name, assess(model.judge(model.rows[wrong.order], seed), wrong)


def _foreign(model: Model, seed: int) -> Cases:
    """Judge rows under the tokens of the demo model, and the demo model's rows under these tokens."""
    demo = read(str(pyembed.demo_model()))
    for name, owner, rows in (
        ("under the demo's tokens", demo, model.rows),
        ("the demo's", model, demo.rows),
    ):
        found = owner.judge(rows, seed).verdict in WRONG
        yield "rows of another vocabulary", name, Outcome(found, found, found, 0)


def _sound(model: Model, seed: int) -> Cases:
    """Judge tables that are odd, but not wrong."""
    rng = np.random.default_rng(2 + 2 * seed)
    made = ((odd.name, model, odd.make()) for odd in odd_tables(model.rows, rng))
    parts = ((name, part, part.rows) for name, part in odd_vocabularies(model, rng))
    for name, owner, rows in chain(made, parts):
        judgement = owner.judge(rows, seed)
        found = judgement.verdict in WRONG
        yield _FALSE_ALARMS, name, Outcome(found, found or bool(judgement.misplaced), found, 0)


def render(results: dict[str, dict[str, Line]]) -> str:
    """Return the table as Markdown."""
    kinds = list(next(iter(results.values())))
    lines = [
        f"| rows | {' | '.join(results)} | edges off by: median; 9 of 10 at most |",
        f"|---|{'---|' * (len(results) + 1)}",
    ]
    for kind in kinds:
        of_kind = [result[kind] for result in results.values()]
        if kind == _FALSE_ALARMS:
            cells = [f"{line.found} of {line.n}" for line in of_kind]
            edges = ""
        else:
            cells = [_cell(line) for line in of_kind]
            all_edges = [edge for line in of_kind for edge in line.edges]
            edges = (
                f"{np.median(all_edges):.0f}; {np.quantile(all_edges, 0.9):.0f}" if any(all_edges) else "0"
            )
        lines.append(f"| {kind} | {' | '.join(cells)} | {edges} |")
    return "\n".join(lines)


def _cell(line: Line) -> str:
    more = f" + {line.noted - line.found} as a note" if line.noted > line.found else ""
    located = "" if line.located == line.found else f", {line.located} located"
    return f"{line.found} of {line.n}{more}{located}"


def write(table: str) -> None:
    """Put the table between its marks."""
    page = PAGE.read_text("utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    with replacing(PAGE) as out:
        out.write(f"{before}{BEGIN}\n{table}\n{END}{after}".encode())


# ----------------------------------------------------------------------------------- time and memory


def speed(vocabulary: str, n_columns: int = 4096) -> str:
    """Measure what judging a table of Q4_K under a real vocabulary takes, texts and rows read included."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        path = Path(folder) / "large.gguf"
        _write_large(vocabulary, path, n_columns)
        # A process of its own: in this one, memory that was freed would be used again, and not counted.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            return pool.submit(_judge_large, path).result()


def _judge_large(path: Path) -> str:
    with pyembed.load_model(path, validate="off") as model:
        vocabulary, table = model.vocabulary, model.table
        before = _private_mib()
        peak, done = [before], threading.Event()
        watch = threading.Thread(target=_watch, args=(peak, done))
        watch.start()
        start = time.process_time()
        judgement = judge(
            [token.bytes for token in vocabulary],
            vocabulary.types.tolist(),
            vocabulary.tokens,
            partial(table.gather, threads=1),
            table.shape,
        )
        seconds = time.process_time() - start
        done.set()
        watch.join()
        size = "{} x {} {}".format(*table.shape, table.type)
    memory = max(peak) - before
    return f"{size}: {seconds:.2f} s of processor time, {memory:.0f} MiB at most; {judgement.verdict.value}"


def _write_large(vocabulary: str, path: Path, n_columns: int) -> None:
    with pyembed.load_model(vocabulary, vocab_only=True, validate="off") as model:
        tokens = list(model.vocabulary)
        rows = LearnedRows([token.bytes for token in tokens], n_columns)
        parts = []
        for first in range(0, len(tokens), 2048):
            ids = np.arange(first, min(first + 2048, len(tokens)))
            blocks = ggml_quantize("Q4_K", rows.gather(ids))
            if blocks is None:
                raise SystemExit(_NO_GGML)
            parts.append(blocks.reshape(len(ids), -1))
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model(model.vocabulary.model or "gpt2")
        writer.add_tokenizer_pre(model.vocabulary.pre or "default")
        writer.add_token_list([token.text for token in tokens])
        writer.add_token_types([int(token.type) for token in tokens])
        blocks = np.concatenate(parts)
        writer.add_tensor("token_embd.weight", blocks, raw_dtype=gguf.GGMLQuantizationType.Q4_K)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def _private_mib() -> float:
    """Return memory of this process that is not a mapped file's."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _watch(peak: list[float], done: threading.Event) -> None:
    while not done.wait(0.005):
        peak.append(_private_mib())


if __name__ == "__main__":
    sys.exit(main())
