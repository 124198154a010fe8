"""References and locks: files of other tools and of deployments, damaged at random."""

from __future__ import annotations

import contextlib
import copy
import json
from pathlib import Path
from typing import Any

import numpy as np

import pyembed
from pyembed.validation import Report

from . import Tally
from .models import FAULTS, TYPED, Sample, chance, pick, sample

_LEAVES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**400, 0.5, 1e308, "", "a", "\0", "\udcff",
    "x" * 1000, [], {}, [[]], [None], ["a", "b"], [1, "a"], {"a": 0}, {"": {"": []}},
    {"id": 0, "content": "a"},
)  # fmt: skip

_NAMES = ("tokenizer.json", "vocab.json", "vocab.txt", "a.tiktoken", "a.model", "tokenizer_config.json")
_INSERTED = (b"\0", b"\xff", b"[" * 5000, b'"', b"\n", b"{}")


def case(rng: np.random.Generator, folder: Path, tally: Tally) -> None:
    """Compare a model with its lock, and with a tokenizer, as they are and after damage."""
    made = sample(rng, folder, ("gguf", "split"))
    before = made.contents()
    with pyembed.load_model(made.path, validate="off") as model:
        _locks(rng, folder, model, tally)
        texts = list(model.vocabulary.tokens)
        for _ in range(4):
            _reference(rng, folder, model, texts, tally)
    assert made.contents() == before
    _whole_models(rng, folder, made, tally)


def _locks(rng: np.random.Generator, folder: Path, model: pyembed.Model, tally: Tally) -> None:
    lock = pyembed.make_lock(model, any_quantisation=chance(rng, 0.3))
    assert pyembed.check_lock(model, lock, every_row=True) == [], "a model is not its own lock"
    path = folder / "m.lock"
    path.write_text(json.dumps(lock))
    assert pyembed.check_lock(model, path) == []
    for _ in range(6):
        damaged = _damaged(rng, json.loads(path.read_text()))
        given: Any = damaged
        if chance(rng, 0.5):
            given = folder / "damaged.lock"
            given.write_bytes(_damaged_bytes(rng, json.dumps(damaged).encode("utf-8", "replace")))
        try:
            pyembed.check_lock(model, given, every_row=True)
            tally["lock compared"] += 1
        except FAULTS as error:
            raise AssertionError(f"lock {damaged!r}: {type(error).__name__}: {error}") from error
        except TYPED:
            tally["lock refused"] += 1
        except Exception as error:
            raise AssertionError(f"lock {damaged!r}: {type(error).__name__}: {error}") from error


def _damaged(rng: np.random.Generator, value: Any) -> Any:
    """Return a JSON value in which one part is another."""
    if isinstance(value, dict) and value and chance(rng, 0.8):
        key = pick(rng, value)
        kind = pick(rng, ("inside", "inside", "remove", "rename"))
        inside = value.pop(key)
        if kind != "remove":
            value[key if kind == "inside" else pick(rng, ("", "x", key + "x"))] = _damaged(rng, inside)
        return value
    if isinstance(value, list) and value and chance(rng, 0.8):
        place = int(rng.integers(len(value)))
        value[place] = _damaged(rng, value[place])
        return value
    return copy.deepcopy(pick(rng, _LEAVES))  # it may be damaged itself, later


def _damaged_bytes(rng: np.random.Generator, data: bytes) -> bytes:
    if not data or chance(rng, 0.6):
        return data
    where = int(rng.integers(len(data)))
    cut = pick(rng, ("cut", "flip", "insert"))
    if cut == "cut":
        return data[:where]
    if cut == "flip":
        return data[:where] + bytes([int(rng.integers(256))]) + data[where + 1 :]
    inserted: bytes = pick(rng, _INSERTED)
    return data[:where] + inserted + data[where:]


def _files(rng: np.random.Generator, texts: list[str]) -> tuple[str, bytes]:
    """Return a name and the bytes of a tokenizer's file that lists some texts."""
    plain = [text.encode("utf-8", "replace").decode() for text in texts]
    ids = {text: i for i, text in enumerate(plain)}
    kind = pick(rng, _NAMES)
    if kind == "vocab.txt":
        return kind, "\n".join(text.replace("\n", "") for text in plain).encode()
    if kind == "a.tiktoken":
        import base64

        lines = (f"{base64.b64encode(text.encode()).decode()} {i}" for i, text in enumerate(plain))
        return kind, "\n".join(lines).encode()
    if kind == "a.model":
        pieces = (text.encode()[:100] for text in plain)
        return kind, b"".join(b"\x0a" + bytes([len(p) + 2, 10, len(p)]) + p for p in pieces)
    value: Any = ids
    if kind == "tokenizer.json":
        model = pick(
            rng,
            (
                {"type": "BPE", "vocab": ids, "merges": ["a b", ["c", "d"]]},
                {"type": "WordPiece", "vocab": ids},
                {"type": "Unigram", "vocab": [[text, -1.0] for text in plain], "unk_id": 0},
                {"type": "WordLevel", "vocab": ids},
            ),
        )
        added = [{"id": len(ids), "content": "<x>", "special": True}]
        value = {
            "model": model,
            "added_tokens": added,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]},
            "decoder": {"type": "ByteLevel"},
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]},
            "post_processor": None,
        }
    for _ in range(int(rng.integers(0, 3))):
        value = _damaged(rng, value)
    return kind, json.dumps(value).encode("utf-8", "replace")


def _reference(
    rng: np.random.Generator, folder: Path, model: pyembed.Model, texts: list[str], tally: Tally
) -> None:
    name, data = _files(rng, texts)
    inside = folder / "reference"
    inside.mkdir(exist_ok=True)
    (inside / name).write_bytes(_damaged_bytes(rng, data))
    reference = inside / name if chance(rng, 0.7) else inside
    _compare(model, reference, tally)
    (inside / name).unlink()


def _compare(model: pyembed.Model, reference: Path, tally: Tally) -> Report | None:
    try:
        report = model.validate("order", reference)
    except FAULTS as error:
        raise AssertionError(f"{reference.name}: {type(error).__name__}: {error}") from error
    except TYPED as error:
        if isinstance(error, LookupError | TypeError) and not isinstance(error, pyembed.PyembedError):
            raise AssertionError(f"{reference.name}: {type(error).__name__}: {error}") from error
        tally[f"reference: {type(error).__name__}"] += 1
        return None
    except Exception as error:
        raise AssertionError(f"{reference.name}: {type(error).__name__}: {error}") from error
    tally["reference compared"] += 1
    return report


def _whole_models(rng: np.random.Generator, folder: Path, made: Sample, tally: Tally) -> None:
    """Compare a model with itself, and open damaged ones."""
    with pyembed.load_model(made.path, validate="off") as model:
        report = _compare(model, made.path, tally)
        assert report is not None, "a model is not taken as its own reference"
        wrong = [
            one for one in report.findings if one.rule.startswith("reference/") and one.severity == "error"
        ]
        assert not wrong, f"a model differs from itself: {wrong}"
    other = folder / "other.gguf"
    for _ in range(5):
        other.write_bytes(_damaged_bytes(rng, made.files[0].read_bytes()))
        reports = pyembed.validate_all([other], level="full")
        for failure in reports.failures:
            raise AssertionError(f"a damaged model: {failure.message}")
        json.loads(reports.to_sarif())
        tally["damaged model examined"] += 1
        with contextlib.suppress(pyembed.FormatError), pyembed.load_model(other, validate="off") as model:
            _compare(model, made.path, tally)
