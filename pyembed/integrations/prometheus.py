"""The counters of models for ``prometheus_client``: ``pip install pyembed-gguf[prometheus]``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

try:
    from prometheus_client.core import CounterMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "pyembed.integrations.prometheus needs prometheus_client: pip install 'pyembed-gguf[prometheus]'"
    ) from error

from ..core.records import Stats
from ..errors import ClosedError
from ..model import Model

_METRICS = (
    ("gathers", "Gathers and poolings that succeeded.", "n_gathers"),
    ("rows", "Rows that they wrote or pooled.", "n_rows"),
    ("read_bytes", "Bytes of the file's rows that were decoded.", "n_bytes_read"),
    ("written_bytes", "Bytes of output.", "n_bytes_written"),
    ("gather_seconds", "Time inside them, of all threads together.", "seconds"),
)
_FAULTS = ("pyembed_process_major_faults", "Pages of the process that had to be read from a disk.")


class ModelCollector(Collector):
    """Reads the counters of some models when Prometheus asks; gathers never wait for it.

    Parameters
    ----------
    models : mapping of str to Model, or callable that returns one
        The models by the value of their label ``model``. A callable is asked each time, so that a server may
        swap models; a model that was closed meanwhile is left out.

    Examples
    --------
    ``prometheus_client.REGISTRY.register(ModelCollector({"chat": model}))``
    """

    def __init__(self, models: Mapping[str, Model] | Callable[[], Mapping[str, Model]]) -> None:
        self._models = models if callable(models) else lambda: models

    def collect(self) -> Iterable[Metric]:
        """Return the metrics, each labelled with its model."""
        stats = {name: read for name, model in self._models().items() if (read := _read(model)) is not None}
        for name, text, field in _METRICS:
            family = CounterMetricFamily(f"pyembed_{name}", text, labels=["model"])
            for model, values in stats.items():
                family.add_metric([model], getattr(values, field))
            yield family
        if stats:
            faults = max(values.n_major_faults for values in stats.values())
            yield CounterMetricFamily(*_FAULTS, value=faults)


def _read(model: Model) -> Stats | None:
    try:
        return model.stats()
    except ClosedError:
        return None
