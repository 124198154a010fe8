"""What holds for every kind of evidence: levels, ignored rules, reports, and what a loader does with them."""

from __future__ import annotations

import json
import logging
import pickle
from dataclasses import dataclass
from pathlib import Path

import pytest

import pyembed
from pyembed import validation
from pyembed.validation import Evidence, Kind, Outcome, Rule, Severity, Subject
from pyembed.validation.report import MAX_FINDINGS_A_RULE, Findings, Report
from tests.helpers.model_files import TOKEN_TABLE, rows_of_floats, write_model

BAD = Rule("vocabulary/made-up", Severity.ERROR, "a", "b", "c", "d", Outcome.ABORT)
ODD = Rule("container/made-up", Severity.WARNING, "a", "b", "c", "d")


@dataclass
class MadeUp:
    """A kind of evidence that finds what it is given."""

    rule: Rule
    n: int = 1

    def __post_init__(self) -> None:
        self.EVIDENCE = Evidence(self.rule.name.split("/")[0], "a", "b", (self.rule,))
        self.seen: list[Subject] = []

    def examine(self, subject: Subject, findings: Findings) -> None:
        self.seen.append(subject)
        for i in range(self.n):
            findings.add(self.rule, f"finding {i}", first_id=i, last_id=i)
        findings.conclude(f"{findings.n_of(self.rule)} findings")


def use(monkeypatch: pytest.MonkeyPatch, *kinds: Kind) -> None:
    monkeypatch.setattr("pyembed.validation.kinds.KINDS", kinds)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    tokens = [f"t{i}" for i in range(10)]
    tensors = {TOKEN_TABLE: rows_of_floats()}
    return write_model(tmp_path / "model.gguf", model="gpt2", tokens=tokens, tensors=tensors)


@pytest.mark.parametrize(("level", "n"), [("header", 1), ("order", 2), ("full", 3)])
def test_a_level_holds_those_before_it(
    level: str, n: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [MadeUp(ODD) for _ in range(4)]
    use(monkeypatch, *map(Kind, ("header", "order", "full"), made), Kind("header", made[3], True))
    report = pyembed.validate(path, level=level)
    assert report.level == level
    assert [len(kind.seen) for kind in made] == [*([1] * n), *([0] * (3 - n)), 0]
    assert made[0].seen[0].level == level
    pyembed.validate(path, level=level, reference="other.gguf")
    assert made[3].seen[0].reference == "other.gguf"


@pytest.mark.parametrize("ask", ["validate", "load_model", "Model.validate"])
def test_unknown_levels_and_rules(ask: str, path: Path) -> None:
    with pyembed.load_model(path) as model:
        call, name = {
            "validate": (lambda **given: pyembed.validate(path, **given), "level"),
            "load_model": (lambda **given: pyembed.load_model(path, **given), "validate"),
            "Model.validate": (model.validate, "level"),
        }[ask]
        with pytest.raises(
            ValueError, match=r"unknown level of validation 'deep'; known: .*header, order, full"
        ):
            call(**{name: "deep"})
        with pytest.raises(
            ValueError, match=r"no rule is named 'container/damged'; near it: container/damaged"
        ):
            call(ignore=["container/damaged", "container/damged"])
        with pytest.raises(ValueError, match=r"no rule is named 'x'; docs/rules\.md lists them"):
            call(ignore=["x"])
        with pytest.raises(ValueError, match=r"write \['container/damaged'\]"):
            call(ignore="container/damaged")


def test_findings_are_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Kind("order", MadeUp(BAD, 300_000)))
    report = pyembed.validate(path)
    assert [finding.first_id for finding in report.findings] == list(range(MAX_FINDINGS_A_RULE))
    assert report.omitted == {BAD.name: 300_000 - MAX_FINDINGS_A_RULE}
    assert report.verdicts[-1].text == "300000 findings"


def test_many_warnings_do_not_hide_an_error() -> None:
    report = Report("x", "full")
    findings = Findings(report, MadeUp(ODD).EVIDENCE)
    for _ in range(50):
        findings.add(ODD, "odd")
    findings.add(ODD, "worse", severity=Severity.ERROR, llama_cpp=Outcome.REFUSE)
    assert not report.ok
    assert report.llama_cpp is Outcome.REFUSE
    assert report.omitted == {ODD.name: 50 - MAX_FINDINGS_A_RULE}


def test_ignored_rules_are_not_reported(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Kind("order", MadeUp(BAD)))
    assert not pyembed.validate(path).ok
    report = pyembed.validate(path, ignore=[BAD.name])
    assert report.ok
    assert report.findings == []
    pyembed.load_model(path, ignore=(BAD.name,)).close()


def test_json(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, Kind("order", MadeUp(BAD)))
    known = json.loads(pyembed.validate(path).to_json())
    assert (known["path"], known["ok"], known["level"]) == (str(path), False, "full")
    assert known["llama_cpp"] == "abort"
    (finding,) = [finding for finding in known["findings"] if finding["rule"] == BAD.name]
    assert finding["severity"] == "error"
    assert (finding["first_id"], finding["last_id"], finding["shift"]) == (0, 0, None)


# ------------------------------------------------------------------------------------------ the loader


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vocabulary/x", pyembed.VocabularyError),
        ("reference/x", pyembed.VocabularyError),
        ("geometry/x", pyembed.VocabularyError),
        ("container/x", pyembed.GGUFError),
        ("tensor/x", pyembed.GGUFError),
    ],
)
def test_errors_are_raised(
    name: str, kind: type[pyembed.FormatError], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rule(name, Severity.ERROR, "a", "b", "c", "d")
    use(monkeypatch, Kind("order", MadeUp(rule, 3)))
    with pytest.raises(kind, match="finding 0") as caught:
        pyembed.load_model(path)
    error = pickle.loads(pickle.dumps(caught.value))
    for known in (caught.value, error):
        assert type(known) is kind
        assert known.path == str(path)
        assert f'{name}, and 2 more errors in its .report); ignore=["{name}"]' in str(known)
        assert not known.report.ok
        assert known.report.level == "order"
        assert len(known.report.findings) == 3
    pyembed.load_model(path, validate="header").close()
    pyembed.load_model(path, validate="off").close()


def test_warnings_are_logged_once_a_load(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use(monkeypatch, Kind("order", MadeUp(ODD, 100)))
    with caplog.at_level(logging.DEBUG, logger="pyembed"):
        pyembed.load_model(path).close()
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("pyembed", "WARNING")
    assert f"{path}: {ODD.name}: finding 0\n" in record.getMessage()
    assert f"{ODD.name}: 80 more" in record.getMessage()
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="pyembed"):
        pyembed.load_model(path, validate="header").close()
        pyembed.load_model(path, ignore=[ODD.name]).close()
    assert not [record for record in caplog.records if ODD.name in record.getMessage()]


@pytest.mark.parametrize(("n", "first", "last"), [(7, 7, 9), (12, 10, 11)])
def test_another_number_of_rows_is_one_finding(n: int, first: int, last: int, tmp_path: Path) -> None:
    tokens = [f"t{i}" for i in range(n)]
    tensors = {TOKEN_TABLE: rows_of_floats(10)}
    path = write_model(tmp_path / "model.gguf", model="gpt2", tokens=tokens, tensors=tensors)
    found = pyembed.validate(path, level="order").findings
    (finding,) = [finding for finding in found if finding.tensor == TOKEN_TABLE]
    assert (finding.rule, finding.first_id, finding.last_id) == ("vocabulary/row-count", first, last)
    assert finding.severity == ("error" if n > 10 else "warning")


def test_a_damaged_file_is_a_report(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    report = pyembed.validate(path)
    (finding,) = report.findings
    assert (report.ok, report.path, finding.rule) == (False, str(path), "container/damaged")
    assert finding.offset is not None
    assert report.llama_cpp is Outcome.REFUSE
    assert str(path) not in finding.message
    assert pyembed.validate(path, ignore=["container/damaged"]).ok
    path.write_bytes(b"no model")
    (finding,) = pyembed.validate(path).findings
    assert "not a GGUF file" in finding.message
    with pytest.raises(ValueError, match="unknown level"):
        pyembed.validate(path, level="deep")


def test_a_file_that_cannot_be_read_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        pyembed.validate(tmp_path / "none.gguf")
    with pytest.raises(IsADirectoryError):
        pyembed.validate(tmp_path)


def test_every_rule_has_one_name_and_says_all() -> None:
    rules = [rule for kind in validation.KINDS for rule in kind.module.EVIDENCE.rules]
    assert len({rule.name for rule in rules}) == len(rules)
    for kind in validation.KINDS:
        evidence = kind.module.EVIDENCE
        assert kind.level in validation.LEVELS
        assert evidence.proves
        assert evidence.blind_to
        for rule in evidence.rules:
            assert rule.name.startswith(evidence.name + "/")
            assert all((rule.title, rule.meaning, rule.cause, rule.advice)), rule.name
