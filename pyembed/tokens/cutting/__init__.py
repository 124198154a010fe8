"""Texts cut into tokens: a file's vocabulary as the package ``tokenizers`` knows vocabularies.

``source`` has what a file says of its tokenizer; ``families``, one module each, turn it into the parts of a
``tokenizer.json``, and ``document`` joins them. ``engine`` builds a ``tokenizers.Tokenizer``; ``cutter`` is
what models call, through ``model_texts``. Only ``engine`` imports ``tokenizers``, when something is cut.
"""
