"""Whole files in bounded memory."""

from __future__ import annotations

import os
from typing import BinaryIO


def read_at_most(file: BinaryIO, n_bytes: int) -> bytes:
    """Return what is left of a file, or the first `n_bytes` of that.

    ``read`` takes memory for all that it is asked for, and Windows touches all of that memory: the file's
    size is asked for first. A file that has more, as pipes do and files that grow, is read on.
    """
    likely = min(os.fstat(file.fileno()).st_size + 1, n_bytes)
    data = file.read(likely)
    if len(data) < likely:
        return data
    return data + file.read(n_bytes - likely)
