"""How the makers of the models derived their constants: primes in a row, random streams of fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_STEP = 10007  # between the seeds of two layers
_SMALL = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)


def is_prime(n: int) -> bool:
    """Return whether a number below 3.1e23 is prime (Miller and Rabin, enough bases to be exact)."""
    if n < 2:
        return False
    for prime in _SMALL:
        if n % prime == 0:
            return n == prime
    n_twos = ((n - 1) & (1 - n)).bit_length() - 1
    return all(_passes(n, base, (n - 1) >> n_twos, n_twos) for base in _SMALL)


def _passes(n: int, base: int, odd: int, n_twos: int) -> bool:
    x = pow(base, odd, n)
    if x in (1, n - 1):
        return True
    for _ in range(n_twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def primes_from(start: int) -> Iterator[int]:
    """Yield the primes from `start` on, itself included."""
    n = max(start, 2)
    while True:
        if is_prime(n):
            yield n
        n += 1


def splitmix64(state: int) -> int:
    """Return the output of the generator of that name for a state, to which its increment is added first."""
    z = (state + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def _half_bound(n_hashed: int) -> int:
    """Return the bound below which a random number, doubled and made odd, is a multiplier."""
    return max(1, (2**63 - 1) // n_hashed // 2)


def ple_multipliers(seed: int, ple_layer: int, size: int, n_vocab: int) -> list[int]:
    """Return the multipliers of PLE layer number `ple_layer`, counted among the PLE layers."""
    start = seed + _STEP * ple_layer
    bound = _half_bound(n_vocab)
    return [2 * (splitmix64((start + _GOLDEN * (i + 1)) & _MASK) % bound) + 1 for i in range(size)]


def ple_moduli(base: int, n_columns: int, n_layers: int) -> list[int]:
    """Return the moduli of all PLE layers: primes from `base` on, one after the other."""
    primes = primes_from(base)
    return [next(primes) for _ in range(n_columns * n_layers)]


#: Of the released PLE: tokens, tokens of the longest n-grams, heads; what its constants are made of; its end
#: of text.
PLE_SHAPE = (248320, 3, 8)
PLE_SEED, PLE_BASE, PLE_EOS = 1234, 20_000_000, 248044
#: The released multipliers of Engram by layer and number of compressed ids.
ENGRAM_MULTIPLIERS: Mapping[tuple[int, int], tuple[int, ...]] = {
    (1, 99092): (76632096046245, 4839876093313, 35959672319349, 73987337458391),
    (14, 99092): (67716810739261, 51510806800915, 30921347202721, 82619226485591),
}
#: The id in place of images in the vocabulary of 129280 tokens that the released map is of.
ENGRAM_IMAGE_TOKEN = 129264
#: SHA-256 of the released token map, of int64, little-endian.
ENGRAM_MAP_DIGEST = "26b9be2936d236a124ba318a998c417bc7032e3e92a3107fe98deee49f1dc496"
ENGRAM_MAP_SHAPE = (129280, 99092)


def engram_multipliers(layer: int, size: int, n_compressed: int, seed: int = 0) -> list[int]:
    """Return the multipliers of an Engram layer: the released ones, others from NumPy's generator."""
    known = ENGRAM_MULTIPLIERS.get((layer, n_compressed))
    if known is not None and size == len(known) and seed == 0:
        return list(known)
    generator = np.random.default_rng(seed + _STEP * layer)
    drawn = generator.integers(0, _half_bound(n_compressed), size=size, dtype=np.int64)
    return [2 * int(number) + 1 for number in drawn]


def engram_moduli(base: int, size: int, n_heads: int, n_layers: int) -> list[int]:
    """Return the moduli of all Engram layers: primes from `base` on, none of them used twice."""
    # Each layer and size starts at `base` again and skips what was taken: one walk through the primes.
    return ple_moduli(base, (size - 1) * n_heads, n_layers)


def longcat_moduli(n_vocab: int, ratio: int, size: int, n_heads: int) -> list[int]:
    """Return the rows of each of LongCat's tables, which are its moduli: odd numbers in a row."""
    return [ratio * n_vocab + 2 * i + 1 for i in range((size - 1) * n_heads)]
