"""Pictures that tests read back."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path


def texts(path: Path) -> list[str]:
    """Return all texts of an SVG."""
    tree = ET.fromstring(path.read_text("utf-8"))
    return ["".join(node.itertext()) for node in tree.iter() if node.tag.endswith("}text")]
