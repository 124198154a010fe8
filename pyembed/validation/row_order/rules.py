"""The rules of the order of rows, and what this kind of evidence can and cannot see."""

from __future__ import annotations

from ..rules import Evidence, Rule, Severity

SHIFTED = Rule(
    "geometry/shifted",
    Severity.ERROR,
    "Rows stand a fixed number of places away from their tokens",
    "Each of these tokens is embedded as another token: the model answers, but with nonsense.",
    "A token or a row was inserted or removed in only one of the two lists, or shards were joined in a "
    "wrong order.",
    "Convert the model again from its source; compare the token list with the original's by --reference.",
)
PERMUTED = Rule(
    "geometry/permuted",
    Severity.ERROR,
    "Rows stand in another order than their tokens",
    "Each of these tokens is embedded as another token: the model answers, but with nonsense.",
    "The token list was sorted or rebuilt, or rows were written in another order.",
    "Convert the model again from its source; compare the token list with the original's by --reference.",
)
UNRELATED = Rule(
    "geometry/unrelated",
    Severity.ERROR,
    "Rows are learned, but not for these tokens",
    "No rearrangement that was tried brings rows and tokens together: tokens are embedded as others.",
    "The vocabulary is another model's, or the rows were shuffled.",
    "Take vocabulary and rows from the same source, and convert again.",
)
UNTRAINED = Rule(
    "geometry/untrained",
    Severity.WARNING,
    "Rows of tokens in use look untrained",
    "The tokens' texts are of use, but their rows hold what initialisation or padding left: the model cannot "
    "tell such tokens from one another.",
    "The tokens never occurred in training, or were added and the table resized without training.",
    "Avoid these tokens in prompts and as special tokens, or train their rows.",
)
NO_SIGNAL = Rule(
    "geometry/no-signal",
    Severity.NOTE,
    "The rows do not tell their order",
    "Nothing is known of the order from the rows; this is not a fault in itself.",
    "The table is not trained or too small, or too few of its tokens are spelled alike.",
    "Compare with a trusted file by --reference.",
)
ORDERED = Rule(
    "geometry/ordered",
    Severity.NOTE,
    "The rows confirm their order",
    "Rows of like spellings are closer than chance where the stated order puts them.",
    "It is how a sound model looks.",
    "Nothing has to be done.",
)

EVIDENCE = Evidence(
    "geometry",
    proves="The rows of a learned table stand in the order of the tokens, down to runs of about 64.",
    blind_to="Single rows and short runs that are out of place, tokens without others of like spelling, rows "
    "scattered at random among sound ones, and tables that are not trained: use a reference.",
    rules=(SHIFTED, PERMUTED, UNRELATED, UNTRAINED, NO_SIGNAL, ORDERED),
)
