"""What people write to serve model2vec: FastAPI, a model of the request, a call of the library.

Usage: ``python -m tools.bench.fastapi_peer MODEL PORT``
"""

# No annotations from the future: FastAPI reads them as they are.
import base64
import sys
from typing import Any, Literal

import numpy as np
import uvicorn
from fastapi import FastAPI
from model2vec import StaticModel
from pydantic import BaseModel


class _Request(BaseModel):
    input: str | list[str]
    model: str
    encoding_format: Literal["float", "base64"] = "float"


def _app(path: str) -> Any:
    model = StaticModel.from_pretrained(path)

    def embeddings(request: _Request) -> dict[str, object]:
        texts = [request.input] if isinstance(request.input, str) else request.input
        vectors = model.encode(texts).astype(np.float32)
        if request.encoding_format == "base64":
            shown: list[object] = [base64.b64encode(vector.tobytes()).decode() for vector in vectors]
        else:
            shown = vectors.tolist()
        return {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": one} for index, one in enumerate(shown)
            ],
            "model": request.model,
            "usage": {"prompt_tokens": 0, "total_tokens": 0},
        }

    app = FastAPI()
    app.post("/v1/embeddings")(embeddings)  # what the decorator does, whose types not every checker has
    return app


if __name__ == "__main__":
    uvicorn.run(_app(sys.argv[1]), port=int(sys.argv[2]), log_level="warning", access_log=False)
