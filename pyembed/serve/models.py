"""What a server serves: models by name, each of which may be opened anew while requests use it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..analysis.similarity import Geometry
from ..core.closing import Closing
from ..core.leasing import Leasing
from ..encoders import Encoder, encoder_of, load_encoder
from ..errors import ClosedError, FormatError
from ..loader import load_model, open_table
from ..model import Model
from ..safe_text import printable
from ..tables.table import EmbeddingTable
from ..tokens.listed import ListedTokens


@dataclass(frozen=True)
class Given:
    """A model as it was given to the server.

    Attributes
    ----------
    name : str
        What requests call it.
    path : str
        A GGUF model, the folder or file of a static encoder, or a file with a table of rows.
    lock : str or None
        The file of a lock that a GGUF model has to satisfy each time it is opened.
    unchecked : bool
        Whether a GGUF model is opened even if its validation finds errors, to be looked at.
    memory_budget : str or None
        How much of a GGUF model's or a table's mapped files may be in memory at a time, such as ``"8GiB"``.
    """

    name: str
    path: str
    lock: str | None = None
    unchecked: bool = False
    memory_budget: str | None = None


class Served(Closing):
    """An open model as requests see it. Any number of threads may use it.

    Attributes
    ----------
    name, path : str
    model : Model or None
        The open GGUF model; None where the path is something else.
    encoder : Encoder or None
        What makes vectors of texts; None where texts cannot be cut.
    table : EmbeddingTable
        The rows of token ids.
    no_texts : str
        Why there is no encoder; else "".
    opened : int
        When, in seconds since 1970.
    """

    def __init__(
        self,
        given: Given,
        table: EmbeddingTable,
        *,
        model: Model | None = None,
        encoder: Encoder | None = None,
        no_texts: str = "",
    ) -> None:
        self.name, self.path = given.name, given.path
        self.model, self.encoder, self.table = model, encoder, table
        self.no_texts = no_texts
        self._listed: ListedTokens | None = None
        self._lock = threading.Lock()
        self.opened = int(time.time())
        self._closed = False

    @property
    def vocabulary(self) -> ListedTokens | None:
        """The tokens of the rows; None where there are none.

        Those of an encoder's folder are listed when somebody first asks, which takes a moment.

        Raises
        ------
        FormatError, ImportError
            If the tokens that are there cannot be read.
        """
        if self.model is not None:
            return self.model.vocabulary if self.model.has_vocabulary else None
        if self.encoder is None:
            return None
        with self._lock:
            if self._listed is None:
                self._listed = self.encoder.whole_tokenizer.listed(len(self.table))
            return self._listed

    @property
    def geometry(self) -> Geometry:
        """The rows as points in space, named by the vocabulary where there is one."""
        return Geometry(self.table, self.vocabulary)

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def close(self) -> None:
        """Let go of the file; calls in other threads finish undisturbed."""
        self._closed = True
        if self.encoder is not None:
            self.encoder.close()
        (self.model or self.table).close()

    def _ensure_open(self) -> None:
        if self._closed:
            raise ClosedError(f"{self.path} is closed")


def open_served(given: Given) -> Served:
    """Open a model, an encoder or a table, and look whether it is what it should be.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If it is damaged, its validation finds an error, or it is not the model of its lock.
    ValueError
        For a lock of something that is not a GGUF model; for a memory budget of an encoder.
    ImportError
        If an encoder's folder needs the extra ``text``, and that is not installed.
    """
    os.stat(given.path)
    if not os.path.isdir(given.path) and _begins_as_gguf(given.path):
        return _open_model(given)
    if given.lock is not None:
        raise ValueError(f"{given.path} is not a GGUF model: it has no lock")
    try:
        encoder = load_encoder(given.path)
    except FormatError as error:
        if os.path.isdir(given.path):
            raise
        table = open_table(given.path, memory_budget=given.memory_budget)
        return Served(given, table, no_texts=str(error))
    try:
        if given.memory_budget is not None:
            raise ValueError(f"{given.path} is an encoder: a memory budget is for GGUF models and tables")
        return Served(given, encoder.table, encoder=encoder)
    except BaseException:
        encoder.close()
        raise


def _begins_as_gguf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) in (b"GGUF", b"PK\x03\x04")  # an archive of a model, such as a llamafile's


def _open_model(given: Given) -> Served:
    model = load_model(
        given.path,
        lock=given.lock,
        validate="off" if given.unchecked else "order",
        memory_budget=given.memory_budget,
    )
    try:
        table = model.table
        try:
            encoder, why = encoder_of(model), ""
        except (FormatError, ImportError) as error:
            encoder, why = None, str(error)
        return Served(given, table, model=model, encoder=encoder, no_texts=why)
    except BaseException:
        model.close()
        raise


class Models(Mapping[str, Served]):
    """The models of a server by name; the first is what requests mean that name none.

    Requests work with a model inside a lease, in which it stays open. ``models[name]`` is the current one,
    for a look at its facts: a reload may close it at any moment, after which its methods raise ClosedError.

    Parameters
    ----------
    given : iterable of Given
        At least one; no two of the same name.

    Raises
    ------
    OSError, FormatError, ValueError, ImportError
        As `open_served` does; then none stays open.
    """

    def __init__(self, given: Iterable[Given]) -> None:
        self._given = {one.name: one for one in given}
        self._reloading = threading.Lock()
        self._leasing: dict[str, Leasing[Served]] = {}
        try:
            for one in self._given.values():
                self._leasing[one.name] = Leasing(open_served(one))
        except BaseException:
            self.close()
            raise
        if not self._leasing:
            raise ValueError("there is no model to serve")

    @property
    def default(self) -> str:
        """Name of the model that requests mean that name none."""
        return next(iter(self._leasing))

    def __getitem__(self, name: str) -> Served:
        return self._leasing[name].model

    def __iter__(self) -> Iterator[str]:
        return iter(self._leasing)

    def __len__(self) -> int:
        return len(self._leasing)

    def lease(self, name: str) -> AbstractContextManager[Served]:
        """Lend a model for a ``with`` block, in which it stays open whatever is reloaded.

        Raises
        ------
        KeyError
            If there is none of that name.
        ClosedError
            If the server has ended.
        """
        return self._leasing[name].lease()

    def reload(self, name: str) -> None:
        """Open a model anew by its path, and let requests have it from now on. Takes as long as opening it.

        Raises
        ------
        KeyError
            If there is none of that name.
        OSError, FormatError, ValueError, ImportError
            As `open_served` does; then the model that was there stays.
        """
        leasing = self._leasing[name]
        with self._reloading:
            new = open_served(self._given[name])
            try:
                leasing.swap(new)
            except BaseException:
                new.close()
                raise

    def close(self) -> None:
        """Lend nothing any more; each model is closed when its last lease ends."""
        for leasing in self._leasing.values():
            leasing.close()

    def __enter__(self) -> Models:
        return self

    def __exit__(self, kind: object, exception: object, trace: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Models {', '.join(f'{printable(name)}' for name in self._leasing)}>"
