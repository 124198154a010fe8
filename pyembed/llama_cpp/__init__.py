"""What is known about llama.cpp, in one place: names, types and ids, as data.

``architectures``: what is done to a row before the first layer. ``pre_tokenizers``: tokenizer models and
``pre`` names; ``pre_cuts``: the patterns of these. ``metadata_types``: the types as which keys are read.
``special_tokens``: keys, defaults and texts of tokens with a role. ``tools/compare_llama_cpp.py`` lists what
another version of llama.cpp has beyond this. Imports nothing.
"""

#: The versions that these facts describe: what either knows is known here.
VERSION = "0.5.0-dev (in llama-cpp-python 0.3.36) and 0.7.0-dev (b11739)"
