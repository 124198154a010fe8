"""Words, neighbours, analogies and logits, in Python and on the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.tokens.lookup import find_word, pieces, variants
from tests.helpers.model_files import MakeVocabulary


@pytest.fixture
def demo() -> Iterator[pyembed.Model]:
    with pyembed.load_model(pyembed.demo_model()) as model:
        yield model


@pytest.fixture
def minilm(data_dir: Path) -> Iterator[pyembed.Model]:
    with pyembed.load_model(data_dir / "models" / "minilm-f16.gguf") as model:
        yield model


def cosines(model: pyembed.Model, vector: np.ndarray) -> np.ndarray:
    rows = model.embed(np.arange(model.n_vocab)).astype(np.float64)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(vector)
    return np.divide(rows @ vector, norms, out=np.zeros(len(rows)), where=norms > 0)


# -------------------------------------------------------------------------------------------- words


def test_whole_words_come_first(make: MakeVocabulary) -> None:
    bpe = make("gpt2", ["king", "\u0120king", "ing", "\u0120", ".", "\u0120.", "k", "\u0120kin", "s", "Q"])
    assert find_word(bpe, "king") == 1
    assert find_word(bpe, " king") == 1
    assert find_word(bpe, "Q") == 9
    assert find_word(bpe, ".") == 4
    assert find_word(bpe, "\u0120kin") == 7
    assert pieces(bpe, "kings") == ["\u0120king", "s"]
    assert pieces(bpe, "zzz") == []
    with pytest.raises(KeyError, match=r"'kings' is not a single token: its pieces are '\u0120king' \+ 's'"):
        find_word(bpe, "kings")
    with pytest.raises(TypeError):
        find_word(bpe, 5)  # type: ignore[arg-type]
    marked = make("llama", ["<unk>", "\u2581king", "king", "<0x0A>"])
    assert find_word(marked, "king") == 1
    pieced = make("bert", ["[UNK]", "\u2581king", "king", "s", "\u2581k"])
    assert find_word(pieced, "king") == 1
    assert find_word(pieced, "##king") == 2
    assert find_word(pieced, "KING") == 1
    assert pieces(pieced, "kings") == ["\u2581king", "s"]


def test_variants(make: MakeVocabulary) -> None:
    words = ["king", "\u0120king", "King", "\u0120Kings", "kings", "KING", "queen", "\u0120KINGS", "kin"]
    bpe = make("gpt2", words)
    assert variants(bpe, 1) == {0, 1, 2, 3, 4, 5, 7}
    assert variants(bpe, 6) == {6}


# ---------------------------------------------------------------------------------------- neighbours


def test_real_words_make_sense(minilm: pyembed.Model) -> None:
    assert minilm.analogy(["king", "woman"], ["man"], 3)[0].text == "\u2581queen"
    assert minilm.analogy(["paris", "germany"], ["france"], 3)[0].text == "\u2581berlin"
    assert "\u2581france" in [one.text for one in minilm.nearest("paris", 5)]
    assert minilm.similarity("king", "queen") > minilm.geometry.baseline().p99
    text = [one.text for one in minilm.nearest("king", 10)]
    assert "\u2581kings" in text
    assert "\u2581kings" not in [one.text for one in minilm.nearest("king", 10, leave_out_variants=True)]


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_the_demo_against_a_full_sort(demo: pyembed.Model, metric: str) -> None:
    row_id = find_word(demo.vocabulary, "file")
    rows = demo.embed(np.arange(demo.n_vocab)).astype(np.float64)
    scores = cosines(demo, rows[row_id]) if metric == "cosine" else rows @ rows[row_id]
    order = [int(i) for i in np.argsort(-scores, kind="stable")[:21]]
    found = demo.nearest("file", 20, metric)
    assert [one.id for one in found] == [i for i in order if i != row_id][:20]
    assert [one.id for one in demo.nearest(rows[row_id], 20, metric)] == order[:20]
    assert [one.id for one in demo.nearest(row_id, 20, metric)] == [one.id for one in found]
    np.testing.assert_allclose([one.score for one in found], scores[[one.id for one in found]], rtol=1e-6)
    assert [one.text for one in found] == [demo.vocabulary[one.id].text for one in found]


def test_the_demo_makes_sense(demo: pyembed.Model) -> None:
    assert "\u2581files" in [one.text for one in demo.nearest("file", 5)]
    assert "\u2581strings" in [one.text for one in demo.nearest("string", 5)]
    assert demo.nearest("[PAD]", 3)[0].score == 0  # a row of zeros is near nothing


def test_analogies_leave_their_words_out(demo: pyembed.Model) -> None:
    found = demo.analogy(["files", "directory"], ["file"], 30)
    assert not {"\u2581files", "\u2581directory", "\u2581file"} & {one.text for one in found}
    rows = {word: demo.embed(find_word(demo.vocabulary, word)) for word in ("files", "file", "directory")}
    target = rows["files"].astype(np.float64) - rows["file"] + rows["directory"]
    best = demo.nearest(target, 33)
    assert [one.id for one in found] == [one.id for one in best if one.id in {one.id for one in found}][:30]
    spared = demo.analogy(["file", "string"], [], 30, leave_out_variants=True)
    texts = {one.text for one in demo.analogy(["file", "string"], [], 30)}
    assert "\u2581files" in texts
    assert "\u2581files" not in {one.text for one in spared}
    assert demo.analogy(["file", rows["files"]], [], 1)[0].id != find_word(demo.vocabulary, "file")


def test_similarity(demo: pyembed.Model) -> None:
    a, b = (demo.embed(find_word(demo.vocabulary, word)).astype(np.float64) for word in ("file", "string"))
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    assert demo.similarity("file", "string") == pytest.approx(cosine, rel=1e-12)
    assert demo.similarity("file", b, metric="dot") == pytest.approx(a @ b, rel=1e-12)
    assert demo.similarity("file", "file") == pytest.approx(1, abs=1e-12)
    assert demo.similarity("[PAD]", "file") == 0
    assert demo.geometry.similarities(["file", "string", 5]).shape == (3, 3)


def test_baselines_are_seeded(demo: pyembed.Model) -> None:
    geometry = demo.geometry
    assert geometry.baseline() == geometry.baseline()
    assert geometry.baseline(seed=1) != geometry.baseline()
    chance = geometry.baseline("file", n=4000)
    assert chance.mean < chance.p95 < chance.p99 < demo.nearest("file", 1)[0].score
    everything = cosines(demo, demo.embed(find_word(demo.vocabulary, "file")).astype(np.float64))
    assert chance.p95 == pytest.approx(np.percentile(everything, 95), abs=0.02)


def test_logits_of_a_tied_model_use_its_own_rows(tmp_path: Path) -> None:
    from tests.helpers.gguf_bytes import STRING, GGUFBytes

    rows = np.random.default_rng(0).standard_normal((7, 4)).astype(np.float32)
    head = np.random.default_rng(1).standard_normal((7, 4)).astype(np.float32)
    hidden = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)
    for name, expected in (("tied", rows), ("untied", head)):
        builder = GGUFBytes().add("general.architecture", STRING, "llama")
        builder.tensor("token_embd.weight", rows.shape, 0, rows.tobytes())
        if name == "untied":
            builder.tensor("output.weight", head.shape, 0, head.tobytes())
        path = tmp_path / name
        path.write_bytes(bytes(builder))
        with pyembed.load_model(path) as model:
            logits = model.logits(hidden)
            np.testing.assert_allclose(logits, hidden @ expected.T, rtol=1e-5, atol=1e-6)
            assert model.logits(hidden[0]).shape == (7,)
            best = model.logits(hidden, k=2)
            assert [one.id for one in best[1]] == np.argsort(-logits[1])[:2].tolist()
            assert model.logits(hidden[1], k=2) == best[1]
            assert best[0][0].text is None
            with pytest.raises(pyembed.VocabularyError, match="use ids"):
                model.nearest("king")
            assert len(model.nearest(3, 2)) == 2


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda m: m.nearest("filee"), KeyError, "near it: 'file'"),
        (lambda m: m.nearest("file", 0), ValueError, "k is 0"),
        (lambda m: m.nearest("file", 10**6), ValueError, "k is 1000000"),
        (lambda m: m.nearest(10**6), IndexError, "id 1000000 is not a row"),
        (lambda m: m.nearest(-1), IndexError, "id -1 is not a row"),
        (lambda m: m.nearest([1.0, 2.0]), ValueError, "2 wide"),
        (lambda m: m.nearest([float("nan")] * m.n_embd), ValueError, "not finite: column 0"),
        (lambda m: m.nearest(True), TypeError, "bool"),
        (lambda m: m.nearest("file", metric="l1"), ValueError, "metric is 'l1'"),
        (lambda m: m.similarity("file", "filee"), KeyError, "not a single token"),
        (lambda m: m.analogy("file"), TypeError, "positive is one text"),
        (lambda m: m.analogy([], []), ValueError, "at least one"),
        (lambda m: m.logits([0.0] * (m.n_embd - 1)), ValueError, "127 wide"),
        (lambda m: m.geometry.baseline(n=0), ValueError, "n is 0"),
    ],
)
def test_bad_input(demo: pyembed.Model, call, error: type, match: str) -> None:
    with pytest.raises(error, match=match):
        call(demo)


# -------------------------------------------------------------------------------------- command line


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def test_nearest_command(capsys: pytest.CaptureFixture[str], demo: pyembed.Model) -> None:
    code, out, _ = run(capsys, "nearest", "demo", "file", "string", "-k", "3")
    assert code == 0
    assert "file: token" in out
    assert out.count("random rows, cosine") == 2
    code, out, _ = run(capsys, "nearest", "demo", "file", "-k", "3", "--json")
    found = json.loads(out)["results"][0]
    assert [one["token"] for one in found["neighbours"]] == [one.text for one in demo.nearest("file", 3)]
    assert found["neighbours"][0]["cosine"] == demo.nearest("file", 1)[0].score
    assert set(found["baseline"]) == {"mean", "p95", "p99", "n"}


@pytest.mark.parametrize(
    "words", [["files - file + directory"], ["--positive", "files", "directory", "--negative", "file"]]
)
def test_analogy_command(capsys: pytest.CaptureFixture[str], demo: pyembed.Model, words: list[str]) -> None:
    code, out, _ = run(capsys, "analogy", "demo", *words, "-k", "2", "--json")
    assert code == 0
    found = [one["id"] for one in json.loads(out)["neighbours"]]
    assert found == [one.id for one in demo.analogy(["files", "directory"], ["file"], 2)]


def test_similarity_and_logits_commands(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = run(capsys, "similarity", "demo", "file", "files", "string")
    assert code == 0
    assert "1.0000" in out
    code, out, _ = run(capsys, "similarity", "demo", "file", "files", "--json")
    assert json.loads(out)["cosine"][0][1] > 0.5
    np.save(tmp_path / "rows.npy", np.eye(6, 4, dtype=np.float32))
    np.save(tmp_path / "hidden.npy", np.array([0, 0, 5, 1.0]))
    hidden = str(tmp_path / "hidden.npy")
    code, out, _ = run(capsys, "logits", str(tmp_path / "rows.npy"), "--hidden", hidden, "-k", "2", "--json")
    assert [one["id"] for one in json.loads(out)["states"][0]] == [2, 3]
    code, out, _ = run(capsys, "nearest", str(tmp_path / "rows.npy"), "2", "-k", "2")
    assert code == 0
    assert "row 2" in out
    assert run(capsys, "nearest", str(tmp_path / "rows.npy"), "--ids", "2", "--k", "2") == (0, out, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nearest", "demo", "filee"], "near it: 'file'"),
        (["nearest", "demo", "file", "-k", "0"], "k is 0"),
        (["nearest", "demo"], "nothing was chosen"),
        (["nearest", "demo", "file", "--nothing"], "unrecognized arguments: --nothing"),
        (["analogy", "demo", "file - + string"], "a word is missing before '+'"),
        (["analogy", "demo", "file string"], "+ or - is missing before 'string'"),
        (["analogy", "demo", "file -"], "does not end with a word"),
        (["analogy", "demo"], "at least one"),
        (["similarity", "demo", "file"], "two rows or more"),
        (["logits", "demo", "--hidden", "/nowhere.npy"], "No such file"),
    ],
)
def test_wrong_calls(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
