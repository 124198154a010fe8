"""Pictures of rows, maps, norms and similarities, as figures of matplotlib; needs the extra ``plot``.

Each function takes numbers and labels and returns a `matplotlib.figure.Figure`, which `save` writes.
"""

from .cells import rows
from .heat import similarity
from .histogram import norms
from .scatter import Point, flatten, places
from .style import save

__all__ = ["Point", "flatten", "norms", "places", "rows", "save", "similarity"]
