"""The rules about tensors: first those on their infos, then those on their bytes."""

from __future__ import annotations

from ..rules import Evidence, Outcome, Rule, Severity

NO_TABLE = Rule(
    "tensor/no-table",
    Severity.NOTE,
    "There is no table of token embeddings",
    "Nothing can be embedded by id, and whether rows fit tokens cannot be asked.",
    "An adapter, a projector of images, a draft model that borrows its target's table, or a part of a model.",
    "Nothing, if that is what the file is.",
    Outcome.REFUSE,
)
TABLE_NAME = Rule(
    "tensor/table-name",
    Severity.NOTE,
    "The table of token embeddings has a name that llama.cpp does not look for",
    "pyembed takes it by the end of its name; llama.cpp refuses the model.",
    "A file of another program, which kept the names of the model that it was made of.",
    "Nothing, if llama.cpp is not what the file is for; else convert the model with llama.cpp's converter.",
    Outcome.REFUSE,
)
TABLE_SHAPE = Rule(
    "tensor/table-shape",
    Severity.ERROR,
    "A table does not have the shape that the rest of the file asks for",
    "Rows of another width belong to another model, and a table in several parts to another layout. "
    "llama.cpp refuses any difference.",
    "Files of two models that were mixed, or a tool that stored the table in another shape.",
    "Convert the model again.",
    Outcome.REFUSE,
)
TABLE_TYPE = Rule(
    "tensor/table-type",
    Severity.WARNING,
    "The token table is of a type that llama.cpp cannot gather",
    "It loads the model, and its process ends at the first token. pyembed decodes the type.",
    "A tool that quantised every tensor alike, or stored a table of integers.",
    "Quantise the table as Q8_0 or keep it as F16.",
    Outcome.ABORT,
)
TABLE_PARTS = Rule(
    "tensor/table-parts",
    Severity.ERROR,
    "Codes of a table and what belongs to them do not fit each other, or a part is missing",
    "Without its scales a row is numbers that stand for others. pyembed does not open such a table.",
    "A conversion that dropped a tensor or a key, or files of two models that were mixed.",
    "Convert the model again.",
    Outcome.LOAD,
)
NO_OUTPUT = Rule(
    "tensor/no-output",
    Severity.WARNING,
    "The architecture needs an output projection, and there is none",
    "Here the token table stands in for it, which for this architecture is not what the model was "
    "trained with. llama.cpp refuses the model.",
    "A conversion that took the model for one with tied embeddings, or a part of a model.",
    "Convert the model again, with its output projection.",
    Outcome.REFUSE,
)
UNEXPECTED_OUTPUT = Rule(
    "tensor/unexpected-output",
    Severity.WARNING,
    "There is an output projection that the architecture never looks for",
    "llama.cpp counts one tensor too many and refuses the model.",
    "A conversion that wrote tied embeddings twice, or a fine-tuned model whose two tables drifted apart.",
    "Drop output.weight if it equals the token table; if it does not, the architecture cannot express the "
    "model.",
    Outcome.REFUSE,
)
TIED_COPY = Rule(
    "tensor/tied-copy",
    Severity.NOTE,
    "The output projection is a copy of the token table",
    "It takes its size in the file and in memory a second time, for nothing.",
    "A conversion that did not know that the embeddings are tied.",
    "Drop output.weight, if the architecture allows that.",
)
QUANTISATION_VERSION = Rule(
    "tensor/quantisation-version",
    Severity.WARNING,
    "The version of the quantisation is not 2",
    "Version 2, of May 2023, changed the layout of blocks. Blocks of another version are decoded to wrong "
    "numbers, without any error.",
    "A file from before, or a tool that does not write general.quantization_version.",
    "Quantise the model again; if only the key is missing, add it.",
)
NOT_FINITE = Rule(
    "tensor/not-finite",
    Severity.ERROR,
    "A tensor holds weights that are not numbers, or infinite",
    "One of them turns all that is computed from it into NaN. llama.cpp refuses it only if it is asked "
    "to check tensors.",
    "A damaged file, a training run that diverged, or a value too large for half precision.",
    "Fetch the file again; if that changes nothing, convert again from weights of a wider type.",
)
REFUSED = Rule(
    "tensor/check-tensors",
    Severity.WARNING,
    "llama.cpp refuses a tensor if it is asked to check tensors",
    "The weights are finite numbers here, but not a clean use of the type: MXFP4 with the exponent 255, or "
    "Q8_1, a type that files should not hold.",
    "A quantiser that does not follow the type's definition.",
    "Quantise the tensor again.",
)
ZERO_ROWS = Rule(
    "tensor/zero-rows",
    Severity.WARNING,
    "Rows of the token table are zero",
    "Their tokens carry no meaning: to the model they look like nothing at all. In a truncated file "
    "they stand where rows are missing.",
    "Padding, which is harmless and reported as a note; tokens that were added after training; a file "
    "that was filled up with zeros.",
    "Look whether texts in use hit one of the tokens; if the ids are ordinary tokens, fetch the file again.",
)
CONSTANT_ROWS = Rule(
    "tensor/constant-rows",
    Severity.WARNING,
    "Rows of the token table hold the same number throughout",
    "No trained row looks like that.",
    "A damaged file, or rows that a tool filled in.",
    "Fetch or convert the file again.",
)
DUPLICATE_ROWS = Rule(
    "tensor/duplicate-rows",
    Severity.WARNING,
    "Tokens share one row",
    "The model cannot tell the tokens apart.",
    "Tokens that were added and given the same start value, such as the mean, and never trained. Among "
    "padding and reserved tokens it is harmless and reported as a note.",
    "Look whether texts in use hit one of the tokens.",
)

EVIDENCE = Evidence(
    "tensor",
    proves="The tables have the shapes and types that the vocabulary, the metadata and llama.cpp ask for; at "
    'level "full" also that every weight is a finite number, and that no row of the token table is zero, '
    "constant or another token's.",
    blind_to="Numbers that are finite and wrong, tensors that are single numbers, and whether two tables of "
    "different types are tied.",
    rules=(
        NO_TABLE,
        TABLE_NAME,
        TABLE_SHAPE,
        TABLE_TYPE,
        TABLE_PARTS,
        NO_OUTPUT,
        UNEXPECTED_OUTPUT,
        TIED_COPY,
        QUANTISATION_VERSION,
        NOT_FINITE,
        REFUSED,
        ZERO_ROWS,
        CONSTANT_ROWS,
        DUPLICATE_ROWS,
    ),
)
