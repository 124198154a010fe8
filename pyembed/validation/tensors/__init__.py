"""Tensors: the shapes and types of tables, and the bytes of every tensor."""

from .check import examine
from .rules import EVIDENCE

__all__ = ["EVIDENCE", "examine"]
