"""Words that people search by and pages seldom use, or that belong to one page more than to all others."""

from __future__ import annotations

_WORDS = {
    "cold-rows.md": "larger ram ssd disk nvme mmap madvise prefetch budget memory_budget cold readahead oom cgroup",
    "comparing.md": "compare comparing difference differ diff same identical quantization",
    "conditional-memory.md": "fp8 int8 nvfp4 mxfp4 mxfp8 mlx scales shards ple engram longcat hash hashed ngram n-gram",
    "corpora.md": "corpus corpora many parquet jsonl batch throughput dataset",
    "deploying-validation.md": "ci sarif pipeline pre-commit github workflow deploy deployment gate lock pin",
    "embedding-in-c.md": "c c++ cmake pkg-config link fetchcontent server abi soname header",
    "encoders.md": "encoder encode model2vec wordllama sentence sentence-transformers potion pooled static vectors",
    "explorer.md": "explore explorer browser gui click picture interactive",
    "exporting.md": "export extract gensim word2vec tensorboard projector tsv npz pandas visualizer",
    "first-steps.md": "embeddings loading install start begin tutorial example examples quickstart import importerror row",
    "performance.md": "fast faster slow slower speed benchmark benchmarks latency throughput",
    "published-examples.md": "similarity similar cosine analogy analogies king queen t-sne tsne neighbours nearest size",
    "platforms.md": "windows macos linux aarch64 arm musl alpine platform python version free-threaded extras",
    "repair.md": "repair fix mend edit metadata rename resize trim prune pruning reduce shrink vocab reorder requantise requantize padding",
    "rules.md": "rule finding duplicate duplicates abort aborts refuses nan infinity shifted permuted placeholder",
    "server.md": "server serve http api endpoint openai",
    "serving.md": "scale scaled twice batch.embd inputs_embeds prompt_embeds vllm transformers splice soft-prompt torch bfloat16",
    "text.md": "text tokenize tokenizer detokenize cut cuts pre-tokenizer bpe sentencepiece wordpiece typed special",
    "validation.md": "verdict verified unverified evidence proof limits reliable",
    "SECURITY.md": "security sigbus truncated hostile untrusted malicious crash cve vulnerability",
}


def of_document(name: str) -> list[str]:
    """Return the words of a document, by its name."""
    return _WORDS.get(name, "").split()


def documents() -> set[str]:
    """Return the documents that have words."""
    return set(_WORDS)
