"""``pyembed serve`` answers HTTP requests for vectors of models."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .files import model_path

if TYPE_CHECKING:
    from ..serve.models import Given

_KEY_VARIABLE = "PYEMBED_API_KEY"


def add_parser(commands: Any) -> None:
    """Add the command to the parser's."""
    parser: argparse.ArgumentParser = commands.add_parser(
        "serve",
        help="answer HTTP requests for vectors",
        description="Serve models to clients of OpenAI's embeddings and text-embeddings-inference, and show "
        "them at /. Interface: /docs. Needs the extra 'serve'. SIGHUP, or a request, opens all models anew.",
        epilog="example: pyembed serve demo --port 8080",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="[NAME=]MODEL",
        help="a GGUF model, a static encoder's folder or a table, or: demo; the first is the default",
    )
    parser.add_argument("--host", default="127.0.0.1", help="where to listen; default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080; 0 takes a free one")
    parser.add_argument(
        "--lock",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a lock that a GGUF model has to satisfy each time it is opened; without NAME of the first",
    )
    parser.add_argument(
        "--api-key",
        metavar="KEY",
        help=f"what clients have to send; others see it among the processes: {_KEY_VARIABLE} is better",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name that requests may call the server by, such as that of a proxy before it",
    )
    parser.add_argument(
        "--cors-allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="a site whose pages may use the server; default: none",
    )
    add_memory_budget(parser)
    _add_limits(parser)
    parser.add_argument(
        "--log-level", choices=("debug", "info", "warning", "error"), default="info", help="default: info"
    )
    parser.set_defaults(run=run)


def _add_limits(parser: argparse.ArgumentParser) -> None:
    for name, default, about in (
        ("max-batch-tokens", 300_000, "tokens of one request; 413 for more"),
        ("max-batch-requests", 64, "requests that are worked on together; 1: each alone"),
        ("max-client-batch-size", 2048, "texts of one request; 422 for more"),
        ("max-concurrent-requests", 512, "requests at a time; 429 for one more"),
        ("payload-limit", 2_000_000, "bytes of a request's body; 413 for more"),
    ):
        parser.add_argument(
            f"--{name}", type=int, default=default, metavar="N", help=f"{about}; default: {default}"
        )


def run(arguments: argparse.Namespace) -> int:
    """Run the command."""
    try:
        from ..serve.running import serve
    except ImportError as error:
        raise ImportError(
            f"serving needs the packages starlette and uvicorn ({error}): pip install 'pyembed-gguf[serve]'"
        ) from error
    from ..serve.limits import Limits
    from ..serve.models import Models

    limits = Limits(
        max_batch_tokens=arguments.max_batch_tokens,
        max_batch_requests=arguments.max_batch_requests,
        max_client_batch_size=arguments.max_client_batch_size,
        max_concurrent_requests=arguments.max_concurrent_requests,
        payload_limit=arguments.payload_limit,
    )
    models = Models(given_models(arguments.models, arguments.lock, memory_budget=arguments.memory_budget))
    try:
        serve(
            models,
            limits,
            host=arguments.host,
            port=arguments.port,
            api_key=os.environ.get(_KEY_VARIABLE) if arguments.api_key is None else arguments.api_key,
            names=arguments.allow_host,
            origins=arguments.cors_allow_origin,
            log_level=arguments.log_level,
        )
    finally:
        models.close()
    return 0


def add_memory_budget(parser: argparse.ArgumentParser) -> None:
    """Add the option of how much of each model may be in memory."""
    parser.add_argument(
        "--memory-budget",
        metavar="SIZE",
        help="how much of each model's mapped files may be in memory at a time, such as 8GiB; default: any",
    )


def given_models(
    texts: Iterable[str],
    locks: Iterable[str] = (),
    *,
    unchecked: bool = False,
    memory_budget: str | None = None,
) -> list[Given]:
    """Return the models that a command line names, with their locks; see `Given` of ``pyembed.serve``."""
    from ..serve.models import Given

    found: dict[str, Given] = {}
    for text in texts:
        name, path = _split(text)
        name = name or _name_of(path)
        if name in found:
            raise ValueError(f"two models are called {name!r}: name them, as in a={path}")
        found[name] = Given(name, model_path(path), None, unchecked, memory_budget)
    for text in locks:
        name, path = _split(text)
        name = name or next(iter(found))
        if name not in found:
            raise ValueError(f"--lock {text}: there is no model {name!r}")
        found[name] = replace(found[name], lock=path)
    return list(found.values())


def _split(text: str) -> tuple[str, str]:
    """Return the name and the path of NAME=PATH; a path that is there may hold an equals sign."""
    name, equals, path = text.partition("=")
    if not equals or os.path.exists(text):
        return "", text
    return name, path


def _name_of(path: str) -> str:
    """Return what a model is called that was given without a name."""
    base = os.path.basename(os.path.abspath(path))
    return os.path.splitext(base)[0] if os.path.isfile(path) else base
