"""The order of rows, seen from the rows alone."""

from .check import examine
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "examine"]
