"""Readers of tokenizer files, one module for each kind; each returns a `TokenFile`.

Nothing they read is trusted: ``checked_reads`` bounds sizes, and errors name the file and the place.
"""
