"""Opening models and tables, and finding the demo model."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from .core.aliases import LevelName, LoadModeName, RawDTypeLike
from .core.dtypes import raw_type
from .core.handle import Source
from .core.paths import Files, Path
from .core.records import RawLayout
from .errors import LoadCancelledError, NotFoundError
from .lock import Lock, require_lock
from .model import Model
from .ngram import Ngram
from .safe_text import printable, quote
from .tables.scan import index_of
from .tables.table import EmbeddingTable
from .tables.token_table import find_token_table, refuse_scaled_integers


def load_model(
    path: Files,
    *,
    load_mode: LoadModeName = "auto",
    check_tensors: bool = False,
    vocab_only: bool = False,
    validate: LevelName | Literal["off"] = "order",
    ignore: Iterable[str] = (),
    require_evidence: bool = False,
    lock: str | os.PathLike[str] | Lock | None = None,
    guard: bool = True,
    memory_budget: int | str | None = None,
    kv_overrides: Mapping[str, int | float | bool | str] | None = None,
    progress_callback: Callable[[float], object] | None = None,
) -> Model:
    """Open a GGUF model, of one file or through the first of a split set.

    Parameters
    ----------
    path : path-like or sequence of path-likes
        The file; the first file of a split set whose names end as llama.cpp has them, in
        ``-00001-of-00003.gguf``; or all files of a split set under any names, in order. A zip archive that
        stores one ``.gguf`` file uncompressed, such as a llamafile, is a file too.
    load_mode : {"auto", "none", "mmap", "mlock", "mmap+mlock", "dio"}, optional
        ``"none"`` reads the tensors of tables into memory, ``"mmap"`` maps the file and lets rows come in
        when touched, the ``mlock`` modes lock what they hold, ``"dio"`` reads past the page cache.
        ``"auto"`` is ``"mmap"``. `Model.load_mode` is the mode really in use.
    check_tensors : bool, optional
        Look at the bytes of every tensor, and refuse what llama.cpp refuses with the option of that name: see
        `Model.check_tensors`.
    vocab_only : bool, optional
        Leave the token table alone until it is asked for. Only the modes that read or lock do otherwise: they
        load it now.
    validate : {"order", "header", "full", "off"}, optional
        How deep to look for what is wrong before the model is handed out: see `Model.validate`. Errors are
        raised, warnings go to the logger ``"pyembed"``, in one record.
    ignore : iterable of str, optional
        Names of rules whose findings are dropped, such as ``"vocabulary/duplicate-token"``.
    require_evidence : bool, optional
        Refuse a model whose verdict is ``"unverified"``, see `Report.verdict`: one that nothing contradicts,
        and nothing shows that its tokens stand at their ids either.
    lock : path-like or mapping, optional
        A lock of `pyembed.make_lock`, or the file of one, which the model has to satisfy. Of the rows a
        sample is compared.
    guard : bool, optional
        A mapped file that is truncated while the model is open makes calls raise OSError. False leaves out
        the handler of SIGBUS that this takes: the process then dies of the signal.
    memory_budget : int or str, optional
        Bytes, or a text such as ``"8GiB"``: what of the mapped files may be in this process's memory at a
        time, however rows are asked for. Rows that were not used lately make room; the system decides
        whether they stay in its page cache. `Model.stats` shows what is held. For ``"mmap"`` on Linux.
    kv_overrides : mapping of str to int, float, bool or str, optional
        Values that replace scalars of the file's metadata, of the same type, or add new keys.
    progress_callback : callable, optional
        Called with the share of the token table that was read, between 0 and 1, and with 1.0 at the end of
        every load. If it returns False, loading stops; what it raises is raised here.

    Returns
    -------
    Model
        Close it, or use it in a ``with`` block.

    Raises
    ------
    OSError
        If the file cannot be read.
    GGUFError
        If it is damaged, or no GGUF file; `open_table` reads other formats.
    GGUFError, VocabularyError
        If validation finds an error: of the container or a tensor, or of the vocabulary or its order. The
        exception has the whole report as ``report``. VocabularyError also for a model that is unverified,
        with `require_evidence`.
    LockError
        If it is not the model that `lock` was made of.
    LoadCancelledError
        If `progress_callback` returned False.
    TypeError, ValueError
        For a `kv_overrides` value that does not fit the file's; an unknown `load_mode`, `validate` or rule;
        `require_evidence` without validation.
    """
    if require_evidence and validate == "off":
        raise ValueError('require_evidence=True needs validate="order" or deeper, not "off"')
    if validate != "off" or check_tensors or ignore:
        from .validation import check_ignored, check_level, heed  # half of the package: only who needs it

        check_level(validate, also=("off",))
        ignore = check_ignored(ignore)
    fraction = _Fraction(progress_callback)
    progress = fraction.tell if fraction.callback else None
    source = Source(
        path, format="gguf", load_mode=load_mode, guard=guard, memory_budget=memory_budget, progress=progress
    )
    try:
        model = Model(source, kv_overrides)
        if validate != "off":
            heed(model.validate(validate, ignore=ignore), require_evidence=require_evidence)
        if check_tensors:
            heed(model.check_tensors(ignore=ignore))
        if source.load_mode != "mmap" and not vocab_only and model.token_table_name is not None:
            _ = model.table
        if lock is not None:
            require_lock(model, lock)
        if not fraction.finish():
            raise LoadCancelledError(f"{source.path}: the progress callback asked to stop")
    except BaseException:
        source.close()
        raise
    source.end_progress()
    return model


class _Fraction:
    """Calls a progress callback with the share of bytes read, and with 1.0 once."""

    def __init__(self, callback: Callable[[float], object] | None) -> None:
        self.callback = callback
        self._last = 0.0

    def tell(self, done: int, total: int) -> object:
        self._last = done / total if total else 1.0
        return self.callback(self._last) if self.callback else None

    def finish(self) -> bool:
        """Tell 1.0 unless that was done, and return whether loading may go on."""
        if self.callback is None or self._last == 1.0:
            return True
        answer = self.tell(1, 1)
        return answer is None or bool(answer)


def open_table(
    path: Files,
    *,
    tensor: str | None = None,
    shape: tuple[int, int] | None = None,
    dtype: RawDTypeLike | None = None,
    offset: int = 0,
    guard: bool = True,
    memory_budget: int | str | None = None,
) -> EmbeddingTable:
    """Open one table of a GGUF, safetensors or .npy file, or of a raw file of known shape.

    Parameters
    ----------
    path : path-like or sequence of path-likes
        The file; of safetensors also a ``*.index.json`` or the directory that holds a model; of a split GGUF
        set as for `load_model`.
    tensor : str, optional
        Which tensor, with the scales and biases that lie beside it; or what comes before the numbers of a
        table's shards. Without it the token table: in GGUF ``token_embd.weight``; elsewhere the tensor whose
        name ends as token tables' names do, such as ``model.embed_tokens.weight``; in safetensors also the
        only tensor of two dimensions, unless its name is known to be something else's. `EmbeddingTable.name`
        says which it is.
    shape : (rows, columns), optional
        Of a raw file. Rows of -1 stand for as many as follow `offset`.
    dtype : {"float32", "float16", "bfloat16", ...} or NumPy dtype, optional
        Of a raw file's weights: a float or signed integer type, of either byte order.
    offset : int, optional
        Byte at which a raw file's rows begin.
    guard, memory_budget
        As for `load_model`.

    Returns
    -------
    EmbeddingTable
        It holds its file open: close it, or use it in a ``with`` block.

    Raises
    ------
    OSError
        If the file cannot be read.
    FormatError
        If it is damaged, or of no kind that can be read here; if a part of the table is missing, such as its
        scales or a shard, or does not fit the rest.
    UnsupportedTypeError
        If the table is stored as codes that cannot be decoded here.
    NotFoundError
        (a KeyError) if there is no such tensor, or the GGUF file has no token table.
    ValueError
        If `tensor` is needed and not given, or the arguments make no sense together.
    """
    if shape is not None or dtype is not None or offset:
        if shape is None or dtype is None:
            raise ValueError("a raw file needs both shape and dtype; other files take neither, and no offset")
        if tensor is not None:
            raise ValueError(
                "tensor names one of several tensors; a raw file, with shape and dtype, has no names"
            )
        if not isinstance(path, str | bytes | os.PathLike):
            raise TypeError("a raw file is one file: path is a sequence")
        layout = _raw_layout(path, shape, dtype, offset)
        return table_of(
            Source(path, format="raw", raw=layout, guard=guard, memory_budget=memory_budget), "data"
        )
    return table_of(Source(path, guard=guard, memory_budget=memory_budget), tensor)


def open_ngram(path: Path) -> Ngram:
    """Open the names of hashed rows of a model with conditional memory, without the model around them.

    Parameters
    ----------
    path : path-like
        A GGUF file, or a folder of Hugging Face with a ``config.json``. Of Engram the folder also has to hold
        ``engram_token_map.json`` or, with the package ``tokenizers`` installed, ``tokenizer.json``. What
        tensors of the folder say counts more than what follows from the configuration.

    Returns
    -------
    Ngram
        `Ngram.tables` opens its tables where the file or the folder has them: close it, or use it in a
        ``with`` block.

    Raises
    ------
    OSError
        If a file cannot be read.
    FormatError
        If it is damaged, something is missing, or constants contradict each other.
    NotFoundError
        (a KeyError) if the model has no hashed rows.
    PyembedError
        If the package ``tokenizers`` is needed and not installed.
    """
    from .ngram.opening import open_names  # with readers of configurations, which few loads need

    return open_names(path, functools.partial(_named_table, os.path.abspath(os.fsdecode(path))))


def _named_table(path: str, name: str) -> EmbeddingTable:
    return open_table(path, tensor=name)


def table_of(source: Source, tensor: str | None) -> EmbeddingTable:
    """Return the table of an open file that owns the file from then on; without `tensor`, the token table."""
    try:
        if tensor is None:
            tensor = find_token_table(source).name
        elif not isinstance(tensor, str):
            raise TypeError(f"a tensor's name is a str, not a {type(tensor).__name__}")
        else:
            refuse_scaled_integers(source, tensor)
        return EmbeddingTable(source, tensor, owns_source=True)
    except BaseException as error:
        if isinstance(error, NotFoundError):
            error.settle()
        source.close()
        raise


def _raw_layout(path: Path, shape: tuple[int, int], dtype: Any, offset: int) -> RawLayout:
    try:
        rows, columns = (index_of("shape", n) for n in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape is {quote(shape)}; expected (rows, columns), two ints") from None
    offset = index_of("offset", offset)
    weights, big_endian = raw_type(dtype)
    if rows < -1 or columns < 1 or offset < 0:
        raise ValueError(
            f"shape {(rows, columns)} at byte {offset} makes no sense: rows may be -1 for all that follow, "
            "columns are at least 1, the offset at least 0"
        )
    if rows == -1:
        row_bytes = columns * weights.block_bytes
        n_bytes = os.stat(path).st_size - offset
        if n_bytes < 0 or n_bytes % row_bytes:
            raise ValueError(
                f"{printable(os.fsdecode(path))}: {n_bytes} bytes follow byte {offset}, no whole number of "
                f"rows of {row_bytes} bytes"
            )
        rows = n_bytes // row_bytes
    if max(rows, columns, offset) >= 2**63:
        raise ValueError(f"shape {(rows, columns)} at byte {offset} does not fit 63 bits")
    return RawLayout(rows, columns, weights.id, big_endian, offset)


def demo_model() -> str:
    """Return the path of the small model that ships inside the package, learned from real text."""
    return os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "demo.gguf")
