"""A gather in a thread leaves the asyncio loop free: it lets go of the interpreter's lock while it works."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import gguf
import numpy as np

import pyembed
from tests.helpers.oracles import finite_blocks

N, WIDTH = 4096, 4096


async def _gaps(work: object, interval: float = 0.001) -> tuple[list[float], float]:
    """Return the times between the loop's wake-ups while `work` ran in a thread, and how long that took."""
    gaps: list[float] = []
    begin = last = time.perf_counter()
    running = asyncio.create_task(asyncio.to_thread(work))
    while not running.done():
        await asyncio.sleep(interval)
        now = time.perf_counter()
        gaps.append(now - last)
        last = now
    await running
    return gaps, time.perf_counter() - begin


def test_the_loop_goes_on_during_a_big_gather(tmp_path: Path) -> None:
    blocks = finite_blocks("Q4_K", N * WIDTH // 256, np.random.default_rng(0))
    path = tmp_path / "rows.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tensor("token_embd.weight", blocks.reshape(N, -1), raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pyembed.load_model(path, validate="off") as model:
        ids = np.random.default_rng(1).integers(0, N, 16_384)
        out = np.empty((len(ids), WIDTH), np.float32)

        def work() -> None:
            model.embed(ids, out=out, threads=1)

        work()
        gaps, seconds = asyncio.run(_gaps(work))
        # Had the lock been held, there would be one gap about as long as the gather.
        assert len(gaps) > 3, f"the loop woke {len(gaps)} times in {seconds:.3f} s"
        assert sorted(gaps)[len(gaps) // 2] < seconds / 4
