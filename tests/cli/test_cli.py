"""The command line: what it prints, writes and answers, and how it complains."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.cli.show import size_text
from pyembed.core.display import cell_width
from pyembed.safe_text import printable
from tests.helpers import ngram_files
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

ROWS = rows_of_floats(6, 16)

# Bytes of the tables of published models; None where a row does not divide into blocks.
TYPES = ("F32", "F16", "BF16", "Q8_0", "Q6_K", "Q4_K", "Q4_0", "NVFP4", "MXFP4")
PUBLISHED = {
    (50257, 768): (154389504, 77194752, 41009712, 31661910, 21711024, 21711024, 20504856),
    (50257, 12288): (2470232064, 1235116032, 656155392, 506590560, 347376384, 347376384, 328077696),
    (32000, 4096): (524288000, 262144000, 139264000, 107520000, 73728000, 73728000, 69632000),
    (128256, 4096): (2101346304, 1050673152, 558170112, 430940160, 295501824, 295501824, 279085056),
    (128256, 8192): (4202692608, 2101346304, 1116340224, 861880320, 591003648, 591003648, 558170112),
    (202048, 5120): (4137943040, 2068971520, 1099141120, 848601600, 581898240, 581898240, 549570560),
    (128000, 7168): (3670016000, 1835008000, 974848000, 752640000, 516096000, 516096000, 487424000),
    (129280, 7168): (3706716160, 1853358080, 984596480, 760166400, 521256960, 521256960, 492298240),
    (262144, 640): (671088640, 335544320, 178257920, None, None, 94371840, 89128960),
    (151936, 2048): (1244659712, 622329856, 330612736, 255252480, 175030272, 175030272, 165306368),
    (131072, 4096): (2147483648, 1073741824, 570425344, 440401920, 301989888, 301989888, 285212672),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tokens = ["▁king", "▁queen", "[CLS]", "s", "▁evil\x1b[31m", "▁[red]x[/red]"]
    options: dict[str, Any] = {"model": "bert", "tokens": tokens, "types": [1, 1, 3, 1, 1, 1]}
    return write_model(tmp_path / "m.gguf", architecture="bert", tensors={TOKEN_TABLE: ROWS}, **options)


def run(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main([str(argument) for argument in arguments]) == code
    captured = capsys.readouterr()
    if code == 0:
        assert captured.err == ""
        return captured.out
    assert captured.out == ""
    assert captured.err.startswith("pyembed: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(run(capsys, *arguments, "--json"))


# --------------------------------------------------------------------------------------------- info


def test_info(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "info", path)
    lines = {line.split("  ")[0]: line.split("  ")[-1].strip() for line in text.splitlines() if line}
    assert lines["format"] == "gguf version 3"
    assert lines["token table"] == "token_embd.weight, 6 x 16 F32, 384 B"
    assert lines["tied"] == "no"
    assert lines["first layer"] == "the file has no position_embd.weight, which bert uses"
    assert lines["load mode"] == "mmap"
    assert lines["vocabulary"] == "6 tokens, bert"
    assert lines["digest"].startswith("sha256:")
    assert TOKEN_TABLE in run(capsys, "info", path, "--tensors")


def test_info_json(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "info", path)
    with pyembed.load_model(path) as model:
        assert facts["vocabulary"]["digest"] == model.vocabulary.digest
        assert facts["tensors"][0]["offset"] == model.tensors[TOKEN_TABLE].offset
    assert facts["path"] == str(path)
    assert (facts["format"], facts["version"], facts["byte_order"]) == ("gguf", 3, "little")
    assert facts["n_bytes"] == path.stat().st_size
    assert facts["tensors"][0]["shape"] == [6, 16]
    assert facts["tied"] is False
    assert facts["input_recipe"]["batch_embd"] == "raw"
    assert facts["vocabulary"]["types"] == {"NORMAL": 5, "CONTROL": 1}
    assert facts["metadata"]["tokenizer.ggml.tokens"] == {"array": "string", "n": 6}
    assert facts["metadata"]["general.architecture"] == "bert"


def test_info_of_the_demo(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(capsys, "info", "demo")["vocabulary"]["n_tokens"] > 1000
    assert "vocabulary" in run(capsys, "info", "demo")


def test_info_of_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_file = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed").save_file
    save_file({"wte.weight": ROWS, "b": ROWS[0]}, tmp_path / "m.safetensors")
    np.save(tmp_path / "m.npy", ROWS)
    assert "wte.weight" in run(capsys, "info", tmp_path / "m.safetensors")
    assert len(run_json(capsys, "info", tmp_path / "m.safetensors")["tensors"]) == 2
    assert "6 x 16" in run(capsys, "info", tmp_path / "m.npy")


def test_info_of_hashed_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ple, engram = ngram_files.write_small(tmp_path, np.random.default_rng(1))
    facts = run_json(capsys, "info", engram)["hashed_rows"]
    assert (facts["scheme"], facts["layers"]) == ("engram", [1, 14])
    assert facts["tables"] == ["blk.1.engram_embd.weight", "blk.14.engram_embd.weight"]
    assert facts["n_rows"] == list(ngram_files.SMALL_ROWS)
    assert "engram, layers 1, 14: " in run(capsys, "info", engram)
    assert f"{ngram_files.SMALL_ROWS[0]:,} rows a table" in run(capsys, "info", ple)
    assert run_json(capsys, "info", "demo")["hashed_rows"] is None
    keys = ngram_files.small_ple()
    del keys["qwen4exp.ple.layer_multipliers"]
    broken = ngram_files.write(tmp_path / "broken.gguf", "qwen4exp", keys, ngram_files.token_table(40))
    assert "multipliers" in run_json(capsys, "info", broken)["hashed_rows"]["error"]
    assert "hashed rows" in run(capsys, "info", broken)
    assert "unusable: " in run(capsys, "info", broken)


def test_info_of_a_model_without_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16))
    assert "none" in run(capsys, "info", path)
    facts = run_json(capsys, "info", path)
    assert facts["vocabulary"] is None
    assert facts["n_embd"] is None


# -------------------------------------------------------------------------------------------- embed


def test_embed_tokens(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "embed", path, "--tokens", "king", "##s")
    assert "[2, 16] float32" in text
    assert "▁king" in text
    assert f"{ROWS[0, 0]:.4f}" in text
    assert f"{ROWS[3, -1]:.4f}" in text
    assert "..." in text


def test_embed_json_is_exact(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "embed", path, "--ids", "5,0,5")
    assert facts["ids"] == [5, 0, 5]
    assert facts["shape"] == [3, 16]
    assert facts["tokens"][1] == "▁king"
    np.testing.assert_array_equal(np.array(facts["rows"], np.float32), ROWS[[5, 0, 5]])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_embed_into_a_file(
    dtype: str, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.npy"
    out.write_text("old")
    assert str(out) in run(capsys, "embed", path, "--ids", "1,2", "--dtype", dtype, "--out", out)
    with pyembed.open_table(path) as table:
        np.testing.assert_array_equal(np.load(out), table.gather([1, 2], dtype=dtype))
    assert sorted(os.listdir(tmp_path)) == ["m.gguf", "rows.npy"]
    facts = run_json(capsys, "embed", path, "--ids", "1", "--out", out)
    assert facts["out"] == str(out)
    assert "rows" not in facts


def test_embed_leaves_an_old_file_alone_if_it_fails(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "rows.npy"
    out.write_text("old")
    run(capsys, "embed", path, "--ids", "100", "--out", out, code=2)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyembed.cli.embed.write_array", fail)
    assert "No space left" in run(capsys, "embed", path, "--ids", "1", "--out", out, code=2)
    assert out.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["m.gguf", "rows.npy"]


def test_embed_numbers_that_json_has_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = np.array([[np.nan, np.inf, 1.0]], np.float32)
    np.save(tmp_path / "m.npy", rows)
    assert run_json(capsys, "embed", tmp_path / "m.npy", "--ids", "0")["rows"] == [[None, None, 1.0]]
    assert "nan" in run(capsys, "embed", tmp_path / "m.npy", "--ids", "0")


def test_embed_another_tensor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: ROWS, "output.weight": -ROWS})
    facts = run_json(capsys, "embed", path, "--ids", "3", "--tensor", "output.weight")
    np.testing.assert_array_equal(np.array(facts["rows"], np.float32), -ROWS[[3]])
    assert "near it: 'output.weight'" in run(
        capsys, "embed", path, "--ids", "3", "--tensor", "output.weigth", code=2
    )


def test_texts_of_files_are_harmless(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = run(capsys, "embed", path, "--ids", "4,5")
    assert "\x1b" not in text
    assert "▁evil\\x1b[31m" in text
    assert "▁[red]x[/red]" in text
    assert "\x1b" not in run(capsys, "embed", path, "--ids", "4", "--json")


# --------------------------------------------------------------------------------------------- size


@pytest.mark.parametrize("shape", PUBLISHED)
def test_published_sizes(shape: tuple[int, int], capsys: pytest.CaptureFixture[str]) -> None:
    f32, f16, q8_0, q6_k, q4_k, q4_0, mxfp4 = PUBLISHED[shape]
    facts = run_json(capsys, "size", *shape)
    found = {kind["type"]: kind["n_bytes"] for kind in facts["types"]}
    assert tuple(found[name] for name in TYPES) == (f32, f16, f16, q8_0, q6_k, q4_k, q4_0, q4_0, mxfp4)
    assert (facts["rows"], facts["columns"]) == shape


def test_size_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    lines = {line.split()[0]: line for line in run(capsys, "size", 262144, 640).splitlines() if line}
    assert lines["BF16"].endswith("320.0 MiB")
    assert lines["Q4_K"].split()[-2:] == ["-", "-"]


def test_size_of_a_model(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run_json(capsys, "size", path)
    assert (facts["rows"], facts["columns"], facts["type"]) == (6, 16, "F32")
    assert "stored as" in run(capsys, "size", "demo")


# ----------------------------------------------------------------------------------- the whole command


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "COMMAND"),
        (["bogus"], "bogus"),
        (["info"], "MODEL"),
        (["info", "/no/such/file"], "/no/such/file: "),
        (["info", "demo", "--bogus"], "--bogus"),
        (["embed", "demo"], "--ids"),
        (["embed", "demo", "--ids", "1,x"], "1,x"),
        (["embed", "demo", "--ids", ""], "list of ids"),
        (["embed", "demo", "--ids", "-1"], "id -1"),
        (["embed", "demo", "--ids", "99999999"], "id 99999999 at position 0"),
        (["embed", "demo", "--tokens", "strng"], "near it: "),
        (["embed", "demo", "--ids", "1", "--dtype", "int8"], "int8"),
        (["embed", "demo", "--ids", "1", "--out", "/no/such/folder/x.npy"], "/no/such/folder/x.npy"),
        (["size", "1", "2", "3"], "3 arguments"),
        (["size", "1", "x"], "two numbers"),
        (["size", "-5", "4"], ""),
        (["size", "5", "0"], "not a table"),
    ],
)
def test_wrong_calls(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert says in run(capsys, *arguments, code=2)


def test_a_damaged_file(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_bytes(path.read_bytes()[:200])
    for command in (["info"], ["embed", "--ids", "1"], ["size"]):
        assert str(path) in run(capsys, command[0], path, *command[1:], code=2)


def test_tokens_of_a_file_without_vocabulary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "m.npy", ROWS)
    assert "has no vocabulary: choose rows with --ids" in run(
        capsys, "embed", tmp_path / "m.npy", "--tokens", "x", code=2
    )


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == f"pyembed {pyembed.__version__}\n"


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pyembed.cli.size.run", interrupt)
    assert main(["size", "1", "2"]) == 130


def test_a_reader_that_has_seen_enough() -> None:
    command = [sys.executable, "-m", "pyembed", "info", "demo", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_an_ascii_terminal() -> None:
    command = [sys.executable, "-m", "pyembed", "embed", "demo", "--tokens", "file"]
    result = subprocess.run(
        command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=True, timeout=60
    )
    assert rb"\u2581file" in result.stdout


def test_a_terminal_gets_a_table_of_rich(
    path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    text = run(capsys, "embed", path, "--ids", "4,5")
    assert "▁[red]x[/red]" in text, "a token is not markup"
    assert "evil\\x1b" in text
    monkeypatch.setitem(sys.modules, "rich.table", None)
    assert "▁[red]x[/red]" in run(capsys, "embed", path, "--ids", "5")


def test_printable() -> None:
    assert printable("plain ▁é") == "plain ▁é"
    assert printable("a\nb\u202e\udcff") == "a\\nb\\u202e\\udcff"


@pytest.mark.parametrize("has_rich", [True, False], ids=["rich", "plain"])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_numbers_never_break(
    width: int, has_rich: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "dumb")  # no bold letters, whose codes are not seen
    if not has_rich:
        monkeypatch.setitem(sys.modules, "rich.table", None)
    model = pyembed.load_model(pyembed.demo_model())
    text = run(capsys, "embed", "demo", "file", "string", "--ids", "5")
    for value in model.embed([94, 100, 5])[:, [0, 1, 2, 3, -2, -1]].reshape(-1):
        assert f" {value:.4f}" in text
    health = run(capsys, "health", "demo")
    for norm in pyembed.health.examine(model).norms.percentiles:
        assert f" {norm:.4g}" in health
    words = ["file", "files", "open", "string", "buffer", "class", "import", "return", "name"]
    similarity = run(capsys, "similarity", "demo", *words)
    for score in model.geometry.similarities(words).reshape(-1):
        assert f" {score:.4f}" in similarity
    info = run(capsys, "info", "demo")
    digest = "".join(line.split(maxsplit=1)[-1].strip() for line in info.partition("digest")[2].splitlines())
    assert digest == model.vocabulary.digest, "it is folded, and whole"
    for line in (text + health + similarity + info + run(capsys, "validate", "demo")).splitlines():
        assert len(line.rstrip()) <= width or "demo.gguf" in line
    model.close()


def test_wide_and_marked_letters_keep_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tokens = ["漢字", "e\u0301a\u0300", "plain", "한국"]
    tensors = {TOKEN_TABLE: rows_of_floats(4, 2)}
    path = write_model(tmp_path / "m.gguf", tokens=tokens, model="llama", tensors=tensors)
    lines = run(capsys, "embed", path, "--ids", "0,1,2,3").splitlines()[1:]
    assert len({cell_width(line) for line in lines}) == 1, lines


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}], ids=str)
def test_columns_in_other_locales(variables: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pyembed", "nearest", "demo", "file", "--k", "5"]
    environment = {**os.environ, **variables}
    result = subprocess.run(command, capture_output=True, env=environment, check=True, timeout=60)
    table = result.stdout.decode("utf-8").splitlines()[1:-1]
    assert len({cell_width(line) for line in table}) == 1, table


def test_size_text() -> None:
    sizes = [0, 1023, 1024, 1536, 320 * 2**20, 2**40, 2**50]
    assert [size_text(n) for n in sizes] == [
        "0 B", "1023 B", "1.0 KiB", "1.5 KiB", "320.0 MiB", "1.0 TiB", "1024.0 TiB",
    ]  # fmt: skip


def test_embed_never_writes_over_the_model(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = path.read_bytes()
    complaint = run(capsys, "embed", path, "--ids", "1", "--out", path, code=2)
    assert "is the model itself" in complaint
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["embed", "nearest", "similarity"])
def test_words_tokens_and_ids_mean_the_same_everywhere(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        ids = [model.geometry.place("file").id, model.vocabulary.find(" string"), 7]
    facts = run_json(
        capsys, command, "demo", "--tensor", "token_embd.weight", "file", "--ids", "7", "--tokens", " string"
    )
    chosen = (
        facts["ids"]
        if command == "embed"
        else [one["id"] for one in facts.get("results", facts.get("words"))]
    )
    assert chosen == ids


@pytest.mark.posix
@pytest.mark.parametrize(
    "ends", ["", "raise ValueError('wrong')", "raise KeyboardInterrupt"], ids=["end", "error", "Ctrl-C"]
)
def test_progress_leaves_nothing_behind(ends: str) -> None:
    """On a terminal each line of the bar is erased again, and the cursor is seen, however the work ends."""
    program = f"""
import time
from pyembed.cli.progress import progress_bar
with progress_bar() as tell:
    tell("looking at rows", 0.5)
    time.sleep(0.3)
    {ends}
"""
    import pty

    terminal, other_end = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdout=other_end, stderr=other_end, env=environment
    )
    os.close(other_end)
    output = b""
    with suppress(OSError):  # how a terminal ends
        while data := os.read(terminal, 1 << 16):
            output += data
    os.close(terminal)
    child.wait(60)
    shown, _, after = output.rpartition(b"looking at rows")
    assert shown
    assert b"\x1b[2K" in after, "the line is erased"
    assert after.rindex(b"\x1b[?25h") > after.rfind(b"\x1b[?25l"), "the cursor is shown"
    erased = after[after.rindex(b"\x1b[2K") + 4 :]
    assert b"\xe2\x94\x81" not in erased
