"""Gathers that go on in the background: `EmbeddingTable.submit` returns a `Ticket`."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

import numpy.typing as npt

from .._native import ffi, lib
from ..core.handle import Source
from ..errors import CData, PyembedError
from .arguments import IntArray

Out = TypeVar("Out")


class Ticket(Generic[Out]):
    """Rows that are being read and decoded by a thread of the model's. `EmbeddingTable.submit` makes them.

    Any thread may wait for a ticket, any number of times; in a coroutine ``await ticket`` does without
    blocking the event loop. It keeps what it needs: the table may be closed meanwhile. A ticket that nobody
    refers to any more is cancelled.
    """

    def __init__(
        self,
        source: Source,
        table: CData,
        ids: IntArray,
        parts: list[npt.NDArray[Any]],
        options: CData,
        out: Out,
    ) -> None:
        self._source = source
        self._out = out
        self._shape = ids.shape
        made, error = ffi.new("pye_ticket **"), ffi.new("pye_error *")
        buffer = ffi.cast("void *", parts[0].ctypes.data)
        status = lib.pye_table_submit(table, ffi.from_buffer(ids), ids.size, buffer, options, made, error)
        source.check(status, error)

        def close(ticket: CData, keeps: object = (parts, out)) -> None:
            lib.pye_ticket_close(ticket)

        # Nothing that C writes to goes before the ticket: its own destructor holds on to it.
        self._ticket = ffi.gc(made[0], close)

    def wait(self) -> Out:
        """Return `out` when the rows are in it; at once if they are.

        Raises
        ------
        IndexError, OSError, ValueError
            As `EmbeddingTable.gather`. `out` may be written in part after an OSError.
        LoadCancelledError
            If the ticket was cancelled before it was done.
        """
        error = ffi.new("pye_error *")
        self._source.check(lib.pye_ticket_wait(self._ticket, error), error)
        return self._out

    def done(self) -> bool:
        """Return whether `wait` would return, or raise, at once."""
        return bool(lib.pye_ticket_done(self._ticket))

    def cancel(self) -> None:
        """Ask for an end: a ticket that was not begun, or is still reading, is then done with an error."""
        lib.pye_ticket_cancel(self._ticket)

    def __await__(self) -> Generator[Any, None, Out]:
        if not self.done():
            yield from self._finished().__await__()
        return self.wait()

    async def _finished(self) -> None:
        loop = asyncio.get_running_loop()
        # Sockets, since these are what loops of all systems wait for.
        reading, writing = socket.socketpair()
        try:
            reading.setblocking(False)
            writing.setblocking(False)
            lib.pye_ticket_notify(self._ticket, writing.fileno())
            await loop.sock_recv(reading, 8)
        finally:
            lib.pye_ticket_notify(self._ticket, -1)
            reading.close()
            writing.close()

    def __repr__(self) -> str:
        return f"<Ticket of rows of ids {self._shape}: {'done' if self.done() else 'at work'}>"


class Tickets(Generic[Out]):
    """Several tickets as one, such as those of all layers of a model. `Ngram.submit` makes them."""

    def __init__(self, tickets: Iterable[Ticket[Any] | Tickets[Any]], result: Callable[[], Out]) -> None:
        self._tickets = list(tickets)
        self._result = result

    def wait(self) -> Out:
        """Return what was asked for when all of it is there.

        Raises
        ------
        IndexError, OSError, ValueError, LoadCancelledError
            As `Ticket.wait`, for the first that failed, when nothing is written any more.
        """
        errors = []
        for ticket in self._tickets:
            try:
                ticket.wait()
            except (PyembedError, OSError, IndexError, ValueError, MemoryError) as error:
                errors.append(error)
        if errors:
            raise errors[0]
        return self._result()

    def done(self) -> bool:
        """Return whether `wait` would return, or raise, at once."""
        return all(ticket.done() for ticket in self._tickets)

    def cancel(self) -> None:
        """Ask for an end of all that is not done."""
        for ticket in self._tickets:
            ticket.cancel()

    def __await__(self) -> Generator[Any, None, Out]:
        for ticket in self._tickets:
            with suppress(
                PyembedError, OSError, IndexError, ValueError, MemoryError
            ):  # `wait` raises them again
                yield from ticket.__await__()
        return self.wait()

    def __repr__(self) -> str:
        n_done = sum(ticket.done() for ticket in self._tickets)
        return f"<Tickets: {n_done} of {len(self._tickets)} done>"
