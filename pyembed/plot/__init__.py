"""Pictures of rows, maps, norms and similarities, as figures of matplotlib; needs the extra ``plot``.

Each function takes numbers and labels and returns a `matplotlib.figure.Figure`, which `save` writes.
"""

from ..analysis.flatten import flatten
from . import style  # before the others: it says what to install where matplotlib is missing
from .cells import rows
from .heat import similarity
from .histogram import norms
from .scatter import Point, places

check_name = style.check_name
letters_without_font = style.letters_without_font
save = style.save

__all__ = [
    "Point",
    "check_name",
    "flatten",
    "letters_without_font",
    "norms",
    "places",
    "rows",
    "save",
    "similarity",
]
