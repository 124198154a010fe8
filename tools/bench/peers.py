"""The other implementations, as far as they are installed."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
import importlib.util
import os
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from .measure import Json

_BASE = re.compile(r"libggml-base.*\.(so[.0-9]*|dylib)")


class GGML:
    """ggml's decoders and conversions, from the libraries that a Python package ships."""

    def __init__(self, base: Path, package: str) -> None:
        self.package = package
        self.path = base
        self.base = ctypes.CDLL(str(base))
        self.cpu = self._sibling(base)
        try:
            version = self.base.ggml_version
            version.restype = ctypes.c_char_p
            self.version = version().decode()
        except AttributeError:
            self.version = "unknown"
        if self.cpu is not None and hasattr(self.cpu, "ggml_cpu_init"):
            self.cpu.ggml_cpu_init()  # fills the tables of processors without half precision

    @staticmethod
    def _sibling(base: Path) -> ctypes.CDLL | None:
        for path in sorted(base.parent.glob("libggml-cpu*")):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
        return None

    def decoder(self, type_name: str) -> Callable[[int, int, int], None] | None:
        """Return what ggml decodes rows of a type with, (from, to, weights); None if it cannot.

        Those are the SIMD conversions for F16 and BF16, and the functions that its own gather calls for the
        quantised types.
        """
        library: ctypes.CDLL | None = self.base
        name = "dequantize_row_" + type_name.lower().replace("_k", "_K")
        if type_name in ("F16", "BF16"):
            library, name = self.cpu, f"ggml_cpu_{'fp16' if type_name == 'F16' else 'bf16'}_to_fp32"
        function: Any = getattr(library, name, None)
        if function is not None:
            function.restype = None
            function.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64]
        found: Callable[[int, int, int], None] | None = function
        return found


@cache
def ggml() -> GGML | None:
    """Load ggml: what PYEMBED_GGML_BASE names, else llama-cpp-python's, else pywhispercpp's."""
    for path, package in _ggml_paths():
        try:
            return GGML(path, package)
        except OSError:
            continue
    return None


def _ggml_paths() -> list[tuple[Path, str]]:
    override = os.environ.get("PYEMBED_GGML_BASE")
    if override:
        return [(Path(override), "PYEMBED_GGML_BASE")]
    found = []
    for package, module in (("llama-cpp-python", "llama_cpp"), ("pywhispercpp", "_pywhispercpp")):
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            continue
        home = Path(spec.origin).parent
        for folder in (home / "lib", home / "pywhispercpp.libs", home):
            if folder.is_dir():
                names = sorted(path for path in folder.iterdir() if _BASE.fullmatch(path.name))
                found += [(path, package) for path in names[:1]]
    return found


def torch() -> ModuleType | None:
    """Return torch, set to one thread; None if it is not installed."""
    try:
        module = importlib.import_module("torch")
    except ImportError:
        return None
    module.set_num_threads(1)
    return module


def gguf_py() -> ModuleType | None:
    """Return the ``gguf`` package; None if it is not installed."""
    try:
        return importlib.import_module("gguf")
    except ImportError:
        return None


def faiss() -> ModuleType | None:
    """Return faiss, set to one thread; None if it is not installed."""
    try:
        module = importlib.import_module("faiss")
    except ImportError:
        return None
    module.omp_set_num_threads(1)
    return module


def has_llama() -> bool:
    """Return whether llama-cpp-python is installed."""
    return importlib.util.find_spec("llama_cpp") is not None


def versions() -> Json:
    """Return the version of every peer; None where it is missing."""
    found: Json = {}
    for package in ("numpy", "faiss-cpu", "torch", "gguf", "llama-cpp-python", "pywhispercpp"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    library = ggml()
    if library is None:
        found["ggml"] = None
    else:
        conversions = "" if library.cpu is not None else ", without its libggml-cpu"
        found["ggml"] = f"{library.version} of {library.package}{conversions}"
    return found
