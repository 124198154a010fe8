"""Numbers at their edges: ids, queries and masks of odd types, rows that are not finite, empty tables."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.errors import GGUFError
from pyembed.export import export
from pyembed.files.extract import extract
from tests.helpers.children import output_of
from tests.helpers.gguf_bytes import STRING, GGUFBytes

F16 = 1


@pytest.fixture
def model() -> Any:
    with pyembed.load_model(pyembed.demo_model()) as opened:
        yield opened


# ------------------------------------------------------------------------------------- what is passed

MASKED = np.ma.array([1, 2], mask=[0, 1])
WRONG: dict[str, tuple[Callable[[Any], object], type[Exception], str]] = {
    "masked ids": (lambda m: m.table.gather(MASKED), TypeError, "masked"),
    "masked query": (lambda m: m.table.top(np.ma.masked_less(np.ones(m.n_embd), 2), 1), TypeError, "masked"),
    "masked mask": (lambda m: m.embed([1, 2], mask=np.ma.array([1, 1], mask=[0, 1])), TypeError, "masked"),
    "complex query": (lambda m: m.table.top(np.ones(m.n_embd, np.complex64), 1), TypeError, "complex"),
    "empty key": (lambda m: m.table.check_rows(0, 1, key=b""), ValueError, "expected 16 bytes"),
    "short key": (lambda m: m.table.check_rows(0, 1, key=bytes(15)), ValueError, "expected 16 bytes"),
    "long key": (lambda m: m.table.check_rows(0, 1, key=bytes(32)), ValueError, "expected 16 bytes"),
    "replace": (lambda m: m.embed([1], replace=5), TypeError, "replace is of type int; expected a dict"),
    "ignore": (lambda m: m.validate("order", ignore=[1]), TypeError, "expected names of rules"),
    "overrides": (
        lambda m: pyembed.load_model(m.path, kv_overrides=[("a", 1)]),
        TypeError,
        "kv_overrides is of type list; expected a dict",
    ),
    "shape": (
        lambda m: pyembed.open_table(m.path, shape=(float("inf"), 2), dtype="float16"),
        ValueError,
        "expected .rows, columns",
    ),
    "lock": (
        lambda m: pyembed.load_model(
            m.path, lock={"pyembed_lock": 1, "vocabulary": {"special": {1: 2, "bos": 1}}}
        ),
        ValueError,
        "not all texts",
    ),
    "lock's keys": (
        lambda m: pyembed.load_model(m.path, lock={"pyembed_lock": 1, 2: 3, "x": 4}),
        ValueError,
        "which no lock has",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_have_clear_errors(model: Any, name: str) -> None:
    call, kind, text = WRONG[name]
    with pytest.raises(kind, match=text):
        call(model)


def test_masked_arrays_without_masked_elements_are_arrays(model: Any) -> None:
    assert np.array_equal(model.table.gather(np.ma.array([1, 2])), model.table.gather([1, 2]))


def test_torch_tensors_that_are_no_integers(model: Any) -> None:
    torch = pytest.importorskip("torch")
    for dtype in (torch.bfloat16, torch.float16, torch.float32, torch.complex64):
        with pytest.raises(TypeError, match="ids must be integers"):
            model.table.gather(torch.ones(2, dtype=dtype))
    with pytest.raises(TypeError, match="real numbers"):
        model.table.top(torch.ones(model.n_embd, dtype=torch.complex64), 1)


class Tensor:
    """What of torch's tensor is asked before its memory is looked at."""

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype


def test_tensors_are_asked_for_their_type_first(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without torch."""
    fake = type(sys)("torch")
    fake.Tensor = Tensor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", fake)
    with pytest.raises(TypeError, match=r"ids must be integers, got torch\.bfloat16"):
        model.table.gather(Tensor("torch.bfloat16"))
    with pytest.raises(TypeError, match="query must be real numbers"):
        model.table.top(Tensor("torch.complex64"), 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.uint64])
def test_an_export_keeps_the_tokens_of_narrow_ids(model: Any, tmp_path: Path, dtype: Any) -> None:
    ids = np.array([254, 255, 0, 1] if dtype != np.int8 else [126, 127, 0, 1], dtype)
    path = tmp_path / "x.npz"
    export(model.table, path, vocabulary=model.vocabulary, ids=ids)
    with np.load(path) as stored:
        assert stored["ids"].tolist() == ids.tolist()
        assert stored["tokens"].tolist() == [model.vocabulary.tokens[int(i)] for i in ids]


@pytest.mark.parametrize(
    "command",
    [
        ("export", "demo", "{}/x.npy", "--range", "0:99999999999999999999"),
        ("export", "demo", "{}/x.npy", "--range", "99999999999999999999:0"),
        ("embed", "demo", "--ids", "99999999999999999999"),
        ("size", "1" + "0" * 400, "1"),
        ("size", "1", "1" + "0" * 5000),
        ("nearest", "demo", "king", "--k", "99999999999999999999"),
    ],
)
def test_huge_numbers_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert main([part.format(tmp_path) for part in command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pyembed: error: ")
    assert error.count("\n") == 1


# --------------------------------------------------------------------------------- rows at the edges


def odd_rows() -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
    rows[3, 1], rows[4, 2], rows[5] = np.nan, np.inf, 3e38
    rows[6], rows[7] = -3e38, 2e19
    return rows


def gguf_of(path: Path, rows: Any, kind: int = 0) -> Path:
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.tensor("token_embd.weight", rows.shape, kind, rows.tobytes())
    path.write_bytes(bytes(builder))
    return path


def test_a_file_is_the_same_as_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = gguf_of(tmp_path / "m.gguf", odd_rows())
    assert main(["diff", str(path), str(path)]) == 0, capsys.readouterr().out
    report = pyembed.validate(path, reference=path)
    assert not [finding for finding in report.findings if finding.rule.startswith("reference/")]
    changed = odd_rows()
    changed[3, 0] += 1
    other = gguf_of(tmp_path / "n.gguf", changed)
    assert main(["diff", str(path), str(other)]) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("similarity", "--ids", "3,4,5"),
        ("nearest", "--ids", "8"),
        ("health",),
        ("embed", "--ids", "3,4,5"),
        ("info",),
        ("validate", "--format", "json"),
    ],
)
def test_json_of_numbers_that_are_not_finite(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    path = gguf_of(tmp_path / "m.gguf", odd_rows())
    json_flag = () if "--format" in command else ("--json",)
    assert main([command[0], str(path), *command[1:], *json_flag]) in (0, 1)
    text = capsys.readouterr().out

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(text, parse_constant=refuse)
    if command[0] == "similarity":
        assert found["not_finite"] == [3, 4]
        assert found["cosine"][0] == [None] * 3


@pytest.mark.parametrize("shape", [(0, 8), (8, 0), (0, 0)])
def test_tables_of_no_size_never_divide_by_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], shape: tuple[int, int]
) -> None:
    path = gguf_of(tmp_path / "m.gguf", np.zeros(shape, np.float32))
    commands = [
        ("info",),
        ("validate",),
        ("health",),
        ("lock",),
        ("size",),
        ("embed", "--ids", "0"),
        ("nearest", "--ids", "0"),
        ("similarity", "--ids", "0"),
    ]
    for command in commands:
        assert main([command[0], str(path), *command[1:]]) in (0, 1, 2), command
    main(["export", str(path), str(tmp_path / "x.npy")])
    main(["diff", str(path), str(path)])
    assert "division" not in "".join(capsys.readouterr())
    report = pyembed.validate(path)
    assert not any("examination" in finding.rule for finding in report.findings)


# ------------------------------------------------------------------------------ cost and small memory


def overlapping(path: Path, n: int, n_bytes: int) -> Path:
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    shape = (n_bytes // 2048, 1024)
    builder.tensor("token_embd.weight", shape, F16, bytes(n_bytes))
    for number in range(n - 1):
        builder.tensor(f"t{number}", shape, F16, offset=0)
    path.write_bytes(bytes(builder))
    return path


def test_tensors_over_the_same_bytes_are_read_once(tmp_path: Path) -> None:
    path = overlapping(tmp_path / "m.gguf", 8000, 1 << 20)
    start = time.process_time()
    report = pyembed.validate(path, level="full")
    assert time.process_time() - start < 10
    text = next(verdict.text for verdict in report.verdicts if verdict.evidence == "tensor")
    assert "the bytes of 1 tensor were looked at; 7999 that share bytes with others were not" in text
    assert any(finding.rule == "container/overlap" for finding in report.findings)
    with pyembed.load_model(path, validate="off") as opened:
        checked = opened.check_tensors()
    assert not checked.ok
    assert "7999 tensors share bytes with others" in checked.findings[0].message


def test_an_extract_is_never_larger_than_the_model(tmp_path: Path) -> None:
    path = overlapping(tmp_path / "m.gguf", 100, 64 << 10)
    with pytest.raises(GGUFError, match="the 100 tensors share bytes"):
        extract(path, tmp_path / "x.gguf", tensors=["*"])
    assert sorted(file.name for file in tmp_path.iterdir()) == ["m.gguf"]
    assert extract(path, tmp_path / "x.gguf").tensors == ("token_embd.weight",)


LITTLE = """
import resource, logging
logging.disable(50)
model = pyembed.load_model(pyembed.demo_model(), validate="off")
from pyembed import health
size = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + int(sys.argv[1]) * 2**20, resource.RLIM_INFINITY))
try:
    health.examine(model) if sys.argv[2] == "health" else model.validate("full")
    print("ok")
except MemoryError:
    print("MemoryError")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits addresses by what /proc says")
@pytest.mark.parametrize("what", ["health", "validate"])
def test_little_memory_is_memory_error(what: str) -> None:
    """NumPy's linear algebra ends the process where it finds no address space."""
    ended = [output_of(LITTLE, n_mib, what).strip() for n_mib in (8, 24, 32, 48, 64, 100)]
    assert set(ended) <= {"ok", "MemoryError"}
    assert ended[0] == "MemoryError"
