"""Tokenizer models and pre-tokenizers, ``tokenizer.ggml.model`` and ``.pre``, that llama.cpp knows."""

from __future__ import annotations

#: Tokenizer models, each a family of vocabularies.
TOKENIZER_MODELS = frozenset(
    {
        *("llama", "gpt2", "hybriddna", "whitespace", "gemma4", "bert"),
        *("t5", "rwkv", "plamo2", "plamo3", "test", "none", "no_vocab"),
    }
)

#: Those that carry no tokens.
WITHOUT_TOKENS = frozenset({"none", "no_vocab"})

#: Those that need merges.
WITH_MERGES = frozenset({"gpt2", "hybriddna", "whitespace", "gemma4"})

#: Those with byte tokens, ``<0xNN>``; and those that need all 256, none of them with id 0.
WITH_BYTE_TOKENS = frozenset({"llama", "t5", "gemma4", "plamo2", "plamo3"})
WITH_ALL_BYTE_TOKENS = frozenset({"plamo2", "plamo3"})

#: Those whose texts are plain, with U+2581 for a space; and those whose texts are plain, spaces too.
WITH_MARKED_SPACES = frozenset({"llama", "t5", "gemma4"})
WITH_PLAIN_SPACES = frozenset({"plamo2", "plamo3"})

#: Those whose pre-tokenizer is looked up by its name; gemma4 has one of its own whatever the file says.
WITH_PRE = frozenset({"gpt2", "whitespace", "hybriddna"})

_PRE_NAMES = """
a.x-4.0 afmoe bailingmoe bailingmoe2 bloom chameleon chatglm-bpe codeshell cohere2moe command-r dbrx
deepseek-coder deepseek-llm deepseek-r1-qwen deepseek-v3 default exaone exaone-moe exaone4 f2llmv2 falcon
falcon-h1 falcon3 gemma4 gigachat glm4 glm5 gpt-2 gpt-4o gpt3-finnish granite-docling
granite-embed-multi-311m granite-embed-multi-97m grok-2 hunyuan hunyuan-dense hy_v4 jais jais-2 jina-de
jina-es jina-v1-en jina-v2-code jina-v2-de jina-v2-es jina-v5-nano joyai-llm k2-horizon kanana2 kimi-k2
kormo laguna lfm2 llada-moe llama-bpe llama-v3 llama3 llama4 megrez mellum mellum2 midm-2.0 minerva-7b
minicpm5 minimax-m2 mmbert modern-bert mpt olmo phi-2 pixtral poro-chat qwen2 qwen35 refact roberta-bpe
sarvam-moe seed-coder smaug-bpe smollm solar-open spark2_5 stablelm2 starcoder superbpe talkie tekken
tiny_aya trillion ufakzeka viking whitespace youtu
"""

#: Pre-tokenizers by name, case-sensitive; an empty name means none.
PRE_TOKENIZERS = frozenset(_PRE_NAMES.split())

#: Those of gpt2 that mark spaces by U+2581, as `WITH_MARKED_SPACES` do, instead of spelling bytes.
MARKED_PRE_TOKENIZERS = frozenset({"gemma4", "granite-embed-multi-311m", "mmbert", "sarvam-moe"})

#: Those that need no merges.
PRE_TOKENIZERS_WITHOUT_MERGES = frozenset({"kimi-k2"})
