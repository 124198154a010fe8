"""``pyembed repair``: a copy of a model without what validation finds in it."""

from __future__ import annotations

import argparse
from typing import Any

from ..mending.plan import RepairPlan, repair
from ..safe_text import printable
from ..validation.report_text import in_short
from .arguments import add_json
from .files import model_path
from .progress import progress_bar
from .show import print_json


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "repair",
        help="mend what validate finds, as far as it can be proven",
        description="Say of each finding how it can be mended, or what that would need, and write a repaired "
        "copy. It is kept only if it validates at level full, what was to be mended is gone, no other error "
        "came, and all else is the same bytes. Exits 1 if an error is left.",
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
        mends = bool(plan.mendable) and not arguments.dry_run
        done = plan.apply(arguments.out, arguments.fix, progress=progress) if mends else None
    report = plan.report if done is None else done.report
    _print(plan, arguments)
    if arguments.format == "text" and not arguments.json and done is not None:
        print(printable(f"\n{in_short(report)}: {done.path}"))
        changed = ", ".join((*done.keys, *done.tensors))
        print(printable(f"changed: {changed}; all else is the same bytes"))
    if arguments.dry_run:
        return 1 if any(planned.finding.severity == "error" for planned in plan.refused) else 0
    return 0 if report.ok else 1


def _print(plan: RepairPlan, arguments: argparse.Namespace) -> None:
    if arguments.json or arguments.format == "json":
        print_json(plan.to_dict())
    elif arguments.format == "sarif":
        print(plan.to_sarif())
    else:
        print(plan)
