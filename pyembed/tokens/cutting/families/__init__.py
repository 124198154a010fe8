"""How each family of tokenizers is written in a ``tokenizer.json``, by the function ``parts`` of a module."""
