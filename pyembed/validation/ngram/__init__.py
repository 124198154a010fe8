"""Hashed rows: whether the constants that they are named by can be right, or a released model's."""

from .check import examine
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "examine"]
