"""What each architecture does to a row of the token table before its first layer, and where its output is.

The names are those of ``general.architecture``, in the versions that ``pyembed.llama_cpp.VERSION`` names.
The tests compare what is said of them with an engine's own tensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SQRT_WIDTH = "sqrt(n_embd)"
OPTIONAL, REQUIRED = "optional", "required"


@dataclass(frozen=True, slots=True)
class ScaleKey:
    """A factor from the metadata, ``<architecture>.<key>``; without it `default`, None for no scaling."""

    key: str
    default: float | None


@dataclass(frozen=True, slots=True)
class NormRule:
    """A norm over each row, "layer" with mean and variance, "rms" with the mean square; and its tensors."""

    kind: Literal["layer", "rms"]
    weight: bool
    bias: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """The way from a row of the token table to the first layer, in the order of the fields.

    Attributes
    ----------
    token_types, positions : {None, "optional", "required"}
        Whether rows of ``token_types.weight`` and ``position_embd.weight`` are added.
    scale : str, float, ScaleKey or None
        One float32 multiplication: by `SQRT_WIDTH`, by a constant, by a number from the metadata.
    norm : NormRule or None
    streams : bool
        The row is copied into ``<architecture>.hyper_connection.count`` residual streams.
    per_layer : bool
        Each layer also gets a part of a row of ``per_layer_token_embd.weight``.
    deepstack : str or None
        The key that tells how many further vectors of n_embd follow the row in the model's input.
    repeats : bool
        llama.cpp does the same to vectors that come as ``batch.embd``.
    stays_out : str or None
        Why this package cannot compute it.
    """

    token_types: str | None = None
    positions: str | None = None
    scale: str | float | ScaleKey | None = None
    norm: NormRule | None = None
    streams: bool = False
    per_layer: bool = False
    deepstack: str | None = None
    repeats: bool = True
    stays_out: str | None = None


_LAYER_NORM = NormRule("layer", weight=True, bias=True)
_RMS_NORM = NormRule("rms", weight=False, bias=False)
_NOMIC = Architecture(token_types=OPTIONAL, norm=_LAYER_NORM)
_GRANITE_SCALE = ScaleKey("embedding_scale", None)
_DRAFTER = "it drafts for another model: its input is made of that model's rows and hidden states"

_CHANGED: dict[str, Architecture] = {
    "gemma": Architecture(scale=SQRT_WIDTH),
    "gemma2": Architecture(scale=SQRT_WIDTH),
    "gemma3": Architecture(scale=SQRT_WIDTH, repeats=False),
    "gemma3n": Architecture(scale=SQRT_WIDTH, repeats=False, per_layer=True),
    "gemma4": Architecture(scale=SQRT_WIDTH, repeats=False, per_layer=True),
    "gemma-embedding": Architecture(scale=SQRT_WIDTH, repeats=False),
    # What its layers get beside the row is projected from the row: it has no table of vectors for each layer.
    "gemma-embedding2": Architecture(scale=SQRT_WIDTH, repeats=False),
    "afmoe": Architecture(scale=SQRT_WIDTH),
    "minicpm": Architecture(scale=ScaleKey("embedding_scale", 12.0)),
    "minicpm3": Architecture(scale=12.0),
    "grok": Architecture(scale=ScaleKey("embedding_scale", 78.38367176906169)),  # sqrt(6144)
    "granite": Architecture(scale=_GRANITE_SCALE, deepstack="deepstack_mapping"),
    "granite_swa": Architecture(scale=_GRANITE_SCALE, deepstack="deepstack_mapping"),
    "granitemoe": Architecture(scale=_GRANITE_SCALE),
    "granitehybrid": Architecture(scale=_GRANITE_SCALE),
    "hrm_text": Architecture(scale=ScaleKey("embedding_scale", None)),
    "talkie": Architecture(norm=_RMS_NORM),
    "muse-glimmer": Architecture(norm=_RMS_NORM),
    "muse-spark": Architecture(norm=_RMS_NORM),
    "bloom": Architecture(norm=_LAYER_NORM),
    "rwkv6": Architecture(norm=_LAYER_NORM),
    "rwkv7": Architecture(norm=_LAYER_NORM),
    "modern-bert": Architecture(norm=NormRule("layer", weight=True, bias=False)),
    "bert": Architecture(token_types=OPTIONAL, positions=REQUIRED, norm=_LAYER_NORM),
    "nomic-bert": _NOMIC,
    "nomic-bert-moe": _NOMIC,
    "jina-bert-v3": _NOMIC,
    "jina-bert-v2": Architecture(token_types=REQUIRED, norm=_LAYER_NORM),
    "gpt2": Architecture(positions=REQUIRED),
    "starcoder": Architecture(positions=REQUIRED),
    "mpt": Architecture(positions=OPTIONAL),
    "deepseek4": Architecture(streams=True),
    "hy_v4": Architecture(streams=True),
    "glm5-next": Architecture(streams=True),
    "qwen4exp": Architecture(streams=True, per_layer=True),
    "qwen3vl": Architecture(deepstack="n_deepstack_layers"),
    "qwen3vlmoe": Architecture(deepstack="n_deepstack_layers"),
    "graniteswitch": Architecture(
        repeats=False, stays_out="it replaces the ids of adapters' control tokens before it looks rows up"
    ),
    "wavtokenizer-dec": Architecture(stays_out="its first step is a convolution along the sequence"),
    "gemma4-assistant": Architecture(repeats=False, stays_out=_DRAFTER),
    "dflash": Architecture(repeats=False, stays_out=_DRAFTER),
    "eagle3": Architecture(repeats=False, stays_out=_DRAFTER),
}

# All others that llama.cpp has a name for: their first layer is given the row as it is.
_UNCHANGED = """
apertus arcee arctic arwkv7 baichuan bailingmoe bailingmoe2 bailingmoe3 beam bitnet chameleon chatglm clef
codeshell cogvlm cohere2 cohere2moe command-r dbrx deci deepseek deepseek2 deepseek2-ocr deepseek32 dots1
dots3note dream ernie4_5 ernie4_5-moe eurobert exaone exaone-moe exaone4 falcon falcon-h1 glm-dsa glm4
glm4moe gpt-oss gptj gptneox grovemoe hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 jamba
k2-horizon kimi-k3 kimi-linear kolibri1 laguna lfm2 lfm2moe llada llada-moe llama llama-embed llama4
maincoder maion-coder mamba mamba2 maple mellum mimo2 minimax-01 minimax-m2 minimax-m3 mistral3 mistral4
nanbeige nemotron nemotron_h nemotron_h_moe neo-bert olmo olmo2 olmoe openelm orion paddleocr pangu-embedded
phi2 phi3 phimoe plamo plamo2 plamo3 plm pockettts qwen qwen2 qwen2moe qwen2vl qwen3 qwen35 qwen35moe
qwen3moe qwen3next qwen3tts refact rnd1 rwkv6qwen2 seed_oss smallthinker smollm3 spark2_5 stablelm
starcoder2 step35 t5 t5encoder vllm-decision2 xverse
"""

ARCHITECTURES: dict[str, Architecture] = {
    **dict.fromkeys(_UNCHANGED.split(), Architecture()),
    **_CHANGED,
}

# What transformers' `inputs_embeds` must be: "raw" where the model scales, places and norms them as its own
# rows, "input" where its embedding layer does that. Here stands only what the tests see; gemma and gemma2 are
# left out because versions differ: 4.57 scales `inputs_embeds`, 5.24 does not.
TRANSFORMERS: dict[str, Literal["raw", "input"]] = {
    "bert": "raw",
    "bloom": "raw",
    "gemma3": "input",
    "gpt2": "raw",
    "granite": "raw",
    "llama": "raw",
    "phi3": "raw",
    "qwen2": "raw",
    "qwen3": "raw",
}


# ------------------------------------------------------------------------------- output projections


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: They end in hidden states: nothing projects them back to tokens.
WITHOUT_HEAD = _names(
    "bert eurobert jina-bert-v2 jina-bert-v3 modern-bert neo-bert nomic-bert nomic-bert-moe"
)

#: They end in scores of options: a tensor ``output.weight`` is loaded, and projects nothing.
SCORERS = _names("clef vllm-decision2")

#: Nothing projects what they end in to tokens.
WITHOUT_PROJECTION = WITHOUT_HEAD | SCORERS

#: The output is the token table, and a tensor ``output.weight`` is one too many.
ALWAYS_TIED = _names("bitnet cohere2 command-r gemma gemma2 gemma4-assistant openelm pockettts")

#: Without a tensor ``output.weight`` they do not load.
NEVER_TIED = _names(
    """
    apertus arwkv7 baichuan bailingmoe bailingmoe2 codeshell dbrx deepseek4 dots1 exaone-moe
    gemma-embedding2 glm5-next gpt-oss gptneox hy_v4 internlm2 jais kimi-k3 kimi-linear kolibri1 llada-moe
    maion-coder maple mellum mimo2 minimax-m2 minimax-m3 muse-glimmer muse-spark nemotron olmo2 olmoe orion
    phi2 phimoe plamo plm qwen qwen2moe rwkv6 rwkv6qwen2 rwkv7 stablelm talkie xverse
    """
)

#: Draft models that may borrow the token table of their target.
BORROWERS = _names("dflash eagle3")

#: The rows of their output are not the tokens, or its width is not the token table's.
OTHER_OUTPUT = _names("gemma-embedding2 qwen3tts wavtokenizer-dec") | BORROWERS

#: The rows of ``per_layer_token_embd.weight`` are of runs of tokens.
OTHER_PER_LAYER = _names("qwen4exp")

#: The keys of ``<architecture>.`` that give the width of a row where that is not ``embedding_length``.
WIDTH_KEYS = {"wavtokenizer-dec": "features_length"}
