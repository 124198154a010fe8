"""Room for NumPy's linear algebra, which ends the process where it finds none."""

from __future__ import annotations

import mmap
import os
import resource

import numpy as np

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
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    n_bytes = _BUFFER_BYTES * (min(os.cpu_count() or 1, _MOST_THREADS) + 1)
    try:
        mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
        np.random.default_rng(0)  # NumPy loads it late
    except (OSError, ImportError, MemoryError):
        raise MemoryError(
            f"NumPy's linear algebra may need {n_bytes >> 20} MiB of address space, which the limit of this "
            "process does not leave"
        ) from None
