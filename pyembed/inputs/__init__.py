"""What a model's first layer, or another engine, is given instead of ids.

``recipes`` resolves an architecture to steps, ``first_layer`` computes them, ``batching`` splices vectors,
pads and packs sequences. Imports: ``core``, ``files``, ``llama_cpp``, ``tables``.
"""
