"""pyarrow, where it is installed: the extra ``corpora``."""

from __future__ import annotations

try:
    import pyarrow
    import pyarrow.compute
    import pyarrow.ipc
    import pyarrow.json
    import pyarrow.parquet
except ImportError as error:
    raise ImportError("corpora need pyarrow: pip install 'pyembed-gguf[corpora]'") from error

__all__ = ["pyarrow"]
