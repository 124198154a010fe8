"""Write ``docs/rules.md`` from the rules themselves.

Usage: ``python tools/make_rules.py [--check]``; with ``--check`` nothing is written, and the exit code is 1
if the page differs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pyembed.validation import KINDS, Evidence, Outcome, Rule

PAGE = Path(__file__).parent.parent / "docs" / "rules.md"
_HEAD = """# Rules

What `pyembed validate`, `Model.validate` and `load_model` look for; `tools/make_rules.py` writes this page
from the rules themselves. A finding of severity *error* makes a report not ok and `load_model` raise.
`ignore=["..."]` and `--ignore` drop the findings of a rule by its name.

A kind of evidence proves something, and is blind to something else. Where it has nothing to judge by, a
report says so.
"""
_LLAMA_CPP = {
    Outcome.LOAD: "loads it",
    Outcome.REFUSE: "refuses it",
    Outcome.ABORT: "ends its process",
}


def page() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, _contents(), *(_evidence(kind.level, kind.module.EVIDENCE) for kind in KINDS)])


def _contents() -> str:
    lines = ["| rule | severity | what is found |", "|---|---|---|"]
    for kind in KINDS:
        for rule in kind.module.EVIDENCE.rules:
            anchor = rule.name.replace("/", "")
            lines.append(f"| [`{rule.name}`](#{anchor}) | {rule.severity.value} | {rule.title} |")
    return "\n".join(lines) + "\n"


def _evidence(level: str, evidence: Evidence) -> str:
    head = [f"## Evidence: {evidence.name}", "", f"From level `{level}` on.", ""]
    head += [f"- **Proves:** {evidence.proves}", f"- **Blind to:** {evidence.blind_to}", ""]
    return "\n".join(head) + "\n" + "\n".join(map(_rule, evidence.rules))


def _rule(rule: Rule) -> str:
    return "\n".join(
        [
            f"### {rule.name}",
            "",
            f"{rule.title}. *{rule.severity.value.capitalize()}*; llama.cpp {_LLAMA_CPP[rule.llama_cpp]}.",
            "",
            f"- **What it means:** {rule.meaning}",
            f"- **How it arises:** {rule.cause}",
            f"- **What to do:** {rule.advice}",
            "",
        ]
    )


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only say whether the page is up to date")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        print("docs/rules.md is not what tools/make_rules.py writes: run it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
