"""Tables: rows by id, and scores of all rows.

``table`` has `EmbeddingTable`; ``scan`` the scores and best rows; ``arguments`` checks ids and output
buffers; ``token_table`` says which tensor of a file holds the token embeddings. Imports: ``core``,
``files``.
"""
