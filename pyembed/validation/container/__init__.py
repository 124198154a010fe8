"""The container: header, metadata and where tensors lie, as llama.cpp would take them."""

from .check import examine
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "examine"]
