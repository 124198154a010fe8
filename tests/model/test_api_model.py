"""Opening a model, what it says of itself, and closing it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import gguf
import numpy as np
import pytest

import pyembed
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

ROWS = rows_of_floats()
OTHER_ROWS = rows_of_floats(seed=1)
TOKENS = [f"t{i}" for i in range(10)]
READING_MODES = ["none", "mlock", "dio"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.gguf", model="gpt2", tokens=TOKENS, tensors={TOKEN_TABLE: ROWS})


def load(path: Path, mode: str = "auto", **options: object) -> pyembed.Model:
    try:
        return pyembed.load_model(path, load_mode=mode, **options)  # type: ignore[arg-type]
    except OSError as error:
        if "mlock" in mode:
            pytest.skip(f"memory cannot be locked here: {error}")
        raise


def test_what_a_model_says_of_itself(path: Path) -> None:
    with pyembed.load_model(path) as model:
        assert model.path == str(path)
        assert model.architecture == "llama"
        assert (model.n_vocab, model.n_embd) == (10, 8)
        assert model.load_mode == "mmap"
        assert model.metadata["tokenizer.ggml.model"] == "gpt2"
        assert list(model.tensors) == [TOKEN_TABLE]
        assert len(model.tensors) == 1
        assert len(model.vocabulary) == 10
        assert model.vocabulary is model.vocabulary
        assert str(path) in repr(model)
        np.testing.assert_array_equal(model.embed([[1, 2], [3, 9]]), ROWS[[[1, 2], [3, 9]]])
        out = np.empty((2, 8), np.float16)
        assert model.embed([0, 4], out=out, dtype="float16") is out
        np.testing.assert_array_equal(out, ROWS[[0, 4]].astype(np.float16))


def test_tensor_infos(path: Path) -> None:
    with pyembed.load_model(path) as model:
        info = model.tensors[TOKEN_TABLE]
        assert (info.name, info.shape, info.type, info.n_bytes) == (TOKEN_TABLE, (10, 8), "F32", 320)
        assert info.path == str(path)
        raw = path.read_bytes()[info.offset : info.offset + 320]
        np.testing.assert_array_equal(np.frombuffer(raw, np.float32).reshape(10, 8), ROWS)
        assert info == model.tensors[TOKEN_TABLE]
        with pytest.raises(AttributeError):
            info.name = "other"  # type: ignore[misc]
        with pytest.raises(KeyError, match=r"near it: 'token_embd\.weight'"):
            model.tensors["token_emb.weight"]
        assert "x" not in model.tensors
        assert 5 not in model.tensors
        assert model.tensors.get("x") is None


# --------------------------------------------------------------------------------------- tables


def test_tables_are_opened_once_by_name(path: Path) -> None:
    with pyembed.load_model(path) as model:
        assert model.table is model.open_table(TOKEN_TABLE)
        with pytest.raises(KeyError) as caught:
            model.open_table("token_embd")
        assert "token_embd.weight" in str(caught.value)
        assert "\\" not in str(caught.value).replace(str(path), "")
        model.table.close()
        assert not model.table.closed, "a table that was closed is opened anew"
        assert model.embed(3).shape == (8,)


def test_tied(path: Path) -> None:
    with pyembed.load_model(path) as model:
        assert model.tied
        assert model.output_table is model.table


def test_untied(tmp_path: Path) -> None:
    tensors = {TOKEN_TABLE: ROWS, "output.weight": OTHER_ROWS}
    with pyembed.load_model(write_model(tmp_path / "m.gguf", tensors=tensors)) as model:
        assert not model.tied
        np.testing.assert_array_equal(model.output_table[:], OTHER_ROWS)
        np.testing.assert_array_equal(model.table[:], ROWS)


@pytest.mark.parametrize("architecture", ["bert", "nomic-bert-moe", "eurobert", "clef", "vllm-decision2"])
def test_no_output_head(architecture: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", architecture=architecture, tensors={TOKEN_TABLE: ROWS})
    with pyembed.load_model(path) as model:
        assert not model.tied
        with pytest.raises(LookupError, match=f"{architecture} has no output table"):
            _ = model.output_table


def test_codeshell_may_store_the_output_only(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", architecture="codeshell", tensors={"output.weight": ROWS})
    with pyembed.load_model(path) as model:
        assert model.tied
        assert model.output_table is model.table
        assert (model.n_vocab, model.n_embd) == (10, 8)


def test_rows_count_where_there_is_no_vocabulary(tmp_path: Path) -> None:
    with pyembed.load_model(write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: ROWS})) as model:
        assert model.n_vocab == 10
        with pytest.raises(pyembed.VocabularyError):
            _ = model.vocabulary


def test_tokens_count_where_both_are_there(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", model="gpt2", tokens=TOKENS[:7], tensors={TOKEN_TABLE: ROWS})
    with pyembed.load_model(path) as model:
        assert model.n_vocab == 7
        assert len(model.table) == 10


def test_a_vocabulary_alone(tmp_path: Path) -> None:
    def add(writer: gguf.GGUFWriter) -> None:
        writer.add_embedding_length(4096)

    path = write_model(tmp_path / "m.gguf", model="gpt2", tokens=TOKENS, add=add)
    with pyembed.load_model(path, load_mode="none") as model:
        assert (model.n_vocab, model.n_embd) == (10, 4096)
        assert not model.tied
        assert len(model.tensors) == 0
        with pytest.raises(KeyError):
            _ = model.table


def test_a_file_without_an_architecture(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + (3).to_bytes(4, "little") + bytes(16))
    with pyembed.load_model(path) as model:
        assert model.architecture is None
        assert list(model.metadata) == []
        for ask in (
            lambda: model.n_embd,
            lambda: model.n_vocab,
            lambda: model.table,
            lambda: model.output_table,
        ):
            with pytest.raises(KeyError):
                ask()
        repr(model)


# ----------------------------------------------------------------------------------------- loading


@pytest.mark.parametrize("mode", ["auto", "none", "mmap", "mlock", "mmap+mlock", "dio"])
def test_load_modes_give_the_same_rows(mode: str, path: Path) -> None:
    with load(path, mode) as model:
        real = {"auto": {"mmap"}, "dio": {"dio", "none"}}.get(mode, {mode})
        assert model.load_mode in real
        np.testing.assert_array_equal(model.table[:], ROWS)


def test_an_unknown_load_mode(path: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown load_mode 'fast'; known: auto, none, mmap"):
        pyembed.load_model(path, load_mode="fast")


@pytest.mark.parametrize("mode", ["mmap", *READING_MODES])
def test_progress(mode: str, tmp_path: Path) -> None:
    big = np.zeros((1024, 4096), np.float32)
    path = write_model(tmp_path / "m.gguf", tensors={TOKEN_TABLE: big})
    told: list[float] = []
    with load(path, mode, progress_callback=told.append) as model:
        assert told[-1] == 1.0
        assert told == sorted(told)
        assert told.count(1.0) == 1
        assert mode == "mmap" or len(told) > 1
        n_told = len(told)
        _ = model.table[5]
        model.open_table(TOKEN_TABLE)
        assert len(told) == n_told, "nothing is reported once the model is loaded"


@pytest.mark.parametrize("mode", ["mmap", "none"])
def test_progress_can_cancel(mode: str, path: Path) -> None:
    with pytest.raises(pyembed.LoadCancelledError, match=path.name):
        pyembed.load_model(path, load_mode=mode, progress_callback=lambda fraction: False)
    pyembed.load_model(path, load_mode=mode, progress_callback=lambda fraction: None).close()
    pyembed.load_model(path, load_mode=mode, progress_callback=lambda fraction: True).close()


@pytest.mark.parametrize("mode", ["mmap", "none"])
@pytest.mark.parametrize("exception", [ZeroDivisionError("mine"), KeyboardInterrupt()])
def test_what_progress_raises_comes_out(mode: str, exception: BaseException, path: Path) -> None:
    def callback(fraction: float) -> None:
        raise exception

    with pytest.raises(type(exception)) as caught:
        pyembed.load_model(path, load_mode=mode, progress_callback=callback)
    assert caught.value is exception


def test_vocab_only_reads_no_table(path: Path) -> None:
    told: list[float] = []
    with load(path, "none", vocab_only=True, progress_callback=told.append) as model:
        assert told == [1.0]
        assert model.vocabulary[3].text == "t3"
        np.testing.assert_array_equal(model.embed(3), ROWS[3]), "a table can still be opened"


def test_overrides_reach_what_is_derived(path: Path) -> None:
    overrides = {"general.architecture": "bert", "tokenizer.ggml.eos_token_id": 4}
    with pyembed.load_model(path, kv_overrides=overrides) as model:
        assert model.architecture == "bert"
        assert not model.tied
        assert model.vocabulary.special["eos"] == 4


@pytest.mark.parametrize("kind", ["str", "path", "bytes"])
def test_kinds_of_paths(kind: str, path: Path) -> None:
    given = {"str": str(path), "path": path, "bytes": os.fsencode(path)}[kind]
    with pyembed.load_model(given) as model:
        assert model.path == str(path)


@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
@pytest.mark.posix
def test_a_name_that_is_not_utf8(path: Path) -> None:
    odd = os.fsencode(path.parent) + b"/\xff\xfe.gguf"
    os.rename(path, odd)
    with pyembed.load_model(os.fsdecode(odd)) as model:
        assert os.fsencode(model.path) == odd
        assert os.fsencode(model.tensors[TOKEN_TABLE].path) == odd


# ------------------------------------------------------------------------------------------ refused


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        pyembed.load_model(tmp_path / "none.gguf")
    assert caught.value.filename == str(tmp_path / "none.gguf")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        pyembed.load_model(tmp_path)


@pytest.mark.posix
def test_a_file_that_may_not_be_read(path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path.chmod(0)
    with pytest.raises(PermissionError):
        pyembed.load_model(path)


def test_a_path_with_a_nul() -> None:
    with pytest.raises(ValueError, match="NUL"):
        pyembed.load_model("model\0.gguf")


def test_something_that_is_no_path() -> None:
    with pytest.raises(TypeError):
        pyembed.load_model(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"GG", "a text file"),
        (b"\x93NUMPY\x01\x00", "open_table"),
        (b"\x02\0\0\0\0\0\0\0{}", "open_table"),
        (b"nothing at all", "a text file"),
    ],
)
def test_other_formats_are_for_open_table(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model"
    path.write_bytes(content)
    with pytest.raises(pyembed.GGUFError, match=f"not a GGUF file, but .*{says}") as caught:
        pyembed.load_model(path)
    assert caught.value.path == str(path)


def test_a_damaged_gguf_says_where(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(pyembed.GGUFError) as caught:
        pyembed.load_model(path)
    assert str(path) in str(caught.value)
    assert "open_table" not in str(caught.value)
    assert caught.value.offset is not None


# ------------------------------------------------------------------------------------------- closing


def test_a_closed_model_answers_nothing(path: Path) -> None:
    model = pyembed.load_model(path)
    table, vocabulary, tensors, tokens = model.table, model.vocabulary, model.tensors, model.vocabulary.tokens
    model.close()
    model.close()
    for ask in (
        lambda: model.embed([1]),
        lambda: model.n_vocab,
        lambda: model.n_embd,
        lambda: model.architecture,
        lambda: model.metadata,
        lambda: model.tensors,
        lambda: model.table,
        lambda: model.output_table,
        lambda: model.tied,
        lambda: model.vocabulary,
        lambda: model.open_table(TOKEN_TABLE),
        lambda: model.__enter__(),
        lambda: table.gather([1]),
        lambda: table[0],
        lambda: vocabulary[0],
        lambda: vocabulary.id("t0"),
        lambda: vocabulary.find("t0"),
        lambda: list(vocabulary),
        lambda: tensors[TOKEN_TABLE],
        lambda: list(tensors),
        lambda: len(tensors),
        lambda: tokens[0],
    ):
        with pytest.raises(ValueError, match="is closed"):
            ask()
    assert model.path == str(path)
    assert model.load_mode == "mmap"
    assert "closed" in repr(model)
    assert "closed" in repr(table)
    assert "closed" in repr(vocabulary)


def test_tables_outlive_names_but_not_close(path: Path) -> None:
    table = pyembed.load_model(path).table
    np.testing.assert_array_equal(table[2], ROWS[2])


def test_closing_under_calls_of_other_threads(path: Path) -> None:
    """A call that has begun ends well; one that begins later fails: the model is closed."""
    wrong: list[BaseException] = []
    ids = np.arange(10).repeat(500)

    def gather(model: pyembed.Model, started: threading.Event) -> None:
        try:
            table = model.table
            while True:
                started.set()
                np.testing.assert_array_equal(table.gather(ids)[::500], ROWS)
                assert model.metadata["general.architecture"] == "llama"
                assert model.vocabulary[9].text == "t9"
        except ValueError as error:
            if "closed" not in str(error):
                wrong.append(error)
        except BaseException as error:
            wrong.append(error)

    for _ in range(20):
        model = pyembed.load_model(path, load_mode="none")
        started = [threading.Event() for _ in range(4)]
        threads = [threading.Thread(target=gather, args=(model, event)) for event in started]
        for thread in threads:
            thread.start()
        for event in started:
            event.wait(10)
        model.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()
    assert wrong == []


def test_the_demo_model() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        assert model.n_vocab == len(model.table) == len(model.vocabulary) > 1000
        assert np.isfinite(model.embed([model.vocabulary.find("file")])).all()


def test_both_ends_of_the_demo_model() -> None:
    with pyembed.load_model(pyembed.demo_model()) as model:
        ids = [model.vocabulary.find(word) for word in ("open", "the", "file")]
        rows, given = model.embed(ids), model.input_embeddings(ids)
        positions = model.open_table("position_embd.weight").gather(range(3))
        np.testing.assert_array_equal(given, rows + positions)
        lengths = np.linalg.norm(model.table[np.arange(len(model.table))], axis=1)
        np.testing.assert_allclose(np.linalg.norm(positions, axis=1), lengths.mean() / 10, rtol=0.01)
        assert model.output_table is model.table
        assert model.logits(rows).argmax(axis=1).shape == (3,)
        np.testing.assert_array_equal(model.logits(rows), model.table.scores(rows))
        np.testing.assert_array_equal(model.embeddings_for("llama.cpp", ids), rows)


def test_version() -> None:
    header = (Path(__file__).parents[2] / "csrc/include/pyembed.h").read_text()
    for part, number in zip(("MAJOR", "MINOR", "PATCH"), pyembed.__version__.split("."), strict=True):
        assert f"#define PYE_VERSION_{part} {number}\n" in header


def test_all_names_exist() -> None:
    assert sorted(pyembed.__all__) == pyembed.__all__
    pytest.importorskip("pyarrow", reason="what is there for corpora needs pyarrow")
    for name in pyembed.__all__:
        assert getattr(pyembed, name) is not None
