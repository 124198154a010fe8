"""``pyembed repair``: a copy of a model without what validation finds in it."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..mending.plan import repair
from ..mending.repaired import UNCOMPARED, Repaired
from ..safe_text import printable
from ..validation.report_text import report_text
from .arguments import add_json
from .diff import print_comparison
from .files import model_path
from .progress import progress_bar
from .show import print_json, terminal_width


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "repair",
        help="mend what validate finds, as far as it can be proven",
        description="Say of each finding how it can be mended, or what that would need, and write a repaired "
        "copy. It is kept only if it validates at level full, what was to be mended is gone, no other error "
        "came, and all else is the same bytes. Shows what validate and diff say of the copy. Exits 1 if an "
        "error is left, or nothing that was found can be mended and no copy is written.",
        epilog="example: pyembed repair demo --dry-run",
    )
    parser.add_argument("model", metavar="MODEL", help="a .gguf file, of a split set the first; or: demo")
    parser.add_argument("--out", metavar="FILE", help="the repaired copy")
    parser.add_argument("--reference", metavar="FILE", help="a model, a tokenizer's file or a directory")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--fix", action="append", metavar="RULE", help="mend findings of this rule; may be repeated"
    )
    which.add_argument("--all", action="store_true", help="mend all that can be: the default")
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--format", choices=("text", "json", "sarif"), default="text", help="of the plan")
    add_json(parser, "the same as --format json")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    if not arguments.dry_run and arguments.out is None:
        raise ValueError("name the repaired copy with --out, or say --dry-run")
    with progress_bar() as progress:
        plan = repair(model_path(arguments.model), arguments.reference, progress=progress)
        mends = not arguments.dry_run and bool(plan.mendable or arguments.fix)
        done = plan.apply(arguments.out, arguments.fix, progress=progress) if mends else None
    if arguments.json or arguments.format == "json":
        print_json({**plan.to_dict(), "repaired": None if done is None else done.to_dict()})
    elif arguments.format == "sarif":
        print(plan.to_sarif())
    else:
        print(plan)
        if done is not None:
            _print_result(done)
    if not arguments.dry_run and done is None:
        print(f"pyembed: {printable(arguments.out)} was not written: nothing can be mended", file=sys.stderr)
        return 1 if plan.findings else 0
    if arguments.dry_run:
        return 1 if any(planned.finding.severity == "error" for planned in plan.refused) else 0
    return 0 if done is not None and done.report.ok else 1


def _print_result(done: Repaired) -> None:
    """Print what validation finds in the result, and how it differs from the original."""
    print(f"\n{report_text(done.report, terminal_width())}")
    print(printable(f"\n{done.changed}"))
    if done.comparison is None:
        print(UNCOMPARED)
    else:
        print("the original (A) and the repaired copy (B):")
        print_comparison(done.comparison)
