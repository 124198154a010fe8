"""What validation would say of a draft: headers are written, the bytes of tensors are holes."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from ..core.paths import Path
from ..core.system import set_size
from ..editing.edit import Edit
from ..files.copying import PieceWriter, n_bytes_of
from ..validating import validate
from ..validation import Finding, Report, Severity
from .draft import Draft


def judge(draft: Draft, reference: Path | None) -> Report:
    """Validate a draft at level ``order``, which reads no rows."""
    edit = Edit(draft.source)
    draft.commit(edit)
    with _written(edit) as files:
        return validate(files if len(files) > 1 else files[0], level="order", reference=reference)


@contextmanager
def _written(edit: Edit) -> Iterator[list[str]]:
    """Yield files with the headers that an edit leads to, and holes for all tensors."""
    plans = edit.plans()
    with tempfile.TemporaryDirectory(prefix="pyembed-") as folder:
        files = []
        for number, plan in enumerate(plans, 1):
            path = os.path.join(folder, f"m-{number:05d}-of-{len(plans):05d}.gguf")
            with open(path, "wb") as file:
                writer = PieceWriter(file, plan.n_bytes, lambda share: None)
                writer.put_all(plan.head)
                end = writer.written
                for parts in plan.data:
                    end += -end % plan.alignment + sum(map(n_bytes_of, parts))
                set_size(file, end + -end % plan.alignment)
            files.append(path)
        yield files


def badness(report: Report) -> tuple[int, int]:
    """Return how many errors and warnings a report has, those that it only counts too."""
    counts = Counter(finding.severity for finding in report.findings)
    omitted = sum(report.omitted.values())
    return counts[Severity.ERROR] + omitted, counts[Severity.WARNING]


def counts_of(report: Report) -> Counter[str]:
    """Return how many findings that matter there are of each rule."""
    counts = Counter(finding.rule for finding in report.findings if matters(finding))
    counts.update({rule: n for rule, n in report.omitted.items() if counts[rule]})
    return counts


def matters(finding: Finding) -> bool:
    """Return whether a finding is one to be mended: notes are not."""
    return finding.severity is not Severity.NOTE


def is_gone(finding: Finding, before: Report, after: Report) -> bool:
    """Return whether a finding of one report is not in another."""
    left, had = counts_of(after)[finding.rule], counts_of(before)[finding.rule]
    if left == 0:
        return True
    return left < had and not any(
        (other.rule, other.first_id, other.last_id, other.tensor)
        == (finding.rule, finding.first_id, finding.last_id, finding.tensor)
        for other in after.findings
    )
