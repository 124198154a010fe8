"""What a rule is: a named statement about model files that a finding says is violated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Severity(str, Enum):
    """How bad it is. Only findings of severity ``error`` make a report not `ok`."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


class Verdict(str, Enum):
    """What a report comes to; it equals its own name as a string."""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    WRONG = "wrong"


class Outcome(str, Enum):
    """What llama.cpp makes of a model: ``abort`` ends its process, while it loads or at the first token."""

    LOAD = "load"
    REFUSE = "refuse"
    ABORT = "abort"


@dataclass(frozen=True)
class Rule:
    """One rule; ``docs/rules.md`` is written from these.

    Attributes
    ----------
    name : str
        Such as ``"vocabulary/duplicate-token"``: the part before the slash is the kind of evidence.
    severity : Severity
        Of its findings.
    title : str
        What a finding says is wrong, in a few words.
    meaning : str
        What it means for whoever runs the model.
    cause : str
        How it arises.
    advice : str
        What to do about it.
    llama_cpp : Outcome, optional
        What llama.cpp makes of a model that violates it, as far as this rule goes.
    """

    name: str
    severity: Severity
    title: str
    meaning: str
    cause: str
    advice: str
    llama_cpp: Outcome = Outcome.LOAD


@dataclass(frozen=True)
class Evidence:
    """One kind of evidence: what it can prove, and what it cannot see.

    Attributes
    ----------
    name : str
        Such as ``"vocabulary"``: the first part of its rules' names.
    proves : str
        What follows if it finds nothing.
    blind_to : str
        What it cannot see, ever.
    rules : tuple of Rule
        All rules that it may report findings of.
    """

    name: str
    proves: str
    blind_to: str
    rules: tuple[Rule, ...]
