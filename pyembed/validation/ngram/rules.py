"""The rules about constants of hashed rows."""

from __future__ import annotations

from ..rules import Evidence, Outcome, Rule, Severity

_ALL_ROWS = "Names of rows are computed from it: every token looks up rows that were learned for others."
_CONVERTED = "A converter that cut numbers to 32 bits, took them from another model, or derived them anew."
_ANEW = "Convert the model again, and compare the constants with those of the original."

KEYS = Rule(
    "ngram/keys",
    Severity.ERROR,
    "The file has hashed rows and does not say how they are hashed",
    "A constant is missing, truncated, of another type, or stored under a name that is not known here. No "
    "row can "
    "be looked up.",
    "A dialect of another program, constants that lie in a file beside the model, or a damaged file.",
    "Convert the model with a program whose keys are known; the message lists those that were found.",
    Outcome.REFUSE,
)
CONTRADICTION = Rule(
    "ngram/contradiction",
    Severity.ERROR,
    "Two keys of hashed rows say different things",
    "Which rows are looked up depends on which key a program reads.",
    "A file that was edited, or made of two.",
    "Remove the key that is wrong.",
)
MULTIPLIER = Rule(
    "ngram/multiplier",
    Severity.ERROR,
    "A multiplier is even, or too large",
    f"{_ALL_ROWS} Multipliers are odd, and so small that products with ids stay below 2^63: beyond, programs "
    "differ in what they make of them.",
    _CONVERTED,
    _ANEW,
)
MODULUS = Rule(
    "ngram/modulus",
    Severity.ERROR,
    "A modulus is not a prime",
    f"{_ALL_ROWS}",
    _CONVERTED,
    _ANEW,
)
NOT_CONSECUTIVE = Rule(
    "ngram/moduli-not-consecutive",
    Severity.WARNING,
    "The moduli are not primes in a row",
    "In all models that are known they are, over all columns and layers. If one is wrong, so are all "
    "names of its "
    "column, and of the columns behind it.",
    "A converter that derived them without a test of primality, or a model that was made in another way.",
    _ANEW,
)
OFFSETS = Rule(
    "ngram/offsets",
    Severity.ERROR,
    "The columns' rows overlap, or leave gaps",
    "Columns have rows of their own, one after the other. Where they overlap, rows are looked up that "
    "were learned "
    "for other columns; gaps alone are reported as a warning.",
    _CONVERTED,
    _ANEW,
)
ROWS = Rule(
    "ngram/rows",
    Severity.ERROR,
    "The moduli do not make the rows that the table has",
    "A table of Engram has as many rows as its moduli add up to, one of PLE at least as many: either the "
    "moduli "
    "or the table are of another model.",
    "Files of two models that were mixed, layers in another order, or a table that lost a shard.",
    _ANEW,
)
BEYOND_INT32 = Rule(
    "ngram/rows-beyond-int32",
    Severity.WARNING,
    "Names of rows pass 2^31 - 1",
    "llama.cpp, whose names are 32 bits wide, refuses the model. Here they are 64 bits wide.",
    "A table of more than 2,147,483,647 rows.",
    "Nothing, if llama.cpp is not what the file is for.",
    Outcome.REFUSE,
)
TOKEN_MAP = Rule(
    "ngram/token-map",
    Severity.ERROR,
    "The token map leaves its range, or does not fit the vocabulary",
    "It says what is hashed of each token. Numbers at or above the compressed size are errors; numbers "
    "that no "
    "token is mapped to, and a map of another length than the vocabulary, are warnings.",
    "A map that was made of another tokenizer, or cut.",
    "Make the map of the model's own tokenizer.",
)
TOKEN_MAP_ORDER = Rule(
    "ngram/token-map-order",
    Severity.WARNING,
    "The token map does not number tokens in the order of first appearance",
    "The recipe of the map does: the first token is mapped to 0, and each new number is one more than the "
    "largest "
    "before. A map in another order changes every row.",
    "A map whose entries were sorted, shifted or permuted, or that was made in another way.",
    "Make the map of the model's own tokenizer.",
)
STAND_IN = Rule(
    "ngram/stand-in",
    Severity.ERROR,
    "What stands in for missing tokens is not a token",
    "The end of text of PLE, or the padding of Engram, has to be below the number of ids that are hashed.",
    _CONVERTED,
    _ANEW,
)
NOT_RELEASED = Rule(
    "ngram/not-released",
    Severity.WARNING,
    "Constants differ from those of the released model with this vocabulary",
    "If it is that model, or was trained further from it, every token looks up wrong rows.",
    "A converter that derived them with other seeds, an end of text that is the chat's, or a model that was "
    "trained anew.",
    "Take the constants of the original, unless the model was trained with these.",
)

EVIDENCE = Evidence(
    "ngram",
    proves="The constants by which hashed rows are named are whole, agree with each other, the vocabulary "
    "and the tables' rows, and are the released ones where the model's vocabulary is known. The report on a "
    "file without hashed rows does not mention it.",
    blind_to="Wrong constants of other models that are odd, prime, in a row and fit the tables; the order of "
    "a table's rows; keys that are not known, where no table is named like one of hashed rows.",
    rules=(
        KEYS,
        CONTRADICTION,
        MULTIPLIER,
        MODULUS,
        NOT_CONSECUTIVE,
        OFFSETS,
        ROWS,
        BEYOND_INT32,
        TOKEN_MAP,
        TOKEN_MAP_ORDER,
        STAND_IN,
        NOT_RELEASED,
    ),
)
