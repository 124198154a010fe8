"""Constants of hashed rows for the tests: the published ones, and small ones that are made up."""

from __future__ import annotations

import numpy as np

from pyembed.ngram import Constants, Ngram, Scheme
from tests.helpers.oracles import ngram as oracle

#: Of Qwen3.8-Flash-Next.
PLE_MULTIPLIERS = [23703573157769, 20109073645365, 8052911324071]
PLE_MODULI = [
    *(20000003, 20000023, 20000033, 20000047, 20000059, 20000063, 20000069, 20000077),
    *(20000081, 20000093, 20000107, 20000147, 20000153, 20000159, 20000161, 20000171),
]
PLE_OFFSETS = [
    *(0, 20000003, 40000026, 60000059, 80000106, 100000165, 120000228, 140000297),
    *(160000374, 180000455, 200000548, 220000655, 240000802, 260000955, 280001114, 300001275),
]
PLE_VOCAB, PLE_EOS = 248320, 248044
#: Of DeepSeek-V4.1, layers 1 and 14.
ENGRAM_MULTIPLIERS = [
    [76632096046245, 4839876093313, 35959672319349, 73987337458391],
    [67716810739261, 51510806800915, 30921347202721, 82619226485591],
]
ENGRAM_MODULI = [
    [
        *(16000057, 16000079, 16000081, 16000097, 16000121, 16000129, 16000133, 16000183),
        *(16000189, 16000207, 16000211, 16000253, 16000277, 16000289, 16000307, 16000321),
        *(16000339, 16000381, 16000393, 16000399, 16000403, 16000409, 16000447, 16000463),
    ],
    [
        *(16000477, 16000487, 16000499, 16000507, 16000511, 16000573, 16000609, 16000627),
        *(16000667, 16000669, 16000693, 16000697, 16000711, 16000729, 16000759, 16000769),
        *(16000781, 16000799, 16000813, 16000819, 16000841, 16000877, 16000879, 16000889),
    ],
]
ENGRAM_ROWS = [384006168, 384016682]
COMPRESSED = 99092


def numbers(values: object) -> np.ndarray:
    return np.array(values, np.uint64)


def ple_constants(**changed: object) -> Constants:
    """Return the published constants of PLE."""
    fields: dict[str, object] = {
        "scheme": Scheme.PLE,
        "path": "published",
        "layers": (1,),
        "max_size": 3,
        "n_heads": 8,
        "n_vocab": PLE_VOCAB,
        "moduli": numbers([PLE_MODULI]),
        "multipliers": numbers([PLE_MULTIPLIERS]),
        "offsets": numbers([PLE_OFFSETS]),
        "stand_in": PLE_EOS,
    }
    return Constants(**{**fields, **changed})  # type: ignore[arg-type]


def engram_constants(**changed: object) -> Constants:
    """Return the published constants of Engram, for ids that are mapped already; the last one is dead."""
    token_map = np.arange(COMPRESSED + 1, dtype=np.uint32)
    token_map[-1] = 0xFFFFFFFF
    fields: dict[str, object] = {
        "scheme": Scheme.ENGRAM,
        "path": "published",
        "layers": (1, 14),
        "max_size": 4,
        "n_heads": 8,
        "n_vocab": COMPRESSED + 1,
        "moduli": numbers(ENGRAM_MODULI),
        "multipliers": numbers(ENGRAM_MULTIPLIERS),
        "stand_in": 2,
        "token_map": token_map,
        "n_compressed": COMPRESSED,
    }
    return Constants(**{**fields, **changed})  # type: ignore[arg-type]


#: Primes of very different sizes: the largest below 2^31, 2^32, 2^40 and 2^59 among them.
PRIMES = [2, 3, 5, 101, 997, 7919, 2147483647, 4294967291, 1099511627689, 576460752303423433]


def small(scheme: str, rng: np.random.Generator, *, size: int | None = None, n_vocab: int = 12) -> Constants:
    """Return made-up constants with a vocabulary so small that EOS and dead tokens are everywhere."""
    size = size or int(rng.integers(2, 9))
    heads = int(rng.integers(1, 4))
    n_columns = (size - 1) * heads
    n_hashed = n_vocab - 4 if scheme == "engram" else n_vocab
    bound = (2**63 - 1) // n_hashed
    multipliers = rng.integers(0, bound // 2, (1, size), dtype=np.int64) * 2 + 1
    multipliers[0, 0] = bound - (bound % 2 == 0)  # the largest there may be
    moduli = rng.choice(PRIMES if n_columns <= 12 else PRIMES[:-1], (1, n_columns))
    token_map = None
    if scheme == "engram":
        token_map = rng.integers(0, n_hashed, n_vocab).astype(np.uint32)
        token_map[-2:] = 0xFFFFFFFF
    if scheme == "longcat":
        moduli = 100 + 2 * np.arange(n_columns)[None] + 1
    return Constants(
        Scheme(scheme),
        "made up",
        (3,),
        size,
        heads,
        n_vocab,
        numbers(moduli),
        None if scheme == "longcat" else numbers(multipliers),
        stand_in=int(rng.integers(n_hashed)) if scheme != "longcat" else 0,
        token_map=token_map,
        n_compressed=0 if token_map is None else n_hashed,
    )


def expected(constants: Constants, stream: list[int], layer: int = 0) -> list[list[int]]:
    """Return the names of a whole sequence as the oracle has them."""
    moduli = [int(n) for n in constants.moduli[layer]]
    if constants.scheme is Scheme.LONGCAT:
        return oracle.longcat(stream, constants.n_vocab, constants.max_size, moduli)
    hashed: list[int | None] = list(stream)
    if constants.hashed_map is not None:
        mapped = [int(constants.hashed_map[token]) for token in stream]
        hashed = [oracle.DEAD if number == 0xFFFFFFFF else number for number in mapped]
    assert constants.multipliers is not None
    sums = [sum(moduli[:column]) for column in range(len(moduli))]
    offsets = sums if constants.offsets is None else [int(n) for n in constants.offsets[layer]]
    multipliers = [int(n) for n in constants.multipliers[layer]]
    return oracle.hashed(constants.scheme.value, hashed, multipliers, moduli, offsets, constants.stand_in)


def small_names(scheme: str, rng: np.random.Generator, **options: int) -> Ngram:
    return Ngram(small(scheme, rng, **options))
