"""The rules of texts."""

from __future__ import annotations

from ..rules import Evidence, Rule, Severity

_CONVERT = "Convert the model again from its source, with the tokenizer that belongs to it."
_OTHER_IDS = (
    "The model is given other ids than it was trained with, for the texts of the finding and all like "
    "them: it answers "
    "worse, and nothing fails."
)

PRE = Rule(
    "text/pre-tokenizer",
    Severity.ERROR,
    "Texts are cut before merging as the reference does not cut them",
    _OTHER_IDS,
    "tokenizer.ggml.pre names another pre-tokenizer, often the default of a converter that did not know "
    "this one.",
    "Set tokenizer.ggml.pre to the name in the finding, or convert again with a converter that knows the "
    "model.",
)
TYPED = Rule(
    "text/token-typed-as-text",
    Severity.ERROR,
    "Tokens that the reference finds in texts are cut into pieces by the file",
    "The text of such a token never becomes that token: a turn's mark is read as letters, and a model "
    "that waits for it "
    "does not stop.",
    "Added tokens that a converter typed NORMAL in tokenizer.ggml.token_type.",
    "Type them CONTROL where the reference calls them special, else USER_DEFINED.",
)
FOUND = Rule(
    "text/text-typed-as-token",
    Severity.WARNING,
    "Tokens that the file finds in texts are cut into pieces by the reference",
    "A text that spells such a token becomes that one token, which the reference's texts never did.",
    "Tokens typed USER_DEFINED or CONTROL that are ordinary ones in the reference.",
    "Check which of the two was used to train the model.",
)
MODEL = Rule(
    "text/merges",
    Severity.ERROR,
    "Merges or scores lead to other tokens than the reference's",
    _OTHER_IDS,
    "Merges that were dropped or sorted, or scores that were changed, by an edit or by a converter.",
    _CONVERT,
)
NORMALIZER = Rule(
    "text/normalizer",
    Severity.ERROR,
    "Texts are normalised as the reference does not normalise them",
    _OTHER_IDS,
    "Flags of the tokenizer, such as tokenizer.ggml.normalizer.lowercase or add_space_prefix, or a map "
    "of characters, that "
    "a converter left out.",
    "Set the flags that the finding names, or convert again.",
)
UNEXPLAINED = Rule(
    "text/other-ids",
    Severity.WARNING,
    "Texts get other ids than by the reference, for a cause that is not known",
    _OTHER_IDS,
    "Several differences at once, or a step of the reference that has no counterpart in GGUF.",
    "Compare the ids in the finding, and check that the reference belongs to the model.",
)
UNREACHED = Rule(
    "text/unreachable-token",
    Severity.WARNING,
    "No text becomes some of the tokens, not even their own",
    "Their rows are never used, and texts that hold them are cut into more tokens than the model was "
    "trained with.",
    "Merges or scores that are missing, or that were made for another list of tokens.",
    "Compare the file with the tokenizer of the model: --reference.",
)
UNLIKELY = Rule(
    "text/unlikely-pre-tokenizer",
    Severity.WARNING,
    "The pre-tokenizer cuts many tokens of the vocabulary apart",
    "These tokens were learned, so that texts were cut otherwise when the vocabulary was made: the model "
    "is given other ids "
    "than it was trained with.",
    "tokenizer.ggml.pre names another pre-tokenizer, often the default of a converter that did not know "
    "this one.",
    "Compare the file with the tokenizer of the model: --reference; the finding names pre-tokenizers "
    "that fit.",
)

EVIDENCE = Evidence(
    "text",
    "The file cuts a corpus of all scripts, and the texts of all added tokens, into the ids of the "
    "reference; without one, "
    "that its tokens' own texts become those tokens again.",
    "What the reference gets wrong itself; differences between engines, since both sides are cut by the "
    "same one. Without "
    "a reference, a vocabulary that is consistent and belongs to another model. Nothing at all without "
    "the package tokenizers.",
    (PRE, TYPED, FOUND, MODEL, NORMALIZER, UNEXPLAINED, UNREACHED, UNLIKELY),
)
