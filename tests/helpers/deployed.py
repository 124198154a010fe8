"""Puts another file in place of one that may be open, as deployments should."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from pyembed.core.system import HOLDS_OPEN_FILES


def put(content: bytes, path: Path) -> None:
    """Let a name lead to another content; what is open under it stays as it is."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(content)
    if HOLDS_OPEN_FILES:  # nothing is renamed onto it, but it may get another name
        os.rename(path, path.with_name(f"{path.name}.{secrets.token_hex(4)}"))
    os.replace(new, path)
