"""Engram's tables in GGUF files, which ggml has no type for, and files that lost a part of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np
import pytest

import pyembed
from tests.helpers.gguf_bytes import STRING, GGUFBytes
from tests.helpers.model_files import rows_of_floats, write_model
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import ScaledTable, make_table

NAME = "blk.1.engram_embd.weight"
ROW = ScaledRow(256, "e4m3", scales="e8m0", group=32)
ENCODING = "e4m3_e8m0_32_row264"


def joined(table: ScaledTable) -> np.ndarray:
    """Return rows of 264 bytes."""
    return np.stack([np.frombuffer(b"".join(row.parts), np.int8) for row in table.rows])


def apart(table: ScaledTable) -> tuple[np.ndarray, np.ndarray]:
    codes, scales = (
        np.stack([np.frombuffer(row.parts[part], np.int8) for row in table.rows]) for part in (0, 1)
    )
    return codes, scales


def encoded(value: str, architecture: str = "deepseek41") -> Callable[[gguf.GGUFWriter], None]:
    return lambda writer: writer.add_string(f"{architecture}.engram.encoding", value)


@pytest.mark.parametrize("architecture", ["deepseek41", "deepseek4"])
def test_rows_of_264_bytes(architecture: str, tmp_path: Path) -> None:
    table = make_table(ROW, 31, "group")
    tensors = {NAME: joined(table), "token_embd.weight": rows_of_floats(8, 4)}
    path = write_model(tmp_path / "m.gguf", tensors=tensors, add=encoded(ENCODING, architecture))
    with pyembed.load_model(path, validate="off") as model:
        opened = model.open_table(NAME)
        assert opened.shape == (31, 256)
        assert opened.n_bytes == 31 * 264
        assert opened.type == "F8_E4M3"
        assert str(opened.layout) == "F8_E4M3; F8_E8M0 scales, one for 32 columns"
        assert_bit_equal(opened[:], table.weights())
        np.testing.assert_array_equal(opened.gather(np.arange(31), dtype="raw"), joined(table).view(np.uint8))
        assert not [f for f in model.validate("full").findings if f.rule == "tensor/table-parts"]
        assert model.tensors[NAME].type == "I8"


def test_bytes_have_no_byte_order(tmp_path: Path) -> None:
    table = make_table(ROW, 5, "group")
    file = GGUFBytes(big_endian=True).add("deepseek41.engram.encoding", STRING, ENCODING)
    file.tensor(NAME, (5, 264), 24, joined(table).tobytes())
    path = tmp_path / "m.gguf"
    path.write_bytes(bytes(file))
    with pyembed.open_table(path, tensor=NAME) as opened:
        assert_bit_equal(opened[:], table.weights())


def test_blocks_of_33_bytes_are_refused(tmp_path: Path) -> None:
    codes = joined(make_table(ROW, 31, "group"))
    path = write_model(tmp_path / "m.gguf", tensors={"layers.1.engram.embed.weight": codes})
    with pytest.raises(pyembed.UnsupportedTypeError, match="blocks of 33"):
        pyembed.open_table(path, tensor="layers.1.engram.embed.weight")


def test_shards_in_gguf_files(tmp_path: Path) -> None:
    rows = rows_of_floats(12, 8)
    shards = {f"x.shard_{i}.weight": rows[4 * i : 4 * i + 4] for i in range(3)}
    path = write_model(tmp_path / "m.gguf", tensors=shards)
    with pyembed.load_model(path, validate="off") as model:
        np.testing.assert_array_equal(model.open_table("x")[:], rows)
        with pytest.raises(KeyError, match="'y'"):
            model.open_table("y")
    path = write_model(tmp_path / "m.gguf", tensors=dict(list(shards.items())[1:]))
    with (
        pyembed.load_model(path, validate="off") as model,
        pytest.raises(pyembed.GGUFError, match="shard 0 is missing"),
    ):
        model.open_table("x")


@pytest.mark.parametrize("scales_name", ["blk.1.engram_embd_scale.weight", "blk.1.engram_embd_scale"])
@pytest.mark.parametrize("width", [256, 160])
def test_scales_in_a_tensor_of_their_own(scales_name: str, width: int, tmp_path: Path) -> None:
    table = make_table(replace(ROW, n_columns=width), 31, "group")
    codes, scales = apart(table)
    path = write_model(tmp_path / "m.gguf", tensors={NAME: codes, scales_name: scales})
    with pyembed.load_model(path, validate="off") as model:
        assert_bit_equal(model.open_table(NAME)[:], table.weights())
        codes_out, scales_out = np.empty((3, width), np.uint8), np.empty((3, width // 32), np.uint8)
        model.open_table(NAME).gather([3, 0, 30], dtype="raw", out=(codes_out, scales_out))
        np.testing.assert_array_equal(scales_out, scales[[3, 0, 30]].view(np.uint8))


@pytest.mark.parametrize(
    ("tensors", "add", "message"),
    [
        ("joined", None, "no engram_embd_scale"),
        ("joined", encoded("lloyd4_e5m3_32_r136"), "'lloyd4_e5m3_32_r136', which cannot be decoded"),
        ("apart", encoded(ENCODING), "rows of 264 bytes"),
        ("short", None, "one scale for every 32 columns"),
        ("floats", None, "does not hold exponents as I8"),
    ],
)
def test_half_a_table(
    tensors: str, add: Callable[[gguf.GGUFWriter], None] | None, message: str, tmp_path: Path
) -> None:
    codes, scales = apart(make_table(ROW, 31, "group"))
    kinds = {
        "joined": {NAME: joined(make_table(ROW, 31, "group"))},
        "apart": {NAME: codes},
        "short": {NAME: codes, "blk.1.engram_embd_scale": scales[:, :4]},
        "floats": {NAME: codes, "blk.1.engram_embd_scale": scales.astype(np.float32)},
    }
    path = write_model(tmp_path / "m.gguf", tensors=kinds[tensors], add=add)
    is_unknown = "cannot be decoded" in message
    with pyembed.load_model(path, validate="off") as model:
        with pytest.raises(pyembed.UnsupportedTypeError if is_unknown else pyembed.GGUFError, match=message):
            model.open_table(NAME)
        found = [f for f in model.validate("full").findings if f.rule == "tensor/table-parts"]
        assert len(found) == (0 if is_unknown else 1)
        assert all(f.tensor == NAME and NAME in f.message for f in found)


def test_bytes_of_other_names_are_whole_numbers(tmp_path: Path) -> None:
    codes, scales = apart(make_table(ROW, 31, "group"))
    path = write_model(tmp_path / "m.gguf", tensors={"blk.0.x.weight": codes, "blk.0.x_scale": scales})
    with pyembed.load_model(path, validate="off") as model:
        np.testing.assert_array_equal(model.open_table("blk.0.x.weight")[:], codes.astype(np.float32))
