"""Whether the rows tell their order: on the demo model, on a real learned table, on made-up and hostile ones.

`tools/order_table.py` measures the same on many more cases.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import pytest

import pyembed
from pyembed.tokens.token_text import TokenType
from pyembed.validation.row_order.judge import Judgement, Verdict, judge
from pyembed.validation.row_order.partners import find_partners
from pyembed.validation.row_order.rows import directions
from pyembed.validation.row_order.surface import MAX_LETTERS, surfaces
from tests.helpers.learned_rows import LearnedRows
from tests.helpers.model_files import TOKEN_TABLE, write_model
from tests.helpers.oracles.ggml import ggml_dequantize, ggml_quantize
from tests.helpers.order_cases import (
    WRONG,
    Model,
    Outcome,
    Wrong,
    assess,
    odd_tables,
    odd_vocabularies,
    partial_orders,
    shifted_tail,
    whole_orders,
)


@cache
def read(path: str) -> Model:
    with pyembed.load_model(path, validate="off") as model:
        tokens = list(model.vocabulary)
        return Model(
            [token.bytes for token in tokens],
            [int(token.type) for token in tokens],
            [token.text for token in tokens],
            model.table.gather(np.arange(len(model.table))),
        )


@pytest.fixture
def demo() -> Model:
    return read(str(pyembed.demo_model()))


@pytest.fixture
def minilm(data_dir: Path) -> Model:
    return read(str(data_dir / "models" / "minilm-f16.gguf"))


# ------------------------------------------------------------------------------------------------- texts

FAMILIES = ["bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "nomic-bert-moe", "phi-3", "qwen2"]


@pytest.mark.parametrize("family", FAMILIES)
def test_variants_of_a_word_have_one_surface_in_every_family(family: str, data_dir: Path) -> None:
    with pyembed.load_model(
        data_dir / "vocab" / f"ggml-vocab-{family}.gguf", vocab_only=True, validate="off"
    ) as model:
        tokens = list(model.vocabulary)
        found = surfaces([token.bytes for token in tokens], [int(token.type) for token in tokens])
        written = [" the", "the", "The", " The", "##the", " on", "on", "ON", "##on"]
        variants = {}
        for text in written:
            try:
                variants[text] = found[model.vocabulary.find(text)]
            except KeyError:
                continue
        special = [found[token] for token in model.vocabulary.special.values()]
    assert len(variants) >= 4
    assert {text: surface for text, surface in variants.items() if surface != text.strip(" #").lower()} == {}
    assert set(special) == {""}
    # Most tokens have a surface, and far fewer surfaces than tokens: they are what variants share.
    present = [surface for surface in found if surface]
    assert len(present) > 0.9 * len(found)
    assert len(set(present)) < 0.93 * len(present)


def test_surfaces() -> None:
    texts = [
        b" King",
        b"KING\n",
        b"<s>",
        b"<|im_end|>",
        b"[unused7]",
        b"[PAD]",
        b"[",
        b"<",
        b"[[1]]",
        b"x",
        b"\xe4\xbd",
        b"",
    ]
    kinds = [1, 4, 1, 1, 1, 1, 1, 1, 1, TokenType.BYTE, 1, 1]
    assert surfaces(texts, kinds) == [
        "king",
        "king",
        "",
        "",
        "",
        "",
        "[",
        "<",
        "[[1]]",
        "",
        "\udce4\udcbd",
        "",
    ]
    assert surfaces(["stra\u00dfe".encode(), b"a\0b"], [1, 1]) == ["strasse", "a\ufffdb"]


def test_surfaces_of_huge_texts_cost_nothing() -> None:
    start = time.perf_counter()
    found = surfaces([b"a" * 2**20, b"<" + b"a" * 2**20, b"\xff" * 2**20, b" " * 2**20] * 50, [1] * 200)
    assert max(map(len, found)) == MAX_LETTERS
    assert time.perf_counter() - start < 1


def test_partners() -> None:
    texts = ["king", "queen", "", "kings", "king", "zzz", "making"]
    partners = find_partners(texts)
    assert set(partners.ids[0, :2].tolist()) == {3, 4}
    assert partners.closeness[0, 0] == 1
    assert partners.closeness[3, 0] == np.float32(0.8)
    assert not partners.closeness[2].any()
    assert (partners.ids[2] == 2).all()
    # 4 and 3 are next to each other: after a shift by one, such a pair proves nothing.
    assert partners.strong.tolist() == [[0, 3], [0, 4]]


# ------------------------------------------------------------------------------------------- wrong orders


def all_orders(model: Model, rounds: int = 1) -> list[Wrong]:
    n, rng = len(model), np.random.default_rng(5)
    return [*whole_orders(n, model.stored, rng, rounds), *partial_orders(n, rng, rounds)]


def outcomes(model: Model, kind: Callable[[str], bool]) -> dict[str, Outcome]:
    return {
        wrong.name: assess(model.judge(model.rows[wrong.order]), wrong)
        for wrong in all_orders(model)
        if kind(wrong.kind)
    }


def test_whole_tables_out_of_order(demo: Model) -> None:
    told = outcomes(demo, lambda kind: not kind.startswith(("tail", "block", "two", "permuted")))
    assert len(told) == 13
    assert {name: outcome for name, outcome in told.items() if not outcome.located} == {}


def test_parts_out_of_order(demo: Model) -> None:
    # Its rows are of 128 columns and say less than a large model's: blocks have to be longer.
    told = outcomes(demo, lambda kind: kind.startswith(("tail", "block", "two")))
    assert len(told) == 16
    missed = {name for name, outcome in told.items() if not outcome.located}
    assert {name for name in missed if not name.endswith((" 64 1", " 32", " 128"))} == set()


@pytest.mark.parametrize(
    ("first", "shift"),
    [(9000, 100), *(pytest.param(*some, marks=pytest.mark.slow) for some in ((2500, 1), (27000, -2)))],
)
def test_the_shift_of_a_real_tail(first: int, shift: int, minilm: Model, rng: np.random.Generator) -> None:
    judgement = minilm.judge(minilm.rows[shifted_tail(len(minilm), first, shift, rng)])
    (run,) = [place.run for place in judgement.misplaced if place.certain and place.run.shift is not None]
    assert run.shift == shift
    assert abs(run.first - max(first, first - shift)) <= 12
    assert run.last > 30200


@pytest.mark.parametrize("length", [64, 1024])
def test_a_permuted_window_of_a_real_table(length: int, minilm: Model, rng: np.random.Generator) -> None:
    order = np.arange(len(minilm))
    order[12000 : 12000 + length] = rng.permutation(order[12000 : 12000 + length])
    judgement = minilm.judge(minilm.rows[order])
    (place,) = judgement.misplaced
    assert (place.certain, place.run.shift) == (True, None)
    assert abs(place.run.first - 12000) <= 10
    assert abs(place.run.last - (12000 + length - 1)) <= 10


@pytest.mark.parametrize(
    "type_name", ["Q4_0", *(pytest.param(name, marks=pytest.mark.slow) for name in ("Q8_0", "Q4_K"))]
)
def test_quantised_copies(type_name: str, minilm: Model) -> None:
    rows = minilm.rows[:, :256] if type_name == "Q4_K" else minilm.rows
    blocks = ggml_quantize(type_name, rows)
    if blocks is None:
        pytest.skip("the ggml library of pywhispercpp is not there")
    values = ggml_dequantize(type_name, blocks)
    assert values is not None
    rows = values.reshape(rows.shape)
    assert minilm.judge(rows).verdict is Verdict.ORDERED
    assert [
        place.run.shift for place in minilm.judge(np.roll(rows, 7, axis=0)).misplaced if place.certain
    ] == [7]


def test_rows_of_another_model(demo: Model, minilm: Model) -> None:
    assert demo.judge(minilm.rows).verdict is Verdict.UNRELATED
    assert minilm.judge(demo.rows).verdict is Verdict.UNRELATED


# -------------------------------------------------------------------------------------- legitimate tables


def test_no_false_alarm_on_the_demo_model(demo: Model) -> None:
    made = [(odd.name, demo, odd.make()) for odd in odd_tables(demo.rows, np.random.default_rng(6))]
    made += [(name, part, part.rows) for name, part in odd_vocabularies(demo, np.random.default_rng(7))]
    made = made[::2]
    assert len(made) > 25
    assert {name for name, model, rows in made if model.judge(rows).verdict in WRONG} == set()


def test_a_real_table_is_in_order_whatever_is_drawn(minilm: Model) -> None:
    for seed in range(2):
        judgement = minilm.judge(minilm.rows, seed)
        assert judgement.verdict is Verdict.ORDERED
        assert judgement.z > 100
        assert judgement.first_rate > 0.6
        assert judgement.misplaced == judgement.random_runs == []


@pytest.mark.slow
def test_untrained_rows_blurred_by_noise_are_not_misplaced(minilm: Model) -> None:
    # Ids 1721 to 1982 lie at one point; noise hides that from all but the look at the run itself.
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(minilm.rows.shape, np.float32) * minilm.rows.std(axis=0)
    judgement = minilm.judge(minilm.rows + 0.3 * noise)
    assert judgement.verdict is Verdict.ORDERED
    assert [place for place in judgement.misplaced if place.certain] == []


def test_weak_signal_is_said_to_be_weak(minilm: Model, rng: np.random.Generator) -> None:
    noise = rng.standard_normal(minilm.rows.shape, np.float32) * minilm.rows.std(axis=0)
    judgement = minilm.judge(minilm.rows + 3 * noise)
    assert judgement.verdict is Verdict.ORDERED
    assert not judgement.agrees_by_token


# -------------------------------------------------------------------------------------------- hostile ones


def judge_made_up(texts: list[bytes], rows: np.ndarray, kinds: list[int] | None = None) -> Judgement:
    stored = [text.decode("utf-8", "surrogateescape") for text in texts]
    return judge(texts, kinds or [1] * len(texts), stored, rows.__getitem__, rows.shape)


WORDS = [
    f"{stem}{end}".encode() for stem in map("word{:03}".format, range(200)) for end in ("", "s", "ed", "ing")
]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38, 1e-45, 0.0])
def test_rows_of_strange_values(value: float, demo: Model, rng: np.random.Generator) -> None:
    rows = demo.rows.copy()
    rows[rng.random(len(rows)) < 0.2] = value
    rows[rng.random(rows.shape) < 1e-4] = value
    judgement = demo.judge(rows)
    assert judgement.verdict is Verdict.ORDERED
    assert demo.judge(np.full_like(rows, value)).verdict is Verdict.NO_SIGNAL


@pytest.mark.parametrize("shape", [(0, 0), (1, 64), (10, 64), (800, 1), (800, 7), (800, 8), (10, 0)])
@pytest.mark.parametrize("texts", [[], WORDS[:1], WORDS[:10], WORDS, [b"same"] * 800, [b""] * 800], ids=len)
def test_small_tables_and_poor_vocabularies(
    shape: tuple[int, int], texts: list[bytes], rng: np.random.Generator
) -> None:
    judgement = judge_made_up(texts, rng.standard_normal(shape, np.float32))
    assert judgement.verdict is Verdict.NO_SIGNAL
    assert judgement.reason


def test_vocabularies_longer_and_shorter_than_the_table(demo: Model) -> None:
    assert demo.judge(demo.rows[:3000]).verdict is Verdict.ORDERED
    longer = np.concatenate([demo.rows, demo.rows[:2000]])
    assert demo.judge(longer).verdict is Verdict.ORDERED
    shifted = demo.judge(np.concatenate([demo.rows[:17], demo.rows]))
    assert [place.run.shift for place in shifted.misplaced if place.certain] == [17]


def test_random_bytes_as_tokens(rng: np.random.Generator) -> None:
    texts = [rng.bytes(int(rng.integers(0, 6))) for _ in range(3000)]
    assert judge_made_up(texts, rng.standard_normal((3000, 32), np.float32)).verdict is Verdict.NO_SIGNAL


def test_all_texts_alike_in_a_large_vocabulary_take_no_longer(rng: np.random.Generator) -> None:
    start = time.process_time()
    judgement = judge_made_up([b"a" * 2000] * 50_000, rng.standard_normal((50_000, 64), np.float32))
    assert judgement.verdict is Verdict.NO_SIGNAL
    assert time.process_time() - start < 20


def test_rows_at_one_point_are_set_aside(demo: Model, rng: np.random.Generator) -> None:
    rows = demo.rows.copy()
    rows[4000:4300] = rows[:100].mean(axis=0) + 1e-3 * rng.standard_normal((300, rows.shape[1]))
    rows[4400:4410] = rows[4400]
    rows[4500] = 0
    found = directions(rows, rng)
    assert np.flatnonzero(found.clumped).tolist() == [*range(4000, 4300), *range(4400, 4410)]
    assert found.blank[4500]
    assert found.usable.sum() == len(rows) - 310 - found.blank.sum()
    np.testing.assert_allclose(np.linalg.norm(found.values[found.usable], axis=1), 1, rtol=1e-5)


# ------------------------------------------------------------------------------------------ whole files


def write_demo(path: Path, rows: np.ndarray, texts: dict[int, str] | None = None) -> Path:
    with pyembed.load_model(pyembed.demo_model(), validate="off") as model:
        tokens = [token.text for token in model.vocabulary]
        types = [int(token.type) for token in model.vocabulary]
    for token, text in (texts or {}).items():
        tokens[token] = text
    return write_model(
        path, model="bert", tokens=tokens, types=types, tensors={TOKEN_TABLE: rows.astype(np.float16)}
    )


def of_geometry(path: Path) -> pyembed.validation.Report:
    report = pyembed.validate(path, level="full")
    report.findings = [finding for finding in report.findings if finding.rule.startswith("geometry/")]
    return report


def test_the_demo_model_passes() -> None:
    report = pyembed.validate(pyembed.demo_model(), level="full")
    assert report.ok
    (finding,) = [finding for finding in report.findings if finding.rule.startswith("geometry/")]
    assert (finding.rule, finding.severity) == ("geometry/ordered", "note")
    assert (finding.first_id, finding.last_id, finding.tensor) == (0, 5285, TOKEN_TABLE)
    assert [v.has_evidence for v in report.verdicts if v.evidence == "geometry"] == [True]


def test_rows_are_read_at_level_full_only(tmp_path: Path, demo: Model) -> None:
    path = write_demo(tmp_path / "m.gguf", np.roll(demo.rows, 1, axis=0))
    assert [v for v in pyembed.validate(path, level="order").verdicts if v.evidence == "geometry"] == []


def test_a_shifted_file(tmp_path: Path, demo: Model) -> None:
    report = of_geometry(write_demo(tmp_path / "m.gguf", np.roll(demo.rows, 2, axis=0)))
    assert not report.ok
    finding = report.findings[0]
    assert (finding.rule, finding.first_id, finding.shift) == ("geometry/shifted", 0, 2)
    assert finding.last_id is not None
    assert 5275 <= finding.last_id <= 5285
    assert "2 rows later" in finding.message
    assert "geometry/ordered" not in [other.rule for other in report.findings]


def test_permuted_and_unrelated_files(tmp_path: Path, demo: Model, rng: np.random.Generator) -> None:
    reverse = of_geometry(write_demo(tmp_path / "r.gguf", demo.rows[::-1]))
    assert [finding.rule for finding in reverse.findings] == ["geometry/permuted"]
    assert "reverse" in reverse.findings[0].message
    shuffled = of_geometry(write_demo(tmp_path / "s.gguf", rng.permutation(demo.rows)))
    assert [(finding.rule, finding.severity) for finding in shuffled.findings] == [
        ("geometry/unrelated", "error")
    ]
    window = demo.rows.copy()
    window[2000:2800] = rng.permutation(window[2000:2800])
    (finding,) = of_geometry(write_demo(tmp_path / "w.gguf", window)).findings
    assert (finding.rule, finding.severity, finding.shift) == ("geometry/permuted", "error", None)
    assert finding.first_id is not None
    assert finding.last_id is not None
    assert abs(finding.first_id - 2000) <= 20
    assert abs(finding.last_id - 2799) <= 20


def test_a_random_file(tmp_path: Path, demo: Model, rng: np.random.Generator) -> None:
    report = of_geometry(write_demo(tmp_path / "m.gguf", rng.standard_normal(demo.rows.shape)))
    assert report.ok
    assert [finding.rule for finding in report.findings] == ["geometry/no-signal"]
    assert [v.has_evidence for v in report.verdicts if v.evidence == "geometry"] == [False]


def test_untrained_rows(tmp_path: Path, demo: Model, rng: np.random.Generator) -> None:
    rows = demo.rows.copy()
    point = rows.std() * rng.standard_normal(rows.shape[1]).astype(np.float32)
    untrained = [*range(3000, 3100), *range(3500, 3560)]
    rows[untrained] = point + 0.02 * rng.standard_normal((160, rows.shape[1])).astype(np.float32)
    report = of_geometry(
        write_demo(tmp_path / "m.gguf", rows, {i: f"[unused{i}]" for i in range(3500, 3560)})
    )
    assert report.ok
    warning, note = (f for f in report.findings if f.rule == "geometry/untrained")
    assert (warning.severity, warning.first_id, warning.last_id, warning.n_ids) == (
        "warning",
        3000,
        3099,
        100,
    )
    assert f"3000 ({demo.stored[3000]!r}) to 3099" in warning.message
    assert (note.severity, note.first_id, note.last_id, note.n_ids) == ("note", 3500, 3559, 60)
    assert report.findings[-1].rule == "geometry/ordered"


def test_a_file_without_tokens_or_rows(tmp_path: Path) -> None:
    for path in (
        write_model(tmp_path / "a.gguf", model="llama", tokens=["a", "b"]),
        write_model(tmp_path / "b.gguf", tensors={TOKEN_TABLE: np.zeros((4, 8), np.float32)}),
    ):
        report = of_geometry(path)
        assert report.findings == []
        assert [v.has_evidence for v in report.verdicts if v.evidence == "geometry"] == [False]


def test_a_quantised_table_under_a_real_vocabulary(tmp_path: Path, data_dir: Path) -> None:
    with pyembed.load_model(
        data_dir / "vocab" / "ggml-vocab-llama-spm.gguf", vocab_only=True, validate="off"
    ) as model:
        tokens = model.vocabulary[:12_000]
    rows = LearnedRows([token.bytes for token in tokens], 256).gather(np.arange(len(tokens)))
    rows[8000:] = np.roll(rows[8000:], 3, axis=0)
    blocks = ggml_quantize("Q4_K", rows)
    if blocks is None:
        pytest.skip("the ggml library of pywhispercpp is not there")
    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token.text for token in tokens])
    writer.add_token_types([int(token.type) for token in tokens])
    writer.add_tensor(TOKEN_TABLE, blocks.reshape(len(tokens), -1), raw_dtype=gguf.GGMLQuantizationType.Q4_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    told: list[float] = []
    with pyembed.load_model(path, validate="off") as opened:
        report = opened.validate("full", progress=lambda text, done: told.append(done))
    (finding,) = [f for f in report.findings if f.rule == "geometry/shifted"]
    assert (finding.shift, finding.severity) == (3, "error")
    assert finding.first_id is not None
    assert abs(finding.first_id - 8000) <= 5
    assert len(told) > 5
    assert all(0 <= done <= 1 for done in told)
