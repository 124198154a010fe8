"""Readers of tokenizer files, one module for each kind; each returns a `TokenFile`.

Everything they read is a stranger's: ``checked_reads`` bounds it and names what is wrong with its place.
"""
