"""Files that ``torch.save`` writes of one plain tensor, written and read without torch.

Such a file is a zip archive of uncompressed members below one folder: ``data.pkl``, a pickle of a call that
makes the tensor from a storage; ``data/0``, the storage's numbers; ``byteorder`` and ``version``. The reader
follows the few instructions that such a pickle has and knows the few names in it. It never unpickles.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

# Of torch's dtypes, the names of their storages; those that rows can come in are `_STORED`.
_STORAGES = {
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "DoubleStorage": "float64",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_STORED: dict[str, np.dtype[Any]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "bfloat16": np.dtype("<u2"),
}
_REBUILD = "torch._utils _rebuild_tensor_v2"
_DICT = "collections OrderedDict"
_MAX_DIMS = 8
_MAX_PICKLE = 4096  # bytes; that of a plain tensor takes about 160
_DATE = (1980, 1, 1, 0, 0, 0)  # the same vectors are the same bytes


# ------------------------------------------------------------------------------------------- writing


def write(array: npt.NDArray[Any], name: str) -> bytes:
    """Return the file of a tensor.

    Parameters
    ----------
    array : ndarray of float32, float16 or uint16, any shape
    name : {"float32", "float16", "bfloat16"}
        What its numbers are.
    """
    storage = next(storage for storage, dtype in _STORAGES.items() if dtype == name)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for member, data in (
            ("data.pkl", _pickle(array.shape, storage)),
            ("byteorder", b"little"),
            ("data/0", np.ascontiguousarray(array, _STORED[name]).tobytes()),
            ("version", b"3\n"),
        ):
            archive.writestr(zipfile.ZipInfo(f"archive/{member}", _DATE), data)
    return file.getvalue()


def _pickle(shape: tuple[int, ...], storage: str) -> bytes:
    """Return the pickle of a contiguous tensor whose storage is ``data/0``."""
    strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    identity = b"(" + _text("storage") + _name(f"torch {storage}") + _text("0") + _text("cpu")
    identity += _number(math.prod(shape)) + b"tQ"
    sizes, steps = (b"(" + b"".join(map(_number, numbers)) + b"t" for numbers in (shape, strides))
    hooks = _name(_DICT) + b")R"
    arguments = identity + _number(0) + sizes + steps + b"\x89" + hooks  # offset 0, no gradient
    return b"\x80\x02" + _name(_REBUILD) + b"(" + arguments + b"tR."


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode("ascii")


def _name(name: str) -> bytes:
    module, _, member = name.partition(" ")
    return f"c{module}\n{member}\n".encode("ascii")


def _number(number: int) -> bytes:
    if number < 2**31:
        return b"J" + struct.pack("<i", number)
    data = number.to_bytes(9, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


# ------------------------------------------------------------------------------------------- reading


class _Name(NamedTuple):
    """A module's member that the pickle names."""

    name: str


class _Storage(NamedTuple):
    dtype: str
    key: str
    n: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


# What zipfile raises for archives that are damaged.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    RuntimeError,
    EOFError,
    OSError,
    ArithmeticError,
    ValueError,
    struct.error,
)
_EMPTY = object()  # an OrderedDict without entries


def read(data: bytes) -> tuple[npt.NDArray[Any], str]:
    """Return the tensor in a file, as an array of its own, and the name of its dtype.

    The array is empty where the dtype is none of float32, float16 and bfloat16.

    Raises
    ------
    ValueError
        If it is not a file of one plain tensor.
    """
    try:
        members = _members(data)
    except _ZIP_ERRORS as error:
        raise ValueError(f"the payload is not a tensor that torch.save wrote: {error}") from None
    tensor = _tensor_of(members.pop("data.pkl", b""))
    if tensor.storage.dtype not in _STORED:
        return np.empty(0, np.float32), tensor.storage.dtype
    return _array_of(tensor, members), tensor.storage.dtype


def _members(data: bytes) -> dict[str, bytes]:
    """Return the members of the archive by their names below its one folder."""
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        left = len(data)
        for info in archive.infolist():
            name = info.filename.partition("/")[2]
            left -= info.file_size
            if info.compress_type != zipfile.ZIP_STORED or name in members or left < 0:
                raise zipfile.BadZipFile(f"{info.filename!r} is compressed, too large, or there twice")
            members[name] = archive.read(info)
    return members


def _array_of(tensor: _Tensor, members: dict[str, bytes]) -> npt.NDArray[Any]:
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    data = members.get(f"data/{storage.key}", b"")
    dtype = _STORED[storage.dtype]
    if len(data) != storage.n * dtype.itemsize:
        raise ValueError(
            f"the payload's storage is of {len(data)} bytes; expected {storage.n} numbers of {storage.dtype}"
        )
    last = tensor.offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    n = math.prod(shape)
    if min(shape, default=0) > 0 and (last >= storage.n or n > storage.n):
        raise ValueError(
            f"the payload's tensor, {shape}, does not lie in its storage of {storage.n} numbers, or repeats "
            "some: save tensor.contiguous()"
        )
    if members.get("byteorder", b"little") != b"little":
        dtype = dtype.newbyteorder(">")
    numbers = np.frombuffer(data, dtype)[tensor.offset :] if n else np.empty(0, dtype)
    view = np.lib.stride_tricks.as_strided(
        numbers, shape, [step * dtype.itemsize for step in strides], writeable=False
    )
    return view.astype(dtype.newbyteorder("="), order="C")


def _tensor_of(pickle: bytes) -> _Tensor:
    """Follow the instructions of a pickle and return the tensor that it describes."""
    if len(pickle) > _MAX_PICKLE:
        raise ValueError(f"the payload's pickle is of {len(pickle)} bytes; that of a plain tensor is shorter")
    machine, at_end = _Machine(), False
    try:
        for code, argument, end in _instructions(pickle):
            at_end = code == b"." and end == len(pickle)
            if code == b".":
                break
            machine.do(code, argument)
    except (IndexError, KeyError, TypeError, struct.error, UnicodeError):
        at_end = False
    if at_end and len(machine.stack) == 1 and isinstance(machine.stack[0], _Tensor):
        return machine.stack[0]
    raise ValueError("the payload does not hold a plain tensor that torch.save wrote")


#: Instructions that make tuples of none to three items.
_TUPLES = (b")", b"\x85", b"\x86", b"\x87")
#: Instructions that have a number as their argument, and how it is stored.
_NUMBERS = {
    b"\x80": "<B",  # the protocol
    b"J": "<i",
    b"K": "<B",
    b"M": "<H",
    b"q": "<B",
    b"r": "<I",
    b"h": "<B",
    b"j": "<I",
}


def _instructions(pickle: bytes) -> Iterator[tuple[bytes, Any, int]]:
    """Yield each instruction's code, its argument, and where it ends; IndexError for one that is cut off."""
    at = 0
    while at < len(pickle):
        code, at = pickle[at : at + 1], at + 1
        argument: Any = None
        if code in _NUMBERS:
            (argument,) = struct.unpack_from(_NUMBERS[code], pickle, at)
            at += struct.calcsize(_NUMBERS[code])
        elif code == b"X":
            (n,) = struct.unpack_from("<I", pickle, at)
            data, at = _taken(pickle, at + 4, n)
            argument = data.decode("ascii")
        elif code == b"\x8a":
            data, at = _taken(pickle, at + 1, pickle[at])
            argument = int.from_bytes(data, "little", signed=True)
        elif code == b"c":
            *names, _ = pickle[at:].split(b"\n", 2)
            at += sum(map(len, names)) + 2
            argument = b" ".join(names).decode("ascii")
        yield code, argument, at


def _taken(pickle: bytes, at: int, n: int) -> tuple[bytes, int]:
    if n > len(pickle) - at:
        raise IndexError
    return pickle[at : at + n], at + n


class _Machine:
    """A stack, marks on it, and a memo: what a pickle's instructions work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}

    def do(self, code: bytes, argument: Any) -> None:
        """Do what one instruction says; ValueError for one that no plain tensor has."""
        stack = self.stack
        if code in (b"X", b"J", b"K", b"M", b"\x8a"):
            stack.append(argument)
        elif code in (b"\x88", b"\x89"):
            stack.append(code == b"\x88")
        elif code in (b"q", b"r"):
            self._memo[argument] = stack[-1]
        elif code in (b"h", b"j"):
            stack.append(self._memo[argument])
        elif code == b"c":
            stack.append(_Name(argument))
        elif code == b"(":
            self._marks.append(len(stack))
        elif code == b"t":
            self._tuple(len(stack) - self._marks.pop())
        elif code in _TUPLES:
            self._tuple(_TUPLES.index(code))
        elif code == b"Q":
            stack.append(_storage(stack.pop()))
        elif code == b"R":
            arguments, name = stack.pop(), stack.pop()
            stack.append(_called(name, arguments))
        elif code != b"\x80":
            raise ValueError(f"the payload's pickle has the instruction {code!r}, which no plain tensor has")

    def _tuple(self, n: int) -> None:
        if not 0 <= n <= len(self.stack):
            raise IndexError
        at = len(self.stack) - n
        self.stack[at:] = [tuple(self.stack[at:])]


def _storage(identity: Any) -> _Storage:
    match identity:
        case ("storage", _Name(name), str(key), str(), int(n)) if n >= 0 and type(n) is int:
            module, _, kind = name.partition(" ")
            if module == "torch" and kind in _STORAGES:
                return _Storage(_STORAGES[kind], key, n)
    raise ValueError("the payload's pickle names a storage that no plain tensor has")


def _called(name: Any, arguments: Any) -> object:
    """Return what one of the two calls in the pickle of a tensor makes."""
    if name == _Name(_DICT) and arguments == ():
        return _EMPTY
    if name == _Name(_REBUILD) and isinstance(arguments, tuple) and len(arguments) == 6:
        storage, offset, shape, strides, _, hooks = arguments
        numbers = (offset, *shape, *strides)
        fits = isinstance(storage, _Storage) and hooks is _EMPTY and len(shape) == len(strides) <= _MAX_DIMS
        if fits and all(type(n) is int and 0 <= n < 2**63 for n in numbers):
            return _Tensor(storage, offset, shape, strides)
    called = str(name.name).replace(" ", ".") if isinstance(name, _Name) else type(name).__name__
    raise ValueError(f"the payload calls {called!r}; expected a plain tensor")
