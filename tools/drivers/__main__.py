"""The command line of the drivers."""

from __future__ import annotations

import argparse
import random
import sys

from . import NAMES, run


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.drivers", description="Use the package at random.")
    parser.add_argument("driver", nargs="*", help=f"of {', '.join(NAMES)}; all without one")
    parser.add_argument("--seconds", type=float, default=60, help="for each driver")
    parser.add_argument(
        "--seed", type=int, default=None, help="of the random numbers; default: another each time"
    )
    parser.add_argument("--only", type=int, metavar="CASE", help="run this case alone")
    arguments = parser.parse_args()
    names = arguments.driver or NAMES
    if not set(names) <= set(NAMES):
        parser.error(f"unknown driver among {', '.join(names)}; known: {', '.join(NAMES)}")
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    failed = False
    for name in names:
        if arguments.only is None:
            result = run(name, seed, seconds=arguments.seconds)
        else:
            result = run(name, seed, cases=1, first=arguments.only)
        print(result.line(), flush=True)
        failed = failed or bool(result.findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
