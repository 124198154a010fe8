"""What models and tables have in common: a ``with`` block that closes them."""

from __future__ import annotations

from typing import TypeVar

from ..errors import NotFoundError

_Self = TypeVar("_Self", bound="Closing")


class Closing:
    """Closed by `close`, or by the end of a ``with`` block."""

    def close(self) -> None:
        """Close it; closing twice is allowed."""
        raise NotImplementedError

    def _ensure_open(self) -> object:
        """Raise ClosedError if it is closed."""
        raise NotImplementedError

    def __enter__(self: _Self) -> _Self:
        self._ensure_open()
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        if isinstance(exception, NotFoundError):
            exception.settle()  # while what it looks for names in is still open
        self.close()
