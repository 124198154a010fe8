"""Tables that are cut by rows: shards in any order, in several files, with scales of theirs or of all."""

from __future__ import annotations

import json
import shutil
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.core.system import set_size
from tests.helpers.gguf_bytes import GGUFBytes
from tests.helpers.oracles.blocks import TYPES, finite_blocks
from tests.helpers.oracles.compare import assert_bit_equal
from tests.helpers.oracles.scaled import ScaledRow
from tests.helpers.scaled_tables import ScaledTable, Stored, make_table, save, save_set

BASE = "model.layers.1.ple.ple_embedding.ngram_embedding"
ROW = ScaledRow(160, "e4m3", scales="bf16")
Tensors = dict[str, Stored]


def shards_of(
    table: ScaledTable, sizes: list[int], spelling: str = "shard_", parts: tuple[str, ...] = ("weight_scale",)
) -> Tensors:
    """Return the tensors of a table that is cut into shards of some sizes, with their own scales."""
    found, first = {}, 0
    for i, size in enumerate(sizes):
        shard, first = table.part(first, first + size), first + size
        found[f"{BASE}.{spelling}{i}.weight"] = shard.codes()
        for number, part in enumerate(parts, 1):
            found[f"{BASE}.{spelling}{i}.{part}"] = shard.beside(number)
    return found


def in_files(folder: Path, tensors: Mapping[str, Stored], n: int, seed: int = 0) -> Path:
    """Spread tensors over files at random."""
    rng = np.random.default_rng(seed)
    files: list[Tensors] = [{} for _ in range(n)]
    for at in rng.permutation(len(tensors)):
        files[int(rng.integers(n))][list(tensors)[at]] = list(tensors.values())[at]
    return save_set(folder, [file for file in files if file])


@pytest.mark.parametrize("spelling", ["shard_", "shards."])
@pytest.mark.parametrize("sizes", [[7], [5, 5], [5, 5, 2], [1] * 13, [3] * 11 + [0]])
def test_rows_of_shards(spelling: str, sizes: list[int], tmp_path: Path) -> None:
    """More than ten shards, so that the order of names is not that of numbers."""
    table = make_table(ROW, sum(sizes), "row")
    path = in_files(tmp_path, shards_of(table, sizes, spelling), 4)
    with pyembed.open_table(path, tensor=BASE) as opened:
        assert opened.name == BASE
        assert opened.shape == (sum(sizes), 160)
        assert_bit_equal(opened[:], table.weights())
        ids = np.random.default_rng(2).integers(0, sum(sizes), 100)
        assert_bit_equal(opened.gather(ids), table.weights()[ids])
        assert (opened.layout.n_shards, opened.layout.shard_rows) == (len(sizes), sizes[0])
        assert len(opened.layout.tensors) == 2 * len(sizes)
        digest, norms = opened.digest(), opened.norms
        query = np.ones(160, np.float32)
        scores, best = opened.scores(query), opened.top(query, 3)
    whole = {f"{BASE}.weight": table.codes(), f"{BASE}.weight_scale": table.beside(1)}
    with pyembed.open_table(save(tmp_path / "one.safetensors", whole), tensor=f"{BASE}.weight") as joined:
        assert joined.digest() == digest
        np.testing.assert_array_equal(joined.norms, norms)
        np.testing.assert_array_equal(joined.scores(query), scores)
        np.testing.assert_array_equal(joined.top(query, 3).ids, best.ids)
    with pyembed.open_table(path, tensor=f"{BASE}.{spelling}0.weight") as shard:
        assert_bit_equal(shard[:], table.weights()[: sizes[0]])


@pytest.mark.parametrize("load_mode", ["mmap", "none"])
def test_shards_in_every_load_mode(load_mode: str, tmp_path: Path) -> None:
    from pyembed.core.handle import Source
    from pyembed.tables.table import EmbeddingTable

    table = make_table(ROW, 23, "row")
    path = in_files(tmp_path, shards_of(table, [5, 5, 5, 5, 3]), 3)
    told: list[tuple[int, int]] = []
    source = Source(path, load_mode=load_mode, progress=lambda done, total: told.append((done, total)))
    with EmbeddingTable(source, BASE, owns_source=True) as opened:
        assert_bit_equal(opened[:], table.weights())
        if load_mode == "none":
            assert told[-1] == (opened.n_bytes, opened.n_bytes)
            assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_one_scale_for_all_shards(tmp_path: Path) -> None:
    table = make_table(ROW, 12, "table")
    tensors = shards_of(table, [5, 5, 2], parts=())
    for kind in ((), (1,)):
        scale = table.beside(1, kind)
        path = save(tmp_path / "m.safetensors", {**tensors, f"{BASE}.weight_scale": scale})
        with pyembed.open_table(path, tensor=BASE) as opened:
            assert_bit_equal(opened[:], table.weights())
            assert opened.layout.sharing == "table"
            assert opened.layout.tensors.count(f"{BASE}.weight_scale") == 1
        with pyembed.open_table(path, tensor=f"{BASE}.shard_1.weight") as shard:
            assert_bit_equal(shard[:], table.weights()[5:10])


def test_a_scale_of_each_shard(tmp_path: Path) -> None:
    parts = [make_table(ROW, n, "table", seed=n) for n in (6, 6, 1)]
    parts[1] = replace(make_table(ROW, 6, "table", seed=9))
    tensors: Tensors = {}
    for i, part in enumerate(parts):
        tensors[f"{BASE}.shard_{i}.weight"] = part.codes()
        tensors[f"{BASE}.shard_{i}.weight_scale"] = part.beside(1)
    with pyembed.open_table(save(tmp_path / "m.safetensors", tensors), tensor=BASE) as opened:
        assert_bit_equal(opened[:], np.concatenate([part.weights() for part in parts]))
        raw = opened.gather(np.arange(13), dtype="raw")
        for part, first in zip(parts, (0, 6, 12), strict=True):
            assert raw[first].tobytes() == b"".join(part.rows[0].parts)
        assert opened.layout.scale is None, "there are several"


def test_nvfp4_in_shards(tmp_path: Path) -> None:
    row = ScaledRow(160, "e2m1", scales="e4m3", group=16, factor_kind="multiplies", factor=np.float32(0.0123))
    table = make_table(row, 12, "group")
    factor = Stored("F32", (), struct.pack("<f", 0.0123))
    tensors = shards_of(table, [5, 5, 2])
    path = in_files(tmp_path, {**tensors, f"{BASE}.weight_scale_2": factor}, 3)
    with pyembed.open_table(path, tensor=BASE) as opened:
        assert_bit_equal(opened[:], table.weights())
    own = {f"{BASE}.shard_{i}.weight_scale_2": factor for i in range(3)}
    path = save(tmp_path / "own.safetensors", {**tensors, **own})
    with pyembed.open_table(path, tensor=BASE) as opened:
        assert_bit_equal(opened[:], table.weights())
    own[f"{BASE}.shard_2.weight_scale_2"] = Stored("F32", (), struct.pack("<f", 0.0124))
    with pytest.raises(pyembed.SafetensorsError, match=r"shard_2\.weight_scale_2' is 0\.0124"):
        pyembed.open_table(save(tmp_path / "own.safetensors", {**tensors, **own}), tensor=BASE)


def test_mlx_shards(tmp_path: Path) -> None:
    row = ScaledRow(160, "bits", 4, scales="bf16", biases="bf16", group=32)
    table = make_table(row, 12, "group")
    tensors = shards_of(table, [5, 5, 2], "shards.", ("scales", "biases"))
    common, own = {"bits": 4, "group_size": 64}, {"bits": 4, "group_size": 32, "mode": "affine"}
    path = in_files(tmp_path, tensors, 2)
    for modules in ({BASE: own}, {f"{BASE}.shards.{i}": own for i in range(3)}):
        (tmp_path / "config.json").write_text(json.dumps({"quantization": {**common, **modules}}))
        with pyembed.open_table(path, tensor=BASE) as opened:
            assert_bit_equal(opened[:], table.weights())
    modules = {f"{BASE}.shards.0": own, f"{BASE}.shards.1": {**own, "bits": 8}}
    (tmp_path / "config.json").write_text(json.dumps({"quantization": {**common, **modules}}))
    with pytest.raises(pyembed.SafetensorsError, match="not that of other modules of the same table"):
        pyembed.open_table(path, tensor=BASE)


@pytest.mark.parametrize("threads", [1, 4])
def test_scans_and_gathers_across_many_shards(threads: int, tmp_path: Path) -> None:
    """Shards whose borders lie inside tiles, portions and steps."""
    sizes = [701] * 5 + [333]
    table = make_table(ScaledRow(48, "I8", scales="f32"), sum(sizes), "row")
    expected = table.weights()
    query = np.random.default_rng(3).normal(size=(2, 48)).astype(np.float32)
    whole = save(tmp_path / "w.safetensors", {"e.weight": table.codes(), "e.weight_scale": table.beside(1)})
    with (
        pyembed.open_table(in_files(tmp_path, shards_of(table, sizes), 3), tensor=BASE) as opened,
        pyembed.open_table(whole, tensor="e.weight") as joined,
    ):
        ids = np.random.default_rng(4).permutation(len(opened))
        assert_bit_equal(opened.gather(ids, threads=threads), expected[ids])
        np.testing.assert_array_equal(
            opened.scores(query, threads=threads), joined.scores(query, threads=threads)
        )
        best, same = (one.top(query, 9, "cosine", threads=threads) for one in (opened, joined))
        np.testing.assert_array_equal(best.ids, same.ids)
        for first, n in ((0, len(opened)), (650, 100), (3504, 2), (3505, 333)):
            for key in (None, bytes(16)):
                ours, theirs = (one.check_rows(first, n, key=key) for one in (opened, joined))
                np.testing.assert_array_equal(ours[0], theirs[0])
                np.testing.assert_array_equal(ours[1], theirs[1])
        assert opened.digest(7) == joined.digest(7)
        raw = opened.gather(ids[:50], dtype="raw")
        np.testing.assert_array_equal(raw, joined.gather(ids[:50], dtype="raw"))


@pytest.mark.parametrize("type_name", ["Q8_0", "F32", "F16", "Q4_K", "IQ4_NL", "TQ1_0"])
def test_blocks_in_shards(type_name: str, tmp_path: Path) -> None:
    """Rows whose codes are multiplied as they lie, and such that are decoded first, across borders."""
    kind, n_weights, block_bytes = TYPES[type_name]
    sizes, width = [301] * 3 + [7], 512
    row_bytes = width // n_weights * block_bytes
    blocks = finite_blocks(type_name, sum(sizes) * width // n_weights, np.random.default_rng(0))
    data = blocks.tobytes()
    joined, cut, first = GGUFBytes().tensor("x", (sum(sizes), width), kind, data), GGUFBytes(), 0
    for i, size in enumerate(sizes):
        part = data[first * row_bytes : (first + size) * row_bytes]
        cut.tensor(f"x.shard_{i}.weight", (size, width), kind, part)
        first += size
    (tmp_path / "joined.gguf").write_bytes(bytes(joined))
    (tmp_path / "cut.gguf").write_bytes(bytes(cut))
    query = np.random.default_rng(1).normal(size=(3, width)).astype(np.float32)
    with (
        pyembed.open_table(tmp_path / "joined.gguf", tensor="x") as one,
        pyembed.open_table(tmp_path / "cut.gguf", tensor="x") as many,
    ):
        np.testing.assert_array_equal(many[:], one[:])
        ids = np.random.default_rng(2).integers(0, sum(sizes), 999)
        np.testing.assert_array_equal(many.gather(ids, threads=3), one[:][ids])
        np.testing.assert_array_equal(many.scores(query), one.scores(query))
        np.testing.assert_array_equal(many.scores(query[:1], ids=ids), one.scores(query[:1], ids=ids))
        np.testing.assert_array_equal(many.top(query, 5, "cosine").ids, one.top(query, 5, "cosine").ids)
        np.testing.assert_array_equal(many.norms, one.norms)
        for ours, theirs in zip(*(t.check_rows(0, len(t), key=bytes(16)) for t in (many, one)), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert many.digest() == one.digest()
        assert many.type == type_name
        assert many.layout.n_shards == 4


# ------------------------------------------------------------------------------------- what is damaged


def _rename(old: str, new: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[f"{BASE}.{new}"] = tensors.pop(f"{BASE}.{old}")

    return change


def _replace(name: str, **changes: Any) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[f"{BASE}.{name}"] = replace(tensors[f"{BASE}.{name}"], **changes)

    return change


def _drop(*names: str) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for name in names:
            del tensors[f"{BASE}.{name}"]

    return change


def _add(name: str, tensor: Stored) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({f"{BASE}.{name}": tensor})


WIDE = {"shape": (5, 161), "data": bytes(5 * 161)}
DAMAGED: dict[str, tuple[Callable[[Tensors], None], str]] = {
    "first missing": (_drop("shard_0.weight", "shard_0.weight_scale"), "shard 0 is missing.* of all 12 are"),
    "one missing": (_drop("shard_7.weight", "shard_7.weight_scale"), "shard 7 is missing.*highest.* is 12"),
    "twice": (_rename("shard_11.weight", "shard_01.weight"), r"shard_1\.weight.*same number"),
    "far number": (_rename("shard_12.weight", "shard_999999999999.weight"), "shard 12 is missing"),
    **{
        f"number {number!r}": (
            _rename("shard_12.weight", f"shard_{number}.weight"),
            "named as a shard, but its number is not one of 1 to 18 digits",
        )
        for number in ("1e1", "-1", "+12", "12 ", "0x0c", "", str(2**64 + 12), "\N{SUPERSCRIPT TWO}")
    },
    "spelled in two ways": (_rename("shard_12.weight", "shards.12.weight"), "named in two ways"),
    "wider": (_replace("shard_3.weight", **WIDE), r"shard_3\.weight' is 161 wide, the first 160"),
    "of another type": (
        _replace("shard_3.weight", dtype="F8_E5M2"),
        r"shard_3\.weight' is of type 'F8_E5M2'",
    ),
    "more rows": (_replace("shard_3.weight", shape=(6, 160), data=bytes(960)), "has 6 rows, the first 5"),
    "fewer rows": (_replace("shard_3.weight", shape=(4, 160), data=bytes(640)), "has 4 rows, the first 5"),
    "last one longer": (_replace("shard_12.weight", shape=(6, 160), data=bytes(960)), "has 6 rows"),
    "of three dimensions": (_replace("shard_3.weight", shape=(5, 1, 160)), "has 3 dimensions"),
    "a scale missing": (_drop("shard_3.weight_scale"), r"shard_3\.weight' has no scales"),
    "the first scale missing": (_drop("shard_0.weight_scale"), r"shard_0\.weight': no scale .*though others"),
    "a scale of another type": (
        _replace("shard_3.weight_scale", dtype="F16"),
        r"shard_3\.weight' does not have scales like the first",
    ),
    "a scale of wrong type": (_replace("shard_3.weight_scale", dtype="I16"), "not hold scales of a type"),
    "too few scales": (
        _replace("shard_3.weight_scale", shape=(4, 1), data=bytes(8)),
        r"shard_3\.weight_scale' .*neither one scale",
    ),
    "scales of groups": (
        _replace("shard_3.weight_scale", shape=(5, 5), data=bytes(50)),
        "does not have scales like the first",
    ),
    "scales of theirs and of all": (_add("weight_scale", Stored("F32", (), bytes(4))), "have their own"),
    "two kinds of scales": (
        _add("shard_3.weight_scale_inv", Stored("BF16", (5, 1), bytes(10))),
        "are both there",
    ),
    "biases": (_add("shard_3.biases", Stored("BF16", (5, 1), bytes(10))), "is of no use"),
    "a factor": (_add("weight_scale_2", Stored("F32", (), bytes(4))), "is of no use"),
    "zero points": (_add("shard_0.weight_zero_point", Stored("I8", (5, 1), bytes(5))), "cannot be decoded"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_damaged_shards_are_refused(what: str, tmp_path: Path) -> None:
    table = make_table(ROW, 63, "row")
    change, message = DAMAGED[what]
    tensors = shards_of(table, [5] * 12 + [3])
    change(tensors)
    for path in (save(tmp_path / "m.safetensors", tensors), in_files(tmp_path, tensors, 3)):
        with pytest.raises(pyembed.FormatError, match=message) as caught:
            pyembed.open_table(path, tensor=BASE)
        assert BASE in str(caught.value)
        if caught.value.offset is not None:
            assert caught.value.path.endswith(".safetensors")


def test_a_file_of_a_set_that_is_not_there(tmp_path: Path) -> None:
    table = make_table(ROW, 12, "row")
    path = in_files(tmp_path, shards_of(table, [5, 5, 2]), 3)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="model-00002"):
        pyembed.open_table(path, tensor=BASE)


def test_the_error_of_an_unknown_name_knows_tables_of_shards(tmp_path: Path) -> None:
    path = save(tmp_path / "m.safetensors", shards_of(make_table(ROW, 12, "row"), [5, 5, 2]))
    with pytest.raises(KeyError, match=r"ngram_embedding'"):
        pyembed.open_table(path, tensor=f"{BASE}s")


# ------------------------------------------------------------------------------------------ large ones

ROWS, SHARDS = 320_001_536, 128
SHARD_ROWS = ROWS // SHARDS


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 51 GB that takes no room: 128 shards whose bytes are zeros, but for some rows."""
    path = tmp_path_factory.mktemp("sparse") / "m.safetensors"
    n_bytes = SHARD_ROWS * 160
    header: dict[str, Any] = {}
    for at, number in enumerate(np.random.default_rng(0).permutation(SHARDS).tolist()):
        offsets = [at * n_bytes, (at + 1) * n_bytes]
        header[f"{BASE}.shard_{number}.weight"] = {
            "dtype": "F8_E4M3",
            "shape": [SHARD_ROWS, 160],
            "data_offsets": offsets,
        }
    end = SHARDS * n_bytes
    header[f"{BASE}.weight_scale"] = {"dtype": "F32", "shape": [1], "data_offsets": [end, end + 4]}
    text = json.dumps(header).encode()
    start = 8 + len(text)
    free = shutil.disk_usage(path.parent).free
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        set_size(file, start + end + 4)
        file.seek(start + end)
        file.write(struct.pack("<f", 0.5))
        for row in marked():
            begin = header[f"{BASE}.shard_{row // SHARD_ROWS}.weight"]["data_offsets"][0]
            file.seek(start + begin + row % SHARD_ROWS * 160)
            file.write(row_bytes(row))
    if free - shutil.disk_usage(path).free > (start + end) // 2:
        pytest.skip("the file system does not store holes")
    return path


def marked() -> list[int]:
    """Return the rows that are not zeros: both ends, and both sides of borders."""
    borders = [SHARD_ROWS * i for i in (1, 2, 64, 127)]
    return sorted({0, ROWS - 1, 2**28, *borders, *(border - 1 for border in borders)})


def row_bytes(row: int) -> bytes:
    return np.random.default_rng(row).integers(1, 0x7E, 160, np.uint8).tobytes()


def test_a_table_of_320_million_rows(sparse: Path) -> None:
    expected = np.stack(
        [ScaledRow(160, "e4m3", parts=(row_bytes(row), b"", b"")).weights() for row in marked()]
    ) * np.float32(0.5)
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        opened = pyembed.open_table(sparse, tensor=BASE)
        times.append(time.perf_counter() - begin)
        opened.close()
    assert min(times) < 0.05
    with pyembed.open_table(sparse, tensor=BASE) as table:
        assert table.shape == (ROWS, 160)
        assert_bit_equal(table.gather(marked()), expected)
        assert not table.gather([row + 2 for row in marked()[:-1]]).any()
        query = np.ones(160, np.float32)
        ids = np.array([*marked(), 5, ROWS - 5])
        scores = table.scores(query, ids=ids)[0]
        np.testing.assert_allclose(scores[: len(expected)], expected.sum(axis=1), rtol=1e-5)
        best = table.top(query, 3, ids=ids)
        assert best.ids[0].tolist() == np.array(marked())[np.argsort(-expected.sum(axis=1))[:3]].tolist()
        faults, _ = table.check_rows(ROWS - 4, 4)
        assert faults.tolist()[-1] == 0
        with pytest.raises(IndexError, match=str(ROWS)):
            table.gather([ROWS])
