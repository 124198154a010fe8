"""What a file is that cannot be opened as a model, and what to do with it.

Only errors ask. The first few KiB of the file are looked at, of archives its last ones too, and nothing in
them is trusted: all that is taken from a file's text is short, and quoted with every odd character escaped.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ..safe_text import MOST_SHOWN, quote
from .paths import pass_on_foreign
from .system import open_at_once

_HEAD_BYTES = 4096
_TAIL_BYTES = 66_000  # the end of a zip archive: 22 bytes and a comment of up to 65,535
_MAX_ZIP_ENTRIES = 64
_N_SAMPLES = 16


@dataclass(frozen=True)
class _Ends:
    """The first and last bytes of a file."""

    head: bytes
    tail: bytes
    n_bytes: int
    name: str


def recognise(path: str, *, but: str = "") -> str | None:
    """Return what a regular file is and what to do, in one line without the path; None where it is unknown.

    Parameters
    ----------
    path : str
    but : str, optional
        A format that is not to be named, ``"gguf"``, ``"safetensors"`` or ``"npy"``: the one as which
        opening it was tried, so that its own error says more.
    """
    try:
        ends, samples = _read(path)
    except OSError as error:
        pass_on_foreign(error)
        return None
    if ends is None:
        return None
    if ends.n_bytes == 0:
        return "an empty file: the download or copy never began, or the disk is full; fetch it again"
    if ends.head[:4] == b"GGUF":
        return None
    if but != "npy" and ends.head[:6] == b"\x93NUMPY":
        return "a NumPy array: pyembed.open_table reads it"
    if but != "safetensors" and _is_safetensors(ends):
        return "a safetensors file: pyembed.open_table reads its tables"
    if not any(ends.head) and not any(any(sample) for sample in samples):
        return (
            f"{ends.n_bytes} bytes that are zero wherever they were looked at: the space of a download that "
            "was reserved and not filled; fetch it again"
        )
    return next((found for look in _LOOKS if (found := look(ends)) is not None), None)


def file_at_fault(path: str, message: str) -> str:
    """Return the file of a safetensors model that an error is about.

    Parameters
    ----------
    path : str
        The index or the directory that was opened.
    message : str
        The error's message, which begins with the name of the file if there are several.
    """
    folder = path if os.path.isdir(path) else os.path.dirname(path)
    quoted = re.match(r"'([^']{1,255})': ", message)
    found = os.path.join(folder, os.path.basename(quoted[1]) if quoted is not None else "model.safetensors")
    return found if os.path.isfile(found) else path


def _read(path: str) -> tuple[_Ends | None, list[bytes]]:
    """Return a regular file's ends, and a few bytes here and there; None for anything but a regular file."""
    descriptor = open_at_once(path)  # a pipe would block
    with open(descriptor, "rb") as file:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            return None, []
        head = file.read(_HEAD_BYTES)
        file.seek(max(0, facts.st_size - _TAIL_BYTES))
        tail = file.read(_TAIL_BYTES)
        samples = [tail]
        if not any(head):
            for number in range(1, _N_SAMPLES):
                file.seek(facts.st_size // _N_SAMPLES * number)
                samples.append(file.read(_HEAD_BYTES))
    return _Ends(head, tail, facts.st_size, os.path.basename(path)), samples


def _is_safetensors(ends: _Ends) -> bool:
    if len(ends.head) < 10 or ends.head[8:9] != b"{":
        return False
    return 2 <= int.from_bytes(ends.head[:8], "little") <= ends.n_bytes - 8


# ------------------------------------------------------------------------------------- binary files

_UNPACK = "unpack it and open what is inside"
_CONVERT = "convert it to GGUF or safetensors"
_THE_MODEL = "open the file of the model"
#: First bytes, what the file is, what to do.
_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"\x1f\x8b", "a gzip archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "an LZ4 archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, such as Keras writes", _CONVERT),
    (b"PAR1", "a Parquet file", "read it with pyarrow"),
    (b"ARROW1", "an Arrow file", "read it with pyarrow"),
    (b"SQLite format 3\0", "an SQLite database", _THE_MODEL),
    (b"%PDF-", "a PDF document", _THE_MODEL),
    (b"\x89PNG\r\n\x1a\n", "a picture", _THE_MODEL),
    (b"\xff\xd8\xff", "a picture", _THE_MODEL),
    (b"FUGG", "a GGUF file whose bytes were reversed by fours", "fetch it again"),
)
#: Files of ggml from before GGUF. Their magic is a number, so that its bytes lie in either order.
_OLD = "convert the model again with a current llama.cpp, or fetch it as GGUF"
_OLD_GGML: tuple[tuple[bytes, str, str], ...] = (
    (b"ggjt", "a model in ggml's format from before GGUF (ggjt)", _OLD),
    (b"ggmf", "a model in ggml's format from before GGUF (ggmf)", _OLD),
    (b"ggml", "a model in ggml's format from before GGUF", _OLD),
    (b"ggla", "a LoRA adapter in ggml's format from before GGUF (ggla), without a token table", _OLD),
    (b"ggsn", "a saved session of llama.cpp", _THE_MODEL),
    (b"ggsq", "a saved sequence of llama.cpp", _THE_MODEL),
)
_WHISPER_VOCABULARIES = (51864, 51865, 51866)
_EXECUTABLES = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf", b"\xca\xfe\xba\xbe")


def _magic(ends: _Ends) -> str | None:
    for magic, what, remedy in _MAGICS:
        if ends.head.startswith(magic):
            return f"{what}: {remedy}"
    if ends.head[4:8] == b"TFL3":
        return f"a TensorFlow Lite model: {_CONVERT}"
    if ends.head[257:262] == b"ustar":
        return f"a tar archive: {_UNPACK}"
    return None


def _old_ggml(ends: _Ends) -> str | None:
    for magic, what, remedy in _OLD_GGML:
        if ends.head[:4] in (magic, magic[::-1]):
            if magic == b"ggml" and _first_number(ends) in _WHISPER_VOCABULARIES:
                return "a Whisper model in the format of whisper.cpp, for that program only"
            return f"{what}: {remedy}"
    return None


def _first_number(ends: _Ends) -> int:
    return int(struct.unpack_from("<I", ends.head, 4)[0]) if len(ends.head) >= 8 else 0


def _pickle(ends: _Ends) -> str | None:
    is_pickle = ends.head[:1] == b"\x80" and ends.head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    if not is_pickle:
        return None
    return (
        "a pickle, such as PyTorch wrote before version 1.6, which is not read here because loading one runs "
        f"the program in it: {_CONVERT}"
    )


def _onnx(ends: _Ends) -> str | None:
    # ir_version, a small number, and then producer_name, a short text.
    head = ends.head
    if len(head) < 8 or head[0] != 8 or not 1 <= head[1] <= 20 or head[2] != 0x12:
        return None
    producer = head[4 : 4 + head[3]]
    if not producer.isascii() or not producer.decode("ascii").isprintable() or head[3] > 64:
        return None
    return f"an ONNX model (by {_quoted(producer)}): {_CONVERT}"


def _sentencepiece(ends: _Ends) -> str | None:
    if ends.head[:1] == b"\n" and b"<unk>" in ends.head[:64]:
        return "a SentencePiece tokenizer, without rows: only validate(..., reference=...) reads it"
    return None


def _executable(ends: _Ends) -> str | None:
    if not ends.head.startswith(_EXECUTABLES):
        return None
    if ends.head.startswith(b"MZqFpD"):
        return (
            "an executable such as a llamafile, in which no GGUF file was found: it is the engine without a "
            "model, or the download was cut short"
        )
    return f"an executable: {_THE_MODEL}"


def _zip(ends: _Ends) -> str | None:
    if ends.head[:4] not in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return None
    names = _zip_names(ends)
    if names is None:
        return "a zip archive that was cut short: its end is missing; fetch it again"
    if any(name.endswith(b"data.pkl") for name in names):
        return (
            "a PyTorch file, which is not read here because loading its pickle runs the program in it: "
            f"{_CONVERT}"
        )
    if names and all(name.endswith(b".npy") for name in names):
        return "a NumPy archive (.npz): save the array that is the table as .npy"
    if b"model.weights.h5" in names:
        return f"a Keras model: {_CONVERT}"
    inside = f" of {', '.join(_quoted(name) for name in names[:3])}" if names else ""
    return f"a zip archive{inside}: {_UNPACK}"


def _zip_names(ends: _Ends) -> list[bytes] | None:
    """Return the first names of a zip's directory, of those in the file's last bytes; None without one."""
    tail = ends.tail
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        return None
    size, offset = struct.unpack_from("<II", tail, end + 12)
    at = offset - (ends.n_bytes - len(tail))
    if at < 0:
        at = max(0, end - size)
    names: list[bytes] = []
    while len(names) < _MAX_ZIP_ENTRIES and end - at >= 46 and tail[at : at + 4] == b"PK\x01\x02":
        n_name, n_extra, n_comment = struct.unpack_from("<HHH", tail, at + 28)
        names.append(tail[at + 46 : at + 46 + n_name])
        at += 46 + n_name + n_extra + n_comment
    return names


# --------------------------------------------------------------------------------------- text files

_LFS_SIZE = re.compile(rb"^size (\d{1,20})\r?$", re.MULTILINE)
_JSON = re.compile(rb"\{|\[\s{0,100}[\"{\[\d\]]")
_TITLE = re.compile(rb"<title[^>]{0,200}>([^<]{0,400})", re.IGNORECASE)
_PARTS = re.compile(r"\.gguf[-_.]?(?:split-?[a-z]{1,2}|part-?\d{1,4}(?:of\d{1,4})?|\d{3})$", re.IGNORECASE)


def _lfs(ends: _Ends) -> str | None:
    if not ends.head.startswith((b"version https://git-lfs", b"version https://hawser")):
        return None
    match = _LFS_SIZE.search(ends.head)
    stands_for = f" that stands for {int(match[1])} bytes" if match is not None else ""
    return (
        f"a Git LFS pointer{stands_for}, not the file itself: run git lfs pull in the clone, or download the "
        "file from its page"
    )


def _web_page(ends: _Ends) -> str | None:
    start = _start(ends)[:512].lower()
    if start.startswith(b"<?xml") or start.startswith(b"<error"):
        return (
            f"an XML document, such as a server answers with an error, {_quoted_text(ends)}: fetch it again"
        )
    if not (start.startswith((b"<!doctype html", b"<html", b"<head")) or b"<html" in start):
        return None
    title = _TITLE.search(ends.head)
    named = f" ({_quoted(b' '.join(title[1].split()))})" if title is not None else ""
    return f"a web page{named} saved in place of the file: download the file itself, logged in if it asks"


def _json(ends: _Ends) -> str | None:
    start = _start(ends)
    if _JSON.match(start) is None:
        return None
    if re.match(rb"\{\s{0,20}\"(?:error|message|detail|errors|code|status)\"", start) is not None:
        return (
            f"an error message that a server sent in place of the file, {_quoted_text(ends)}: fetch it again"
        )
    if _is_text(ends) and not ends.name.endswith(".json"):  # an index, about which its parser says more
        return f"a JSON file, {_quoted_text(ends)}: {_THE_MODEL}"
    return None


def _text(ends: _Ends) -> str | None:
    if ends.head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return f"a text file in UTF-16: {_THE_MODEL}"
    if not _is_text(ends) or _JSON.match(_start(ends)) or ends.name.endswith(".json"):
        return None
    what = "a text file, perhaps an error message that was saved in place of the model"
    return f"{what}, {_quoted_text(ends)}: {_THE_MODEL}, or fetch it again"


def _part(ends: _Ends) -> str | None:
    if _PARTS.search(ends.name) is None:
        return None
    return "a piece of a file, by its name: join the pieces in order with cat, and open the whole"


def _start(ends: _Ends) -> bytes:
    """Return the first bytes but what may come before text."""
    return ends.head.lstrip(b"\xef\xbb\xbf \t\r\n")


def _is_text(ends: _Ends) -> bool:
    try:
        text = ends.head[: _HEAD_BYTES - 3].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return all(char.isprintable() or char in "\t\r\n" for char in text)


def _quoted_text(ends: _Ends) -> str:
    return _quoted(b" ".join(ends.head.split()))


def _quoted(text: bytes) -> str:
    """Return a file's text, short and harmless."""
    return quote(text[: 4 * MOST_SHOWN + 4].decode("utf-8", "replace"))


_LOOKS: tuple[Callable[[_Ends], str | None], ...] = (
    _lfs,
    _web_page,
    _zip,
    _executable,
    _old_ggml,
    _magic,
    _pickle,
    _onnx,
    _sentencepiece,
    _json,
    _part,
    _text,
)
