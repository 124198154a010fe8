"""The rules of the vocabulary, and what this kind of evidence can and cannot see."""

from __future__ import annotations

from ...llama_cpp import VERSION
from ..rules import Evidence, Outcome, Rule, Severity

UNUSABLE = Rule(
    "vocabulary/unusable",
    Severity.ERROR,
    "The parts of the vocabulary contradict each other",
    "Tokens cannot be read with certainty; llama.cpp refuses the model.",
    "Scores or types are fewer than the tokens or of a wrong type, or the tokens are not a list of strings.",
    "Convert the model again.",
    Outcome.REFUSE,
)
ROW_COUNT = Rule(
    "vocabulary/row-count",
    Severity.ERROR,
    "The number of rows differs from the number of tokens",
    "Ids without a row read foreign memory or end the program; rows without a token are never used. "
    "llama.cpp refuses the model.",
    "The table was resized to another tokenizer, cut, or padded without padding the token list.",
    "Convert the model again; where rows were added as padding, add as many tokens, such as [PAD5], or cut "
    "them.",
    Outcome.REFUSE,
)
VOCAB_SIZE = Rule(
    "vocabulary/vocab-size",
    Severity.WARNING,
    "vocab_size in the metadata differs from the length of the token list",
    "Software that trusts the key allocates a table of the wrong size.",
    "The table was padded or resized after the key was written.",
    "Set the key to the length of the token list.",
)
EXTRA_ENTRIES = Rule(
    "vocabulary/extra-entries",
    Severity.WARNING,
    "There are more scores or types than tokens",
    "Entries behind the last token are ignored; a token may be missing.",
    "A token was deleted from the list, and its score and type were not.",
    "Convert the model again.",
)
DUPLICATE = Rule(
    "vocabulary/duplicate-token",
    Severity.ERROR,
    "Two tokens have the same text",
    "Only one of them can be found by its text; llama.cpp aborts when it loads the model.",
    "Placeholders of one name, added tokens that were there already, or a damaged list.",
    "Give each token a text of its own.",
    Outcome.ABORT,
)
EMPTY = Rule(
    "vocabulary/empty-token",
    Severity.WARNING,
    "Tokens have no text",
    "llama.cpp calls them [EMPTY_n].",
    "Texts were lost, or the list was padded with nothing.",
    "Give padding a name of its own, such as [PADn].",
)
NUL = Rule(
    "vocabulary/nul-in-token",
    Severity.WARNING,
    "Tokens hold a NUL byte",
    "llama.cpp cuts them at the NUL, and aborts where that makes two tokens equal.",
    "Binary data among the tokens.",
    "Spell the byte as the family does.",
)
NOT_UTF8 = Rule(
    "vocabulary/invalid-utf8",
    Severity.WARNING,
    "Tokens are not valid UTF-8",
    "llama.cpp does not check this when it loads a model; detokenised text is damaged.",
    "Bytes were stored as they are instead of by the alphabet of the family.",
    "Convert the model again.",
)
TOKEN_TYPE = Rule(
    "vocabulary/token-type",
    Severity.WARNING,
    "Token types are unknown",
    "llama.cpp treats these tokens as undefined.",
    "A damaged or foreign list of types.",
    "Types are 1 to 6.",
)
BYTE_ORDER = Rule(
    "vocabulary/byte-token-order",
    Severity.ERROR,
    "Byte tokens are not in the order of their bytes",
    "A byte without a token of its own selects the row of another byte.",
    "The list was sorted or edited.",
    "Convert the model again.",
)
BYTE_MISSING = Rule(
    "vocabulary/byte-token-missing",
    Severity.WARNING,
    "Byte tokens are missing",
    "A text with such a byte cannot be tokenised; without <0x0A> a newline becomes another token.",
    "Tokens were removed from the list.",
    "Restore the 256 tokens <0x00> to <0xFF>.",
)
BYTE_TYPE = Rule(
    "vocabulary/byte-token-type",
    Severity.WARNING,
    "The type BYTE and the texts <0xNN> do not fit each other",
    "A byte token of another type is text of six characters; another text of type BYTE stands for "
    "no byte. llama.cpp "
    "refuses a BYTE token of fewer than three characters.",
    "Types were shifted against the texts, or lost.",
    "Convert the model again.",
)
PADDING = Rule(
    "vocabulary/padding",
    Severity.NOTE,
    "The list ends in padding",
    "The rows of these tokens were never trained.",
    "The table has more rows than the tokenizer has tokens.",
    "Nothing.",
)
PADDING_ORDER = Rule(
    "vocabulary/padding-order",
    Severity.WARNING,
    "Padding is not numbered in one run that ends the list",
    "Tokens were inserted between placeholders, or placeholders were taken for tokens.",
    "The list was edited after it was padded.",
    "Compare with the original tokenizer.",
)
SPECIAL_RANGE = Rule(
    "vocabulary/special-id-range",
    Severity.WARNING,
    "The id of a special token is outside the vocabulary",
    "llama.cpp keeps the default of the family instead, which is another token or none.",
    "The id belongs to another vocabulary, or tokens were removed.",
    "Set the key to the id of the right token.",
)
SPECIAL_KEY = Rule(
    "vocabulary/special-id-type",
    Severity.WARNING,
    "The id of a special token is not stored as u32",
    "llama.cpp refuses the model.",
    "A writer that stores ids as signed numbers, perhaps -1 for none.",
    "Store the key as u32, or leave it out.",
    Outcome.REFUSE,
)
SPECIAL_TYPE = Rule(
    "vocabulary/special-token-type",
    Severity.WARNING,
    "A special token is typed as an ordinary, unused or byte token",
    "Generation may never end, or end at an ordinary word; control tokens in a prompt are taken for text.",
    "The id belongs to another model's vocabulary, or the token lost its type.",
    "Compare id and type with the original tokenizer's.",
)
CONTROL_NORMAL = Rule(
    "vocabulary/control-token-as-text",
    Severity.WARNING,
    "A token whose text marks a turn or an end is typed as ordinary text",
    "The tokenizer cuts its text into pieces, so that the model never sees the token that it was trained on.",
    "The converter lost the list of special tokens.",
    "Convert again, or set the type of the token to CONTROL.",
)
END_OF_TURN = Rule(
    "vocabulary/end-of-turn",
    Severity.NOTE,
    "Several tokens may end a turn",
    "llama.cpp stops at each of them; other software at those that the file names.",
    "Families have an end of text and an end of turn.",
    "Nothing, if eos and eot are set as the model was trained.",
)
PRE_MISSING = Rule(
    "vocabulary/pre-missing",
    Severity.WARNING,
    "The file does not name its pre-tokenizer",
    "llama.cpp takes a default, which cuts many texts into other tokens than the model was trained on.",
    "The file was made by an old converter.",
    "Convert the model again, or set tokenizer.ggml.pre.",
)
PRE_UNKNOWN = Rule(
    "vocabulary/pre-unknown",
    Severity.WARNING,
    "The pre-tokenizer has a name that llama.cpp does not know",
    "llama.cpp refuses the model. It tells capitals from small letters in these names.",
    f"The name was made up or misspelt, or is newer than the versions known here: {VERSION}.",
    "Set tokenizer.ggml.pre to the name of the pre-tokenizer that the model was trained with.",
    Outcome.REFUSE,
)
MODEL_UNKNOWN = Rule(
    "vocabulary/model-unknown",
    Severity.WARNING,
    "llama.cpp does not know the tokenizer's model",
    "llama.cpp refuses the model.",
    "tokenizer.ggml.model names a family that it does not know, or is missing.",
    "Set tokenizer.ggml.model to the name of the family.",
    Outcome.REFUSE,
)
PHI3 = Rule(
    "vocabulary/phi3-tokens",
    Severity.WARNING,
    "The model's name says phi-3, and a token that llama.cpp demands of these is missing",
    "llama.cpp refuses the model.",
    "Another model carries the name, or the tokens were replaced.",
    "Change general.name, or restore the tokens.",
    Outcome.REFUSE,
)
CHARSMAP = Rule(
    "vocabulary/charsmap",
    Severity.WARNING,
    "The map of characters contradicts its own length, or leads outside itself",
    "llama.cpp refuses the model.",
    "tokenizer.ggml.precompiled_charsmap was cut short or damaged.",
    "Convert the model again.",
    Outcome.REFUSE,
)
PLACEHOLDER_ORDER = Rule(
    "vocabulary/placeholder-order",
    Severity.WARNING,
    "Numbered placeholders are not in the order of their numbers",
    "Rows of placeholders are rarely trained, so that little is lost by itself; but tokens that were put in "
    "or taken out among them shift all that stand behind.",
    "The list was edited or sorted after the model was trained.",
    "Compare with the original tokenizer; a placeholder is best replaced where it stands.",
)
ORDER = Rule(
    "vocabulary/order",
    Severity.ERROR,
    "Tokens stand at the ids of others, by the order of their family",
    "These tokens select the rows of other tokens: the model runs without an error and answers nonsense.",
    "Tokens were swapped, sorted or replaced in the list after the model was trained.",
    "Convert the model again from the original tokenizer; compare with it by reference=.",
)
SHIFT = Rule(
    "vocabulary/shift",
    Severity.ERROR,
    "From an id on, all tokens are shifted against their rows",
    "Every token in that range selects the row of another.",
    "A token was inserted into the list, or left out of it, without its row.",
    "Convert the model again; added tokens belong at the end, and removed ones need a placeholder.",
)
EXTENDED = Rule(
    "vocabulary/extended",
    Severity.WARNING,
    "The list looks extended behind its end, or other tokens stand in the middle of it",
    "Nothing is wrong if each new token has its row. If the rows were not extended too, every token behind "
    "the new ones finds the row of another.",
    "Tokens were appended for another language or domain, behind special tokens or with scores of their own.",
    "Nothing, if that was intended; rows that were trained show the order at level full, and --reference "
    "settles it.",
)
TRIMMED = Rule(
    "vocabulary/trimmed",
    Severity.WARNING,
    "The list looks trimmed: tokens are missing from its order",
    "Nothing is wrong if the rows of these tokens were taken out too. If they were not, every token behind "
    "finds the row of another.",
    "Tokens were taken out of the list, to make the table smaller.",
    "Nothing, if that was intended; rows that were trained show the order at level full, and --reference "
    "settles it.",
)
NO_LAW = Rule(
    "vocabulary/no-law",
    Severity.WARNING,
    "The list follows no law of order, where lists of its family follow one",
    "Nothing shows whether tokens stand at their ids.",
    "The list was sorted or made by a program of its own, or scores or merges are those of another list.",
    "Compare with the original tokenizer by --reference.",
)
MERGES_MISSING = Rule(
    "vocabulary/merges-missing",
    Severity.WARNING,
    "There are no merges, or many tokens that no merge makes",
    "A text is cut into other tokens than those the model was trained on. llama.cpp refuses a model "
    "of this family "
    "without any list of merges.",
    "The converter dropped merges.",
    "Convert the model again from its tokenizer.json or merges.txt.",
)
MERGE_UNKNOWN = Rule(
    "vocabulary/merge-of-unknown-token",
    Severity.WARNING,
    "Merges name texts that are not in the vocabulary",
    "Such a merge is never applied, so that text is split differently; or a token was deleted.",
    "Tokens were removed or replaced, or the merges come from another tokenizer.",
    "Take the token list and the merges from the same tokenizer.",
)
MERGE_ORDER = Rule(
    "vocabulary/merge-order",
    Severity.WARNING,
    "Merges use tokens before they are made",
    "In a list with one merge a token, parts come before the whole; here they do not.",
    "The list of merges was reordered, or tokens were.",
    "Compare with the original tokenizer.",
)
MERGES_INCOMPLETE = Rule(
    "vocabulary/merges-incomplete",
    Severity.WARNING,
    "Some ways to make a token lack their merge",
    "Where all cuts of a token are merges, each missing one changes how texts are cut.",
    "The list of merges was cut short or edited.",
    "Convert the model again from its ranks.",
)
TOKEN_BETWEEN = Rule(
    "vocabulary/token-between",
    Severity.WARNING,
    "Tokens stand between the alphabet and the first product of a merge",
    "Either they belong there, or all tokens behind them are shifted against their rows.",
    "A token was inserted into the list.",
    "Compare with the original tokenizer.",
)
UNREACHABLE = Rule(
    "vocabulary/unreachable-token",
    Severity.NOTE,
    "Normal tokens that no merge makes",
    "No text is cut into them, unless the tokenizer takes whole words first.",
    "Tokens were added to the list as normal ones, or the alphabet has more characters than bytes need.",
    "Nothing, if they are meant; added tokens are usually of type USER_DEFINED.",
)
PIECE_ORDER = Rule(
    "vocabulary/piece-order",
    Severity.ERROR,
    "Pieces do not fit what comes before them",
    "A learned piece is made of two pieces that come before it, and pieces of several characters "
    "come before single "
    "ones. These tokens stand at ids, and so at rows, of other pieces.",
    "Texts were swapped, shifted or replaced in the token list while scores stayed where they were.",
    "Convert the model again from its tokenizer.model; compare with it by reference=.",
)
BYTE_TYPED = Rule(
    "vocabulary/byte-token-in-wordpiece",
    Severity.ERROR,
    "A WordPiece vocabulary has tokens of type BYTE",
    "llama.cpp aborts when it loads such a model.",
    "The types belong to another vocabulary.",
    "Convert the model again.",
    Outcome.ABORT,
)

EVIDENCE = Evidence(
    "vocabulary",
    proves="Token list, scores, types and merges fit each other, the family's laws of order and the number "
    "of rows.",
    blind_to="Whether rows were moved while the tokens stayed; longer WordPiece pieces, unigram pieces of "
    "equal score; added tokens among themselves; families without a known law.",
    rules=(
        UNUSABLE,
        ROW_COUNT,
        VOCAB_SIZE,
        EXTRA_ENTRIES,
        DUPLICATE,
        EMPTY,
        NUL,
        NOT_UTF8,
        TOKEN_TYPE,
        BYTE_ORDER,
        BYTE_MISSING,
        BYTE_TYPE,
        PADDING,
        PADDING_ORDER,
        SPECIAL_RANGE,
        SPECIAL_KEY,
        SPECIAL_TYPE,
        CONTROL_NORMAL,
        END_OF_TURN,
        PRE_MISSING,
        PRE_UNKNOWN,
        MODEL_UNKNOWN,
        PHI3,
        CHARSMAP,
        PLACEHOLDER_ORDER,
        ORDER,
        SHIFT,
        EXTENDED,
        TRIMMED,
        NO_LAW,
        MERGES_MISSING,
        MERGE_UNKNOWN,
        MERGE_ORDER,
        MERGES_INCOMPLETE,
        TOKEN_BETWEEN,
        UNREACHABLE,
        PIECE_ORDER,
        BYTE_TYPED,
    ),
)
