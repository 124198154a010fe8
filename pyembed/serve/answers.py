"""Bodies of responses that hold vectors, put together as bytes: JSON libraries are slow at numbers."""

from __future__ import annotations

import binascii
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..safe_text import json_text

Floats = npt.NDArray[np.float32]


def as_json(value: object) -> bytes:
    """Return plain data as JSON."""
    return json_text(value).encode("ascii")


def encoded(vectors: Floats, encoding: str) -> list[bytes]:
    """Return each vector as JSON: an array of numbers, or a text of base64.

    Numbers are those of the float32 as doubles, so that nothing is lost either way.
    """
    if encoding == "base64":
        little = vectors.astype("<f4", copy=False)
        return [b'"%b"' % binascii.b2a_base64(row, newline=False) for row in little]
    return [
        json.dumps(row, separators=(",", ":"), allow_nan=False).encode("ascii") for row in vectors.tolist()
    ]


def openai_list(model: str, vectors: Floats, encoding: str, n_tokens: int) -> bytes:
    """Return the body that OpenAI's clients read vectors from."""
    items = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}' % pair
        for pair in enumerate(encoded(vectors, encoding))
    )
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (items, as_json(model), usage(n_tokens))


def usage(n_tokens: int) -> bytes:
    """Return how many tokens a request had, as OpenAI counts them."""
    return b'{"prompt_tokens":%d,"total_tokens":%d}' % (n_tokens, n_tokens)


def arrays(vectors: Floats) -> bytes:
    """Return vectors as an array of arrays."""
    return b"[%b]" % b",".join(encoded(vectors, "float"))


def listed(model: str, items: Iterable[bytes], **others: bytes) -> bytes:
    """Return a list of objects that are JSON already, as those of OpenAI's interface are."""
    rest = b"".join(b',"%b":%b' % (name.encode(), value) for name, value in others.items())
    return b'{"object":"list","data":[%b],"model":%b%b}' % (b",".join(items), as_json(model), rest)


def rows_list(model: str, ids: Sequence[int], rows: Floats, encoding: str) -> bytes:
    """Return rows by their ids."""
    items = [
        b'{"object":"row","index":%d,"id":%d,"embedding":%b}' % (index, row_id, text)
        for index, (row_id, text) in enumerate(zip(ids, encoded(rows, encoding), strict=True))
    ]
    return listed(model, items)


def objects(model: str, items: Iterable[dict[str, Any]]) -> bytes:
    """Return plain objects as such a list."""
    return listed(model, map(as_json, items))
