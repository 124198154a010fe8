"""Vocabularies: tokens of a model file, and of tokenizer files.

``vocabulary`` has `Vocabulary`; ``token_text`` says what a stored text stands for; ``lookup`` finds words;
``token_list`` is the one form in which the token lists of all kinds of files are compared, which
``readers`` fill. Imports: ``core``, ``files``, ``llama_cpp``.
"""
