"""Prompts as vectors, for servers with vLLM's OpenAI-compatible API; nothing here needs torch but `decode`.

Such a server (``vllm serve MODEL --enable-prompt-embeds``) takes the field ``prompt_embeds`` in a request for
completions: for each prompt the base64 text of a file that ``torch.save`` wrote, which holds one tensor
[tokens, n_embd] of the model's own dtype. The vectors are those that the server would have looked up itself:
a chat template has to be applied before, since the server applies none.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..core.dtypes import OUTPUT_TYPES
from ..tables.arguments import as_torch, torch_array
from . import saved_tensor

if TYPE_CHECKING:
    import torch

_NAMES = {kind.storage: name for name, kind in OUTPUT_TYPES.items()}


def encode(rows: Any) -> str:
    """Return vectors as the text that the field ``prompt_embeds`` takes.

    Parameters
    ----------
    rows : NumPy array or torch tensor, [tokens, n_embd]
        float32, float16, or bfloat16: as a tensor, or as the uint16 in which rows of it come.

    Raises
    ------
    ValueError
        If it has another shape, or no tokens.
    TypeError
        If it is of another dtype.
    """
    if as_torch(rows) is not None:
        dtype = str(rows.dtype)
        array = torch_array(rows.detach().cpu(), "rows")
    else:
        array = np.asarray(rows)
        dtype = "bfloat16" if array.dtype == np.uint16 else array.dtype.name
    name = dtype.removeprefix("torch.")
    if name not in OUTPUT_TYPES:
        raise TypeError(f"the vectors are of dtype {dtype}; expected {', '.join(OUTPUT_TYPES)}")
    _check_shape(array.shape)
    storage = OUTPUT_TYPES[name].storage
    if array.dtype.name == "bfloat16":
        array = array.view(np.uint16)
    return base64.b64encode(saved_tensor.write(array.astype(storage, copy=False), name)).decode("ascii")


def decode_rows(text: str | bytes) -> npt.NDArray[Any]:
    """Return the vectors of a payload as an array [tokens, n_embd]; bfloat16 as uint16 that hold the bits.

    The payload is a stranger's: nothing in it is unpickled or run, and nothing is allocated that its length
    does not justify. Only a plain tensor of two dimensions gets through.

    Raises
    ------
    ValueError
        If the text is not base64, or does not hold a saved tensor of two dimensions, without overlaps.
    TypeError
        If the tensor is of another dtype than float32, float16 and bfloat16.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the payload is not base64: {error}") from None
    array, name = saved_tensor.read(data)
    if name not in OUTPUT_TYPES:
        raise TypeError(f"the vectors are of dtype torch.{name}; expected {', '.join(OUTPUT_TYPES)}")
    _check_shape(array.shape)
    return array


def decode(text: str | bytes) -> torch.Tensor:
    """Return the vectors of a payload as a torch tensor, read as `decode_rows` reads them.

    Raises
    ------
    ValueError, TypeError
        As `decode_rows` does.
    ImportError
        If torch is not installed.
    """
    from .torch import as_tensor

    return as_tensor(decode_rows(text))


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"the vectors have shape {shape}; expected (tokens, n_embd), at least one")
