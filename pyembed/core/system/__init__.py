"""Where systems differ: the same names for POSIX, in ``posix``, and for Windows, in ``windows``.

No other module asks what system this is, or imports what only one of them has; `tests/project` holds it.
Imports: nothing.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from .windows import (
        ENDING_SIGNALS,
        HOLDS_OPEN_FILES,
        RELOAD_SIGNAL,
        cache_base,
        claim_address,
        facts_of,
        has_address_space,
        is_private,
        keep_permissions,
        leads_to_stdout,
        lock,
        open_at_once,
        replace,
        set_size,
        sync_folder,
    )
else:
    from .posix import (
        ENDING_SIGNALS,
        HOLDS_OPEN_FILES,
        RELOAD_SIGNAL,
        cache_base,
        claim_address,
        facts_of,
        has_address_space,
        is_private,
        keep_permissions,
        leads_to_stdout,
        lock,
        open_at_once,
        replace,
        set_size,
        sync_folder,
    )

#: The name that stands for this process's stdout. On POSIX it is a file's, on Windows only this package's.
STDOUT = "/dev/stdout"

__all__ = [
    "ENDING_SIGNALS",
    "HOLDS_OPEN_FILES",
    "RELOAD_SIGNAL",
    "STDOUT",
    "cache_base",
    "claim_address",
    "facts_of",
    "has_address_space",
    "is_private",
    "keep_permissions",
    "leads_to_stdout",
    "lock",
    "open_at_once",
    "replace",
    "set_size",
    "sync_folder",
]
