"""SHA-256 against Python's, of every length around a block and in every two pieces, by every kind of code."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess

from tools.native import ROOT, Build


def test_digests_are_those_of_hashlib(plain_build: Build) -> None:
    program = plain_build.program("sha256", [ROOT / "tests/csrc/programs/sha256.c"])
    numbers = random.Random(1)
    texts = [numbers.randbytes(size) for size in (*range(260), 1000, 4096, 100_001)]
    cuts = [
        (text, cut)
        for text in texts
        for cut in {0, 1, 63, 64, 65, len(text) // 2, len(text)}
        if cut <= len(text)
    ]
    data = b"".join(struct.pack("=2I", cut, len(text)) + text for text, cut in cuts)
    found = subprocess.run([program], input=data, capture_output=True, check=True).stdout
    assert found == b"".join(hashlib.sha256(text).digest() for text, _ in cuts)
