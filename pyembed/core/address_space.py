"""Address space for libraries that end the process where they find none."""

from __future__ import annotations

import os

import numpy as np

from .system import has_address_space

#: What OpenBLAS maps for each of its threads at their first product, on the machines where it takes most.
_BUFFER_BYTES = 32 << 20
_MOST_THREADS = 64  # that the wheels are built for


def ensure_room() -> None:
    """Raise MemoryError if a matrix product may find too little address space.

    OpenBLAS, which NumPy's wheels hold, maps buffers at its first product and calls ``exit`` where the system
    has none to give. Where the address space has no limit nothing is looked at.

    Raises
    ------
    MemoryError
    """
    n_bytes = _BUFFER_BYTES * (min(os.cpu_count() or 1, _MOST_THREADS) + 1)
    ensure_address_space(n_bytes, "NumPy's linear algebra")
    try:
        np.random.default_rng(0)  # NumPy loads it late
    except (ImportError, MemoryError):
        raise MemoryError("the limit of this process leaves NumPy no address space") from None


def ensure_address_space(n_bytes: int, what: str) -> None:
    """Raise MemoryError if a limit leaves this process less address space; without one look at nothing.

    Parameters
    ----------
    n_bytes : int
    what : str
        What may need it, for the message.
    """
    if not has_address_space(n_bytes):
        raise MemoryError(
            f"{what} may need {n_bytes >> 20} MiB of address space, which the limit of this process does not "
            "leave"
        )
