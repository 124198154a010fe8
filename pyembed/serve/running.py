"""A server as a process: its socket, the signals it heeds, and its end."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from ipaddress import ip_address

import anyio.to_thread
import uvicorn

from ..core.system import RELOAD_SIGNAL, claim_address
from . import logs
from .app import build
from .limits import Limits
from .logs import record
from .models import Models
from .own import count_reloads, reload_models
from .service import Service

#: Seconds in which requests that have begun may end once the server was asked to.
_GRACE = 30
_SWITCH_SECONDS = 5e-4
#: Names that lead to this machine alone.
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def serve(
    models: Models,
    limits: Limits,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_key: str | None = None,
    names: Iterable[str] = (),
    origins: Iterable[str] = (),
    log_level: str = "info",
    on_start: Callable[[str], object] | None = None,
) -> None:
    """Serve models until a signal ends it. SIGHUP, which Windows lacks, opens all of them anew.

    Parameters
    ----------
    models : Models
    limits : Limits
    host, port : str, int
        Where to listen; port 0 takes one that is free.
    api_key : str, optional
        As for `build`.
    names : iterable of str, optional
        Names that requests may call the server by. On a loopback address those of this machine are always
        among them; on another one, any name will do if there are none.
    origins : iterable of str, optional
        As for `build`.
    log_level : str, optional
        Of ``"debug"``, ``"info"``, ``"warning"``, ``"error"``.
    on_start : callable, optional
        Called with the server's address once it listens.

    Raises
    ------
    OSError
        If nobody may listen there, or somebody does already.
    ValueError
        For a port that is none.
    """
    with logs.written(log_level), _listening(host, port) as listener, _quick_switches():
        where = listener.getsockname()
        hosts = [*names, *_own_names(where[0])]

        @asynccontextmanager
        async def heeding(service: Service) -> AsyncIterator[None]:
            with _ReloadingBySignal(service):
                url = f"http://{f'[{where[0]}]' if ':' in where[0] else where[0]}:{where[1]}"
                record(logging.INFO, "serving", url=url, models=list(models))
                if on_start is not None:
                    on_start(url)
                yield

        app = build(models, limits, api_key=api_key, hosts=hosts, origins=origins, lifespan=heeding)
        config = uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="on",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
        uvicorn.Server(config).run(sockets=[listener])


@contextmanager
def _quick_switches() -> Iterator[None]:
    """Let the event loop wait less for threads that work: by default up to 5 ms, while answers are ready."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _own_names(address: str) -> tuple[str, ...]:
    """Return what requests may call a server that only this machine reaches; nothing for others."""
    if not ip_address(address.partition("%")[0]).is_loopback:
        return ()
    return (*_LOOPBACK_HOSTS, f"[{address}]" if ":" in address else address)


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port < 1 << 16:
        raise ValueError(f"the port is {port}; expected 0 to 65535")
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        claim_address(listener)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}, port {port}: {error.strerror}") from None
    return listener


class _ReloadingBySignal:
    """While it is entered, the signal for that opens all models anew, one signal after the other."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._running: set[asyncio.Task[None]] = set()

    def __enter__(self) -> None:
        if RELOAD_SIGNAL is not None:
            asyncio.get_running_loop().add_signal_handler(RELOAD_SIGNAL, self._begin)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if RELOAD_SIGNAL is not None:
            asyncio.get_running_loop().remove_signal_handler(RELOAD_SIGNAL)

    def _begin(self) -> None:
        task = asyncio.ensure_future(self._reload())
        self._running.add(task)  # the loop itself keeps none
        task.add_done_callback(self._running.discard)

    async def _reload(self) -> None:
        service = self._service
        done = await anyio.to_thread.run_sync(reload_models, service, list(service.models))
        count_reloads(service, done)
