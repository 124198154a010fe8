"""``pyembed encode``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from tools.signalled import Command

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Engines are compared once for all tests, and not by what other runs remember."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYEMBED_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [json.dumps({"id": number, "text": f"open file {number}", "x": 1}) for number in range(40)]
    (tmp_path / "in.jsonl").write_text("\n".join([*lines, "{}", "no"]), "utf-8")
    out = tmp_path / "out"
    call = ["encode", "demo", str(tmp_path / "in.jsonl"), "--out", str(out), "--columns", "id,text"]
    call += ["--dtype", "float16", "--dim", "8", "--normalize", "--into", "v"]
    assert main(call) == 2
    assert "in.jsonl: row 40: null" in capsys.readouterr().err
    assert main([*call, "--max-errors", "any", "--resume"]) == 0
    shown = capsys.readouterr().out
    assert "40, 40 vectors" in shown
    assert "2, see _rejects-*.jsonl" in shown
    assert main([*call, "--max-errors", "any", "--resume", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["failed"], facts["resumed"], facts["parts"]) == (
        40,
        2,
        42,
        ["part-00000.parquet"],
    )
    found = pyarrow.parquet.read_table(out)
    assert found.schema.names == ["id", "text", "v"]
    with pyembed.load_encoder(pyembed.demo_model()) as encoder:
        texts = found.column("text").to_pylist()
        wanted = encoder.encode(texts, dim=8, normalize=True, dtype="float16")
    np.testing.assert_array_equal(np.array(found.column("v").to_pylist(), np.float16), wanted)
    assert main([*call, "--no-normalize", "--resume"]) == 2
    assert "options.normalize is False, was True" in capsys.readouterr().err


def test_without_pyarrow(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from pyembed.cli import main; sys.exit(main(['encode', 'demo', 'in.txt', '--out', 'out']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert "corpora need pyarrow: pip install 'pyembed-gguf[corpora]'" in done.stderr


def test_a_part_that_is_interrupted_as_it_begins_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has its file open any more: Windows removes no others."""
    (tmp_path / "in.txt").write_text("open the file\n", "utf-8")
    streams = []

    class Writer(pyarrow.parquet.ParquetWriter):  # type: ignore[misc]
        def __init__(self, where: Any, *arguments: Any, **options: Any) -> None:
            if isinstance(where, pyarrow.OSFile):
                streams.append(where)
                raise KeyboardInterrupt
            super().__init__(where, *arguments, **options)

    monkeypatch.setattr("pyarrow.parquet.ParquetWriter", Writer)
    with pytest.raises(KeyboardInterrupt):
        pyembed.encode_corpus(pyembed.demo_model(), tmp_path / "in.txt", tmp_path / "out")
    assert [stream.closed for stream in streams] == [True]
    assert sorted(os.listdir(tmp_path / "out")) == ["_manifest.json", "_parts.jsonl"]


def test_a_signal_leaves_whole_parts(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("open the file\n" * 8_000, "utf-8")
    call = ["encode", "demo", "in.txt", "--out", "out", "--part-size", "1MiB"]
    process = Command(*call, cwd=tmp_path, stderr=subprocess.DEVNULL)
    parts = tmp_path / "out" / "part-00002.parquet"
    until = time.monotonic() + 60
    while not parts.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    code = process.wait(60)
    assert code in (0, 128 + signal.SIGTERM)
    names = os.listdir(tmp_path / "out")
    assert not [name for name in names if name.endswith(".tmp")]
    lines = (tmp_path / "out" / "_parts.jsonl").read_text().splitlines()
    assert len([name for name in names if name.startswith("part")]) in (len(lines), len(lines) - 1)
    again = Command(*call, "--resume", "--json", cwd=tmp_path, stdout=subprocess.PIPE)
    assert json.loads(again.communicate()[0])["rows"] == 8_000
