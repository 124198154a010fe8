"""The name under which `pyembed.runs_of` and `pyembed.PaddedRows` were first documented."""

from .inputs.batching import PaddedRows, runs_of

__all__ = ["PaddedRows", "runs_of"]
