"""The vocabulary against itself and the table: counts, texts, types, byte tokens, padding, order."""

from .check import examine
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "examine"]
