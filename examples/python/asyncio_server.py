"""Serve rows from an asyncio loop: small batches at once, big ones in a thread. Neither blocks the loop.

``python asyncio_server.py model.gguf`` listens on a port of its own choice, asks itself, swaps the model,
asks again, and ends. A request is a line of ids; the answer is the number of rows, and the rows as float32.
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np

import pyembed

SMALL = 64  # rows that are gathered sooner than a thread is woken


async def rows_of(model: pyembed.Model, ids: np.ndarray) -> np.ndarray:
    """Return rows; the gather lets go of the interpreter's lock while it works."""
    return model.embed(ids) if ids.size <= SMALL else await asyncio.to_thread(model.embed, ids)


class RowServer:
    """Answers requests from the model that a handle lends; `swap` brings in another one under load."""

    def __init__(self, handle: pyembed.ModelHandle) -> None:
        self.handle = handle

    async def swap(self, path: str) -> None:
        """Serve another model from now on; requests that are under way finish with theirs."""
        self.handle.swap(await asyncio.to_thread(pyembed.load_model, path))

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        while line := await reader.readline():
            try:
                with self.handle.lease() as model:
                    rows = await rows_of(model, np.array(line.split(), np.int64))
                writer.write(b"%d\n" % len(rows))
                writer.write(rows.data)
            except (ValueError, IndexError) as error:
                writer.write(b"error: %s\n" % str(error).encode())
            await writer.drain()
        writer.close()


async def main(path: str) -> None:
    """Start a server and ask it for three rows before and after a swap, then for one that does not exist."""
    with pyembed.ModelHandle(pyembed.load_model(path)) as handle:
        rows = RowServer(handle)
        server = await asyncio.start_server(rows.answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            for _ in range(2):
                writer.write(b"1 2 3\n")
                n = int(await reader.readline())
                data = await reader.readexactly(n * handle.model.n_embd * 4)
                values = np.frombuffer(data, np.float32).reshape(n, -1)
                print(f"{values.shape[0]} x {values.shape[1]}, first value {values[0, 0]:.6f}")
                await rows.swap(path)
            writer.write(b"%d\n" % handle.model.n_vocab)
            print((await reader.readline()).decode().strip())
            writer.close()
            await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
