"""Small GGUF files of a model's vocabulary and tables: what users import of `files.extract`."""

from .files.extract import KEPT, Extracted, extract

__all__ = ["KEPT", "Extracted", "extract"]
