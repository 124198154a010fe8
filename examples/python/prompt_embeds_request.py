"""Print the body of a request that sends a prompt as vectors.

``python prompt_embeds_request.py model.gguf 1 450 7484``: a model, and ids. The request is for
``POST /v1/completions`` of ``vllm serve MODEL --enable-prompt-embeds``; several prompts are a list of texts.
The dtype should be the one that the server runs the model in.
"""

from __future__ import annotations

import json
import sys

import pyembed
from pyembed.integrations.prompt_embeds import encode

path, *words = sys.argv[1:]
with pyembed.load_model(path) as model:
    rows = model.embed([int(word) for word in words], dtype="bfloat16")
    body = {
        "model": model.metadata.get("general.name", "model"),
        "prompt_embeds": encode(rows),
        "max_tokens": 16,
    }
print(json.dumps(body))
