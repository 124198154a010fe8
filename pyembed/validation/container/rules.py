"""The rules about the container, in the order in which a file is read."""

from __future__ import annotations

from ..rules import Evidence, Outcome, Rule, Severity

DAMAGED = Rule(
    "container/damaged",
    Severity.ERROR,
    "The file is damaged, or not a GGUF file",
    "Nothing can be read from it with certainty; every loader that checks what it reads refuses it.",
    "A download or copy that was cut short or overwritten, a writer with a fault, another kind of file, or a "
    "split set whose files do not belong together.",
    "Fetch or convert the file again, and compare its size and SHA-256 with those of the source.",
    Outcome.REFUSE,
)
INSIDE_ARCHIVE = Rule(
    "container/inside-archive",
    Severity.NOTE,
    "The GGUF file lies inside a zip archive",
    "pyembed reads it where it lies; llama.cpp refuses the archive.",
    "A llamafile, which is a program with its model in a zip archive, or a model packed for transport.",
    "Nothing, if a llamafile is what you want to look at; else unpack the archive.",
    Outcome.REFUSE,
)
EXAMINATION = Rule(
    "container/examination-failed",
    Severity.ERROR,
    "Looking at the file ended in an error that pyembed does not foresee",
    "What the named kind of evidence would have found is not known; the others are complete.",
    "A file that is damaged or made to mislead in a way that no rule covers yet, and a fault of pyembed.",
    "Do not use the file; send the message to pyembed's maintainers, with the file if you may.",
)
VERSION = Rule(
    "container/version",
    Severity.WARNING,
    "The file is of GGUF version 1",
    "Its counts and lengths are 32 bits wide. pyembed reads it; llama.cpp refuses it.",
    "It was written in August 2023, before version 2.",
    "Convert the model again from its source.",
    Outcome.REFUSE,
)
BYTE_ORDER = Rule(
    "container/byte-order",
    Severity.WARNING,
    "The file is big-endian",
    "Every number in it, scales inside blocks included, has its bytes reversed. pyembed reads it; llama.cpp "
    "reads only the byte order of the machine it runs on.",
    "It was written for, or on, a big-endian machine such as s390x.",
    "Use it there, or convert the model again for little-endian machines.",
    Outcome.REFUSE,
)
KEY = Rule(
    "container/key",
    Severity.NOTE,
    "A metadata key is not as the specification has it",
    "Keys are at most 65535 bytes of ASCII. Readers that rely on that may refuse the file or cut the key.",
    "A writer that puts texts of its own into keys.",
    "Rename or drop the key.",
)
NESTED_ARRAY = Rule(
    "container/nested-array",
    Severity.WARNING,
    "A metadata value is an array of arrays",
    "The specification allows it; llama.cpp refuses the whole file.",
    "A writer that stored a list of lists.",
    "Store it as one flat array, or drop it.",
    Outcome.REFUSE,
)
TOO_LONG = Rule(
    "container/too-long",
    Severity.WARNING,
    "A string or array of the metadata is longer than 2^30",
    "llama.cpp refuses the file.",
    "Data was put into the metadata, or a file was made to exhaust readers.",
    "Do not use the file before it is known who wrote the value and why.",
    Outcome.REFUSE,
)
BOOL = Rule(
    "container/bool",
    Severity.NOTE,
    "A truth value is neither 0 nor 1",
    "It is taken as true here and by llama.cpp; the specification calls it invalid.",
    "A writer that stored another number, or a damaged byte.",
    "Convert the file again with a current writer.",
)
VALUE_TYPE = Rule(
    "container/value-type",
    Severity.WARNING,
    "A metadata value is stored as another type than llama.cpp reads",
    "It reads each key as one exact type, without widening: a count stored as u64 instead of u32 makes it "
    "refuse the model.",
    "A converter or an editor of metadata that chose the type by the value.",
    "Write the value again as the type that the finding names.",
    Outcome.REFUSE,
)
ARCHITECTURE = Rule(
    "container/architecture",
    Severity.NOTE,
    "The architecture is none that llama.cpp loads",
    'llama.cpp refuses the model with "unknown model architecture"; a newer one than this version knows'
    " of may load it.",
    "A file for another program, a projector, an adapter, an architecture that is very new, or a slip.",
    "Nothing, if llama.cpp is not what it is for; else use a version that knows the architecture.",
    Outcome.REFUSE,
)
MISSING_KEY = Rule(
    "container/missing-key",
    Severity.NOTE,
    "A key that llama.cpp needs is missing",
    "llama.cpp refuses to load the model. Tables and vocabulary are read here without it.",
    "The file was made for tables or a vocabulary only, or a converter forgot it.",
    "Nothing, if the file is not for llama.cpp; else convert the model again.",
    Outcome.REFUSE,
)
CHAT_TEMPLATE = Rule(
    "container/chat-template",
    Severity.NOTE,
    "A model that calls itself a chat model has no chat template",
    "Programs fall back on a guess at how turns are marked, and a wrong guess makes answers worse. A "
    "template is a program from a stranger: pyembed treats it as text and never evaluates it.",
    "The converter found no template beside the tokenizer.",
    "Take the template from the source of the model.",
)
TENSOR_NAME = Rule(
    "container/tensor-name",
    Severity.WARNING,
    "The name of a tensor is 64 bytes or longer",
    "llama.cpp keeps 63 bytes of a name and refuses the file.",
    "A converter that kept long names of modules.",
    "Rename the tensor.",
    Outcome.REFUSE,
)
TENSOR_TYPE = Rule(
    "container/tensor-type",
    Severity.WARNING,
    "A tensor is of a type that is unknown or was withdrawn",
    "Its rows cannot be decoded here; llama.cpp refuses the file if it does not know the type either.",
    "An old file with one of the withdrawn types (4, 5, 31 to 33, 36 to 38), a fork with types of its "
    "own, or a type newer than this version.",
    "Quantise the model again with current types, or use a version that knows the type.",
    Outcome.REFUSE,
)
EMPTY_TENSOR = Rule(
    "container/empty-tensor",
    Severity.WARNING,
    "A tensor has a dimension of 0",
    "It holds nothing. No architecture has such a tensor, so that llama.cpp refuses the model.",
    "A converter that wrote a tensor it had not filled.",
    "Convert the model again, and look for what became of the tensor.",
    Outcome.REFUSE,
)
ALIGNMENT = Rule(
    "container/alignment",
    Severity.WARNING,
    "The alignment is not a power of two",
    "The specification allows any multiple of 8; llama.cpp refuses the file.",
    "A writer that set general.alignment to something like 24.",
    "Write the file again with an alignment of 32.",
    Outcome.REFUSE,
)
MISALIGNED_DATA = Rule(
    "container/misaligned-data",
    Severity.WARNING,
    "The tensors do not begin at a multiple of 32",
    "llama.cpp, which maps files by default, ends the whole process with a failed assertion.",
    "A writer that set general.alignment below 32.",
    "Write the file again with an alignment of 32.",
    Outcome.ABORT,
)
OVERLAP = Rule(
    "container/overlap",
    Severity.ERROR,
    "Two tensors share bytes",
    "Rows of one spill into the other: at least one of them is not what was meant, while all later code "
    "looks fine. llama.cpp refuses the file.",
    "A writer that counted the size of a type wrongly, or an edited header.",
    "Convert the model again from its source.",
    Outcome.REFUSE,
)
MISALIGNED_TENSOR = Rule(
    "container/misaligned-tensor",
    Severity.WARNING,
    "A tensor does not begin at a multiple of the alignment",
    "pyembed reads it all the same; llama.cpp refuses the file.",
    "A writer that does not pad tensors, or another alignment than general.alignment says.",
    "Write the file again with a current writer.",
    Outcome.REFUSE,
)
TENSOR_ORDER = Rule(
    "container/tensor-order",
    Severity.WARNING,
    "Tensors do not lie in the order in which the header lists them",
    "pyembed reads each where its offset says; llama.cpp expects them one after the other and refuses the "
    "file.",
    "A tool that rewrote the header or the data alone.",
    "Write the file again with a current writer.",
    Outcome.REFUSE,
)
GAP = Rule(
    "container/gap",
    Severity.WARNING,
    "Bytes lie between tensors that belong to none",
    "pyembed does not mind; llama.cpp refuses the file. The bytes may be what is left of a tensor that the "
    "header no longer lists.",
    "A tool that removed a tensor from the header only, or a writer that pads to more than the alignment.",
    "Write the file again with a current writer.",
    Outcome.REFUSE,
)
TRAILING = Rule(
    "container/trailing-bytes",
    Severity.NOTE,
    "Bytes follow the last tensor",
    "Every reader ignores them. They may be a second file, a signature, or what an interrupted write left.",
    "Files that were joined, or a shorter file that was written over a longer one.",
    "Compare size and SHA-256 with those of the source; cut the file where the finding says.",
)

EVIDENCE = Evidence(
    "container",
    proves="The file is whole, its tensors lie where the header says without touching each other, and "
    "llama.cpp accepts its header and the types of the metadata that it reads for every architecture.",
    blind_to="Whether the bytes of a tensor are those that were meant, whether all tensors that an "
    "architecture needs are there, and the metadata of the later files of a split set.",
    rules=(
        DAMAGED,
        INSIDE_ARCHIVE,
        EXAMINATION,
        VERSION,
        BYTE_ORDER,
        KEY,
        NESTED_ARRAY,
        TOO_LONG,
        BOOL,
        VALUE_TYPE,
        ARCHITECTURE,
        MISSING_KEY,
        CHAT_TEMPLATE,
        TENSOR_NAME,
        TENSOR_TYPE,
        EMPTY_TENSOR,
        ALIGNMENT,
        MISALIGNED_DATA,
        OVERLAP,
        MISALIGNED_TENSOR,
        TENSOR_ORDER,
        GAP,
        TRAILING,
    ),
)
