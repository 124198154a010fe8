"""Programs for those who work on pyembed; none is part of the package."""
