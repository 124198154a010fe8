"""What everything stands on: the handle of an open file, records, dtypes, progress.

``handle`` owns the C library's model, with ``paths``, ``strings`` and ``callbacks`` between Python and C;
``records`` are facts without behaviour; ``dtypes`` say how numbers are stored and come out; ``progress`` is
the one way in which long work reports itself; ``recognise`` says what a file is that no parser reads;
``system`` is the one place where POSIX and Windows differ.
Imports: ``errors``, ``safe_text``.
"""
