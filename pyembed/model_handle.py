"""Replacing a model while requests use it: each goes on with the model that it began with."""

from __future__ import annotations

from .core.leasing import Leasing
from .errors import ClosedError
from .model import Model


class ModelHandle(Leasing[Model]):
    """Holds the model that requests are served from, and lets it be swapped under load.

    A request leases the model, and works with the same one until its lease ends. `swap` puts another model in
    its place at once; the old one is closed when its last lease ends. Any number of threads may use a handle,
    and so may the tasks of an event loop: no method waits for a lease to end.

    Parameters
    ----------
    model : Model
        An open model. The handle owns it from then on, as it does every model it is given: nobody else
        should close it.

    Raises
    ------
    ClosedError
        (a ValueError) if the model is closed.

    Examples
    --------
    >>> import pyembed
    >>> handle = pyembed.ModelHandle(pyembed.load_model(pyembed.demo_model()))
    >>> with handle.lease() as model:
    ...     rows = model.embed([1, 2, 3])
    >>> handle.swap(pyembed.load_model(pyembed.demo_model()))
    >>> handle.close()
    """

    def _check(self, model: Model) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"expected a Model, got {type(model).__name__}")

    def __enter__(self) -> ModelHandle:
        if self.closed:
            raise ClosedError("the handle is closed")
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        slot = self._current
        state = "closed" if slot is None else f"of {slot.model.path}"
        return f"<ModelHandle {state}, {self.n_leases} leases>"

    def __reduce__(self) -> str:
        raise TypeError("a ModelHandle counts the leases of its own process: pickle the model, or its path")
