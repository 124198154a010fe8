"""The numbers of the C interface as enumerations; ``pyembed.h`` explains each."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from .._native import lib

#: Size of a tensor whose type is unknown.
UNKNOWN_BYTES: int = lib.PYE_UNKNOWN_BYTES
#: Id of a text that is not a token.
NO_TOKEN: int = lib.PYE_NO_TOKEN
#: Dimensions of a tensor at most.
MAX_DIMS: int = lib.PYE_MAX_DIMS
#: Bytes of a digest's text, its end included.
DIGEST_BYTES: int = lib.PYE_DIGEST_BYTES


class Format(IntEnum):
    """Formats of files."""

    AUTO = lib.PYE_FORMAT_AUTO
    GGUF = lib.PYE_FORMAT_GGUF
    SAFETENSORS = lib.PYE_FORMAT_SAFETENSORS
    NPY = lib.PYE_FORMAT_NPY
    RAW = lib.PYE_FORMAT_RAW


class LoadMode(IntEnum):
    """How bytes get from a file to memory."""

    AUTO = lib.PYE_LOAD_AUTO
    NONE = lib.PYE_LOAD_NONE
    MMAP = lib.PYE_LOAD_MMAP
    MLOCK = lib.PYE_LOAD_MLOCK
    MMAP_MLOCK = lib.PYE_LOAD_MMAP_MLOCK
    DIRECT_IO = lib.PYE_LOAD_DIRECT_IO


class FileChange(IntEnum):
    """What became of a file since it was opened."""

    NONE = lib.PYE_CHANGE_NONE
    REPLACED = lib.PYE_CHANGE_REPLACED
    REMOVED = lib.PYE_CHANGE_REMOVED
    OVERWRITTEN = lib.PYE_CHANGE_OVERWRITTEN
    TRUNCATED = lib.PYE_CHANGE_TRUNCATED


class ValueType(IntEnum):
    """Types of metadata values, with the numbers that GGUF files use."""

    U8 = lib.PYE_VALUE_U8
    I8 = lib.PYE_VALUE_I8
    U16 = lib.PYE_VALUE_U16
    I16 = lib.PYE_VALUE_I16
    U32 = lib.PYE_VALUE_U32
    I32 = lib.PYE_VALUE_I32
    F32 = lib.PYE_VALUE_F32
    BOOL = lib.PYE_VALUE_BOOL
    STRING = lib.PYE_VALUE_STRING
    ARRAY = lib.PYE_VALUE_ARRAY
    U64 = lib.PYE_VALUE_U64
    I64 = lib.PYE_VALUE_I64
    F64 = lib.PYE_VALUE_F64


class IdType(IntEnum):
    """Integer types of ids."""

    I32 = lib.PYE_ID_I32
    I64 = lib.PYE_ID_I64
    U32 = lib.PYE_ID_U32
    U64 = lib.PYE_ID_U64
    I16 = lib.PYE_ID_I16
    U16 = lib.PYE_ID_U16
    I8 = lib.PYE_ID_I8
    U8 = lib.PYE_ID_U8


class DType(IntEnum):
    """Types in which rows come out."""

    F32 = lib.PYE_DTYPE_F32
    F16 = lib.PYE_DTYPE_F16
    BF16 = lib.PYE_DTYPE_BF16
    RAW = lib.PYE_DTYPE_RAW


class PoolMode(IntEnum):
    """What becomes of the rows of a bag."""

    MEAN = lib.PYE_POOL_MEAN
    SUM = lib.PYE_POOL_SUM
    MAX = lib.PYE_POOL_MAX


class Metric(IntEnum):
    """How a row is compared with a query."""

    DOT = lib.PYE_METRIC_DOT
    COSINE = lib.PYE_METRIC_COSINE


class TextFlag(IntFlag):
    """What the text of a token says by itself."""

    EMPTY = lib.PYE_TEXT_EMPTY
    NUL = lib.PYE_TEXT_NUL
    NOT_UTF8 = lib.PYE_TEXT_NOT_UTF8
    BYTE = lib.PYE_TEXT_BYTE
    ALPHABET = lib.PYE_TEXT_ALPHABET
    MARK = lib.PYE_TEXT_MARK
    BRACKETED = lib.PYE_TEXT_BRACKETED
    PAD = lib.PYE_TEXT_PAD
    UNUSED = lib.PYE_TEXT_UNUSED
    RESERVED = lib.PYE_TEXT_RESERVED
    REPEATED = lib.PYE_TEXT_REPEATED


class MergeFlag(IntFlag):
    """What is wrong with a merge."""

    LEFT_UNKNOWN = lib.PYE_MERGE_LEFT_UNKNOWN
    RIGHT_UNKNOWN = lib.PYE_MERGE_RIGHT_UNKNOWN
    PRODUCT_UNKNOWN = lib.PYE_MERGE_PRODUCT_UNKNOWN
    LATE = lib.PYE_MERGE_LATE
