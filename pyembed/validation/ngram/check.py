"""Looks at the constants of hashed rows: by themselves, against the tables, against released models."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np

from ...errors import FormatError
from ...ngram.constants import Constants, Scheme, TokenMap
from ...ngram.derived import (
    ENGRAM_MAP_DIGEST,
    ENGRAM_MAP_SHAPE,
    ENGRAM_MULTIPLIERS,
    PLE_BASE,
    PLE_EOS,
    PLE_SEED,
    PLE_SHAPE,
    is_prime,
    ple_moduli,
    ple_multipliers,
    primes_from,
)
from ...ngram.gguf_keys import find_constants
from ...safe_text import quote
from ..report import Findings
from ..rules import Severity
from ..subject import Subject
from .rules import (
    BEYOND_INT32,
    CONTRADICTION,
    KEYS,
    MODULUS,
    MULTIPLIER,
    NOT_CONSECUTIVE,
    NOT_RELEASED,
    OFFSETS,
    ROWS,
    STAND_IN,
    TOKEN_MAP,
    TOKEN_MAP_ORDER,
)

_WORDS = {
    "multipliers": "multipliers",
    "moduli": "moduli",
    "stand_in": "end of text",
    "token_map": "token map",
}


def examine(subject: Subject, findings: Findings) -> None:
    """Look at the constants of a file that has hashed rows; of other files there is nothing to say."""
    try:
        constants = find_constants(subject.source, subject.metadata, subject.tensors)
    except FormatError as error:
        findings.add(KEYS, str(error).removeprefix(f"{subject.source.path}: "), offset=error.offset)
        findings.no_evidence("the constants of hashed rows could not be read")
        return
    if constants is None:
        return
    for contradiction in constants.contradictions:
        findings.add(CONTRADICTION, contradiction)
    _examine_multipliers(constants, findings)
    _examine_moduli(constants, findings)
    _examine_offsets(constants, findings)
    _examine_rows(constants, findings)
    _examine_width(constants, findings)
    _examine_map(subject, constants, findings)
    if constants.stand_in >= constants.n_hashed:
        findings.add(
            STAND_IN,
            f"{_key(constants, 'stand_in')} is {constants.stand_in}, and ids that are hashed are below "
            f"{constants.n_hashed}",
        )
    _compare_with_released(constants, findings)
    layers = ", ".join(map(str, constants.layers))
    findings.conclude(
        f"the constants of {constants.scheme.value} were looked at, for layers {layers}, not the order of "
        "the rows"
    )


def _key(constants: Constants, field: str) -> str:
    return quote(constants.origins.get(field, field))


def _examine_multipliers(constants: Constants, findings: Findings) -> None:
    assert constants.multipliers is not None  # no dialect of LongCat is known in GGUF
    largest = (2**63 - 1) // max(constants.n_hashed, 1)
    for layer, row in zip(constants.layers, constants.multipliers.tolist(), strict=True):
        for index, multiplier in enumerate(row):
            what = f"multiplier {index} of layer {layer} in {_key(constants, 'multipliers')} is {multiplier}"
            if multiplier % 2 == 0:
                findings.add(MULTIPLIER, f"{what}, which is even")
            if multiplier > largest:
                findings.add(
                    MULTIPLIER,
                    f"{what}; with {constants.n_hashed} ids that are hashed, {largest} is the largest",
                )


def _examine_moduli(constants: Constants, findings: Findings) -> None:
    key = _key(constants, "moduli")
    moduli = [int(modulus) for modulus in constants.moduli.reshape(-1)]
    composite = [index for index, modulus in enumerate(moduli) if not is_prime(modulus)]
    for index in composite:
        layer, column = divmod(index, constants.n_columns)
        findings.add(
            MODULUS,
            f"the modulus of column {column} of layer {constants.layers[layer]} in {key} is "
            f"{moduli[index]}, which "
            "is not a prime",
        )
    if composite:
        return
    for index, (modulus, expected) in enumerate(zip(moduli, primes_from(moduli[0]), strict=False)):
        if modulus != expected:
            layer, column = divmod(index, constants.n_columns)
            findings.add(
                NOT_CONSECUTIVE,
                f"the modulus of column {column} of layer {constants.layers[layer]} in {key} is "
                f"{modulus}; the next "
                f"prime is {expected}",
            )
            return  # those behind it follow


def _examine_offsets(constants: Constants, findings: Findings) -> None:
    if constants.offsets is None:
        return
    key = _key(constants, "offsets")
    for layer, offsets, moduli in zip(
        constants.layers, constants.offsets.tolist(), constants.moduli.tolist(), strict=True
    ):
        order = sorted(range(len(offsets)), key=offsets.__getitem__)
        for before, column in pairwise(order):
            end = offsets[before] + moduli[before]
            if offsets[column] < end:
                findings.add(
                    OFFSETS,
                    f"in {key}, column {column} of layer {layer} begins at row {offsets[column]}, inside "
                    "column "
                    f"{before}, which ends at {end - 1}",
                )
    if not findings.n_of(OFFSETS) and not np.array_equal(constants.offsets, constants.running_sums):
        findings.add(OFFSETS, f"{key} are not the running sums of the moduli", severity=Severity.WARNING)


def _examine_rows(constants: Constants, findings: Findings) -> None:
    for layer, name, rows, moduli in zip(
        constants.layers, constants.tables, constants.n_rows, constants.moduli.tolist(), strict=True
    ):
        used = sum(moduli)
        is_wrong = rows is not None and (rows != used if constants.scheme is Scheme.ENGRAM else rows < used)
        if is_wrong:
            table = name or _key(constants, "n_rows")
            findings.add(
                ROWS,
                f"the table of layer {layer}, {table}, has {rows} rows, and its moduli add up to {used}",
                tensor=name,
            )


def _examine_width(constants: Constants, findings: Findings) -> None:
    ends = constants.n_used_rows
    if constants.scheme is Scheme.PLE and max(ends) > 2**31 - 1:
        findings.add(BEYOND_INT32, f"names of rows go up to {max(ends) - 1}")


def _examine_map(subject: Subject, constants: Constants, findings: Findings) -> None:
    token_map, n_compressed = constants.token_map, constants.n_compressed
    if token_map is None:
        return
    key = _key(constants, "token_map")
    outside = np.flatnonzero(token_map >= n_compressed).tolist()
    findings.add_many(
        TOKEN_MAP,
        len(outside),
        lambda which: {
            "message": f"{key} maps token {outside[which]} to {token_map[outside[which]]}, "
            f"and mapped ids are below {n_compressed}",
            "first_id": outside[which],
            "last_id": outside[which],
        },
    )
    unused = n_compressed - len(np.unique(token_map))
    if not outside and unused:
        findings.add(
            TOKEN_MAP,
            f"no token in {key} is mapped to {unused} of the {n_compressed} numbers",
            severity=Severity.WARNING,
        )
    n_tokens = 0 if subject.vocabulary is None else len(subject.vocabulary)
    if n_tokens and n_tokens != len(token_map):
        findings.add(
            TOKEN_MAP,
            f"{key} maps {len(token_map)} tokens, and the vocabulary has {n_tokens}",
            severity=Severity.WARNING,
        )
    before = np.maximum.accumulate(np.concatenate([[-1], token_map.astype(np.int64)]))[:-1]
    late = np.flatnonzero(token_map > before + 1)
    if late.size:
        token = int(late[0])
        findings.add(
            TOKEN_MAP_ORDER,
            f"{key} maps token {token} to {token_map[token]}, and all tokens before it to {before[token]} "
            "or less",
            first_id=token,
            last_id=token,
        )


def _compare_with_released(constants: Constants, findings: Findings) -> None:
    """Compare with the model that has this vocabulary, field by field."""
    assert constants.multipliers is not None
    differing: list[str] = []
    if (
        constants.scheme is Scheme.PLE
        and (constants.n_vocab, constants.max_size, constants.n_heads) == PLE_SHAPE
    ):
        multipliers = ple_multipliers(PLE_SEED, 0, constants.max_size, constants.n_vocab)
        differing += ["multipliers"] if constants.multipliers[0].tolist() != multipliers else []
        moduli = ple_moduli(PLE_BASE, constants.n_columns, 1)
        differing += ["moduli"] if constants.moduli[0].tolist() != moduli else []
        differing += ["stand_in"] if constants.stand_in != PLE_EOS else []
    elif constants.scheme is Scheme.ENGRAM:
        for layer, multipliers in zip(constants.layers, constants.multipliers.tolist(), strict=True):
            released = ENGRAM_MULTIPLIERS.get((layer, constants.n_compressed))
            if released is not None and multipliers != list(released):
                differing.append("multipliers")
        token_map = constants.token_map
        is_known = (constants.n_vocab, constants.n_compressed) == ENGRAM_MAP_SHAPE
        if is_known and token_map is not None and not _is_released_map(token_map):
            differing.append("token_map")
    for field in dict.fromkeys(differing):
        message = f"{_key(constants, field)} differs from the {_WORDS[field]} of the released model"
        findings.add(NOT_RELEASED, message)


def _is_released_map(token_map: TokenMap) -> bool:
    return hashlib.sha256(token_map.astype("<i8").tobytes()).hexdigest() == ENGRAM_MAP_DIGEST
