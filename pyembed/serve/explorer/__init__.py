"""The page that shows a model: its files, and the routes that answer it.

``page/`` holds the files that the browser gets, as they are; ``assets`` hands them out. ``routes`` has the
addresses, ``requests`` what they carry, ``questions`` what each asks of a ``view``: tokens, rows, neighbours
and maps of one model, with ``places`` for where a row lies, ``cloud`` for all tokens at once and
``text_index`` for the search. ``file_facts`` and ``published`` are for what the page says of the file. Of
``pyembed.serve`` it imports ``models`` alone.
"""

from .routes import routes

__all__ = ["routes"]
