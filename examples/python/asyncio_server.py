"""Serve rows from an asyncio loop: small batches at once, big ones in a thread. Neither blocks the loop.

``python asyncio_server.py model.gguf`` listens on a port of its own choice, asks itself twice, and ends. A
request is a line of ids; the answer is the number of rows, and the rows as float32.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import pyembed

SMALL = 64  # rows that are gathered sooner than a thread is woken


class RowServer:
    """Answers requests from one open model, which all threads share."""

    def __init__(self, model: pyembed.Model, n_threads: int = 2) -> None:
        self.model = model
        self.threads = ThreadPoolExecutor(n_threads)

    async def rows(self, ids: np.ndarray) -> np.ndarray:
        """Return rows; the gather lets go of the interpreter's lock while it works."""
        if ids.size <= SMALL:
            return self.model.embed(ids)
        return await asyncio.get_running_loop().run_in_executor(self.threads, self.model.embed, ids)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        while line := await reader.readline():
            try:
                rows = await self.rows(np.array(line.split(), np.int64))
                writer.write(b"%d\n" % len(rows))
                writer.write(rows.data)
            except (ValueError, IndexError) as error:
                writer.write(b"error: %s\n" % str(error).encode())
            await writer.drain()
        writer.close()


async def main(path: str) -> None:
    """Start a server and ask it for three rows, then for one that does not exist."""
    with pyembed.load_model(path) as model:
        server = await asyncio.start_server(RowServer(model).answer, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"1 2 3\n")
            n = int(await reader.readline())
            rows = np.frombuffer(await reader.readexactly(n * model.n_embd * 4), np.float32).reshape(n, -1)
            print(f"{rows.shape[0]} x {rows.shape[1]}, first value {rows[0, 0]:.6f}")
            writer.write(b"%d\n" % model.n_vocab)
            print((await reader.readline()).decode().strip())
            writer.close()
            await writer.wait_closed()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
