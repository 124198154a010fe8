"""Lists what another llama.cpp knows that ``pyembed.llama_cpp`` does not, and what it no longer knows.

Usage: ``python tools/compare_llama_cpp.py PATH`` with a source tree of llama.cpp, or with a built library
(``libllama.so``), which takes a few minutes; ``--json`` prints the same as JSON. Ends with 0 if there is
nothing new, 1 if there is, 2 if it could not be found out.

What either way cannot see is said below each part. Neither shows what a new architecture does to a row: give
a small model of it to that version (``tests/helpers/complete_models.py``), and compare the tensor that its
first layer is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pyembed.core.dtypes import TENSOR_TYPES  # noqa: E402
from pyembed.llama_cpp import VERSION  # noqa: E402
from pyembed.llama_cpp.architectures import ARCHITECTURES  # noqa: E402
from pyembed.llama_cpp.metadata_types import expected_types  # noqa: E402
from pyembed.llama_cpp.pre_tokenizers import PRE_TOKENIZERS, TOKENIZER_MODELS  # noqa: E402
from tools.llama_cpp_probe import Probe, ProbeError, keys_among, names_among, texts_of  # noqa: E402
from tools.llama_cpp_source import Source, SourceError  # noqa: E402

#: The names of all metadata keys of the version that the facts describe, one a line.
KEYS = Path(__file__).with_name("llama_cpp_keys.txt")
_UNSEEN_NAMES = (
    "names with capitals or other signs than .-_, and names that the compiler put into instructions, "
    "are tried only where they are known here"
)
_UNSEEN_KEYS = "keys are found by their look, %s.NAME and tokenizer.NAME, whether or not anything reads them"
_UNSEEN_TEXTS = "only names written out where they are compared or listed are seen"


@dataclass(frozen=True)
class Part:
    """What one kind of fact differs in.

    Attributes
    ----------
    title : str
    new, gone : list of str
        Known there and not here, known here and not there; in order.
    same : int
        How many are known to both.
    unseen : str
        What the way that it was found out cannot see.
    """

    title: str
    new: list[str]
    gone: list[str]
    same: int
    unseen: str


def compared(title: str, here: Iterable[str], there: Iterable[str], unseen: str) -> Part:
    """Return what two sets of facts differ in."""
    ours, theirs = set(here), set(there)
    return Part(title, sorted(theirs - ours), sorted(ours - theirs), len(ours & theirs), unseen)


def known_keys() -> set[str]:
    """Return the names of the metadata keys that are known here."""
    return {line for line in KEYS.read_text("utf-8").split("\n") if line and not line.startswith("#")}


def known_types() -> dict[str, set[str]]:
    """Return the types as which keys are read, of every kind of model, by key."""
    read: dict[str, set[str]] = {}
    for tokenizer in ("llama", "gpt2", "t5"):
        for key, kinds in expected_types("llama", tokenizer, False).items():
            read[key] = set(kinds.replace(" or ", ", ").split(", "))
    return read


def _one_a_type(read: Mapping[str, Iterable[str]]) -> Iterator[str]:
    for key, kinds in read.items():
        yield from (f"{key} as {kind}" for kind in kinds)


def _one_a_line(types: Mapping[int, tuple[str, int, int]]) -> Iterator[str]:
    for number, (name, weights, size) in types.items():
        yield f"{number} {name.upper()}, {weights} in {size} bytes"


def from_source(path: Path) -> Iterator[Part]:
    """Yield all parts, read from a source tree."""
    source = Source(path)
    yield compared("architectures", ARCHITECTURES, source.architectures(), _UNSEEN_TEXTS)
    yield compared("tokenizer models", TOKENIZER_MODELS, source.tokenizer_models(), _UNSEEN_TEXTS)
    yield compared("pre-tokenizers", PRE_TOKENIZERS, source.pre_tokenizers(), _UNSEEN_TEXTS)
    yield compared("metadata keys", known_keys(), source.keys(), "types are not read from source")
    ours = (f"{kind.id} {kind.name}" for kind in TENSOR_TYPES.values())
    theirs = (f"{number} {name}" for number, name in source.tensor_types().items())
    yield compared("tensor types", ours, theirs, "sizes of blocks are not read from source")


def from_library(path: Path) -> Iterator[Part]:
    """Yield all parts, found out from a library."""
    texts = texts_of(path.read_bytes())
    names = names_among(texts)
    with Probe(path) as probe:
        print(f"{path}: {probe.versions or 'a version that does not say which'}", file=sys.stderr)
        yield compared(
            "architectures", ARCHITECTURES, probe.architectures(names | set(ARCHITECTURES)), _UNSEEN_NAMES
        )
        models = probe.tokenizer_models(names | TOKENIZER_MODELS)
        yield compared("tokenizer models", TOKENIZER_MODELS, models, _UNSEEN_NAMES)
        yield compared(
            "pre-tokenizers", PRE_TOKENIZERS, probe.pre_tokenizers(names | PRE_TOKENIZERS), _UNSEEN_NAMES
        )
        keys = keys_among(texts)
        yield compared("metadata keys", known_keys(), keys, _UNSEEN_KEYS)
        ours = known_types()
        read = probe.value_types(ours.keys() | {key for key in keys if key.startswith("tokenizer.ggml.")})
        yield compared(
            "types of metadata",
            _one_a_type(ours),
            _one_a_type(read),
            "keys of the llama architecture that are known here, and of tokenizers; split sets are not tried",
        )
        here = {kind.id: (kind.name, kind.block_weights, kind.block_bytes) for kind in TENSOR_TYPES.values()}
        there = probe.tensor_types()
        yield compared("tensor types", _one_a_line(here), _one_a_line(there), "what is inside a block")


def show(part: Part) -> None:
    """Print a part for people."""
    print(f"{part.title}: {part.same} alike, {len(part.new)} new, {len(part.gone)} gone")
    for sign, items in (("+", part.new), ("-", part.gone)):
        for item in items:
            print(f"  {sign} {item}")
    print(f"  not seen: {part.unseen}")


def main() -> int:
    """Compare, print and return the exit status."""
    as_written = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=as_written)
    parser.add_argument("path", type=Path, help="a source tree, or a built libllama")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    parts = []
    try:
        for part in (from_source if options.path.is_dir() else from_library)(options.path):
            parts.append(part)
            if not options.json:
                show(part)
    except (OSError, ProbeError, SourceError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"described": VERSION, "parts": [asdict(part) for part in parts]}, indent=2))
    return int(any(part.new for part in parts))


if __name__ == "__main__":
    sys.exit(main())
