"""Measures the library against its peers and against the limits of the machine: ``make bench``.

Every figure that matters is a ratio of times taken in turns, in the same process. What is measured lies in
`sections`, one module a question; each runs in a process of its own, so that an instruction set can be forced
and nothing is inherited. `docs/performance.md` explains the figures.
"""
