"""``pyembed serve``: an HTTP server that answers as OpenAI's embeddings and text-embeddings-inference do.

``limits`` are what a server grants; ``models`` what it serves, and how that is reloaded. ``batching`` has the
threads that work, ``embedding`` what they do for vectors. ``shapes`` describe requests, once for reading and
for the OpenAPI description that ``description`` writes. ``openai``, ``tei`` and ``own`` have the routes;
``errors`` what clients get where something is wrong; ``app`` puts all together, and ``running`` runs it.
``explorer`` is the page. It may import everything but ``cli``. Needs the extra ``serve``.
"""
