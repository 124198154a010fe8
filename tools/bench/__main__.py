"""The command line: ``python -m tools.bench --help``, or ``make bench ARGS="..."``."""

from __future__ import annotations

import argparse
import json
import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from .. import test_data
from . import ceilings, machine, markdown, targets
from .measure import Json, roomy_heap
from .sections import Settings, all_sections
from .show import Table

OUTPUT = ceilings.ROOT / "build" / "bench.json"


def main() -> int:
    """Measure, or write the document from what was measured."""
    arguments = _parser().parse_args()
    logging.getLogger("pyembed").setLevel(logging.ERROR)  # made-up vocabularies follow no law of order
    if arguments.child:
        return _child(arguments.child, arguments.json, arguments.quick)
    if arguments.markdown:
        changed = markdown.update(json.loads(arguments.json.read_text("utf-8")))
        print(f"{changed} is written from {arguments.json}")
        return 0
    return _bench(arguments)


def _parser() -> argparse.ArgumentParser:
    names = list(all_sections())
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Measure the library against its peers and the machine's limits.",
        epilog='example: make bench ARGS="--quick --only hot,call"',
    )
    parser.add_argument("--only", type=_names(names), default=names, help=f"of {', '.join(names)}")
    parser.add_argument(
        "--isa", type=_names(list(machine.ISAS)), help="back ends; default: all for hot, else the best"
    )
    parser.add_argument("--quick", action="store_true", help="fewer rounds and cases: about a minute")
    parser.add_argument("--json", type=Path, default=OUTPUT, metavar="PATH", help="default: build/bench.json")
    parser.add_argument(
        "--markdown", action="store_true", help="write docs/performance.md from the JSON and stop"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser


def _names(known: list[str]) -> Callable[[str], list[str]]:
    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return found

    return names


def _bench(arguments: argparse.Namespace) -> int:
    start, ticks = time.monotonic(), machine.processor_time()
    facts = machine.describe()
    _header(facts).print()
    refused = [isa for isa in arguments.isa or [] if isa not in facts["isas"]]
    if refused:
        print(f"\nThis machine does not run {', '.join(refused)}.")
    sections: list[Json] = []
    failed: list[str] = []
    for name, section in all_sections().items():
        if name not in arguments.only:
            continue
        wanted = arguments.isa or (facts["isas"] if section.every_isa else [facts["isa"]])
        for isa in [isa for isa in facts["isas"] if isa in wanted] if name != "open" else [facts["isa"]]:
            began = time.monotonic()
            try:
                data = _measure(name, isa, arguments.quick)
            except subprocess.CalledProcessError:
                failed.append(f"{name}, {isa}")
                continue
            seconds = round(time.monotonic() - began, 1)
            sections.append({"section": name, "isa": isa, "seconds": seconds, "data": data})
            for table in section.tables(data):
                table.print()
    found = targets.targets(sections)
    targets.table(found).print()
    seconds = round(time.monotonic() - start, 1)
    facts["load after"] = round(os.getloadavg()[0], 2)
    facts["stolen"] = machine.stolen_since(ticks)
    print(f"\nload after: {facts['load after']}; time that the hypervisor gave to others: {facts['stolen']}")
    result = {
        "machine": facts,
        "quick": arguments.quick,
        "seconds": seconds,
        "sections": sections,
        "targets": targets.to_json(found),
    }
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"\n{seconds:.0f} s; all figures are in {arguments.json}")
    if failed:
        print(f"These sections failed: {'; '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _header(facts: Json) -> Table:
    rows = [(name, str(value)) for name, value in facts.items() if name not in ("peers", "isas")]
    rows += [("isas", ", ".join(facts["isas"]))]
    rows += [(name, version or "missing") for name, version in facts["peers"].items()]
    return Table("Machine", [], list(rows), left=2)


def _measure(name: str, isa: str, quick: bool) -> Json:
    """Run a section in a process of its own, with the back end forced."""
    print(f"\n... {name}, {isa}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="pyembed-bench-") as folder:
        output = Path(folder) / "section.json"
        command = [sys.executable, "-m", _package(), "--child", name, "--json", str(output)]
        environment = {**os.environ, "PYEMBED_ISA": isa, "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [*command, *["--quick"] * quick],
            cwd=ceilings.ROOT,
            env=environment,
            stdout=sys.stderr,
            check=True,
        )
        data: Json = json.loads(output.read_text("utf-8"))
        return data


def _package() -> str:
    return __spec__.name.rpartition(".")[0] if __spec__ else "tools.bench"


def _child(name: str, output: Path, quick: bool) -> int:
    folder = test_data.find()
    settings = Settings(quick, folder.absolute() if folder else None)
    room = roomy_heap()
    output.write_text(json.dumps(all_sections()[name].run(settings)), "utf-8")
    del room
    return 0


if __name__ == "__main__":
    sys.exit(main())
