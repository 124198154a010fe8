"""An open GGUF model: its tables, its vocabulary, and what it says of itself."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from .analysis.compared import Compared
from .core.aliases import LevelName
from .core.closing import Closing
from .core.display import html_table
from .core.handle import Source
from .core.paths import Path
from .core.progress import Progress, report_to
from .core.records import Change, Stats
from .errors import FormatError, NotFoundError
from .files.metadata import Metadata, Tensors
from .inputs.first_layer import FirstLayer
from .inputs.token_rows import TokenRows
from .llama_cpp.architectures import WITHOUT_PROJECTION
from .ngram import Ngram
from .ngram.gguf_keys import find_constants
from .safe_text import printable
from .tables.reopening import FileMark, TableMark, mark_file, mark_table, reopen, require_same, require_table
from .tables.table import EmbeddingTable
from .tables.token_table import OUTPUT_TABLE, TOKEN_TABLE, find_output_table, find_token_table
from .tokens.cutting.model_texts import Texts
from .tokens.vocabulary import Vocabulary

if TYPE_CHECKING:
    from .validation import Report, Subject


class Model(TokenRows, FirstLayer, Texts, Compared, Closing):
    """An open GGUF model. Use `load_model` to get one.

    It is immutable, and any number of threads may use it. `close`, or the end of a ``with`` block, closes
    its tables and its vocabulary too; whatever is asked of them afterwards raises `ClosedError`.

    A model pickles, and so do its tables, its vocabulary and its geometry: as the absolute path and the
    options of the file, not its rows, so that ``pool.map(model.embed, ids)`` works in a pool of processes.
    Unpickling opens the file anew, and raises FormatError if size, tokens or a sample of rows differ, OSError
    if it is not there. It is not validated again. What was unpickled is closed by whoever has it.
    """

    def __init__(self, source: Source, kv_overrides: Mapping[str, object] | None = None) -> None:
        self._source = source
        self._metadata = Metadata(source, kv_overrides)
        self._tensors = Tensors(source)
        self._tables: dict[str, EmbeddingTable] = {}
        self._vocabulary: Vocabulary | None = None
        self._ngram: Ngram | None = None
        self._has_no_ngram = False
        self._lock = threading.RLock()
        self._mark: _Mark | None = None
        self._token_table, self._has_table = TOKEN_TABLE, TOKEN_TABLE in self._tensors
        if self._has_table:
            return
        if self.architecture == "codeshell" and OUTPUT_TABLE in self._tensors:
            # It may store its one table under the name of the output.
            self._token_table, self._has_table = OUTPUT_TABLE, True
            return
        with suppress(FormatError, NotFoundError):  # `table` says why
            self._token_table, self._has_table = find_token_table(source).name, True

    # ---------------------------------------------------------------------------------------- facts

    @property
    def path(self) -> str:
        """The file that was opened."""
        return self._source.path

    @property
    def load_mode(self) -> str:
        """The load mode really in use: ``"none"``, ``"mmap"``, ``"mlock"``, ``"mmap+mlock"`` or ``"dio"``."""
        return self._source.load_mode

    @property
    def metadata(self) -> Metadata:
        """The metadata, with ``kv_overrides`` applied: a read-only mapping that decodes when touched."""
        self._source.ensure_open()
        return self._metadata

    @property
    def tensors(self) -> Tensors:
        """The tensors by name: a read-only mapping to `TensorInfo`."""
        self._source.ensure_open()
        return self._tensors

    @property
    def architecture(self) -> str | None:
        """``general.architecture``; None where the file does not say."""
        return self.metadata.text("general.architecture")

    @property
    def n_vocab(self) -> int:
        """Number of tokens; without a vocabulary, of rows of the token table."""
        if self.has_vocabulary:
            return len(self.vocabulary)
        return math.prod(self.tensors[self._token_table].shape[:-1])

    @property
    def n_embd(self) -> int:
        """Columns of the token table; without a table, ``<architecture>.embedding_length``."""
        if self._token_table in self.tensors:
            return self.tensors[self._token_table].shape[-1]
        width = self.metadata.count(f"{self.architecture}.embedding_length")
        if width is not None:
            return width
        raise NotFoundError(f"{self.path}: neither {TOKEN_TABLE} nor an embedding_length is there")

    # --------------------------------------------------------------------------------------- tables

    def open_table(self, name: str) -> EmbeddingTable:
        """Return the table of any tensor of one dimension or more; the same object each time.

        Codes come with what lies beside them, such as their scales, and a table that is cut into shards has
        the name before their numbers: see `EmbeddingTable.layout`.

        Raises
        ------
        NotFoundError
            (a KeyError) if no tensor has that name; the message names some that come near.
        UnsupportedTypeError
            If its type cannot be decoded here.
        """
        table = self._tables.get(name)
        if table is not None and not table.closed:
            return table
        with self._lock:
            self._source.ensure_open()
            table = self._tables.get(name)
            if table is None or table.closed:
                table = self._tables[name] = EmbeddingTable(self._source, name)
            return table

    @property
    def table(self) -> EmbeddingTable:
        """The table of token embeddings: row i is that of token i.

        That is ``token_embd.weight``. In a file of another program than llama.cpp's it may have another
        name, such as ``model.embed_tokens.weight``, and is then found by it: see ``table.name``.

        Raises
        ------
        NotFoundError
            (a KeyError) if the file has none; the message says what the file is, where it says so itself.
        FormatError
            If several tensors are named like one, or it is stored in a way that cannot be decoded here.
        """
        if not self._has_table:
            self._source.ensure_open()
            find_token_table(self._source)  # raises
        return self.open_table(self._token_table)

    @property
    def token_table_name(self) -> str | None:
        """Name of the tensor of `table`; None where there is none."""
        return self._token_table if self._has_table else None

    @property
    def tied(self) -> bool:
        """Whether the output projection is the token table: if there is no ``output.weight`` beside it."""
        if self.architecture in WITHOUT_PROJECTION or not self._has_table:
            return False
        try:
            return self._output_name() in (None, self._token_table)
        except FormatError:  # several tensors are named like an output projection
            return False

    def _output_name(self) -> str | None:
        """Return the tensor of the output projection; None where there is none beside the token table."""
        self._source.ensure_open()
        if not self._has_table:
            return OUTPUT_TABLE if OUTPUT_TABLE in self._tensors else None
        return find_output_table(self._source, self._tensors[self._token_table])

    @property
    def output_table(self) -> EmbeddingTable:
        """The output projection, one row a token; the same object as `table` where the model ties them.

        Raises
        ------
        NotFoundError
            (a KeyError) for an architecture without an output projection.
        FormatError
            If several tensors of a file of another program are named like one.
        """
        name = self._output_name()
        if name is not None:
            return self.open_table(name)
        if self.architecture in WITHOUT_PROJECTION:
            raise NotFoundError(f"{self.path}: the architecture {self.architecture} has no output table")
        return self.table

    @property
    def ngram(self) -> Ngram | None:
        """The names of the rows that a model with conditional memory hashes its last tokens to.

        None for a model without such tables. ``per_layer_token_embd`` of Gemma is none: its rows are named by
        token ids.

        Raises
        ------
        FormatError
            If the file has such tables, or keys of them, and does not say how rows are hashed: constants are
            missing, or named in an unknown way, contradict each other, or cannot be right.
        """
        with self._lock:
            self._source.ensure_open()
            if self._ngram is None and not self._has_no_ngram:
                constants = find_constants(self._source, self._metadata, self._tensors)
                self._has_no_ngram = constants is None
                self._ngram = None if constants is None else Ngram(constants, self.open_table)
            return self._ngram

    # ----------------------------------------------------------------------------------- vocabulary

    @property
    def has_vocabulary(self) -> bool:
        """Whether the file has tokens; without, `vocabulary` raises VocabularyError."""
        return "tokenizer.ggml.tokens" in self.metadata

    @property
    def vocabulary(self) -> Vocabulary:
        """The tokens of the model.

        Raises
        ------
        VocabularyError
            If the file has none, or one whose parts contradict each other.
        """
        with self._lock:
            self._source.ensure_open()
            if self._vocabulary is None:
                self._vocabulary = Vocabulary(self._source, self._metadata)
            return self._vocabulary

    # ----------------------------------------------------------------------------------- validation

    def validate(
        self,
        level: LevelName = "full",
        reference: Path | None = None,
        *,
        ignore: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> Report:
        """Look for what is wrong with the model: whether the row of every token is its own, and all else.

        Parameters
        ----------
        level : {"full", "order", "header"}, optional
            ``"header"`` looks at the container only, ``"order"`` also at the vocabulary and the shapes of its
            tables, without reading rows, ``"full"`` at every tensor's bytes.
        reference : path-like, optional
            What to compare with: another model, a tokenizer's file, a directory of such files, or the digest
            of a vocabulary.
        ignore : iterable of str, optional
            Names of rules whose findings are dropped, such as ``"vocabulary/duplicate-token"``.
        progress : callable, optional
            Called with what is being done and the share of it that is done, between 0 and 1; a false answer
            that is not None cancels.

        Returns
        -------
        Report
            `Report.ok` says whether there is no error in it.

        Raises
        ------
        ValueError
            For an unknown `level` or a name in `ignore` that is not a rule.
        OSError, FormatError, TypeError
            If the reference cannot be read, is damaged or of an unknown kind, or is not a path.
        """
        from . import validation

        return validation.run(self._subject(progress), level, reference, ignore)

    def check_tensors(self, *, ignore: Iterable[str] = (), progress: Progress | None = None) -> Report:
        """Look at the bytes of every tensor for what llama.cpp refuses when it is asked to check tensors.

        That is any float, or scale of a block, that is NaN or infinite, and a few uses of types that no
        quantiser has. It takes as long as reading the file. `validate` with level ``"full"`` looks for the
        same, and takes the latter for warnings.

        Returns
        -------
        Report
            Its findings are errors of the rules ``tensor/not-finite`` and ``tensor/check-tensors``.
        """
        from . import validation

        return validation.check_tensors(self._subject(progress), ignore)

    def _subject(self, progress: Progress | None) -> Subject:
        vocabulary, why = None, None
        try:
            vocabulary = self.vocabulary
        except FormatError as error:
            why = error.with_traceback(None)  # its frames would keep the file open
        from .validation import Subject

        return Subject(
            self._source,
            self._metadata.uncached(),  # which long arrays do not outlive
            self._tensors,
            vocabulary,
            why,
            self.open_table,
            self._token_table,
            report_to(progress),
        )

    def _names(self) -> Vocabulary | None:
        return self.vocabulary if self.has_vocabulary else None

    # ------------------------------------------------------------------------------------ statistics

    def stats(self) -> Stats:
        """Return what the model's tables have done since it was opened; takes no lock and stops nobody."""
        return self._source.stats()

    # --------------------------------------------------------------------------------------- closing

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._source.closed

    def close(self) -> None:
        """Close the model, its tables and its vocabulary.

        Calls of other threads that have begun finish undisturbed; what begins later raises `ClosedError`. Of
        a model that is replaced under load `ModelHandle` knows when nobody uses it any more.
        """
        with self._lock:
            self._source.close()
            for table in self._tables.values():
                table.close()
            if self._vocabulary is not None:
                self._vocabulary.close()
            if self._ngram is not None:
                self._ngram.close()

    def check(self) -> Change | None:
        """Return what became of the model's files since they were opened; None if nothing did.

        Compares device, inode, size and time of change, which takes a system call a file. A replacement by
        rename, the way to bring out a new version, is ``"replaced"``: this model goes on with the old file.
        To serve the new one, load it and hand it to `ModelHandle.swap`, which closes the old one when the
        last request that uses it has ended.

        Raises
        ------
        OSError
            If the file system does not answer.
        """
        return self._source.change()

    def _ensure_open(self) -> None:
        self._source.ensure_open()

    def __reduce__(self) -> tuple[Any, ...]:
        self._source.ensure_open()
        if self._mark is None:
            self._mark = _Mark.of(self)
        return _reopen, (self._mark,)

    def __repr__(self) -> str:
        state = "closed" if self.closed else printable(f"{self.architecture}, {self.load_mode}")
        return printable(f"<Model {self.path}: {state}>")

    def _repr_html_(self) -> str:
        if self.closed:
            return html_table(self.path, (), [("state", "closed")])
        facts: list[tuple[str, object]] = [("architecture", self.architecture or "not said")]
        with suppress(FormatError):
            if (names := self._names()) is not None:
                facts.append(("vocabulary", f"{len(names)} tokens, {names.model} / {names.pre}"))
        name = self.token_table_name
        if name is not None:
            info = self.tensors[name]
            facts.append(("token table", f"{name}, {' x '.join(map(str, info.shape))} {info.type}"))
        facts += [("tied", "yes" if self.tied else "no"), ("load mode", self.load_mode)]
        return html_table(self.path, (), facts)


class _Mark(NamedTuple):
    """What the pickle of a model carries."""

    file: FileMark
    overrides: dict[str, Any]
    tokens: str | None
    rows: TableMark | None

    @staticmethod
    def of(model: Model) -> _Mark:
        tokens, rows = None, None
        with suppress(FormatError):  # without a vocabulary, or with one that cannot be used
            tokens = model.vocabulary.digest
        with suppress(FormatError, NotFoundError):  # likewise
            rows = mark_table(model.table)
        return _Mark(mark_file(model._source), model.metadata.overrides, tokens, rows)


def _reopen(mark: _Mark) -> Model:
    """Return a model that was pickled."""
    source = reopen(mark.file)
    try:
        model = Model(source, mark.overrides)
        if mark.tokens is not None:
            require_same(source, "digest of tokens", mark.tokens, model.vocabulary.digest)
        if mark.rows is not None:
            require_table(model.open_table(mark.rows.name), mark.rows)
    except BaseException:
        source.close()
        raise
    model._mark = mark
    return model
