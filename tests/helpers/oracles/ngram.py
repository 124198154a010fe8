"""Names of hashed rows from their formulas, one Python integer at a time."""

from __future__ import annotations

from collections.abc import Sequence

DEAD = None  # a token whose place in a window counts as empty, and that closes the windows of all later ones


def windows(scheme: str, stream: Sequence[int | None], size: int, stand_in: int) -> list[list[int]]:
    """Return what is hashed for each token of a whole sequence, the token's own number first."""
    found = []
    for i in range(len(stream)):
        if scheme == "ple":
            visible_from = max((j + 1 for j in range(i) if stream[j] == stand_in), default=0)
        elif scheme == "engram":
            visible_from = max((j + 1 for j in range(i + 1) if stream[j] is DEAD), default=0)
        else:
            visible_from = 0
        window = []
        for place in range(i, i - size, -1):
            number = stream[place] if place >= visible_from and place >= 0 else stand_in
            assert number is not None
            window.append(number)
        found.append(window)
    return found


def hashed(
    scheme: str,
    stream: Sequence[int | None],
    multipliers: Sequence[int],
    moduli: Sequence[int],
    offsets: Sequence[int],
    stand_in: int,
) -> list[list[int]]:
    """Return the names of PLE (``"ple"``) or Engram (``"engram"``) for each token of a whole sequence."""
    size = len(multipliers)
    heads = len(moduli) // (size - 1)
    rows = []
    for window in windows(scheme, stream, size, stand_in):
        products = [number * multiplier for number, multiplier in zip(window, multipliers, strict=True)]
        row = []
        for column, (modulus, offset) in enumerate(zip(moduli, offsets, strict=True)):
            mix = 0
            for product in products[: column // heads + 2]:
                mix ^= product
            row.append(mix % modulus + offset)
        rows.append(row)
    return rows


def longcat(stream: Sequence[int], n_vocab: int, size: int, moduli: Sequence[int]) -> list[list[int]]:
    """Return the rows of LongCat's tables: an n-gram as a number in base `n_vocab`, modulo a table's rows."""
    heads = len(moduli) // (size - 1)
    rows = []
    for window in windows("longcat", stream, size, 0):
        numbers = [
            sum(digit * n_vocab**place for place, digit in enumerate(window[: column // heads + 2]))
            for column in range(len(moduli))
        ]
        rows.append([number % modulus for number, modulus in zip(numbers, moduli, strict=True)])
    return rows
