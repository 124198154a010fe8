"""What published lessons print for models: facts to be shown beside a file's own, never as its own."""

from __future__ import annotations

from typing import Any, NamedTuple


class Published(NamedTuple):
    """A model's token table: rows, columns, and its share of all parameters where that was given."""

    name: str
    rows: int
    columns: int
    share: float | None


#: Sizes of token tables.
MODELS = (
    Published("GPT-2", 50257, 768, 0.33),
    Published("Gemma 3 270M", 262144, 640, 0.621),
    Published("Mistral 7B", 32000, 4096, None),
    Published("Qwen3 1.7B", 151936, 2048, 0.183),
    Published("Llama 3 8B", 128256, 4096, None),
    Published("Ministral 8B", 131072, 4096, 0.067),
    Published("GPT-3", 50257, 12288, None),
    Published("DeepSeek V3.2", 129280, 7168, 0.0014),
    Published("Llama 4 Maverick", 202048, 5120, 0.0026),
    Published("Llama 3 70B", 128000, 8192, None),
)

#: GPT-2's cosines of words.
GPT2_COSINES = (
    ("cat", "dog", 0.4442),
    ("cat", "kitten", 0.3218),
    ("cat", "car", 0.1487),
    ("Paris", "Tokyo", 0.4891),
    ("Paris", "France", 0.3756),
    ("Paris", "bicycle", 0.0312),
    ("happy", "joyful", 0.2847),
    ("happy", "sad", 0.2103),
    ("king", "queen", 0.5190),
    ("king", "table", 0.1254),
)

#: GPT-2's answers to king - man + woman, and random tokens beside them: token, cosine, dot product.
GPT2_SUM = {
    "sum": "king - man + woman",
    "found": (("queen", 0.71, 11.2), ("princess", 0.60, 9.4), ("Queen", 0.60, 8.7)),
    "random": (("Either", 0.21, 3.1), ("Alpine", 0.23, 3.8), ("pillars", 0.29, 4.6)),
}

#: Groups of words that lessons put on a map.
GROUPS = {
    "animals": "cat dog horse fish bird mouse rabbit tiger",
    "countries": "France Germany Japan Brazil India China Italy Spain",
    "colours": "red blue green yellow purple orange black white",
    "programming": "Python Java code function variable loop class array",
    "emotions": "happy sad angry fear love hate joy calm",
}


def published() -> dict[str, Any]:
    """Return all of it as plain data."""
    return {
        "models": [model._asdict() for model in MODELS],
        "cosines": GPT2_COSINES,
        "sum": GPT2_SUM,
        "groups": [{"name": name, "words": words.split()} for name, words in GROUPS.items()],
    }
