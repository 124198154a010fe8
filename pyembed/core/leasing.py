"""Replacing something open while requests use it: each goes on with what it began with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from ..errors import ClosedError


class Openable(Protocol):
    """What is leased: something with a path that is open until it is closed."""

    @property
    def path(self) -> str: ...  # noqa: D102
    @property
    def closed(self) -> bool: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


Opened = TypeVar("Opened", bound=Openable)


class _Slot(Generic[Opened]):
    """A model, how many leases it has, and whether it is to be closed when they have ended."""

    def __init__(self, model: Opened) -> None:
        self.model = model
        self.n_leases = 0
        self.retired = False


class Leasing(Generic[Opened]):
    """Lends what is current, and closes what was replaced when its last lease ends.

    No method waits for a lease to end. It owns what it is given.
    """

    def __init__(self, model: Opened) -> None:
        self._lock = threading.Lock()
        self._current: _Slot[Opened] | None = self._slot_for(model)
        self._draining: list[_Slot[Opened]] = []

    def _check(self, model: Opened) -> None:
        """Raise TypeError for what is not to be lent here."""

    def _slot_for(self, model: Opened) -> _Slot[Opened]:
        self._check(model)
        if model.closed:
            raise ClosedError(f"{model.path} is closed")
        return _Slot(model)

    @contextmanager
    def lease(self) -> Iterator[Opened]:
        """Lend the current model for a ``with`` block, in which it stays open whatever is swapped.

        A model that is kept beyond the block may be closed at any moment. A task that is cancelled ends its
        block while a thread that it started may still work: such a call finishes undisturbed.

        Raises
        ------
        ClosedError
            (a ValueError) if the handle is closed.
        """
        slot = self._take()
        try:
            yield slot.model
        finally:
            self._give_back(slot)

    def _take(self) -> _Slot[Opened]:
        with self._lock:
            slot = self._current
            if slot is None:
                raise ClosedError("the handle is closed: it lends no model")
            slot.n_leases += 1
            return slot

    def _give_back(self, slot: _Slot[Opened]) -> None:
        with self._lock:
            slot.n_leases -= 1
            ended = slot.retired and not slot.n_leases
        if ended:
            self._end(slot)

    def _end(self, slot: _Slot[Opened]) -> None:
        """Close a model without holding the lock: giving back the memory of a large one takes a while."""
        slot.model.close()
        with self._lock:
            self._draining.remove(slot)

    def swap(self, new: Opened) -> None:
        """Lend `new` from now on; close the model that it replaces when the last lease of that ends.

        Load the new model first: if that fails, nothing has changed. Swapping in the model that is there
        already, or one whose leases have not all ended yet, is allowed.

        Raises
        ------
        ClosedError
            (a ValueError) if the handle or `new` is closed; the current model stays.
        """
        slot = self._slot_for(new)
        with self._lock:
            if self._current is None:
                raise ClosedError("the handle is closed: it takes no model")
            if new is self._current.model:
                return
            for draining in self._draining:
                if draining.model is new:
                    slot = self._revive(draining)
                    break
            old, self._current = self._current, slot
            ended = self._retire(old)
        if ended:
            self._end(old)

    def _revive(self, slot: _Slot[Opened]) -> _Slot[Opened]:
        """Return a slot to service that has leases left. The lock is held."""
        if not slot.n_leases:  # another thread is about to close it
            raise ClosedError(f"{slot.model.path} is closed: its last lease has ended")
        self._draining.remove(slot)
        slot.retired = False
        return slot

    def _retire(self, slot: _Slot[Opened]) -> bool:
        """Let a slot end with its last lease; return whether it has none. The lock is held."""
        slot.retired = True
        self._draining.append(slot)
        return not slot.n_leases

    @property
    def model(self) -> Opened:
        """The current model, for a look at its facts; only a lease keeps it open.

        Raises
        ------
        ClosedError
            (a ValueError) if the handle is closed.
        """
        slot = self._current
        if slot is None:
            raise ClosedError("the handle is closed: it has no model")
        return slot.model

    @property
    def n_leases(self) -> int:
        """How many leases have not ended, of the current model and of those that were replaced."""
        with self._lock:
            slots = [*self._draining, *([self._current] if self._current is not None else [])]
            return sum(slot.n_leases for slot in slots)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._current is None

    def close(self) -> None:
        """Lend nothing any more; close the model when its last lease ends. Closing twice is allowed."""
        with self._lock:
            slot, self._current = self._current, None
            ended = slot is not None and self._retire(slot)
        if slot is not None and ended:
            self._end(slot)
