"""The types of arguments, narrow enough for a type checker to find a slip: a text for ids, a wrong name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

LoadModeName: TypeAlias = Literal["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"]
LevelName: TypeAlias = Literal["header", "order", "full"]
MetricName: TypeAlias = Literal["cosine", "dot"]
Float32: TypeAlias = Literal["float32"]
DTypeName: TypeAlias = Literal["float32", "float16", "bfloat16"]
Raw: TypeAlias = Literal["raw"]
EngineName: TypeAlias = Literal["llama.cpp", "transformers"]
PaddingSide: TypeAlias = Literal["right", "left"]


class _HoldsArray(Protocol):
    """Memory of another library that NumPy can share, such as a torch tensor; a text is none."""

    def __array__(self) -> Any: ...


class _TorchDType(Protocol):
    @property
    def is_floating_point(self) -> bool: ...


#: One of the names, or what NumPy, ml_dtypes and torch have for it.
DTypeLike: TypeAlias = "DTypeName | np.dtype[Any] | type[Any] | _TorchDType"

#: What a raw file's weights may be; for the other byte order, a NumPy dtype.
RawDTypeLike: TypeAlias = "DTypeLike | Literal['float64', 'int8', 'int16', 'int32', 'int64']"

_Integer: TypeAlias = "int | np.integer[Any]"
_Integers: TypeAlias = "npt.NDArray[np.integer[Any]] | _HoldsArray"
#: Lists as deep as batches of batches: were this recursive, a text, whose letters are texts, would match.
IdsLike: TypeAlias = (
    "_Integer | _Integers | Sequence[_Integer] | Sequence[_Integers] | Sequence[Sequence[_Integer]]"
    " | Sequence[Sequence[Sequence[_Integer]]]"
)
#: Sequences of different lengths, too.
SequencesLike: TypeAlias = "IdsLike | Iterable[Sequence[_Integer] | _Integers]"
