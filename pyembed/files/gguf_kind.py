"""What a GGUF file is that holds no language model, by what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable

from .metadata import Metadata

_ADAPTERS = {"lora": "a LoRA adapter", "alora": "a LoRA adapter"}
#: By ``general.type``.
_TYPES = {
    "imatrix": "an importance matrix for a quantiser (imatrix)",
    "mmproj": "a projector of images or sound (mmproj)",
}
#: By ``general.architecture``.
_ARCHITECTURES = {
    "clip": "a projector of images or sound (mmproj)",
    "controlvector": "a control vector",
}
#: By the end of the names of all tensors, for files that do not say what they are.
_ENDINGS = (
    ((".lora_a", ".lora_b"), "a LoRA adapter"),
    ((".in_sum2", ".counts"), _TYPES["imatrix"]),
)


def kind_of_gguf(metadata: Metadata, tensors: Iterable[str]) -> str | None:
    """Return what a file is, such as ``"a LoRA adapter"``; None for a model, or where nothing says.

    Parameters
    ----------
    metadata : Metadata
    tensors : iterable of str
        Names of the tensors; looked at only where the metadata does not say.
    """
    kind, architecture = metadata.text("general.type") or "", metadata.text("general.architecture")
    if kind == "adapter":
        return _ADAPTERS.get(metadata.text("adapter.type") or "", "an adapter")
    if kind in _TYPES:
        return _TYPES[kind]
    if architecture in _ARCHITECTURES:
        return _ARCHITECTURES[architecture]
    names = list(tensors)
    for endings, what in _ENDINGS:
        if names and all(name.endswith(endings) for name in names):
            return what
    return None
