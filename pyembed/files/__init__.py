"""Model files beyond their rows: metadata, stored bytes, and files that are written.

``metadata`` has the mappings of keys and tensors; ``byte_ranges`` the bytes of tensors as they lie in a
file; ``gguf_writer`` and ``extract`` write small GGUF files of them; ``atomic_write`` is how every output
is written. Imports: ``core``.
"""
