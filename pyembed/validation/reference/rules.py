"""The rules of the reference."""

from __future__ import annotations

from ..rules import Evidence, Rule, Severity

_CONVERT = "Convert the model again from its source, with the tokenizer that belongs to it."

SHIFTED = Rule(
    "reference/shifted",
    Severity.ERROR,
    "Tokens stand at other ids than in the reference, all by the same offset",
    "Each of these ids selects the row of another token: the model computes with wrong vectors, and "
    "nothing fails.",
    "A token was inserted or dropped in the middle of the list, by an edit or by a converter.",
    _CONVERT,
)
PERMUTED = Rule(
    "reference/permuted",
    Severity.ERROR,
    "Tokens stand at other ids than in the reference",
    "Each of these ids selects the row of another token: the model computes with wrong vectors, and "
    "nothing fails.",
    "The list was sorted, merged or read through a mapping without order.",
    _CONVERT,
)
REPLACED = Rule(
    "reference/replaced-token",
    Severity.ERROR,
    "At some ids the model has other tokens than the reference",
    "Texts with the reference's tokens are split differently; a special token is not recognised, and "
    "generation may not stop.",
    "Special tokens that a converter wrote as placeholders, or reserved tokens that were given names.",
    "Check that the reference belongs to the model; if it does, convert again with its added tokens "
    "beside it.",
)
EXTRA = Rule(
    "reference/extra-token",
    Severity.NOTE,
    "The model has tokens that the reference does not have",
    "Padding and added tokens at the end change nothing; learned tokens mean another tokenizer.",
    "Padding up to the rows of the table, or tokens added by fine-tuning.",
    "Nothing, if these are padding or were added on purpose.",
)
MISSING = Rule(
    "reference/missing-token",
    Severity.WARNING,
    "The reference has tokens that the model does not have",
    "Texts are split into more tokens than the model was trained with, or ids beyond the list are refused.",
    "A list that was cut, or a reference of a later version of the model.",
    _CONVERT,
)
FAIRSEQ = Rule(
    "reference/fairseq-order",
    Severity.NOTE,
    "Ids are those that fairseq gives the pieces of the reference",
    "Nothing is wrong: a model that was trained with fairseq, such as XLM-R, has <s> <pad> </s> <unk> first "
    "and every other piece one id later than its SentencePiece model. Other findings give the "
    "reference's ids as fairseq numbers them.",
    "fairseq keeps a dictionary of its own, and models are shipped with the SentencePiece model as it is.",
    "Nothing.",
)
UNRELATED = Rule(
    "reference/unrelated",
    Severity.ERROR,
    "The vocabulary is not the reference's",
    "No id of one can be used with the other.",
    "The reference belongs to another model, or the model was converted with another model's tokenizer.",
    "Compare with the tokenizer that the model was trained with.",
)
DIGEST = Rule(
    "reference/digest",
    Severity.ERROR,
    "The vocabulary's digest is not the stated one",
    "At least one token differs in text or in place.",
    "Another version or conversion of the model than the one whose digest was noted.",
    "Compare with the file that the digest was taken from, which shows what differs.",
)
SPECIAL = Rule(
    "reference/special-id",
    Severity.WARNING,
    "A token with a role is not the one of the reference",
    "Sequences begin or end with another token than the model was trained with; generation may not stop.",
    "A converter's default, another model's configuration, or a chat model's own end of turn.",
    "Look up in the model's configuration which one is meant.",
)
TYPE = Rule(
    "reference/token-type",
    Severity.WARNING,
    "Tokens have other types than in the reference",
    "llama.cpp finds control and user-defined tokens in a text before it splits the rest. One that is typed "
    "normal is split into pieces, and a control token is printed as text. A learned token typed otherwise is "
    "never produced from a text.",
    "A converter that did not read the added tokens, or not their types.",
    _CONVERT,
)
SCORES = Rule(
    "reference/scores",
    Severity.WARNING,
    "Scores differ from the reference's",
    "SentencePiece tokenizers choose pieces by score: texts are split differently.",
    "Scores that were not moved along with their tokens.",
    _CONVERT,
)
MERGES = Rule(
    "reference/merges",
    Severity.WARNING,
    "Merges differ from the reference's",
    "Texts are split differently than in training, though every id has its row.",
    "Merges that were dropped, cut or sorted by a converter.",
    _CONVERT,
)
PRE = Rule(
    "reference/pre-tokenizer",
    Severity.WARNING,
    "The pre-tokenizer is not the reference's",
    "Texts are split differently than in training, though every id has its row.",
    "A file of an early converter, which did not know the model's pre-tokenizer.",
    "Override the key tokenizer.ggml.pre, or convert again.",
)
ROWS_SHIFTED = Rule(
    "reference/rows-shifted",
    Severity.ERROR,
    "Rows lie at other ids than those of their tokens, all by the same offset",
    "Each of these ids selects the row of another token: the model computes with wrong vectors, and "
    "nothing fails.",
    "A row was inserted or dropped in the middle of the table, or the token list was.",
    _CONVERT,
)
ROWS_MOVED = Rule(
    "reference/rows-moved",
    Severity.ERROR,
    "Rows lie at other ids than those of their tokens",
    "Each of these ids selects the row of another token: the model computes with wrong vectors, and "
    "nothing fails.",
    "Rows that were exchanged, or a table whose order is that of another token list.",
    _CONVERT,
)
ROWS_CHANGED = Rule(
    "reference/rows-changed",
    Severity.WARNING,
    "Rows are not the reference's, at their own ids or at any other",
    "They were trained further, or are damaged.",
    "Fine-tuning, newly initialised rows, or bytes that were overwritten.",
    "Nothing, if the model was trained after the reference; otherwise fetch it again.",
)
ROWS_SCALED = Rule(
    "reference/rows-scaled",
    Severity.WARNING,
    "All rows are longer or shorter than the reference's by one factor",
    "A scale that the architecture applies by itself is then applied twice.",
    "A converter that multiplied it into the table.",
    _CONVERT,
)
ROWS_WIDTH = Rule(
    "reference/rows-width",
    Severity.WARNING,
    "The tables have different widths",
    "The reference is another model; its rows prove nothing about this one's. They were not compared.",
    "A reference of another size of the same family.",
    "Compare rows with those of the same model.",
)

ROWS_UNRELATED = Rule(
    "reference/rows-unrelated",
    Severity.ERROR,
    "The table is another model's than the reference's",
    "Rows and tokens cannot be checked against each other: no row is the reference's, in place or elsewhere.",
    "A reference of another model with the same vocabulary, or a table that was replaced or overwritten.",
    "Compare with the model that the file was made from.",
)
ROWS_ROTATED = Rule(
    "reference/rows-rotated",
    Severity.WARNING,
    "The rows are the reference's in another basis",
    "Angles between rows are the reference's, so that rows stand with their tokens. Such a table suits only "
    "layers that were rotated with it.",
    "A model that was rotated before it was quantised, or columns in another order.",
    "Nothing, if the model was rotated on purpose; otherwise convert it again.",
)
ROWS_NUMBER = Rule(
    "reference/row-count",
    Severity.NOTE,
    "The tables have different numbers of rows",
    "Rows behind the last token are padding and change nothing.",
    "A converter that adds or removes padding.",
    "Nothing, if every token has its row.",
)
ROWS_UNREAD = Rule(
    "reference/rows-not-compared",
    Severity.WARNING,
    "Both sides have rows, and some or all of them were not compared",
    "Whether the rows are those of their tokens is unknown: nothing was seen of them.",
    "Weights in a format that cannot be read, a table under an unknown name, a missing shard, or a table "
    "with fewer rows than there are tokens.",
    "Compare with a file whose rows can be read, such as the model in safetensors with float weights.",
)

EVIDENCE = Evidence(
    "reference",
    proves="Every token has the id, and where the reference carries rows, every row the content, "
    "that the reference "
    "gives it.",
    blind_to="Whatever is wrong in the reference too; rows, where it carries none; and rows that are "
    "exchanged but lie "
    "closer together than quantisation can tell apart.",
    rules=(
        SHIFTED,
        PERMUTED,
        REPLACED,
        EXTRA,
        MISSING,
        FAIRSEQ,
        UNRELATED,
        DIGEST,
        SPECIAL,
        TYPE,
        SCORES,
        MERGES,
        PRE,
        ROWS_SHIFTED,
        ROWS_MOVED,
        ROWS_CHANGED,
        ROWS_SCALED,
        ROWS_WIDTH,
        ROWS_UNRELATED,
        ROWS_ROTATED,
        ROWS_NUMBER,
        ROWS_UNREAD,
    ),
)
