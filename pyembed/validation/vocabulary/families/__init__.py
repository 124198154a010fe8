"""The laws that each family of tokenizers keeps in the order of its tokens."""
