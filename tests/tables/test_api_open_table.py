"""Opening one table: raw files by shape and dtype, others by the name of a tensor."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from tests.helpers.float_rows import BFLOAT16_ROWS, N_ROWS, ROWS


def test_raw_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    for dtype in ("<f4", ">f4", "<f2", ">f2", "<f8", ">i2", "<i4"):
        stored = (ROWS * 100).astype(dtype)
        path.write_bytes(b"head" + stored.tobytes())
        for rows in (N_ROWS, -1):
            with pyembed.open_table(path, shape=(rows, 8), dtype=np.dtype(dtype), offset=4) as table:
                assert table.shape == (N_ROWS, 8)
                assert table.name == "data"
                np.testing.assert_array_equal(table[:], stored.astype(np.float32))
    path.write_bytes(BFLOAT16_ROWS.tobytes())
    with pyembed.open_table(path, shape=(-1, 8), dtype="bfloat16") as table:
        np.testing.assert_array_equal(table.gather(range(N_ROWS), dtype="bfloat16"), BFLOAT16_ROWS)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"shape": (2, 8)}, "both shape and dtype"),
        ({"dtype": "float32"}, "both shape and dtype"),
        ({"offset": 4}, "both shape and dtype"),
        ({"shape": (2, 8), "dtype": "float32", "tensor": "x"}, "has no names"),
        ({"shape": (2, 8, 1), "dtype": "float32"}, "expected (rows, columns)"),
        ({"shape": 5, "dtype": "float32"}, "expected (rows, columns)"),
        ({"shape": (-2, 8), "dtype": "float32"}, "makes no sense"),
        ({"shape": (2, 0), "dtype": "float32"}, "makes no sense"),
        ({"shape": (2, -1), "dtype": "float32"}, "makes no sense"),
        ({"shape": (2, 8), "dtype": "float32", "offset": -1}, "makes no sense"),
        ({"shape": (-1, 7), "dtype": "float32"}, "no whole number of rows"),
        ({"shape": (-1, 8), "dtype": "float32", "offset": 2**40}, "no whole number of rows"),
        ({"shape": (2**63, 8), "dtype": "float32"}, "63 bits"),
        ({"shape": (2, 8), "dtype": "uint8"}, "not uint8"),
        ({"shape": (1000, 8), "dtype": "float32"}, "rows.bin"),
    ],
)
def test_raw_files_that_make_no_sense(options: dict[str, Any], says: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(ROWS.tobytes())
    with pytest.raises(ValueError, match=re.escape(says)):
        pyembed.open_table(path, **options)


def save(path: Path, **tensors: np.ndarray) -> Path:
    save_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
    save_file({name.replace("__", "."): array for name, array in tensors.items()}, path)
    return path


def test_which_tensor_of_a_safetensors_file(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    vector = np.zeros(8, np.float32)
    with pyembed.open_table(save(path, odd__name=ROWS, bias=vector)) as table:
        assert table.name == "odd.name"
    with pyembed.open_table(save(path, model__embed_tokens__weight=ROWS, lm_head__weight=ROWS)) as table:
        assert table.name == "model.embed_tokens.weight"
        np.testing.assert_array_equal(table[:], ROWS)
    with pyembed.open_table(path, tensor="lm_head.weight") as table:
        assert table.name == "lm_head.weight"
    with pytest.raises(KeyError, match=r"near it: 'lm_head\.weight'"):
        pyembed.open_table(path, tensor="lm_head.weigth")
    with pytest.raises(ValueError, match=r"tensor=.*'a' \(300 x 8, F32\), 'b' \("):
        pyembed.open_table(save(path, a=ROWS, b=ROWS))
    with pytest.raises(ValueError, match=r"wte\.weight"):
        pyembed.open_table(save(path, wte__weight=ROWS, shared__weight=-ROWS, other=ROWS))
    with pytest.raises(ValueError, match="no tensor of two dimensions"):
        pyembed.open_table(save(path, bias=vector))


@pytest.mark.parametrize(
    "shape",
    [(1.5, 2), ("1", 2), (True, 2), (np.float32(1), 2), (np.ma.masked, 2), (2,), 5, (float("nan"), 1)],
)
def test_a_shape_is_two_ints(tmp_path: Path, shape: Any) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(ROWS.tobytes())
    with pytest.raises(ValueError, match="two ints"):
        pyembed.open_table(path, shape=shape, dtype="float32")
    with pyembed.open_table(path, shape=(np.int16(2), np.uint8(8)), dtype="float32") as table:
        assert table.shape == (2, 8)


@pytest.mark.parametrize("offset", [1.5, "1", None, True])
def test_an_offset_is_an_int(tmp_path: Path, offset: Any) -> None:
    path = tmp_path / "rows.bin"
    path.write_bytes(ROWS.tobytes())
    with pytest.raises(TypeError, match=r"offset is a \w+; expected an int"):
        pyembed.open_table(path, shape=(2, 8), dtype="float32", offset=offset)


def test_npy_files(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    np.save(path, ROWS)
    with pyembed.open_table(path) as table:
        assert table.name == "data"
        np.testing.assert_array_equal(table[:], ROWS)
    with pytest.raises(KeyError):
        pyembed.open_table(path, tensor="other")


def test_files_of_no_known_kind(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("nothing of that kind at all")
    with pytest.raises(pyembed.FormatError) as caught:
        pyembed.open_table(path)
    assert type(caught.value) is pyembed.FormatError
    with pytest.raises(FileNotFoundError):
        pyembed.open_table(tmp_path / "none.gguf")
