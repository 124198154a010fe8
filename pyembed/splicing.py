"""Vectors spliced between rows: what users import of `inputs.batching`."""

from .inputs.batching import PaddedRows, runs_of

__all__ = ["PaddedRows", "runs_of"]
