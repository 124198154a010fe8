"""``pyembed explore`` shows models in a browser."""

from __future__ import annotations

import argparse
import sys
import threading
import webbrowser
from functools import partial
from typing import Any

from .serve import add_memory_budget, given_models


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "explore",
        help="show models in a browser",
        description="Open a page that shows models: the tokens of a text, their rows, neighbours and maps. "
        "It is served to this machine alone until Ctrl-C ends it. A model with errors is shown too, with "
        "what validation finds in it. Needs the extra 'serve'.",
        epilog="example: pyembed explore demo",
    )
    parser.add_argument(
        "models", nargs="+", metavar="[NAME=]MODEL", help="a model, or: demo; two are compared side by side"
    )
    parser.add_argument("--port", type=int, default=0, help="default: one that is free")
    add_memory_budget(parser)
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open nothing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    try:
        from ..serve.running import serve
    except ImportError as error:
        raise ImportError(
            f"the page needs the packages starlette and uvicorn ({error}): pip install 'pyembed-gguf[serve]'"
        ) from error
    from ..serve.limits import Limits
    from ..serve.models import Models

    models = Models(given_models(arguments.models, unchecked=True, memory_budget=arguments.memory_budget))
    try:
        show = partial(_show, opens=not arguments.no_browser)
        serve(models, Limits(), port=arguments.port, log_level="warning", on_start=show)
    finally:
        models.close()
    return 0


def _show(url: str, *, opens: bool) -> None:
    print(f"{url}/  (Ctrl-C ends it)")
    sys.stdout.flush()
    if opens:  # on another thread: a browser in a terminal keeps its caller waiting
        threading.Thread(target=webbrowser.open, args=(f"{url}/",), daemon=True).start()
