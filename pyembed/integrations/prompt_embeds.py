"""Prompts as vectors, for servers with vLLM's OpenAI-compatible API: ``pip install pyembed-gguf[torch]``.

Such a server (``vllm serve MODEL --enable-prompt-embeds``) takes the field ``prompt_embeds`` in a request for
completions: for each prompt the base64 text of a file that ``torch.save`` wrote, which holds one tensor
[tokens, n_embd] of the model's own dtype. The vectors are those that the server would have looked up itself:
a chat template has to be applied before, since the server applies none.
"""

from __future__ import annotations

import base64
import io
from typing import Any

try:
    import torch
except ImportError as error:
    raise ImportError(
        "pyembed.integrations.prompt_embeds needs torch: pip install 'pyembed-gguf[torch]'"
    ) from error

from ..core.dtypes import OUTPUT_TYPES
from .payloads import check_archive, check_extent
from .torch import as_tensor

# torch.save has written zip files since version 1.6; what came before is read by another, laxer reader.
_ZIP = b"PK\x03\x04"
_DTYPES = {getattr(torch, name) for name in OUTPUT_TYPES}


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
    tensor = _checked(rows.detach().cpu() if isinstance(rows, torch.Tensor) else as_tensor(rows))
    file = io.BytesIO()
    # A view would be saved with all the memory that it is a view of.
    torch.save(tensor.clone(memory_format=torch.contiguous_format), file)
    return base64.b64encode(file.getbuffer()).decode("ascii")


def decode(text: str | bytes) -> torch.Tensor:
    """Return the tensor of a payload, [tokens, n_embd]; nothing but a tensor is unpickled.

    Raises
    ------
    ValueError
        If the text is not base64, or does not hold a saved tensor of two dimensions.
    TypeError
        If the tensor is of another dtype than float32, float16 and bfloat16.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ValueError(f"the payload is not base64: {error}") from None
    if not data.startswith(_ZIP):
        raise ValueError("the payload is not a tensor that torch.save wrote: it is not a zip file")
    check_archive(data)
    try:
        tensor = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever torch's reader stumbles over
        raise ValueError(f"the payload is not a tensor that torch.save wrote: {error}") from None
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        kind = tensor.layout if isinstance(tensor, torch.Tensor) else type(tensor).__name__
        raise ValueError(f"the payload holds a {kind}; expected a plain tensor")
    check_extent(tuple(tensor.shape), tensor.element_size(), tensor.untyped_storage().nbytes())
    return _checked(tensor)


def _checked(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.dtype not in _DTYPES:
        raise TypeError(f"the vectors are of dtype {tensor.dtype}; expected {', '.join(OUTPUT_TYPES)}")
    if tensor.ndim != 2 or not tensor.numel():
        raise ValueError(
            f"the vectors have shape {tuple(tensor.shape)}; expected (tokens, n_embd), at least one"
        )
    return tensor
