"""Small GGUF files with only the vocabulary and the tables of a model: what users import of `files.extract`."""

from .files.extract import KEPT, Extracted, extract

__all__ = ["KEPT", "Extracted", "extract"]
