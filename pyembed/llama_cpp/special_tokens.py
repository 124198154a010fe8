"""Tokens with a role: keys of their ids, defaults, and texts by which llama.cpp knows them."""

from __future__ import annotations

from collections.abc import Mapping

#: Roles, and the keys under ``tokenizer.ggml.`` that give their ids. Where several keys give one role, the
#: later one wins. "seperator" is the real spelling.
ROLE_KEYS = (
    ("bos", "bos_token_id"),
    ("eos", "eos_token_id"),
    ("eot", "eot_token_id"),
    ("eom", "eom_token_id"),
    ("unk", "unknown_token_id"),
    ("sep", "seperator_token_id"),
    ("pad", "padding_token_id"),
    ("mask", "mask_token_id"),
    ("cls", "cls_token_id"),
    ("fim_pre", "fim_pre_token_id"),
    ("fim_suf", "fim_suf_token_id"),
    ("fim_mid", "fim_mid_token_id"),
    ("fim_pad", "fim_pad_token_id"),
    ("fim_rep", "fim_rep_token_id"),
    ("fim_sep", "fim_sep_token_id"),
    ("fim_pre", "prefix_token_id"),
    ("fim_suf", "suffix_token_id"),
    ("fim_mid", "middle_token_id"),
)
#: Ids by tokenizer model where a file has no key.
ROLE_DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "llama": {"bos": 1, "eos": 2, "unk": 0},
    "gpt2": {"bos": 11, "eos": 11},
    "hybriddna": {"bos": 11, "eos": 11},
    "whitespace": {"bos": 11, "eos": 11},
    "bert": {"bos": 101, "unk": 100, "sep": 102, "pad": 0, "mask": 103},
    "t5": {"eos": 1, "unk": 2, "pad": 0},
    "plamo2": {"bos": 1, "eos": 2, "unk": 0, "pad": 3},
    "plamo3": {"bos": 1, "eos": 2, "unk": 0, "pad": 3},
}

#: The keys that are read as ids; ``cls_token_id`` is no longer.
ID_KEYS = tuple(key for _, key in ROLE_KEYS if key != "cls_token_id")

#: Texts of tokens that end a turn.
END_TEXTS = (
    *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|eom_id|>"),
    *("</s>", "<eos>", "<EOT>", "<|end_of_text|>", "<|END_OF_TURN_TOKEN|>", "[EOS]"),
)

#: Texts of other control tokens, which begin a turn or a text or hold a place in it.
TURN_TEXTS = (
    *("<start_of_turn>", "<|turn>", "<|im_start|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<|begin_of_text|>", "<bos>", "<s>", "[CLS]", "[SEP]", "[MASK]", "[INST]", "[/INST]"),
    *("<|user|>", "<|assistant|>", "<|system|>", "<|START_OF_TURN_TOKEN|>"),
)

#: Texts that must be tokens where ``general.name`` says phi-3.
PHI3_TEXTS = ("</s>", "<unk>", "<s>", "<|endoftext|>")

#: Texts that make a token a control token, whatever type the file gives it; of gemma4 ``</s>`` is left alone.
CONTROL_TEXTS = frozenset(
    {
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<turn|>", "<|endoftext|>", "<|eom_id|>"),
        *(
            "</s>",
            "<eos>",
            "<EOT>",
            "<|end_of_text|>",
            "[EOS]",
            "<end_of_utterance>",
            "<|return|>",
            "<|eot|>",
        ),
        *("_<EOT>", "[EOT]", "<|call|>", "<|flush|>", "<|calls|>", "<|tool_response>", "[e~["),
        *("<|ifm|im_end|>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
    }
)

#: Likewise where the file has no key for the role; of several such tokens, one.
CONTROL_TEXTS_BY_ROLE: Mapping[str, frozenset[str]] = {
    "fim_pre": frozenset(
        {
            *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<PRE>", "\u2581<PRE>", "<|code_prefix|>"),
            *("<|prefix|>", "<|plamo:fim_prefix|>", "<\uff5cfim\u2581begin\uff5c>"),
        }
    ),
    "fim_suf": frozenset(
        {
            *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<SUF>", "\u2581<SUF>", "<|code_suffix|>"),
            *("<|suffix|>", "<|plamo:fim_suffix|>", "<\uff5cfim\u2581hole\uff5c>"),
        }
    ),
    "fim_mid": frozenset(
        {
            *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<MID>", "\u2581<MID>", "<|code_middle|>"),
            *("<|middle|>", "<|plamo:fim_middle|>", "<\uff5cfim\u2581end\uff5c>"),
        }
    ),
    "fim_pad": frozenset({"<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]"}),
    "fim_rep": frozenset({"<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>"}),
    "fim_sep": frozenset({"<|file_sep|>", "<|plamo:file_separator|>"}),
}

#: Texts that make a token user-defined, whatever type the file gives it.
USER_DEFINED_TEXTS = frozenset({"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"})
