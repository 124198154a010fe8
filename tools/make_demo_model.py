"""Make the demo model: token embeddings learned from the documentation inside Python itself.

The text is what every Python installation carries: the docstrings and full-line comments of the standard
library's sources and the language topics behind ``help()``.  Files are parsed, never imported.  Tests,
doctests and addresses are left out and a paragraph that occurs twice counts once.  The text differs between
Python versions, so the file records the version and the SHA-256 of the text.  Two runs on one interpreter
with the same libraries give the same bytes.

1. Text is folded to lower case without accents and cut as BERT cuts it: words of letters and digits, and
   punctuation one character at a time.  The vocabulary holds the frequent words, the single characters, and
   continuation pieces (``##ing``) that complete many rare words.  Rare words are cut into the longest pieces.
2. n(t, c) counts token t within ``WINDOW`` words of the word c, the nearer the heavier.  Pieces and
   punctuation stand where their word stands, so that their rows, too, come from real occurrences.
3. Positive pointwise mutual information (Church & Hanks 1990) with smoothed context counts (Levy & Goldberg
   2014; Levy, Goldberg & Dagan 2015), a = 0.75::

       PPMI(t, c) = max(0, ln( n(t, c) * sum_c' n(c')^a / (n(t) * n(c)^a) ))

4. Truncated SVD of that matrix, U S V^T.  The rows are U S^0.5 (Levy, Goldberg & Dagan 2015) minus their
   mean, stored as Q8_0.

The model is written as a GPT-2 without blocks, so that both ends of a model can be tried with it: its output
table is the token table, and the first layer adds ``position_embd.weight``, the sinusoids of Vaswani et al.
2017 scaled to a tenth of the length of an average row.

The rows of [CLS] and [SEP] are learned from the first and last words of texts and that of [UNK] from
characters outside ASCII.  [PAD] and [MASK] never occur in text; their rows are zero.

Needs numpy, scipy and gguf.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import math
import platform
import re
import sys
import sysconfig
import tempfile
import time
import unicodedata
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt
import scipy
from gguf import quants
from scipy import sparse
from scipy.sparse.linalg import svds

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "pyembed" / "data" / "demo.gguf"
SIZE_LIMIT = 1_000_000
COLUMNS = 128
MAX_WORDS = 5500
MIN_COUNT = 5  # occurrences of a word that is kept whole
MIN_STEMS = 8  # different rare words that a continuation piece must complete
WINDOW = 3
POSITIONS = 512
SMOOTHING = 0.75
SKIPPED_PARTS = {"test", "tests", "idle_test", "site-packages", "dist-packages", "ensurepip"}
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
SPECIAL_IDS = {"padding": 0, "unknown": 1, "bos": 2, "cls": 2, "seperator": 3, "mask": 4}  # GGUF's spelling
MARK = "\u2581"  # stands before a word, as in SentencePiece
ADDRESS_PATTERN = re.compile(r"\S+(?:://|@)\S+")
TOKEN_PATTERN = re.compile(r"[a-z0-9]+|[!-/:-@\[-`{-~]|[^\x00-\x7f]+")
DESCRIPTION = (
    "Demo token embeddings (PPMI + truncated SVD), derived from the docstrings, help topics and comments of "
    f"the standard library of Python {platform.python_version()} (PSF-2.0)."
)
SHOWN = """file socket thread list string error exception integer float path directory http server class
    encode true one"""
RELATED = """integer float, true false, read write, error exception, string bytes, class method, list tuple,
    socket connection, thread process, path directory, encode decode, http url, one two, input output,
    start end, open close, min max, month year, key value, left right, client server, upper lower"""
ANALOGIES = "file files directory, read reading write, min minimum max, read write input, upper lower left"


def library_files() -> list[tuple[str, Path]]:
    """Return (relative name, path) of the standard library's Python sources, sorted by name."""
    root = Path(sysconfig.get_path("stdlib"))
    named = ((path.relative_to(root).parts, path) for path in root.rglob("*.py"))
    kept = [(parts, path) for parts, path in named if SKIPPED_PARTS.isdisjoint(parts)]
    known = sys.stdlib_module_names
    return sorted(("/".join(parts), path) for parts, path in kept if parts[0].removesuffix(".py") in known)


def comment_blocks(source: str) -> list[str]:
    """Return the text of each run of full-line comments; an empty comment ends a paragraph."""
    blocks = re.findall(r"(?:^[ \t]*#.*\n?)+", source, re.MULTILINE)
    return [re.sub(r"^[ \t]*#+", "", block, flags=re.MULTILINE) for block in blocks]


def file_texts(name: str, source: str) -> Iterator[str]:
    """Yield the help topics, docstrings and comment blocks of one source file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old escapes in old modules
        nodes = list(ast.walk(ast.parse(source)))
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""
        elif name == "pydoc_data/topics.py" and isinstance(node, ast.Dict):
            for value in node.values:
                yield str(ast.literal_eval(value))
    if not name.startswith("encodings/"):  # their comments are character tables
        yield from comment_blocks(source)


def read_corpus() -> list[str]:
    """Return the documents, each on one line, without doctests and paragraphs that were seen before."""
    seen = {""}
    documents = []
    for name, path in library_files():
        for text in file_texts(name, path.read_text("utf-8", errors="replace")):
            fresh = []
            for paragraph in re.split(r"\n\s*\n", text):
                paragraph = " ".join(ADDRESS_PATTERN.sub(" ", paragraph).split())
                if paragraph not in seen and ">>>" not in paragraph:
                    seen.add(paragraph)
                    fresh.append(paragraph)
            documents.append(" ".join(fresh))
    return documents


def cut(text: str) -> list[str]:
    """Fold a text and cut it into words, punctuation characters, and [UNK] for runs outside ASCII."""
    folded = unicodedata.normalize("NFKD", text.lower())
    parts = TOKEN_PATTERN.findall("".join(c for c in folded if not unicodedata.combining(c)))
    return [part if part.isascii() else "[UNK]" for part in parts]


def split_word(word: str, pieces: set[str]) -> list[str]:
    """Cut a word greedily into the longest pieces of the vocabulary, as WordPiece does."""
    out: list[str] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        ends = range(len(word), start + 1, -1)
        end = next((end for end in ends if mark + word[start:end] in pieces), start + 1)
        out.append(mark + word[start:end])
        start = end
    return out


def choose_pieces(counts: Counter[str]) -> set[str]:
    """Choose the frequent words, and the endings that complete many of the rare ones."""
    by_count = sorted(counts, key=lambda word: (-counts[word], word))
    whole = {word for word in by_count[:MAX_WORDS] if counts[word] >= MIN_COUNT}
    endings: Counter[str] = Counter()
    for word in sorted(set(counts) - whole):
        stem = next((n for n in range(len(word) - 1, 2, -1) if word[:n] in whole), 0)
        if stem and 2 <= len(word) - stem <= 6:
            endings["##" + word[stem:]] += 1
    return whole | {ending for ending, stems in endings.items() if stems >= MIN_STEMS}


def order_tokens(uses: Counter[str]) -> list[str]:
    """Order: specials, characters by code point, pieces by frequency and text, continuation characters."""
    initial = sorted(token for token in uses if len(token) == 1)
    final = ["##" + token for token in initial if "##" + token in uses]
    pieces = [t for t in uses if t not in SPECIALS and len(t.removeprefix("##")) > 1]
    return SPECIALS + initial + sorted(pieces, key=lambda t: (-uses[t], t)) + final


def place_tokens(documents: Iterable[list[str]], pieces: set[str]) -> tuple[list[tuple[str, int]], list[str]]:
    """Lay the corpus out as one row of words.

    Returns (token, position) of every token, and the word at each position.  There is no word ("") where a
    rare word stands and for ``WINDOW`` positions between texts.  Punctuation stands with the word before it.
    """
    placed, contexts = [], [""] * WINDOW
    for parts in documents:
        first = len(contexts)
        for part in parts:
            if part.isalnum():
                contexts.append(part if part in pieces else "")
                placed += [(piece, len(contexts) - 1) for piece in split_word(part, pieces)]
            else:
                placed.append((part, max(len(contexts) - 1, first)))
        placed += [("[CLS]", first), ("[SEP]", len(contexts) - 1)]
        contexts += [""] * WINDOW
    return placed, contexts


def count_pairs(tokens: Ints, positions: Ints, contexts: Ints, n_tokens: int) -> sparse.csr_matrix:
    """Count tokens against the words around them; a negative context is not a word."""
    total = sparse.csr_matrix((n_tokens, n_tokens), dtype=np.float64)
    for offset in range(-WINDOW, WINDOW + 1):
        near = contexts[positions + offset]
        kept = (near >= 0) & (near != tokens)
        weight = np.full(int(kept.sum()), (WINDOW + 1 - max(abs(offset), 1)) / WINDOW)
        total = total + sparse.coo_matrix((weight, (tokens[kept], near[kept])), shape=total.shape).tocsr()
    return total


def ppmi(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the positive pointwise mutual information of a table of counts."""
    pairs = counts.tocoo()
    of_token = np.asarray(counts.sum(axis=1)).ravel()
    of_context = np.asarray(counts.sum(axis=0)).ravel() ** SMOOTHING
    value = np.log(pairs.data * of_context.sum() / (of_token[pairs.row] * of_context[pairs.col]))
    kept = value > 0
    return sparse.csr_matrix((value[kept], (pairs.row[kept], pairs.col[kept])), shape=counts.shape)


def factorise(matrix: sparse.csr_matrix) -> Floats:
    """Return U S^0.5 of the truncated SVD, largest first, each column's largest entry positive."""
    left, values, _ = svds(matrix, k=COLUMNS, v0=np.ones(matrix.shape[0]))
    largest_first = np.argsort(-values)
    rows = left[:, largest_first] * np.sqrt(values[largest_first])
    return np.asarray(rows * np.sign(rows[np.abs(rows).argmax(axis=0), np.arange(COLUMNS)]))


def learn() -> tuple[list[str], Floats, str]:
    """Read the texts and learn from them; return the tokens, their rows and the SHA-256 of the texts."""
    texts = read_corpus()
    documents = [parts for parts in map(cut, texts) if any(map(str.isalnum, parts))]
    counts = Counter(part for parts in documents for part in parts if part.isalnum())
    placed, contexts = place_tokens(documents, choose_pieces(counts))
    tokens = order_tokens(Counter(token for token, _ in placed))
    ids = {token: i for i, token in enumerate(tokens)}
    known = [(ids[token], position) for token, position in placed if token in ids]
    token_ids, positions = np.array(known, dtype=np.int64).T
    context_ids = np.array([ids.get(word, -1) for word in contexts], dtype=np.int64)
    rows = factorise(ppmi(count_pairs(token_ids, positions, context_ids, len(tokens))))
    rows -= rows.mean(axis=0)
    rows[np.bincount(token_ids, minlength=len(tokens)) == 0] = 0.0  # [PAD], [MASK]
    digest = hashlib.sha256("\n".join(texts).encode("utf-8", "replace")).hexdigest()
    print(f"read {counts.total()} words")
    return tokens, rows, digest


def stored_text(token: str) -> str:
    """Return a token as GGUF stores WordPiece: words marked with U+2581, continuations bare."""
    return token if token in SPECIALS else token[2:] if token.startswith("##") else MARK + token


def position_rows(rows: Floats) -> Floats:
    """Return one row a position: sines and cosines of wavelengths from 2 pi to 10,000 * 2 pi."""
    angles = np.arange(POSITIONS)[:, None] / 10_000.0 ** (np.arange(0, COLUMNS, 2) / COLUMNS)
    waves = np.stack([np.sin(angles), np.cos(angles)], axis=2).reshape(POSITIONS, COLUMNS)
    return np.asarray(waves * (np.linalg.norm(rows, axis=1).mean() / 10 / np.sqrt(COLUMNS / 2)))


def write_model(path: Path, tokens: list[str], rows: Floats, digest: str) -> None:
    """Write the model as GGUF."""
    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_name("pyembed demo")
    writer.add_description(DESCRIPTION)
    writer.add_license("PSF-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(len(tokens))
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(COLUMNS)
    writer.add_block_count(0)
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([stored_text(token) for token in tokens])
    types = [gguf.TokenType.CONTROL if token in SPECIALS else gguf.TokenType.NORMAL for token in tokens]
    writer.add_token_types(types)
    for role, token_id in SPECIAL_IDS.items():
        writer.add_uint32(f"tokenizer.ggml.{role}_token_id", token_id)
    libraries = f"numpy {np.__version__}, scipy {scipy.__version__}"
    origin = {"python_version": platform.python_version(), "corpus_sha256": digest, "libraries": libraries}
    for key, value in origin.items():
        writer.add_string(f"demo.{key}", value)
    kind = gguf.GGMLQuantizationType.Q8_0
    for name, matrix in [("token_embd.weight", rows), ("position_embd.weight", position_rows(rows))]:
        writer.add_tensor(name, quants.quantize(matrix.astype(np.float32), kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_model(path: Path) -> tuple[list[str], Floats, dict[str, str]]:
    """Read back the stored token texts, the decoded rows and the provenance."""
    reader = gguf.GGUFReader(path)
    tokens = [str(token) for token in reader.fields["tokenizer.ggml.tokens"].contents()]
    tensor = reader.tensors[0]
    rows = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
    origin = {key: str(field.contents()) for key, field in reader.fields.items() if key.startswith("demo.")}
    return tokens, rows, origin


def unit_rows(rows: Floats) -> Floats:
    """Scale rows to length one; zero rows stay zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths == 0, 1.0, lengths)


def spelling_pairs(stored: list[str]) -> Ints:
    """Return id pairs of words that share at least 0.7 of the longer word as a prefix."""
    words = sorted((t[1:], i) for i, t in enumerate(stored) if t[0] == MARK and len(t) > 2)
    pairs = []
    for place, (left, i) in enumerate(words):
        for right, j in words[place + 1 : place + 5]:
            needed = math.ceil(0.7 * max(len(left), len(right)))
            if left[:needed] == right[:needed] and abs(i - j) > 2:
                pairs.append((i, j))
    return np.array(pairs, dtype=np.int64)


def order_score(rows: Floats, pairs: Ints) -> float:
    """Return z of the mean cosine of spelling partners against random pairs."""
    units = unit_rows(rows - rows.mean(axis=0))
    random = np.random.default_rng(0).integers(0, len(rows), (20_000, 2))
    close, far = (np.einsum("ij,ij->i", units[ids[:, 0]], units[ids[:, 1]]) for ids in (pairs, random))
    return float((close.mean() - far.mean()) / (far.std() / np.sqrt(len(pairs))))


def nearest(units: Floats, texts: list[str], direction: Floats, without: Iterable[str], count: int) -> str:
    """List the tokens whose rows point most nearly in a direction."""
    similarity = units @ direction / np.linalg.norm(direction)
    best = [i for i in np.argsort(-similarity, kind="stable") if texts[i] not in set(without)]
    return "  ".join(f"{texts[i]} {similarity[i]:.2f}" for i in best[:count])


def report_words(texts: list[str], units: Floats) -> None:
    """Print the neighbours of some words, some analogies, and how near related words are."""
    ids = {text: i for i, text in enumerate(texts)}
    for word in filter(ids.__contains__, SHOWN.split()):
        print(f"{word:>10}: {nearest(units, texts, units[ids[word]], [word], 6)}")
    for a, b, c in map(str.split, ANALOGIES.split(",")):
        if {a, b, c} <= ids.keys():
            wanted = units[ids[b]] - units[ids[a]] + units[ids[c]]
            print(f"{a} : {b} = {c} : {nearest(units, texts, wanted, [a, b, c], 3)}")
    related = map(str.split, RELATED.split(","))
    near = np.array([units[ids[a]] @ units[ids[b]] for a, b in related if a in ids and b in ids])
    left, right = units[np.random.default_rng(1).integers(0, len(units), (2, 5000))]
    far = np.einsum("ij,ij->i", left, right)
    print(
        f"cosine of {len(near)} related pairs {near.mean():.3f}, random {far.mean():.3f} +- {far.std():.3f}"
    )


def report(path: Path) -> None:
    """Print what the file holds and what its rows know, as read back."""
    stored, rows, origin = read_model(path)
    print(f"{path}: {rows.shape[0]} tokens x {rows.shape[1]} columns, {path.stat().st_size} bytes, {origin}")
    texts = [t[1:] if t[0] == MARK else t if t in SPECIALS else "##" + t for t in stored]
    report_words(texts, unit_rows(rows))
    partners = spelling_pairs(stored)
    moves = {"as stored": 0, "moved by 1": 1, "moved by 100": 100, "moved by half": len(rows) // 2}
    scores = ", ".join(
        f"{name} {order_score(np.roll(rows, k, 0), partners):.1f}" for name, k in moves.items()
    )
    print(f"order score z of {len(partners)} spelling partners: {scores}")


def make(out: Path) -> None:
    """Learn the model and put it in place in one step."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made = Path(folder) / out.name
        write_model(made, *learn())
        if made.stat().st_size > SIZE_LIMIT:
            raise SystemExit(f"the model has {made.stat().st_size} bytes, over {SIZE_LIMIT}")
        made.replace(out)


def check(existing: Path) -> int:
    """Compare an existing file with a fresh one; return the exit status.

    The texts of another Python cannot be compared: a note and status 0.  Rows may differ by rounding.
    """
    tokens, rows, origin = read_model(existing)
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / existing.name
        make(fresh)
        identical = fresh.read_bytes() == existing.read_bytes()
        new_tokens, new_rows, new_origin = read_model(fresh)
    print("\n".join(f"{key}: {origin.get(key)} in the file, {new} here" for key, new in new_origin.items()))
    if origin.get("demo.corpus_sha256") != new_origin["demo.corpus_sha256"]:
        print("not compared: the file was made from other texts")
        return 0
    least = 0.0
    if tokens == new_tokens:
        cosines = np.einsum("ij,ij->i", unit_rows(rows), unit_rows(new_rows))
        least = cosines[(rows != 0).any(axis=1)].min()
    verdict = "identical" if identical else "same up to rounding" if least > 0.999 else "DIFFERENT"
    print(f"{verdict}: least row cosine {least:.6f}")
    return 0 if least > 0.999 else 1


def main() -> int:
    """Make the model, or check an existing one."""
    parser = argparse.ArgumentParser(description="Make the demo model from Python's own documentation.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the file to write or to check")
    parser.add_argument("--check", action="store_true", help="compare the file with a fresh one")
    options = parser.parse_args()
    if options.check:
        return check(options.out)
    start = time.perf_counter()
    make(options.out)
    print(f"made in {time.perf_counter() - start:.1f} s")
    report(options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
