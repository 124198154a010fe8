"""Where systems differ: the same names for POSIX, in ``posix``, and for Windows, in ``windows``.

No other module asks what system this is, or imports what only one of them has; `tests/project` holds it.
Imports: nothing.
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    from . import windows as here
else:
    from . import posix as here

ENDING_SIGNALS = here.ENDING_SIGNALS
HOLDS_OPEN_FILES = here.HOLDS_OPEN_FILES
RELOAD_SIGNAL = here.RELOAD_SIGNAL
as_argument = here.as_argument
cache_base = here.cache_base
claim_address = here.claim_address
facts_of = here.facts_of
has_address_space = here.has_address_space
is_private = here.is_private
keep_permissions = here.keep_permissions
leads_to_stdout = here.leads_to_stdout
lock = here.lock
open_at_once = here.open_at_once
open_to_move = here.open_to_move
reader_is_gone = here.reader_is_gone
replace = here.replace
set_size = here.set_size
sync_folder = here.sync_folder

#: The name that stands for this process's stdout. On POSIX it is a file's, on Windows only this package's.
STDOUT = "/dev/stdout"
