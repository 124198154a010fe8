"""Plans as data, of split sets, of strange models; and models that an engine then runs."""

from __future__ import annotations

import base64
import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import pyembed
from pyembed.cli import main
from pyembed.mending.by_law import by_merges
from pyembed.mending.by_scores import by_scores
from pyembed.mending.draft import Tokens
from pyembed.mending.mendings import CannotMend
from tests.helpers.damaged_files import DAMAGED
from tests.helpers.gguf_bytes import ARRAY, F32, I32, I64, STRING, U16, U32, Array, GGUFBytes

TEXTS = ["<s>", "<|im_end|>", *(f"word{i}" for i in range(38))]


def shard(number: int, *, types: tuple[int, int] = (3, 3)) -> bytes:
    builder = GGUFBytes()
    if number == 0:
        builder.add("general.architecture", STRING, "llama").add("tokenizer.ggml.model", STRING, "gpt2")
        builder.add("tokenizer.ggml.pre", STRING, "gpt-2")
        builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TEXTS))
        builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [*types, *[1] * 38]))
        builder.add("tokenizer.ggml.merges", ARRAY, Array(STRING, ["word 1"]))
        builder.add("tokenizer.ggml.bos_token_id", U32, 0).add("tokenizer.ggml.eos_token_id", U32, 1)
    builder.add("split.no", U16, number).add("split.count", U16, 2).add("split.tensors.count", I32, 2)
    rows = np.random.default_rng(number).standard_normal((40, 8)).astype(np.float32)
    name = ("output_norm.weight", "token_embd.weight")[number]
    return bytes(builder.tensor(name, rows.shape, 0, rows.tobytes()))


def test_a_split_set_is_repaired_as_one_model(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    for number in range(2):
        (tmp_path / f"m-{number + 1:05d}-of-00002.gguf").write_bytes(shard(number, types=(3, 1)))
    plan = pyembed.repair(tmp_path / "m-00001-of-00002.gguf")
    assert {planned.rule for planned in plan.mendable} >= {"vocabulary/control-token-as-text"}
    done = plan.apply(tmp_path / "new/m-00001-of-00002.gguf")
    assert done.keys == ("tokenizer.ggml.token_type",)
    assert [(tmp_path / f"new/m-{k}-of-00002.gguf").read_bytes() for k in ("00001", "00002")] == [
        shard(0),
        shard(1),
    ]


def test_a_sarif_fix_makes_the_repaired_file(tmp_path: Path) -> None:
    def one(kind: int) -> bytes:
        builder = GGUFBytes().add("general.architecture", STRING, "llama")
        builder.add("tokenizer.ggml.model", STRING, "gpt2").add("tokenizer.ggml.pre", STRING, "gpt-2")
        builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, TEXTS))
        return bytes(builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, [3, kind, *[1] * 38])))

    path = tmp_path / "m.gguf"
    path.write_bytes(one(1))
    text = pyembed.repair(path).to_sarif()
    (result,) = [found for found in json.loads(text)["runs"][0]["results"] if "fixes" in found]
    assert result["ruleId"] == "vocabulary/control-token-as-text"
    data = bytearray(path.read_bytes())
    ((change,),) = [fix["artifactChanges"] for fix in result["fixes"]]
    for replacement in change["replacements"]:
        region = replacement["deletedRegion"]
        first, end = region["byteOffset"], region["byteOffset"] + region["byteLength"]
        data[first:end] = base64.b64decode(replacement["insertedContent"]["binary"])
    assert bytes(data) == one(3)
    pytest.importorskip("pydantic_sarif", reason="pydantic-sarif is not installed")
    model = importlib.import_module("pydantic_sarif.model")
    model.StaticAnalysisResultsFormatSarifVersion210JsonSchema.model_validate_json(text)


def odd(**values: tuple[int, object]) -> bytes:
    given: dict[str, tuple[int, object]] = {
        "tokens": (ARRAY, Array(STRING, ["a", "b", "c", ""])),
        "token_type": (ARRAY, Array(I32, [1, 1, 9, 1])),
        **values,
    }
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "gpt2")
    for key, (kind, value) in given.items():
        builder.add(f"tokenizer.ggml.{key}", kind, value)
    return bytes(builder.tensor("token_embd.weight", (4, 4), 0, bytes(64)))


ODD = {
    "short types": odd(token_type=(ARRAY, Array(I32, [1]))),
    "types of strings": odd(token_type=(ARRAY, Array(STRING, ["1"] * 4))),
    "types beyond 32 bits": odd(token_type=(ARRAY, Array(I64, [2**62, -1, 1, 1]))),
    "scores that are NaN": odd(scores=(ARRAY, Array(F32, [float("nan")] * 4))),
    "tokens as a text": odd(tokens=(STRING, "abcd")),
    "merges as numbers": odd(merges=(ARRAY, Array(I64, [1, 2]))),
    "merges without a space": odd(merges=(ARRAY, Array(STRING, ["", "ab", " ", "a  b"] * 8))),
    "an id as a text": odd(bos_token_id=(STRING, "a"), eos_token_id=(F32, 1.0)),
    "a huge id": odd(bos_token_id=(I64, -5), eos_token_id=(U32, 2**32 - 1)),
    "no table": bytes(GGUFBytes().add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["", "a", "a"]))),
    "no tokens": bytes(GGUFBytes().add("a", U32, 1).tensor("token_embd.weight", (4, 4), 0, b"\xff" * 64)),
    "an unknown type": bytes(
        GGUFBytes()
        .add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["a"] * 4))
        .tensor("token_embd.weight", (4, 4), 99, bytes(64))
    ),
}


@pytest.mark.parametrize("reference", ["none", "itself", "another"])
@pytest.mark.parametrize("name", [*ODD, *DAMAGED])
def test_strange_models_are_mended_or_refused(name: str, reference: str, tmp_path: Path) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    data = ODD[name] if name in ODD else DAMAGED[name][0]
    path.write_bytes(data)
    given = {"none": None, "itself": path, "another": pyembed.demo_model()}[reference]
    try:
        plan = pyembed.repair(path, given)
    except (ValueError, OSError):
        assert reference == "itself"  # a damaged reference
        return
    assert json.loads(plan.to_json())["path"] == str(path)
    json.loads(plan.to_sarif())
    assert all((planned.mending is None) != (planned.refused is None) for planned in plan.findings)
    assert "the reference" not in " ".join(str(planned.mending) for planned in plan.mendable)
    try:
        plan.apply(out)
    except ValueError:
        assert not out.exists()
    assert path.read_bytes() == data
    assert len(list(tmp_path.iterdir())) == 1 + out.exists()


# --------------------------------------------------------------------- tokens without a text of their own


def with_duplicates(types: list[int], rows: np.ndarray) -> bytes:
    builder = GGUFBytes().add("general.architecture", STRING, "llama")
    builder.add("tokenizer.ggml.model", STRING, "gpt2").add("tokenizer.ggml.pre", STRING, "gpt-2")
    builder.add("tokenizer.ggml.tokens", ARRAY, Array(STRING, ["<s>", "a", "b", "a", "", "c"]))
    builder.add("tokenizer.ggml.token_type", ARRAY, Array(I32, types))
    return bytes(builder.tensor("token_embd.weight", rows.shape, 0, rows.astype("<f4").tobytes()))


ROWS = np.random.default_rng(2).standard_normal((6, 8))
EMPTY_ROW, SAME_ROWS = ROWS.copy(), ROWS.copy()
EMPTY_ROW[1] = 0
SAME_ROWS[3] = SAME_ROWS[1]


@pytest.mark.parametrize(
    ("types", "rows", "wanted"),
    [
        ([3, 1, 1, 1, 1, 1], EMPTY_ROW, ["<s>", "[PAD1]", "b", "a"]),
        ([3, 1, 1, 1, 1, 1], SAME_ROWS, ["<s>", "a", "b", "[PAD3]"]),
        ([3, 5, 1, 1, 1, 1], ROWS, ["<s>", "[PAD1]", "b", "a"]),
        ([3, 1, 1, 1, 1, 1], ROWS, None),
        ([3, 5, 1, 5, 1, 1], ROWS, None),
    ],
)
def test_tokens_without_a_text_of_their_own_are_named(
    types: list[int], rows: np.ndarray, wanted: list[str] | None, tmp_path: Path
) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    path.write_bytes(with_duplicates(types, rows))
    plan = pyembed.repair(path)
    (duplicate,) = [one for one in plan.findings if one.rule == "vocabulary/duplicate-token"]
    assert (duplicate.mending is not None) == (wanted is not None)
    if wanted is None:
        assert "nothing shows which of the tokens with the same text" in str(duplicate.refused)
        return
    plan.apply(out)
    with pyembed.load_model(out, validate="off") as model:
        assert list(model.vocabulary.tokens) == [*wanted, "[EMPTY_4]", "c"]
        assert model.vocabulary.types[wanted.index(next(t for t in wanted if "PAD" in t))] == 5
        np.testing.assert_array_equal(model.table[:], rows.astype(np.float32))


def test_merges_out_of_order_do_not_say_where_tokens_belong() -> None:
    """Which of the two lists was damaged is not known: tokens that are right would be put out of order."""
    letters = [chr(ord("a") + i) for i in range(20)]
    products = ["".join(letters[: i + 2]) for i in range(19)]
    merges = [f"{''.join(letters[: i + 1])} {letters[i + 1]}" for i in range(19)]

    def mended(tokens: list[str], merges: list[str]) -> list[str]:
        draft = SimpleNamespace(
            tokens=Tokens(list(tokens), None, None, merges), n_rows=39, text=lambda key: "gpt2"
        )
        by_merges(draft)  # type: ignore[arg-type]
        assert draft.tokens.texts is not None
        return draft.tokens.texts

    right = [*letters, *products]
    wrong = [*right[:25], right[30], *right[26:30], right[25], *right[31:]]
    assert mended(wrong, merges) == right
    swapped = [*merges[:5], merges[10], *merges[6:10], merges[5], *merges[11:]]
    with pytest.raises(CannotMend, match="merges are out of order"):
        mended(right, swapped)


# ------------------------------------------------------------------------------------------- the command


def test_the_command_does_not_pass_over_what_it_does_not_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "m.gguf", tmp_path / "out.gguf"
    path.write_bytes(odd())
    assert main(["repair", str(path), "--out", str(out), "--fix", "no/rule"]) == 2
    assert "no finding of no/rule to mend; there are findings of" in capsys.readouterr().err
    path.write_bytes(bytes(GGUFBytes().add("a", U32, 1).tensor("token_embd.weight", (4, 4), 0, bytes(64))))
    assert not pyembed.repair(path).mendable
    assert main(["repair", str(path), "--out", str(out)]) == 1
    assert f"{out} was not written: nothing can be mended" in capsys.readouterr().err
    assert not out.exists()


# --------------------------------------------------------------------------------- pieces and scores


def chain(n: int) -> list[str]:
    """Return pieces that are made of the one before each and a character, and pieces of two characters."""
    texts = ["ab"]
    while len(texts) < n:
        last = texts[-1]
        texts += [last + "abcdefgh"[len(texts) % 8] if len(last) < 12 else f"{chr(0x61 + len(texts) // 26)}"
                  f"{chr(0x61 + len(texts) % 26)}"]  # fmt: skip
    return texts


SPM_TEXTS = list(dict.fromkeys(chain(330)))
N_SPM = len(SPM_TEXTS)


def ordered(texts: list[str], scores: list[float]) -> tuple[list[str], list[float]]:
    draft = SimpleNamespace(
        tokens=Tokens(["<unk>", *texts], [2, *[1] * len(texts)], [0.0, *scores], None),
        text=lambda key: "llama",
    )
    by_scores(draft)  # type: ignore[arg-type]
    assert draft.tokens.texts is not None
    assert draft.tokens.scores is not None
    return draft.tokens.texts[1:], draft.tokens.scores[1:]


def test_what_pieces_are_made_of_shows_whether_scores_moved_alone() -> None:
    scores = [-1.0 - i for i in range(N_SPM)]
    first = next(i for i, text in enumerate(SPM_TEXTS) if len(text) == 4 and i > 20)
    later = next(i for i, text in enumerate(SPM_TEXTS) if len(text) == 9 and i > first)
    for a, b in ((first, later), (first, first + 2)):
        texts, moved = list(SPM_TEXTS), list(scores)
        moved[a], moved[b] = moved[b], moved[a]
        assert ordered(texts, moved) == (SPM_TEXTS, scores)  # scores alone
        texts[a], texts[b] = texts[b], texts[a]
        assert ordered(texts, moved) == (SPM_TEXTS, scores)  # pieces, with their scores
    rolled = [(text, score) for text, score in zip(SPM_TEXTS, scores, strict=True)]
    rolled = [*rolled[:100], *rolled[103:], *rolled[100:103]]
    assert ordered([text for text, _ in rolled], [score for _, score in rolled]) == (SPM_TEXTS, scores)


def test_pieces_that_nothing_is_made_of_are_left_alone() -> None:
    """Of two such whose scores differ from their places either may have moved."""
    pairs = ["xy", "zx", "wz"]
    scores = [-1.0 - i for i in range(N_SPM + 3)]
    scores[-1], scores[-2] = scores[-2], scores[-1]
    with pytest.raises(CannotMend, match="scores alone did"):
        ordered([*SPM_TEXTS, *pairs], scores)
