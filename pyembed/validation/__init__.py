"""Whether a model file is what it claims to be: kinds of evidence, one report.

A kind of evidence is a module with an `EVIDENCE` and a function ``examine(subject, findings)``.
"""
