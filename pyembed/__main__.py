"""``python -m pyembed`` is the command ``pyembed``."""

import sys

from .cli import main

sys.exit(main())
