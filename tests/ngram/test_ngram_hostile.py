"""What no file should hold, and what no caller of the C library should pass: clear errors, nothing else."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyembed
from pyembed._native import ffi, lib
from pyembed.ngram import Ngram
from tests.helpers import ngram_files as files
from tests.helpers.gguf_bytes import (
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    I64,
    STRING,
    U8,
    U16,
    U32,
    U64,
    Array,
    GGUFBytes,
)
from tests.helpers.ngram_constants import PLE_VOCAB, engram_constants, ple_constants

DIALECTS = [files.ple_of_llama_cpp, files.ple_of_ds4, files.engram_d1, files.engram_d2, files.engram_d3]
_CODES = {"int32": I32, "uint32": U32, "int64": I64, "uint64": U64}

scalars = st.one_of(
    st.tuples(st.just(STRING), st.text(max_size=5)),
    st.tuples(st.just(U32), st.integers(0, 2**32 - 1)),
    st.tuples(st.just(I32), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just(U64), st.integers(0, 2**64 - 1)),
    st.tuples(st.just(I64), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just(F64), st.floats()),
    st.tuples(st.just(BOOL), st.integers(0, 1)),
)
elements = {
    U8: st.integers(0, 255),
    U16: st.integers(0, 2**16 - 1),
    U32: st.integers(0, 2**32 - 1),
    I32: st.integers(-3, 200),
    U64: st.one_of(st.integers(0, 200), st.integers(0, 2**64 - 1)),
    I64: st.one_of(st.integers(-3, 200), st.integers(-(2**63), 2**63 - 1)),
    F32: st.floats(width=32),
    STRING: st.text(max_size=3),
    BOOL: st.integers(0, 1),
}
arrays = st.sampled_from(sorted(elements)).flatmap(
    lambda kind: st.tuples(
        st.just(ARRAY), st.lists(elements[kind], max_size=20).map(lambda values: Array(kind, values))
    )
)
nested = st.just((ARRAY, Array(ARRAY, [Array(I32, [1]), Array(I32, [])])))
values = st.one_of(scalars, arrays, nested)


def written(path: Path, keys: dict[str, tuple[int, Any]], tensors: bool) -> Path:
    model = GGUFBytes().add("general.architecture", STRING, "qwen4exp")
    for key, (kind, value) in keys.items():
        model.add(key, kind, value)
    model.tensor("token_embd.weight", (PLE_VOCAB if not tensors else 40, 1), 24, bytes(PLE_VOCAB))
    if tensors:
        model.tensor("per_layer_token_embd.weight", (3, 4), 24, bytes(12))
        model.tensor("blk.1.engram_embd.weight", (420, 4), 24, bytes(1680))
    path.write_bytes(bytes(model))
    return path


def typed(value: Any) -> tuple[int, Any]:
    if isinstance(value, np.ndarray):
        return ARRAY, Array(_CODES[value.dtype.name], value.tolist())
    if isinstance(value, str):
        return STRING, value
    return (U32, value) if value < 2**32 else (U64, value)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_key_may_hold_every_kind_of_value(data: st.DataObject, tmp_path: Path) -> None:
    keys = {key: typed(value) for key, value in data.draw(st.sampled_from(DIALECTS))().items()}
    for key in data.draw(st.lists(st.sampled_from(sorted(keys)), max_size=3)):
        keys[key] = data.draw(values)
    for key in data.draw(st.lists(st.sampled_from(sorted(keys)), max_size=1)):
        del keys[key]
    path = written(tmp_path / "m.gguf", keys, data.draw(st.booleans()))
    with pyembed.load_model(path, validate="off") as model:
        ngram = None
        with suppress(pyembed.FormatError):
            ngram = model.ngram
        if ngram is not None:
            for number, layer in enumerate(ngram.layers):
                names = ngram.rows([0, ngram.n_vocab - 1, 0], layer=layer)
                assert (names >= 0).all()
                assert names.max() < ngram.constants.n_used_rows[number]
        report = model.validate("order")
        found = {finding.rule for finding in report.findings}
        assert "container/examination-failed" not in found
        broken = {rule for rule in found if rule.startswith("ngram/")}
        if ngram is None and any(".ple." in key or ".engram." in key for key in keys):
            assert broken, "what is refused is a finding"


# ---------------------------------------------------------------------------- the C library by itself


def call(ngram: Ngram, ids: np.ndarray, out: np.ndarray, layer: int = 0, **options: Any) -> tuple[int, str]:
    given = ffi.new("pye_ngram_options *")
    given.struct_bytes = options.pop("struct_bytes", ffi.sizeof("pye_ngram_options"))
    given.id_type = lib.PYE_ID_I64
    for name, value in options.items():
        setattr(given, name, value)
    error = ffi.new("pye_error *")
    status = lib.pye_ngram_rows(
        ngram._ngram,
        layer,
        ffi.cast("void *", ids.ctypes.data),
        ids.size,
        ffi.cast("int64_t *", out.ctypes.data),
        given,
        error,
    )
    return status, ffi.string(error.message).decode()


def test_arguments_of_c() -> None:
    ngram = Ngram(ple_constants())
    ids, out = np.array([1, 2], np.int64), np.full((2, 16), -7, np.int64)
    bad, wrong_id = lib.PYE_ERROR_ARGUMENT, lib.PYE_ERROR_ID

    def history(*kept: int) -> Any:
        return ffi.new("int64_t[]", kept)

    def offsets(*ends: int) -> dict[str, Any]:
        return {"offsets": ffi.new("uint64_t[]", ends), "n_sequences": len(ends) - 1}

    refused: list[tuple[dict[str, Any], int, str]] = [
        ({"struct_bytes": 3}, bad, "struct_bytes is 3"),
        ({"id_type": 8}, bad, "8 is not an id type"),
        ({"layer": 1}, bad, "layer is 1: there are 1"),
        ({"histories": history(5, -1)}, bad, "history of sequence 0 has -1 behind a token"),
        ({"histories": history(-2, 5)}, bad, "history of sequence 0 holds -2"),
        ({"histories": history(5, PLE_VOCAB)}, bad, f"history of sequence 0 holds {PLE_VOCAB}"),
        ({**offsets(0, 2, 1)}, bad, "offsets[2] is 1"),
        ({**offsets(1, 2)}, bad, "offsets[0] is 1"),
        ({**offsets(0, 3)}, bad, "offsets[1] is 3"),
        ({**offsets(0, 1)}, bad, "the last offset is 1, and n_ids is 2"),
    ]
    for options, status, message in refused:
        assert call(ngram, ids, out, **options)[0] == status
        assert message in call(ngram, ids, out, **options)[1]
    assert call(ngram, np.array([1, -1], np.int64), out) == (
        wrong_id,
        f"the id at position 1 is -1: ids are at least 0 and below the size of the vocabulary, {PLE_VOCAB}",
    )
    assert call(ngram, out[0, 1:3], out)[1] == "the output and the ids overlap in memory"
    assert (out == -7).all()
    assert call(ngram, ids, out)[0] == lib.PYE_OK
    assert (out == ngram.rows(ids)).all()
    unaligned = np.zeros(17, np.uint8)[1:].view(np.int64)
    unaligned[:] = ids
    assert call(ngram, unaligned, out)[0] == lib.PYE_OK
    assert (out == ngram.rows(ids)).all()
    assert lib.pye_ngram_n_columns(ngram._ngram) == 16
    lib.pye_ngram_close(ffi.NULL)


def test_descriptions_of_c() -> None:
    error, out = ffi.new("pye_error *"), ffi.new("pye_ngram **")

    def refused(**fields: Any) -> str:
        description = ffi.new("pye_ngram_description *")
        description.struct_bytes = ffi.sizeof("pye_ngram_description")
        description.n_layers, description.max_size, description.n_heads, description.n_vocab = 1, 2, 1, 5
        kept = ffi.new("uint64_t[]", [3, 5]), ffi.new("uint32_t[]", 5)
        description.multipliers = description.moduli = kept[0]
        for name, value in fields.items():
            setattr(description, name, kept[1] if name == "token_map" and value else value)
        status = lib.pye_ngram_open(description, out, error)
        assert status == lib.PYE_ERROR_ARGUMENT
        return ffi.string(error.message).decode()

    assert lib.pye_ngram_open(ffi.NULL, out, error) == lib.PYE_ERROR_ARGUMENT
    assert refused(struct_bytes=0).startswith("pye_ngram_description.struct_bytes is 0")
    assert refused(scheme=3) == "scheme is 3: no scheme has that number"
    assert refused(n_layers=257) == "n_layers is 257: there are 1 to 256 layers"
    assert refused(n_vocab=2**31).startswith("n_vocab is 2147483648")
    assert refused(moduli=ffi.NULL) == "moduli is NULL"
    assert refused(multipliers=ffi.NULL).startswith("multipliers is NULL")
    assert refused(scheme=lib.PYE_NGRAM_LONGCAT).startswith("multipliers is not NULL")
    assert refused(scheme=lib.PYE_NGRAM_ENGRAM).startswith("token_map is NULL")
    assert refused(token_map=True).startswith("token_map is not NULL")
    assert refused(scheme=lib.PYE_NGRAM_ENGRAM, token_map=True).startswith("n_compressed is 0")
    largest = ffi.new("uint64_t[]", [2**63 - 25])  # a prime
    longcat = {"scheme": lib.PYE_NGRAM_LONGCAT, "multipliers": ffi.NULL, "moduli": largest}
    assert "too large for sums over 5 tokens" in refused(**longcat)
    offsets = ffi.new("uint64_t[]", [0])
    assert refused(**{**longcat, "offsets": offsets}).startswith("offsets is not NULL")


def test_sums_of_moduli_that_do_not_fit() -> None:
    largest = np.array([[2**63 - 25] * 16], np.uint64)
    with pytest.raises(
        pyembed.FormatError, match=r"moduli\[0\]: the sum of the first 2 does not fit 63 bits"
    ):
        Ngram(ple_constants(moduli=largest, offsets=None))
    one = Ngram(
        engram_constants(
            max_size=2,
            n_heads=1,
            layers=(1,),
            moduli=largest[:, :1],
            multipliers=np.array([[3, 5]], np.uint64),
        )
    )
    assert one.rows([4]).tolist() == [[12 ^ 10]]
