"""The hash by which an examination finds texts: its definition, and the bound on its collisions."""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tools.native import ROOT, Build

PRIME = 2**61 - 1
Key = tuple[int, int, int]  # point, factor, addend


@pytest.fixture(scope="module")
def program(plain_build: Build) -> Path:
    return plain_build.program("universal_hash", [ROOT / "tests/csrc/programs/universal_hash.c"])


def question(key: Key, texts: Sequence[bytes]) -> bytes:
    """Return what the program reads."""
    return struct.pack("=3Q", *key) + b"".join(struct.pack("=I", len(text)) + text for text in texts)


def hashes(program: Path, key: Key, texts: Sequence[bytes]) -> npt.NDArray[np.uint64]:
    done = subprocess.run([program], input=question(key, texts), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.uint64)
    assert len(found) == len(texts)
    return found


def words(text: bytes) -> list[int]:
    """Return a text as numbers below 2^59, the last of which says how many bytes it has."""
    found = [int.from_bytes(text[i : i + 7], "little") for i in range(0, len(text), 7)] or [0]
    found[-1] += (len(text) - 7 * (len(found) - 1)) << 56
    return found


def defined(key: Key, text: bytes) -> int:
    point, factor, addend = key
    x = 1
    for word in words(text):
        x = (x * point + word) % PRIME
    y = (factor * x + addend) % PRIME
    return y ^ y >> 32


def random_key(source: random.Random) -> Key:
    return source.randrange(PRIME), source.randrange(PRIME), source.randrange(PRIME)


def test_it_is_the_polynomial_of_its_definition(program: Path) -> None:
    source = random.Random(1)
    texts = [source.randbytes(n) for n in [*range(60), 511, 3000]] + [b"\xff" * n for n in range(60)]
    edges = [0, 1, PRIME - 1, PRIME]
    keys = [(a, b, c) for a in edges for b in edges for c in edges] + [random_key(source) for _ in range(20)]
    for key in keys:
        assert hashes(program, key, texts).tolist() == [defined(key, text) for text in texts]


def alike_texts() -> list[bytes]:
    """Return texts that a weak hash confuses: the same bytes elsewhere, a bit apart, filled up, in steps."""
    source = random.Random(2)
    base = source.randbytes(21)
    found = [bytes([byte]) * n for byte in (0, 1, 97, 255) for n in range(120)]
    found += [base[:n] + bytes(k) for n in range(22) for k in range(20)]
    found += [bytes(k) + base[n:] for n in range(22) for k in range(20)]
    found += [(int.from_bytes(base, "little") ^ 1 << bit).to_bytes(21, "little") for bit in range(168)]
    found += [base[i:] + base[:i] for i in range(21)]
    found += [i.to_bytes(2, "big") for i in range(4000)] + [i.to_bytes(7, "little") for i in range(4000)]
    found += [i.to_bytes(7, "big") + bytes(7) + i.to_bytes(3, "little") for i in range(4000)]
    return sorted(set(found))


def test_collisions_are_as_rare_as_the_bound(program: Path) -> None:
    """Of n texts n (n - 1)/2 pairs agree in all bits but the lowest j with at most (m + 2^j)/p each."""
    source, texts, j, n_keys = random.Random(3), alike_texts(), 40, 40
    n_agreeing = 0
    for _ in range(n_keys):
        found = hashes(program, random_key(source), texts)
        assert len(np.unique(found)) == len(texts)
        _, counts = np.unique(found >> np.uint64(j), return_counts=True)
        n_agreeing += int((counts * (counts - 1) // 2).sum())
    most = n_keys * len(texts) * (len(texts) - 1) / 2 * (18 + 2**j) / PRIME
    assert most > 1500
    assert 0.3 * most < n_agreeing <= most  # the mean is close to the bound, by a few keys with many


def test_only_the_key_tells_what_collides(program: Path) -> None:
    source = random.Random(4)
    key = random_key(source)
    first = source.randbytes(14)
    high, low = words(first)
    step = next(d for d in range(1, 10_000) if (low - d * key[0]) % PRIME >> 56 == 7)
    second = ((high + step) % 2**56).to_bytes(7, "little")
    second += ((low - step * key[0]) % PRIME % 2**56).to_bytes(7, "little")
    assert high + step < 2**56
    assert first != second
    assert len(set(hashes(program, key, [first, second]).tolist())) == 1
    for other in [random_key(source) for _ in range(50)]:
        assert len(set(hashes(program, other, [first, second]).tolist())) == 2
