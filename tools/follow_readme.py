"""Do what the README says, to the letter, in a fresh clone, and say how long it took.

Usage: ``python3 tools/follow_readme.py``, with nothing installed: the standard library is enough.  The
interactive example runs as a doctest, by the Python that the commands before it installed into.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_DOCTEST = (
    "import doctest, sys; "
    "sys.exit(doctest.testfile(sys.argv[1], module_relative=False, optionflags=doctest.ELLIPSIS)[0])"
)


def blocks(readme: str) -> tuple[str, str, str]:
    """Return the commands that install the package, the interactive example, and the commands for C."""
    found = _BLOCK.findall(readme)
    (session,) = [text for kind, text in found if kind == "pycon"]
    installing, for_c, *_ = [text for kind, text in found if kind == "sh"]
    return installing, session, for_c


def step(name: str, script: str, clone: Path) -> None:
    """Run a script in the clone, in a shell that ends at the first error."""
    start = time.perf_counter()
    done = subprocess.run(["sh", "-e"], input=script, text=True, cwd=clone, check=False)
    print(f"== {name}: {time.perf_counter() - start:.1f} s, exit code {done.returncode}", flush=True)
    if done.returncode:
        sys.exit(1)


def main() -> None:
    """Follow the README of this commit."""
    with tempfile.TemporaryDirectory(prefix="follow-readme-") as folder:
        clone = Path(folder) / "pyembed"
        subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], check=True)
        installing, session, for_c = blocks((clone / "README.md").read_text("utf-8"))
        example = Path(folder) / "session.txt"
        example.write_text(session, "utf-8")
        step("install, and the first command", installing, clone)
        step("the interactive example", f". .venv/bin/activate\npython -c '{_DOCTEST}' '{example}'\n", clone)
        step("the example in C", for_c, clone)


if __name__ == "__main__":
    main()
