"""Every status becomes the right exception."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path

import pytest

import pyembed
from pyembed._native import ffi, lib
from pyembed.errors import PyembedError, check, nearest_names, shard_path

STATUS_DEF = Path(__file__).parents[2] / "csrc" / "base" / "status.def"
STATUSES = {
    name: int(number)
    for name, number in re.findall(r"^PYE_STATUS\((\w+), (\d+),", STATUS_DEF.read_text(), re.MULTILINE)
}


def failed(status: int, message: bytes = b"what happened", **fields: int):
    error = ffi.new("pye_error *")
    error.status = status
    error.offset = lib.PYE_NO_OFFSET
    error.message = message
    for name, value in fields.items():
        setattr(error, name, value)
    return error


def test_the_list_of_statuses_was_read() -> None:
    assert len(STATUSES) >= 13
    assert STATUSES["PYE_OK"] == 0
    for name, number in STATUSES.items():
        assert getattr(lib, name) == number


@pytest.mark.parametrize("name", [name for name in STATUSES if name != "PYE_OK"])
def test_every_status_is_mapped(name: str) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 -- which one is what other tests are about
        check(STATUSES[name], failed(STATUSES[name]), "model.gguf")
    assert type(caught.value) is not PyembedError, "an unmapped status"
    assert "what happened" in str(caught.value)
    assert "model.gguf" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("PYE_ERROR_MEMORY", MemoryError),
        ("PYE_ERROR_ARGUMENT", ValueError),
        ("PYE_ERROR_ID", IndexError),
        ("PYE_ERROR_FORMAT", pyembed.FormatError),
        ("PYE_ERROR_GGUF", pyembed.GGUFError),
        ("PYE_ERROR_SAFETENSORS", pyembed.SafetensorsError),
        ("PYE_ERROR_NPY", pyembed.NpyError),
        ("PYE_ERROR_TYPE", pyembed.UnsupportedTypeError),
        ("PYE_ERROR_NOT_FOUND", KeyError),
        ("PYE_ERROR_VOCABULARY", pyembed.VocabularyError),
        ("PYE_ERROR_CANCELLED", pyembed.LoadCancelledError),
    ],
)
def test_kind(name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind) as caught:
        check(STATUSES[name], failed(STATUSES[name]), "model.gguf")
    assert str(caught.value) == "model.gguf: what happened"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, FileNotFoundError),
        (errno.EACCES, PermissionError),
        (errno.EISDIR, IsADirectoryError),
        (errno.ENOTDIR, NotADirectoryError),
        (errno.EIO, OSError),
        (0, OSError),
    ],
)
def test_io_errors_follow_errno(number: int, kind: type[OSError]) -> None:
    with pytest.raises(kind) as caught:
        check(lib.PYE_ERROR_IO, failed(lib.PYE_ERROR_IO, system_errno=number), "model.gguf")
    assert caught.value.errno == (number or errno.EIO)
    assert caught.value.filename == "model.gguf"


def test_a_format_error_says_where() -> None:
    with pytest.raises(pyembed.GGUFError) as caught:
        check(lib.PYE_ERROR_GGUF, failed(lib.PYE_ERROR_GGUF, offset=24), "model.gguf")
    assert str(caught.value) == "model.gguf: what happened (at byte 24)"
    assert caught.value.offset == 24
    assert caught.value.path == "model.gguf"
    assert isinstance(caught.value, ValueError)


def test_the_shard_at_fault_is_named() -> None:
    with pytest.raises(pyembed.GGUFError) as caught:
        check(lib.PYE_ERROR_GGUF, failed(lib.PYE_ERROR_GGUF, shard=2), "a-00001-of-00004.gguf")
    assert caught.value.path == "a-00003-of-00004.gguf"
    assert shard_path("model", 0) == "model"
    assert "3" in shard_path("model.safetensors.index.json", 2)


def test_ok_passes() -> None:
    check(lib.PYE_OK, ffi.new("pye_error *"), "model.gguf")


def test_not_found_reads_plainly_and_looks_for_names_only_then() -> None:
    asked = []

    def near() -> list[str]:
        asked.append(1)
        return ["king", "kind"]

    error = pyembed.NotFoundError("no token stands for 'kimg'", near)
    assert asked == []
    assert str(error) == "no token stands for 'kimg'; near it: 'king', 'kind'"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert str(pyembed.NotFoundError("plain")) == "plain"


def test_nearest_names() -> None:
    assert nearest_names("OUTPUT.weihgt", ["token_embd.weight", "output.weight"])[0] == "output.weight"
    assert nearest_names("zzz", ["token_embd.weight"]) == []
