"""Vocabularies that were damaged on purpose are repaired to what they were, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyembed
from pyembed.mending.trial import badness
from tests.helpers.vocabulary_files import Corruption, Parts, corruptions, read_parts

CASES = [case for case in corruptions() if case.vocabulary in ("gpt-2", "llama-spm", "bert-bge", "phi-3")]


def name_of(case: Corruption) -> str:
    return f"{case.vocabulary}: {case.name}"


def but_for_one_slow(cases: list[Corruption], vocabulary: str) -> list[Any]:
    """Return the cases, all but the first of a vocabulary marked as slow: whole validations go with each."""
    kept = next(case for case in cases if case.vocabulary == vocabulary)
    return [pytest.param(case, marks=() if case is kept else pytest.mark.slow) for case in cases]


#: What needs rows that nobody has.
NEED_ROWS = {"one row too few"}
#: What the file itself proves, by the family's vocabulary that is tried.
BY_LAW = {
    "gpt-2": {
        *(
            "swap two learned tokens",
            "swap neighbours",
            "drop a token",
            "shift the tail by 3",
            "permute a window",
        ),
        *(
            "swap alphabet symbols",
            "swap a symbol and a token",
            "drop an alphabet symbol",
            "duplicate",
            "empty",
        ),
        *("retype a control token", "NUL", "invalid UTF-8"),
    },
    "llama-spm": {
        *("swap two learned tokens", "shift the tail by 3", "swap byte tokens"),
        *("reverse byte tokens", "retype a byte token"),
    },
}


def same(a: Parts, b: Parts) -> bool:
    return (a.model, a.tokens, a.types, a.scores, a.merges, a.others) == (
        *(b.model, b.tokens, b.types, b.scores, b.merges, b.others),
    )


@pytest.fixture(scope="module")
def whole(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Parts, Path]]:
    """Return the parts of a real vocabulary, and a file of them."""
    folder, known = tmp_path_factory.mktemp("whole"), dict[str, tuple[Parts, Path]]()

    def find(name: str) -> tuple[Parts, Path]:
        if name not in known:
            parts = read_parts(data_dir / f"vocab/ggml-vocab-{name}.gguf")
            (folder / f"{name}.gguf").write_bytes(parts.to_bytes())
            known[name] = (parts, folder / f"{name}.gguf")
        return known[name]

    return find


@pytest.mark.parametrize("case", but_for_one_slow(CASES, "llama-spm"), ids=name_of)
def test_with_a_reference(
    case: Corruption, whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path
) -> None:
    parts, reference = whole(case.vocabulary)
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    path.write_bytes(case.change(parts.copy()).to_bytes())
    plan = pyembed.repair(path, reference)
    assert any(planned.rule == case.rule for planned in plan.findings)
    if case.name in NEED_ROWS:
        assert not plan.mendable
        assert any("a reference with rows" in str(planned.refused) for planned in plan.refused)
        return
    done = plan.apply(out)
    assert done.report.ok
    assert same(read_parts(out), parts)
    assert not [finding for finding in done.report.findings if finding.rule == case.rule]


@pytest.mark.parametrize(
    "case",
    but_for_one_slow([case for case in CASES if case.vocabulary in BY_LAW], "gpt-2"),
    ids=name_of,
)
def test_by_the_file_alone(
    case: Corruption, whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path
) -> None:
    parts, _ = whole(case.vocabulary)
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    damaged = case.change(parts.copy()).to_bytes()
    path.write_bytes(damaged)
    plan = pyembed.repair(path)
    before = pyembed.validate(path)
    if case.name in BY_LAW[case.vocabulary]:
        plan.apply(out)
        assert same(read_parts(out), parts)
    elif plan.mendable:
        after = plan.apply(out).report
        assert badness(after) < badness(before)
    else:
        assert all(planned.refused for planned in plan.findings)
        with pytest.raises(ValueError, match="nothing that can be mended"):
            plan.apply(out)
        assert not out.exists()
    assert path.read_bytes() == damaged


@pytest.mark.slow
def test_a_tokenizer_json_as_the_reference(
    whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path
) -> None:
    import json

    parts, _ = whole("gpt-2")
    texts = [text.decode() for text in parts.tokens]
    assert parts.merges is not None
    tokenizer = {
        "model": {
            "type": "BPE",
            "vocab": {text: i for i, text in enumerate(texts)},
            "merges": [merge.decode() for merge in parts.merges],
        },
        "added_tokens": [{"id": 50256, "content": "<|endoftext|>", "special": True}],
        "pre_tokenizer": {"type": "ByteLevel"},
        "decoder": {"type": "ByteLevel"},
    }
    reference = tmp_path / "tokenizer.json"
    reference.write_text(json.dumps(tokenizer))
    for change in (lambda p: p.swap(600, 40000), lambda p: p.drop(9000), lambda p: p.insert(9000)):
        path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
        path.write_bytes(change(parts.copy()).to_bytes())
        pyembed.repair(path, reference).apply(out)
        assert same(read_parts(out), parts)


@pytest.mark.slow
def test_a_reference_of_another_model_is_refused(
    whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path
) -> None:
    parts, _ = whole("llama-spm")
    path = tmp_path / "m.gguf"
    path.write_bytes(parts.copy().swap(500, 20000).to_bytes())
    for name in ("gpt-2", "bert-bge"):
        plan = pyembed.repair(path, whole(name)[1])
        out = tmp_path / "out.gguf"
        # By the scores the list is mended all the same; the other model's tokens are not taken.
        try:
            plan.apply(out)
        except ValueError:
            continue
        assert read_parts(out).tokens == parts.tokens


@pytest.mark.slow
def test_only_the_rules_that_were_named(whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path) -> None:
    parts, reference = whole("gpt-2")
    damaged = parts.copy().swap(600, 40000)
    damaged.others["tokenizer.ggml.eos_token_id"] = 10**6
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    path.write_bytes(damaged.to_bytes())
    plan = pyembed.repair(path, reference)
    with pytest.raises(
        ValueError, match="no finding of vocabulary/unusable to mend; there are findings of: "
    ):
        plan.apply(out, ["vocabulary/unusable"])
    done = plan.apply(out, ["vocabulary/order"])
    assert read_parts(out).tokens == parts.tokens
    assert done.keys == ("tokenizer.ggml.tokens",)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_repair_makes_a_model_worse(
    whole: Callable[[str], tuple[Parts, Path]], tmp_path: Path, seed: int
) -> None:
    """Fifty random corruptions a seed, several at once; each result is at least as good as before."""
    rng = np.random.default_rng(seed)
    n_equal = n_refused = 0
    for _ in range(50):
        name = ("gpt-2", "llama-spm", "phi-3")[int(rng.integers(3))]
        parts, reference = whole(name)
        damaged = parts.copy()
        n = len(damaged.tokens)
        for _ in range(int(rng.integers(1, 4))):
            a, b = (int(i) for i in rng.integers(0, n - 1, 2))
            what = int(rng.integers(9))
            if what == 0:
                damaged.swap(a, b)
            elif what == 1:
                damaged.drop(a)
            elif what == 2:
                damaged.insert(a)
            elif what == 3:
                damaged.tokens[a] = bytes(rng.integers(0, 256, 4, dtype=np.uint8))
            elif what == 4 and damaged.types is not None:
                damaged.types[a] = int(rng.integers(0, 9))
            elif what == 5:
                damaged.others["tokenizer.ggml.eos_token_id"] = int(rng.integers(0, 2 * n))
            elif what == 6 and damaged.merges is not None:
                del damaged.merges[int(rng.integers(len(damaged.merges))) :]
            elif what == 7 and damaged.scores is not None:
                damaged.scores[a], damaged.scores[b] = damaged.scores[b], damaged.scores[a]
            else:
                damaged.tokens[a] = damaged.tokens[b]
        path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
        path.write_bytes(damaged.to_bytes())
        out.unlink(missing_ok=True)
        before = pyembed.validate(path, reference=reference)
        plan = pyembed.repair(path, reference if rng.integers(4) else None)
        try:
            plan.apply(out)
        except ValueError:
            n_refused += 1
            assert not out.exists()
            continue
        after = pyembed.validate(out, reference=reference)
        errors = [sum(f.severity == "error" for f in report.findings) for report in (before, after)]
        warnings = [sum(f.severity == "warning" for f in report.findings) for report in (before, after)]
        assert (errors[1], warnings[1]) <= (errors[0], warnings[0]), (before, after)
        n_equal += same(read_parts(out), parts)
    print(f"50 random corruptions: {n_equal} as they were, {n_refused} refused")
    assert n_equal >= 25
