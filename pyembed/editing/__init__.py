"""Changed copies of GGUF files: metadata, tensors and rows, with everything else byte for byte as it was.

``edit`` collects changes to an open model; ``writing`` writes the files that change, ``in_place`` changes a
header where it lies. ``values`` turns texts and Python values into metadata, ``layout`` knows where the parts
of a file lie, ``later_metadata`` what later files of a set count. ``rows``, ``surgery`` and ``resize`` put
tables together from rows; ``corpus`` and ``derivations`` say which tokens a text needs. Imports: ``core``,
``files``, ``llama_cpp``, ``tables``, ``tokens``, ``validation.reference``.
"""
