"""Rows that lie at the ids of other tokens go back, by a reference or by spellings alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.core.dtypes import tensor_type
from pyembed.editing.rows import stored_rows
from pyembed.mending import plan as planning
from pyembed.mending.row_places import completed, unproven_end
from pyembed.mending.trial import badness
from pyembed.validation.row_order.segments import Run

DEMO = Path(pyembed.demo_model())


@pytest.fixture(scope="module")
def demo() -> tuple[bytes, int, np.ndarray]:
    """Return the demo model, where its table begins, and its rows as they are stored."""
    data = DEMO.read_bytes()
    with pyembed.load_model(DEMO) as model:
        info = model.tensors["token_embd.weight"]
        assert info.n_bytes is not None
        stored = np.frombuffer(data, np.uint8, info.n_bytes, info.offset)
        return data, info.offset, stored.reshape(len(model.table), -1)


def put(path: Path, demo: tuple[bytes, int, np.ndarray], rows: np.ndarray) -> Path:
    data, offset, _ = demo
    changed = bytearray(data)
    changed[offset : offset + rows.size] = rows.tobytes()
    path.write_bytes(changed)
    return path


N = 5286
ORDERS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "swapped": lambda rng: swapped(1000, 3000, 400),
    "one pair": lambda rng: swapped(2000, 4000, 1),
    "rolled": lambda rng: np.roll(np.arange(N), 7),
    "reversed": lambda rng: np.arange(N)[::-1].copy(),
    "permuted": lambda rng: rng.permutation(N),
    "window": lambda rng: np.concatenate([np.arange(1500), 1500 + rng.permutation(300), np.arange(1800, N)]),
}


def swapped(first: int, second: int, n: int) -> np.ndarray:
    order = np.arange(N)
    order[first : first + n], order[second : second + n] = (
        np.arange(second, second + n),
        np.arange(first, first + n),
    )
    return order


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("swapped", "permuted") else pytest.param(name, marks=pytest.mark.slow)
        for name in ORDERS
    ],
)
def test_by_the_rows_of_a_reference(name: str, demo: tuple[bytes, int, np.ndarray], tmp_path: Path) -> None:
    order = ORDERS[name](np.random.default_rng(5))
    path = put(tmp_path / "m.gguf", demo, demo[2][order])
    plan = pyembed.repair(path, DEMO)
    done = plan.apply(tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == demo[0]
    assert (done.keys, done.tensors) == ((), ("token_embd.weight",))
    assert done.comparison is not None
    assert (done.comparison.path, done.comparison.reference) == (str(path), str(tmp_path / "out.gguf"))
    assert any(finding.rule.startswith("reference/rows") for finding in done.comparison.findings)


def test_by_the_rows_of_another_quantisation(demo: tuple[bytes, int, np.ndarray], tmp_path: Path) -> None:
    with pyembed.edit(DEMO) as edit:
        edit.requantise("token", "Q4_0")
        edit.write(tmp_path / "q4.gguf")
    path = put(tmp_path / "m.gguf", demo, demo[2][ORDERS["swapped"](np.random.default_rng(5))])
    pyembed.repair(path, tmp_path / "q4.gguf").apply(tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == demo[0]


def test_rows_that_the_file_lost_are_the_references(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path
) -> None:
    rows = demo[2].copy()
    rows[2001:] = demo[2][2000:-1]  # one was put in, and the last fell out
    path = put(tmp_path / "m.gguf", demo, rows)
    pyembed.repair(path, DEMO).apply(tmp_path / "out.gguf")
    with pyembed.load_model(tmp_path / "out.gguf") as model, pyembed.load_model(DEMO) as right:
        np.testing.assert_array_equal(model.table[:-1], right.table[:-1])
        np.testing.assert_allclose(model.table[-1:], right.table[-1:], atol=1e-2)


def without_row(path: Path, row: int) -> Path:
    """Write the demo model with one row less, and all of its tokens."""
    with pyembed.edit(DEMO) as edit, pyembed.load_model(DEMO) as model:
        info = model.tensors["token_embd.weight"]
        parts = stored_rows(info, np.delete(np.arange(N), row))
        edit.replace_tensor(info.name, (N - 1, info.shape[1]), tensor_type(info.type), parts)
        edit.write(path)
    return path


@pytest.mark.parametrize("row", [N - 1, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_row_that_is_missing_is_the_references(
    row: int, demo: tuple[bytes, int, np.ndarray], tmp_path: Path
) -> None:
    path, out = without_row(tmp_path / "m.gguf", row), tmp_path / "out.gguf"
    plan = pyembed.repair(path)
    assert any("a reference with rows" in str(one.refused) for one in plan.refused)
    pyembed.repair(path, DEMO).apply(out)
    with pyembed.load_model(out) as model, pyembed.load_model(DEMO) as right:
        kept = np.arange(N) != row
        np.testing.assert_array_equal(model.table[:][kept], right.table[:][kept])
        np.testing.assert_allclose(model.table[row], right.table[row], atol=1e-2)


def test_missing_rows_are_not_those_of_another_model(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path
) -> None:
    rows = demo[2].copy()
    rows[:, 2:] = np.random.default_rng(1).integers(0, 256, (N, rows.shape[1] - 2))  # the scales stay
    path, other = without_row(tmp_path / "m.gguf", N - 1), put(tmp_path / "other.gguf", demo, rows)
    plan = pyembed.repair(path, other)
    assert any(
        "a reference whose rows in token_embd.weight are the model's" in str(one) for one in plan.refused
    )


@pytest.mark.parametrize("name", ["reversed", pytest.param("rolled", marks=pytest.mark.slow)])
def test_by_spellings_alone(name: str, demo: tuple[bytes, int, np.ndarray], tmp_path: Path) -> None:
    path = put(tmp_path / "m.gguf", demo, demo[2][ORDERS[name](np.random.default_rng(5))])
    pyembed.repair(path).apply(tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == demo[0]


@pytest.mark.parametrize("name", ["swapped", pytest.param("tail", marks=pytest.mark.slow)])
def test_ends_of_runs_that_spellings_do_not_prove_are_refused(
    name: str, demo: tuple[bytes, int, np.ndarray], tmp_path: Path
) -> None:
    """Rows at ends that are off by a few would lie further from their tokens than before."""
    order = ORDERS["swapped"](np.random.default_rng(5))
    if name == "tail":
        order = np.concatenate([np.arange(2000), np.roll(np.arange(2000, N), 7)])
    plan = pyembed.repair(put(tmp_path / "m.gguf", demo, demo[2][order]))
    assert not plan.mendable
    assert any("spellings show that rows moved, and not at which token" in str(one) for one in plan.refused)


@pytest.mark.parametrize("first", [9, pytest.param(22, marks=pytest.mark.slow)])
def test_a_run_that_begins_behind_the_first_tokens_is_refused(
    first: int, demo: tuple[bytes, int, np.ndarray], tmp_path: Path
) -> None:
    """Nothing is spelled like the tokens before it: the run looks as if it were the whole table."""
    order = np.concatenate([np.arange(first), np.roll(np.arange(first, N), 14)])
    plan = pyembed.repair(put(tmp_path / "m.gguf", demo, demo[2][order]))
    assert not plan.mendable
    assert any(
        "no row of zeros shows whether that of the first token did" in str(one) for one in plan.refused
    )


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([(0, 999, 0)], None),
        ([(0, 992, 7)], None),  # a roll: the last tokens are too few to show where their rows are
        ([(7, 999, -7)], None),
        ([(0, 499, 500), (500, 999, -500)], None),
        ([(0, 299, 700), (300, 999, -300)], None),
        ([(0, 249, 500), (250, 499, -250), (500, 749, 250), (750, 999, -500)], 499),
        ([(400, 992, 7)], 400),
        ([(7, 600, -7)], 600),
        ([(100, 199, 200), (300, 399, -200)], 100),
    ],
)
def test_where_moved_runs_begin_and_end(runs: list[tuple[int, int, int]], found: int | None) -> None:
    given = [Run(first, last, shift, 99.0, 99) for first, last, shift in runs]
    assert unproven_end(given, 1000, 1000) == found


def test_what_spellings_do_not_reveal_is_refused(demo: tuple[bytes, int, np.ndarray], tmp_path: Path) -> None:
    path = put(tmp_path / "m.gguf", demo, demo[2][ORDERS["permuted"](np.random.default_rng(5))])
    plan = pyembed.repair(path)
    assert not plan.mendable
    assert any("a reference with rows" in str(planned.refused) for planned in plan.findings)
    assert "refused: it needs a reference with rows" in str(plan)


@pytest.mark.parametrize("reference", [None, DEMO])
def test_rows_that_are_not_finite(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path, reference: Path | None
) -> None:
    rows = demo[2].copy()
    rows[[700, 4000], :2] = (0, 0x7E)  # a scale that is NaN
    path = put(tmp_path / "m.gguf", demo, rows)
    done = pyembed.repair(path, reference).apply(tmp_path / "out.gguf")
    assert done.report.ok
    with pyembed.load_model(tmp_path / "out.gguf") as model, pyembed.load_model(DEMO) as right:
        expected = right.table[:]
        kept = np.ones(N, np.bool_)
        kept[[700, 4000]] = False
        np.testing.assert_array_equal(model.table[:][kept], expected[kept])
        if reference is None:
            trained = expected[kept & expected.any(axis=1)]
            np.testing.assert_allclose(model.table[[700]], trained.mean(axis=0)[None], atol=0.01)
        else:
            np.testing.assert_allclose(model.table[[700, 4000]], expected[[700, 4000]], atol=0.02)


def test_rows_and_tokens_that_moved_together_go_back_together(tmp_path: Path) -> None:
    order = swapped(500, 3000, 300)
    with pyembed.edit(DEMO) as edit:
        edit.reorder(order)
        edit.write(tmp_path / "m.gguf")
    pyembed.repair(tmp_path / "m.gguf", DEMO).apply(tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == DEMO.read_bytes()


def test_tokens_that_moved_without_their_rows(tmp_path: Path) -> None:
    with pyembed.load_model(DEMO) as model, pyembed.edit(DEMO) as edit:
        texts = list(model.vocabulary.tokens)
        texts[500:800], texts[3000:3300] = texts[3000:3300], texts[500:800]
        edit.set_typed("tokenizer.ggml.tokens", "string[]", texts)
        edit.write(tmp_path / "m.gguf")
    done = pyembed.repair(tmp_path / "m.gguf", DEMO).apply(tmp_path / "out.gguf")
    assert (tmp_path / "out.gguf").read_bytes() == DEMO.read_bytes()
    assert done.tensors == ()


# ------------------------------------------------------------------------------------ what is kept


def test_a_result_that_is_no_better_is_not_kept(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "m.gguf", demo, demo[2][ORDERS["swapped"](np.random.default_rng(5))])
    plan = pyembed.repair(path, DEMO)
    monkeypatch.setattr(planning, "validate", lambda *given, **named: plan.report)
    with pytest.raises(pyembed.RepairError, match="the result still has"):
        plan.apply(tmp_path / "out.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_a_byte_that_changes_elsewhere_is_seen(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(tmp_path / "m.gguf", demo, demo[2][ORDERS["swapped"](np.random.default_rng(5))])
    plan = pyembed.repair(path, DEMO)
    commit = planning.Draft.commit

    def careless(draft: planning.Draft, edit: pyembed.ModelEdit) -> tuple[set[str], set[str]]:
        edit.set_typed("general.name", "string", "pyembed demO")
        return commit(draft, edit)

    monkeypatch.setattr(planning.Draft, "commit", careless)
    with pytest.raises(pyembed.RepairError, match=r"'general\.name' changed, which was not to change"):
        plan.apply(tmp_path / "out.gguf")
    assert [file.name for file in tmp_path.iterdir()] == ["m.gguf"]


def test_nothing_to_repair(tmp_path: Path) -> None:
    plan = pyembed.repair(DEMO)
    assert plan.findings == ()
    assert str(plan).endswith("nothing to repair")
    with pytest.raises(ValueError, match="nothing that can be mended"):
        plan.apply(tmp_path / "out.gguf")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(DEMO.read_bytes()[:1000])
    (planned,) = pyembed.repair(path).findings
    assert planned.rule == "container/damaged"
    assert planned.refused == "a file that can be opened"


@pytest.mark.parametrize("length", [1, 5, 100])
def test_leftover_rows_go_to_tokens_without_one(length: int) -> None:
    """A roll: all but the last tokens find their rows, and these get what is left, in order."""
    n = 1000
    place = np.arange(n) + length
    moved = np.ones(n, np.bool_)
    np.testing.assert_array_equal(completed(place, moved, n), np.roll(np.arange(n), -length))


# ------------------------------------------------------------------------------------- the command


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Return the first tokens of the demo model with their rows."""
    with pyembed.edit(DEMO) as edit:
        edit.resize(1200)
        edit.write(tmp_path / "small.gguf")
    return tmp_path / "small.gguf"


def test_the_command(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    with pyembed.load_model(small) as model:
        info = model.tensors["token_embd.weight"]
    data = bytearray(small.read_bytes())
    assert info.n_bytes is not None
    rows = np.frombuffer(data, np.uint8, info.n_bytes, info.offset).reshape(1200, -1)
    rows[300:1100] = rows[[*range(700, 1100), *range(300, 700)]]
    path.write_bytes(data)
    words = ["repair", str(path), "--reference", str(small)]
    assert main([*words, "--dry-run"]) == 0
    assert "mended: rows lie at the ids of their tokens" in capsys.readouterr().out
    assert not out.exists()
    assert main([*words, "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {finding["mending"] for finding in found["findings"]} == {"rows of the reference"}
    assert main([*words, "--dry-run", "--format", "sarif"]) == 0
    log = json.loads(capsys.readouterr().out)
    assert any(result["properties"].get("mending") for result in log["runs"][0]["results"])
    assert main([*words, "--out", str(out)]) == 0
    text = capsys.readouterr().out
    assert "changed: token_embd.weight; all else is the same bytes" in text
    assert f"{out}: verified" in text
    assert "reference/rows-shifted" in text.partition("the original (A) and the repaired copy (B):")[2]
    assert main([*words, "--out", str(out), "--json"]) == 0
    repaired = json.loads(capsys.readouterr().out)["repaired"]
    assert (repaired["tensors"], repaired["report"]["ok"]) == (["token_embd.weight"], True)
    assert repaired["comparison"]["same"] is False
    assert repaired["comparison"]["reference"] == str(out)
    assert out.read_bytes() == small.read_bytes()
    assert main(words) == 2
    assert "--out, or say --dry-run" in capsys.readouterr().err
    assert main([*words, "--out", str(path)]) == 2
    assert "the model itself" in capsys.readouterr().err


# ------------------------------------------------------------------------------- random corruptions


def damaged_at_random(rng: np.random.Generator, demo: tuple[bytes, int, np.ndarray], path: Path) -> None:
    """Write the demo model with one to three things wrong, in its tokens and in its rows."""
    rows = demo[2].copy()
    with pyembed.load_model(DEMO) as model:
        texts, types = list(model.vocabulary.tokens), model.vocabulary.types.tolist()
    keys: dict[str, tuple[str, object]] = {}
    for _ in range(int(rng.integers(1, 4))):
        a, b = sorted(int(i) for i in rng.integers(5, N - 600, 2))
        n = int(rng.integers(1, 500))
        what = int(rng.integers(9))
        if what == 0:
            texts[a], texts[b] = texts[b], texts[a]
        elif what == 1:
            texts[a : a + n] = [texts[a + i] for i in rng.permutation(n)]
        elif what == 2:
            texts[a:] = [*texts[a + 1 :], "put in"]
        elif what == 3:
            types[a] = int(rng.integers(0, 9))
        elif what == 4:
            keys["tokenizer.ggml.mask_token_id"] = ("u32", int(rng.integers(0, 2 * N)))
        elif what == 5:
            rows[a : a + n] = rows[a + rng.permutation(n)]
        elif what == 6:
            rows[a:] = np.roll(rows[a:], int(rng.integers(1, 50)), axis=0)
        elif what == 7:
            rows[a, :2] = (0, 0x7E)
        else:
            texts[a] = texts[b] if rng.integers(2) else ""
    with pyembed.edit(put(path.with_name("rows.gguf"), demo, rows)) as edit:
        edit.set_typed("tokenizer.ggml.tokens", "string[]", texts)
        edit.set_typed("tokenizer.ggml.token_type", "i32[]", types)
        for key, (kind, value) in keys.items():
            edit.set_typed(key, kind, value)
        edit.write(path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_repair_makes_a_model_worse(
    demo: tuple[bytes, int, np.ndarray], tmp_path: Path, seed: int
) -> None:
    """Fifty random corruptions a seed: each result is better by validation, and no worse by the original."""
    rng = np.random.default_rng(100 + seed)
    counts = dict.fromkeys(("as it was", "better", "refused", "not seen"), 0)
    for _ in range(50):
        path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
        damaged_at_random(rng, demo, path)
        out.unlink(missing_ok=True)
        reference = DEMO if rng.integers(2) else None
        plan = pyembed.repair(path, reference)
        if not plan.findings:
            counts["not seen"] += 1
            continue
        try:
            plan.apply(out)
        except ValueError:
            counts["refused"] += 1
            assert not out.exists()
            continue
        if out.read_bytes() == demo[0]:
            counts["as it was"] += 1
            continue
        before, after = (badness(pyembed.validate(file, reference=reference)) for file in (path, out))
        assert after < before
        by_original = [badness(pyembed.validate(file, reference=DEMO)) for file in (path, out)]
        assert by_original[1] <= by_original[0]
        counts["better"] += 1
    print(seed, counts)
    assert counts["as it was"] >= 10


# ------------------------------------------------------------------------------------------- SARIF


@pytest.mark.parametrize("what", ["moved", "not finite"])
def test_the_fixes_of_a_sarif_log_make_the_repaired_file(what: str, small: Path, tmp_path: Path) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    with pyembed.load_model(small) as model:
        info = model.tensors["token_embd.weight"]
    data = bytearray(small.read_bytes())
    assert info.n_bytes is not None
    rows = np.frombuffer(data, np.uint8, info.n_bytes, info.offset).reshape(1200, -1)
    if what == "moved":
        rows[[300, 301, 700, 900]] = rows[[900, 700, 301, 300]]
    else:
        rows[500, :2] = (0, 0x7E)
    path.write_bytes(data)
    plan = pyembed.repair(path, small)
    plan.apply(out)
    results = [result for result in json.loads(plan.to_sarif())["runs"][0]["results"] if "fixes" in result]
    assert results
    for result in results:
        fixed = bytearray(data)
        for change in result["fixes"][0]["artifactChanges"]:
            assert change["artifactLocation"]["uri"].endswith("m.gguf")
            for replacement in change["replacements"]:
                region = replacement["deletedRegion"]
                first, end = region["byteOffset"], region["byteOffset"] + region["byteLength"]
                fixed[first:end] = base64.b64decode(replacement["insertedContent"]["binary"])
        assert bytes(fixed) == out.read_bytes()
        assert bytes(fixed) != bytes(data)
