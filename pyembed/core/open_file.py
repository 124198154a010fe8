"""Opening model files, what is known of the files themselves, and errors that name the right one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from .._native import ffi, lib
from ..errors import FORMAT_ERRORS, CData, ClosedError, Status, check, shard_path
from .budget import budget_bytes
from .callbacks import ProgressRelay, raise_kept
from .constants import FileChange, Format, LoadMode
from .paths import Files, Path, file_names, identity
from .recognise import file_at_fault, recognise
from .records import Change, ChangeKind, OpenOptions, RawLayout, Shard
from .unfinished import refuse_unfinished

LOAD_MODES: Mapping[str, int] = {
    "auto": LoadMode.AUTO,
    "none": LoadMode.NONE,
    "mmap": LoadMode.MMAP,
    "mlock": LoadMode.MLOCK,
    "mmap+mlock": LoadMode.MMAP_MLOCK,
    "dio": LoadMode.DIRECT_IO,
}
FORMATS: Mapping[str, int] = {
    "auto": Format.AUTO,
    "gguf": Format.GGUF,
    "safetensors": Format.SAFETENSORS,
    "npy": Format.NPY,
    "raw": Format.RAW,
}
#: Statuses after which it is asked what the file is, and the format that the parser that failed reads.
_NOT_OPENED: Mapping[int, str] = {
    Status.FORMAT: "",
    Status.GGUF: "gguf",
    Status.SAFETENSORS: "safetensors",
    Status.NPY: "npy",
}
_CHANGES: Mapping[int, ChangeKind] = {
    FileChange.REPLACED: ChangeKind.REPLACED,
    FileChange.REMOVED: ChangeKind.REMOVED,
    FileChange.OVERWRITTEN: ChangeKind.OVERWRITTEN,
    FileChange.TRUNCATED: ChangeKind.TRUNCATED,
}
#: What a folder's index of safetensors files is called.
_INDEX_NAME = "model.safetensors.index.json"


class OpenFile:
    """An open file, or the set of files of a split model: how it was opened, and what became of it.

    Every method takes its own reference to the C handle for the time of the call. `close` only drops this
    object's reference, so the memory is freed when the last call of any thread has returned.

    Parameters
    ----------
    path : path-like or sequence of path-likes
        The file, or the first of a set; all files of a split GGUF set, under any names, in order.
    format, load_mode : str
        Keys of `FORMATS` and `LOAD_MODES`.
    raw : RawLayout, optional
        For the format ``"raw"``.
    guard : bool, optional
        Whether a mapped file that is truncated raises OSError; without it, it ends the process (SIGBUS).
    memory_budget : int or str, optional
        As for `budget_bytes`.
    progress : callable, optional
        Called with (bytes done, bytes in all) while a tensor is read into memory; a false answer that is not
        None cancels. What it raises is raised by the method that was reading.
    unfinished : bool, optional
        Whether to open a model whose edit in place is not finished, or was interrupted.
    """

    def __init__(
        self,
        path: Files,
        *,
        format: str = "auto",
        load_mode: str = "auto",
        raw: RawLayout | None = None,
        guard: bool = True,
        memory_budget: int | str | None = None,
        progress: Callable[[int, int], object] | None = None,
        unfinished: bool = False,
    ) -> None:
        self._model: CData | None = None
        self._progress: ProgressRelay | None = None
        names = file_names(path)
        self.path = os.fsdecode(names[0])
        is_one = isinstance(path, str | bytes | os.PathLike)
        self._given = () if is_one else tuple(os.fsdecode(name) for name in names)
        if load_mode not in LOAD_MODES:
            raise ValueError(f"unknown load_mode {load_mode!r}; known: {', '.join(LOAD_MODES)}")
        options = ffi.new("pye_open_options *")
        options.struct_bytes = ffi.sizeof("pye_open_options")
        options.format = FORMATS[format]
        options.load_mode = LOAD_MODES[load_mode]
        options.guard = bool(guard)
        options.memory_budget = budget_bytes(memory_budget)
        if raw is not None:
            options.raw_rows, options.raw_columns, options.raw_offset = raw.rows, raw.columns, raw.offset
            options.raw_type, options.raw_big_endian = raw.type_id, raw.big_endian
        if progress is not None:
            self._progress = ProgressRelay(progress)
            # The library keeps this pointer as long as the model lives.
            self._progress_handle = ffi.new_handle(self._progress)
            options.progress, options.progress_data = lib.pye_python_progress, self._progress_handle
        options.interrupted = lib.pye_python_interrupted
        texts = [ffi.new("char[]", name) for name in names]
        paths = ffi.new("char *[]", texts)
        if self._given:
            options.paths, options.n_paths = paths, len(texts)
        if not unfinished:
            refuse_unfinished(self.path)
        out, error = ffi.new("pye_model **"), ffi.new("pye_error *")
        status = lib.pye_model_open(texts[0], options, out, error)
        if status in _NOT_OPENED:
            self._recognise(format, status, error)
        self.check(status, error)
        self._model = ffi.gc(out[0], lib.pye_model_close)
        self.format = self._name_in(FORMATS, lib.pye_model_format(self._model))
        self.load_mode = self._name_in(LOAD_MODES, lib.pye_model_load_mode(self._model))
        files = tuple(map(os.path.abspath, self._given)) or os.path.abspath(self.path)
        self.options = OpenOptions(files, format, load_mode, guard, raw, options.memory_budget)
        self._paths = [shard.path for shard in self.shards()]
        if not unfinished:
            for file in self._paths[1:]:
                refuse_unfinished(file)
        self._read = {found for path in self._files_read() if (found := identity(path)) is not None}

    @staticmethod
    def _name_in(names: Mapping[str, int], number: int) -> str:
        return next(name for name, known in names.items() if known == number)

    def check(self, status: int, error: CData) -> None:
        """Raise what a callback raised, also where the call was over by then, or what `status` stands for."""
        raise_kept()
        check(status, error, self.path, self._given)

    def _recognise(self, format: str, status: int, error: CData) -> None:
        """Raise what a file that could not be opened is, if it is of a kind that is known."""
        if error.offset not in (0, lib.PYE_NO_OFFSET):
            return  # what is wrong was found further in
        message = ffi.string(error.message).decode("utf-8", "replace")
        path = shard_path(self.path, error.shard, self._given)
        if self.path.endswith(".json") or os.path.isdir(self.path):
            path = file_at_fault(self.path, message)
        what = recognise(path, but=_NOT_OPENED[status])
        if what is not None:
            is_gguf = format == "gguf"
            kind = FORMAT_ERRORS[Status.GGUF if is_gguf else status]
            raise kind(f"{path}: not a {'GGUF' if is_gguf else 'model'} file, but {what}", path, 0)

    def _handle(self) -> CData:
        model = self._model
        if model is None:
            raise ClosedError(f"{self.path} is closed")
        return model

    def ensure_open(self) -> None:
        """Raise ClosedError if the file is closed."""
        self._handle()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._model is None

    def close(self) -> None:
        """Drop the handle; calls in other threads finish undisturbed. Closing twice is allowed."""
        self._model = None
        self.end_progress()

    def end_progress(self) -> None:
        """Tell the progress callback nothing more."""
        if self._progress is not None:
            self._progress.callback = None

    def _files_read(self) -> list[str]:
        """Return the names of all files that were read: each shard, and an index."""
        files = [*self._paths, self.path]
        if os.path.isdir(self.path):
            files.append(os.path.join(self.path, _INDEX_NAME))
        return files

    def reads(self, path: Path) -> bool:
        """Return whether a path leads to a file that was opened here, or that has its name now."""
        found = identity(path)
        if found is None:
            return False
        return found in self._read or any(identity(file) == found for file in self._files_read())

    def shards(self) -> list[Shard]:
        """Return the facts about each file."""
        model, shard, error = self._handle(), ffi.new("pye_shard *"), ffi.new("pye_error *")
        shards = []
        for index in range(lib.pye_model_n_shards(model)):
            self.check(lib.pye_model_shard(model, index, shard, error), error)
            shards.append(
                Shard(
                    os.fsdecode(ffi.string(shard.path)),
                    shard.file_bytes,
                    shard.data_offset,
                    shard.alignment,
                    shard.n_metadata,
                    shard.n_tensors,
                    shard.version,
                    bool(shard.big_endian),
                    shard.first,
                    shard.end,
                )
            )
        return shards

    def metadata_end(self, shard: int) -> int:
        """Return where the descriptions of the tensors begin in a GGUF file of the model, in bytes."""
        model, offset, error = self._handle(), ffi.new("uint64_t *"), ffi.new("pye_error *")
        self.check(lib.pye_model_metadata_end(model, shard, offset, error), error)
        return int(offset[0])

    def change(self) -> Change | None:
        """Return what became of the files since they were opened, None if nothing did."""
        model, error = self._handle(), ffi.new("pye_error *")
        change, shard = ffi.new("pye_change *"), ffi.new("uint32_t *")
        self.check(lib.pye_model_check(model, change, shard, error), error)
        return Change(_CHANGES[change[0]], self._paths[shard[0]]) if change[0] in _CHANGES else None

    def ensure_intact(self, model: CData) -> None:
        """Raise OSError if what was copied from the file's memory may be zeros in place of its bytes."""
        if lib.pye_model_intact(model, ffi.NULL) != Status.OK:
            error = ffi.new("pye_error *")
            self.check(lib.pye_model_intact(model, error), error)
