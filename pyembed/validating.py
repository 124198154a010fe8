"""Validating files by their paths: one, or many in one report."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .core.aliases import LevelName
from .core.callbacks import came_from_handler
from .core.paths import Files, Path, file_name
from .core.progress import Progress
from .errors import FormatError, LoadCancelledError, PyembedError
from .files.model_folders import find_models
from .loader import load_model
from .safe_text import printable

if TYPE_CHECKING:
    from .validation import Report, Reports


def validate(
    path: Files,
    *,
    level: LevelName = "full",
    reference: Path | None = None,
    ignore: Iterable[str] = (),
    progress: Progress | None = None,
) -> Report:
    """Look for what is wrong with a GGUF model; `Model.validate` explains the other arguments.

    Of a file that cannot be opened because of its content the report says so, as ``container/damaged``.

    Parameters
    ----------
    path : path-like or sequence of path-likes
        As for `load_model`.

    Returns
    -------
    Report

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        For an unknown `level` or a name in `ignore` that is not a rule.
    """
    try:
        model = load_model(path, vocab_only=True, validate="off")
    except FormatError as error:
        from .validation import unreadable

        return unreadable(file_name(path), level, error, ignore)
    with model:
        return model.validate(level, reference, ignore=ignore, progress=progress)


def validate_all(
    paths: Iterable[Path],
    *,
    level: LevelName = "full",
    reference: Path | None = None,
    ignore: Iterable[str] = (),
    progress: Progress | None = None,
) -> Reports:
    """Look for what is wrong with several GGUF models, and lose no report because of another file.

    Parameters
    ----------
    paths : iterable of path-like
        Files, or folders: of these all ``.gguf`` files in them, links followed, split sets once.
    level, reference, ignore
        As in `Model.validate`, for each of them.
    progress : callable, optional
        Called with what is being done and the share of all of it that is done, between 0 and 1; a false
        answer that is not None cancels. What it raises is raised here.

    Returns
    -------
    Reports
        What cannot be read, a folder for example, is one of its `Reports.failures`.

    Raises
    ------
    ValueError
        For an unknown `level` or a name in `ignore` that is not a rule.
    OSError, FormatError, ValueError, TypeError
        If the reference cannot be used.
    LoadCancelledError
        If `progress` cancelled.
    """
    from .validation import Failure, Reports, check_ignored, check_level

    check_level(level)
    ignored = check_ignored(ignore)
    if isinstance(paths, str | bytes | os.PathLike):
        paths = [paths]
    found = [find_models(os.fsdecode(path)) for path in paths]
    models = [model for one in found for model in one.models]
    result = Reports(failures=[Failure(*failure) for one in found for failure in one.failures])
    raised: list[Exception] = []
    for index, model in enumerate(models):
        try:
            result.reports.append(
                validate(
                    model,
                    level=level,
                    reference=reference,
                    ignore=ignored,
                    progress=_share(progress, raised, model, index, len(models)),
                )
            )
        except LoadCancelledError:
            raise
        except _ONE_FILES as error:
            if raised or came_from_handler(error):
                raise
            _check_reference(reference)
            result.failures.append(Failure(model, _in_one_line(error)))
    return result


#: What validating one file may raise: the first line what is expected, the others if the package is at fault.
#: Of others, such as those that a signal's handler raises, nobody can say that they are about the file.
_ONE_FILES = (
    *(PyembedError, OSError, ValueError, MemoryError),
    *(ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError),
)


def _share(
    progress: Progress | None, raised: list[Exception], path: str, index: int, n: int
) -> Progress | None:
    """Return what is called with the progress of one file among several, and keeps what that raises."""
    if progress is None:
        return None
    name = printable(f"{os.path.basename(path)}: ") if n > 1 else ""

    def report(text: str, done: float) -> object:
        try:
            return progress(name + text, (index + done) / n)
        except Exception as error:
            raised.append(error)
            raise

    return report


def _check_reference(reference: Any) -> None:
    """Raise what is wrong with a reference: then it is not the model's fault."""
    if reference is not None:
        from .validation.reference import open_reference

        with open_reference(reference):
            pass


def _in_one_line(error: Exception) -> str:
    """Return why a model could not be validated; of what nobody expected, its class too."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error, MemoryError):
        return f"out of memory: {error}"
    return str(error) if isinstance(error, PyembedError | ValueError) else f"{type(error).__name__}: {error}"
