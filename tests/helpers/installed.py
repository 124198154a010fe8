"""The installed C library, and the programs that use it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest


def tool(*names: str) -> str:
    """Return where a program is; a test that needs it is skipped without."""
    beside_python = Path(sys.executable).parent
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=str(beside_python))
        if found:
            return found
    pytest.skip(f"none of {', '.join(names)} is installed")


def run(*command: object, **options: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, env=os.environ | options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@dataclass
class Installed:
    """An installed copy of the library."""

    prefix: Path

    @property
    def lib(self) -> Path:
        """The folder of the libraries."""
        return next(self.prefix.rglob("pyembed.pc")).parent.parent

    def flags(self, *options: str) -> list[str]:
        """Return what pkg-config says."""
        found = run(tool("pkg-config"), *options, "pyembed", PKG_CONFIG_PATH=str(self.lib / "pkgconfig"))
        return found.split()
