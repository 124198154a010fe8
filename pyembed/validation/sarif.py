"""Reports as SARIF 2.1.0, the OASIS standard for results of analyses, which code hosts and editors show."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias
from urllib.parse import quote

from .._native import ffi, lib
from .rules import Rule

Json: TypeAlias = Mapping[str, Any]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_FACTS = ("first_id", "last_id", "n_ids", "shift", "tensor")


def sarif(
    reports: Sequence[Json], rules: Mapping[str, Rule], failures: Sequence[tuple[str, str]] = ()
) -> dict[str, Any]:
    """Return a SARIF log of one run that holds the findings of some reports.

    What each kind of evidence came to, how many findings were left out, and the verdict on each model are
    notifications of the run; those of verdicts have the verdict and the number of pinned ids as properties.

    Parameters
    ----------
    reports : sequence of mapping
        What `Report.to_dict` returned.
    rules : mapping of str to Rule
        By name, all that the findings are of.
    failures : sequence of (str, str), optional
        Paths that could not be read, each with the reason: the run then was not successful.
    """
    indices = {name: index for index, name in enumerate(rules)}
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "pyembed",
                        "version": ffi.string(lib.pye_version()).decode("ascii"),
                        "rules": [_rule(rule) for rule in rules.values()],
                    }
                },
                "invocations": [
                    {
                        "executionSuccessful": not failures,
                        "toolExecutionNotifications": [
                            *_notifications(reports),
                            *(_failure(path, message) for path, message in failures),
                        ],
                    }
                ],
                "results": [
                    _result(report["path"], finding, indices[finding["rule"]])
                    for report in reports
                    for finding in report["findings"]
                ],
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.name,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.meaning},
        "help": {"text": f"How it arises: {rule.cause}\nWhat to do: {rule.advice}"},
        "defaultConfiguration": {"level": rule.severity.value},
        "properties": {"llama.cpp": rule.llama_cpp.value},
    }


def _result(path: str, finding: Json, index: int) -> dict[str, Any]:
    facts = {name: finding[name] for name in _FACTS if finding[name] is not None}
    return {
        "ruleId": finding["rule"],
        "ruleIndex": index,
        "level": finding["severity"],
        "message": {"text": finding["message"]},
        "locations": [_location(finding["path"] or path, finding)],
        "properties": {**facts, "llama.cpp": finding["llama_cpp"]},
    }


def _location(path: str, finding: Json) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": uri_of(path)}}
    if finding["offset"] is not None:
        place["region"] = {"byteOffset": finding["offset"]}
    location: dict[str, Any] = {"physicalLocation": place}
    names = []
    if finding["tensor"] is not None:
        names.append({"fullyQualifiedName": finding["tensor"], "kind": "member"})
    first, last = finding["first_id"], finding["last_id"]
    if first is not None:
        ids = f"token {first}" if last in (None, first) else f"tokens {first} to {last}"
        names.append({"fullyQualifiedName": ids, "kind": "element"})
    if names:
        location["logicalLocations"] = names
    return location


def uri_of(path: str) -> str:
    """Return a path as a URI, relative if the path is: it then means the same wherever it is shown."""
    drive, rest = os.path.splitdrive(path)
    data = quote(rest.replace(os.sep, "/").encode("utf-8", "surrogateescape"))
    if not os.path.isabs(path):
        return quote(drive) + data
    share = drive.replace(os.sep, "/")
    return f"file:{quote(share)}{data}" if share.startswith("//") else f"file://{share and '/' + share}{data}"


def _notifications(reports: Iterable[Json]) -> Iterable[dict[str, Any]]:
    for report in reports:
        where = [{"physicalLocation": {"artifactLocation": {"uri": uri_of(report["path"])}}}]
        texts = [f"{verdict['evidence']}: {verdict['text']}" for verdict in report["verdicts"]]
        texts += [f"{n} more findings of {rule}" for rule, n in report["omitted"].items()]
        for text in texts:
            yield {"level": "note", "message": {"text": text}, "locations": where}
        pinned = report["pinned"]
        yield {
            "level": "note",
            "message": {"text": f"{report['verdict']}: {report['summary']}"},
            "locations": where,
            "properties": {
                "verdict": report["verdict"],
                "pinned": pinned["n_ids"],
                "tokens": pinned["n_tokens"],
                "pinnedBy": pinned["by_evidence"],
            },
        }


def _failure(path: str, message: str) -> dict[str, Any]:
    where = [{"physicalLocation": {"artifactLocation": {"uri": uri_of(path)}}}]
    return {"level": "error", "message": {"text": f"cannot be read: {message}"}, "locations": where}
