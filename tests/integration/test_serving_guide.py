"""The programs in docs/serving.md run as they stand there, one after the other."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.complete_models import CONTEXT, WIDTH, write_complete_model

torch = pytest.importorskip("torch", reason="torch is not installed: make test-integrations installs it")
pytestmark = pytest.mark.integration
GUIDE = Path(__file__).parents[2] / "docs" / "serving.md"


class Network(torch.nn.Module):  # type: ignore[misc]
    """Has what the guide calls of a model of transformers."""

    def set_input_embeddings(self, module: Any) -> None:
        self.embed_tokens = module


async def _run(program: str, names: dict[str, Any]) -> None:
    code = compile(program, str(GUIDE), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    waiting = eval(code, names)
    if inspect.isawaitable(waiting):
        await waiting


def test_every_program(tmp_path: Path) -> None:
    text = GUIDE.read_text("utf-8")
    programs = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    calls = re.findall(r"^\|.*?`((?:padded = )?model\.embed\w*\(.*?\))`", text, re.MULTILINE)
    assert (len(programs), len(calls)) == (7, 4)
    path = write_complete_model(tmp_path / "m.gguf", "gemma3")
    batch = np.arange(3 * CONTEXT).reshape(3, CONTEXT)
    batch[2, 5:9] = 500
    with pyembed.load_model(path, validate="off") as model:
        names: dict[str, Any] = {
            "asyncio": asyncio,
            "pyembed": pyembed,
            "path": pyembed.demo_model(),
            "torch": torch,
            "model": model,
            "network": Network(),
            "ids": np.arange(800) % 500,
            "flat": np.arange(12),
            "sequences": [[1, 2], [3]],
            "attention_mask": np.arange(800) < 700,
            "batch": batch,
            "image_token": 500,
            "image": np.ones((2, WIDTH), np.float32),
            "clip": np.ones(WIDTH, np.float16),
        }
        for program in [*programs, *calls]:
            asyncio.run(_run(program, names))
        assert names["where"] == [((2, 5), 4)]
        assert names["network"].embed_tokens.dtype == torch.bfloat16
        assert names["padded"].rows.shape == (2, 2, WIDTH)
        assert names["rows"].shape == (800, names["handle"].model.n_embd)
        assert names["current"].closed
        names["handle"].close()
