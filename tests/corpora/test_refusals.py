"""Corpora: folders, runs and disks that a run does not go on with."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

import pyembed
from tests.helpers.corpora import contents, save_model

pytest.importorskip("pyarrow.parquet")
pytest.importorskip("tokenizers")


def begun(model: Path, corpus: Path, out: Path) -> None:
    """Write a run that lacks its last part."""
    pyembed.encode_corpus(model, corpus, out, part_size="32KiB")
    lines = (out / "_parts.jsonl").read_bytes().splitlines(keepends=True)
    (out / "_parts.jsonl").write_bytes(b"".join(lines[:-1]))
    (out / f"part-{len(lines) - 1:05d}.parquet").unlink()


@pytest.mark.parametrize("change", [("files", {}), ("rows", 1e400)])
def test_lines_of_parts_that_no_run_wrote(
    model: Path, corpus: Path, tmp_path: Path, change: tuple[str, Any]
) -> None:
    begun(model, corpus, tmp_path / "out")
    log = tmp_path / "out" / "_parts.jsonl"
    lines = log.read_text().splitlines()
    spoilt = json.dumps({**json.loads(lines[0]), change[0]: change[1]})
    log.write_text("\n".join([spoilt, spoilt, *lines[1:]]) + "\n")
    with pytest.raises(ValueError, match="is damaged: begin anew"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", part_size="32KiB", resume=True)


@pytest.mark.parametrize("end", [[2, 0], [0, 0]])
def test_a_part_that_ends_where_none_does(model: Path, corpus: Path, tmp_path: Path, end: list[int]) -> None:
    """Behind all inputs nothing is left to do: the parts that are missing would not be missed."""
    begun(model, corpus, tmp_path)
    *lines, last = (tmp_path / "_parts.jsonl").read_text().splitlines()
    spoilt = json.dumps({**json.loads(last), "next": end})
    (tmp_path / "_parts.jsonl").write_text("\n".join([*lines, spoilt]) + "\n")
    with pytest.raises(ValueError, match=r"_parts.jsonl is damaged: begin anew in another folder"):
        pyembed.encode_corpus(model, corpus, tmp_path, part_size="32KiB", resume=True)


def test_another_model_is_refused(model: Path, corpus: Path, tmp_path: Path) -> None:
    begun(model, corpus, tmp_path / "out")
    before = contents(tmp_path / "out")
    for other in (save_model(tmp_path / "rows", 1), save_model(tmp_path / "limit", max_length=100)):
        with pytest.raises(pyembed.LockError, match=r"the model is not the one.*model"):
            pyembed.encode_corpus(other, corpus, tmp_path / "out", part_size="32KiB", resume=True)
    with pytest.raises(ValueError, match=r"options.dim is 8, was None"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", part_size="32KiB", resume=True, dim=8)
    with pytest.raises(ValueError, match="holds a run already: resume it"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", part_size="32KiB")
    assert contents(tmp_path / "out") == before


def test_another_corpus_is_refused(model: Path, corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "0.txt"
    copy.write_text("the cat\n" * 3000, "utf-8")
    begun(model, copy, tmp_path / "out")
    copy.write_text("the dog\n" * 3000, "utf-8")
    with pytest.raises(ValueError, match=r"the run is not the one.*inputs\[0\].digest"):
        pyembed.encode_corpus(model, copy, tmp_path / "out", part_size="32KiB", resume=True)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("part-00000.parquet", b"another", "part-00000.parquet is not what this run wrote"),
        ("part-00005.parquet", b"another", "part-00005.parquet is not what this run wrote"),
        ("notes.md", b"", "notes.md is not what this run wrote"),
        ("part-00000.parquet", None, "'part-00000.parquet' is gone"),
        ("_parts.jsonl", b"{}\n{}\n", "_parts.jsonl is damaged"),
        ("_manifest.json", b"[]", "_manifest.json is not the manifest of a run"),
        ("_manifest.json", b"[" * 100_000, "_manifest.json is not the manifest of a run"),
    ],
)
def test_what_another_process_wrote(
    model: Path, corpus: Path, tmp_path: Path, name: str, data: bytes | None, message: str
) -> None:
    out = tmp_path / "out"
    begun(model, corpus, out)
    if data is None:
        (out / name).unlink()
    else:
        (out / name).write_bytes(data)
    with pytest.raises(ValueError, match=message):
        pyembed.encode_corpus(model, corpus, out, part_size="32KiB", resume=True)
    assert data is None or (out / name).read_bytes() == data


def test_a_folder_that_holds_something_else(model: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(ValueError, match=r"holds 'mine.txt', which no run wrote"):
            pyembed.encode_corpus(model, corpus, tmp_path, resume=resume)
    assert os.listdir(tmp_path) == ["mine.txt"]
    with pytest.raises(FileExistsError):
        pyembed.encode_corpus(model, corpus, tmp_path / "mine.txt")


def test_two_at_once(model: Path, corpus: Path, tmp_path: Path) -> None:
    from pyembed.corpora.manifest import opened

    with opened(tmp_path / "out"), pytest.raises(ValueError, match="another process writes into"):
        pyembed.encode_corpus(model, corpus, tmp_path / "out", resume=True)
    pyembed.encode_corpus(model, corpus, tmp_path / "out", resume=True)


def test_a_full_disk_loses_nothing_that_was_done(model: Path, corpus: Path, tmp_path: Path) -> None:
    """A part that no longer fits leaves the parts before it, and is written when there is room."""
    resource = pytest.importorskip("resource", reason="limits the size of files as POSIX does")
    out, limits = tmp_path / "out", resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    pyembed.encode_corpus(model, corpus, tmp_path / "whole", part_size="32KiB", text="body")
    sizes = [path.stat().st_size for path in sorted((tmp_path / "whole").glob("part-*"))]
    begun(model, corpus, out)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (sizes[-1] // 2, limits[1]))
        with pytest.raises(OSError, match=r"part-0000\d.parquet") as caught:
            pyembed.encode_corpus(model, corpus, out, part_size="32KiB", resume=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert caught.value.errno is not None
    assert not list(out.glob(".pyembed-*"))
    pyembed.encode_corpus(model, corpus, out, part_size="32KiB", resume=True)
    assert contents(out) == contents(tmp_path / "whole")
