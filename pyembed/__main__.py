"""``python -m pyembed`` is the command ``pyembed``."""

import sys

from _pyembed_command import main

sys.exit(main())
