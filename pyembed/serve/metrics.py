"""What is counted, as Prometheus reads it; by text-embeddings-inference's names where they mean the same.

Everything is counted on the event loop, so that there is no lock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .embedding import Embedded

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = tuple(1.5e-5 * 1.5**power for power in range(35))
_TOKENS = tuple(2.0**power for power in range(21))
_REQUESTS = tuple(2.0**power for power in range(13))

_COUNTERS = {
    "te_request_count": "Requests for vectors; method is single or batch.",
    "te_request_success": "Those that were answered with vectors.",
    "te_request_failure": "Those that were not; err says why.",
    "te_embed_count": "Texts that vectors were asked for.",
    "te_embed_success": "Texts whose vectors were sent.",
    "pyembed_http_requests": "All requests by path and status.",
    "pyembed_reloads": "Models that were opened anew, or refused: result is ok or refused.",
}
_HISTOGRAMS: dict[str, tuple[str, Sequence[float]]] = {
    "te_request_duration": ("Seconds of a request for vectors, all in all.", _SECONDS),
    "te_request_queue_duration": ("Seconds that it waited for its turn.", _SECONDS),
    "te_request_tokenization_duration": ("Seconds of cutting the texts of its batch.", _SECONDS),
    "te_request_inference_duration": ("Seconds of pooling the rows of its batch.", _SECONDS),
    "te_request_input_length": ("Tokens of a request.", _TOKENS),
    "te_batch_next_size": ("Requests that were worked on together.", _REQUESTS),
}


class _Histogram:
    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterator[str]:
        below = 0
        for bound, count in zip((*self.bounds, "+Inf"), self.counts, strict=True):
            below += count
            yield f'{name}_bucket{{le="{bound}"}} {below}'
        yield f"{name}_sum {self.sum}"
        yield f"{name}_count {below}"


class Metrics:
    """Counters and histograms of a server.

    Parameters
    ----------
    gauges : mapping of str to callable
        Called when somebody asks: what there is right now, with a word of help by name.
    """

    def __init__(self, gauges: dict[str, tuple[str, Callable[[], float]]]) -> None:
        self._counts: dict[str, Counter[tuple[tuple[str, str], ...]]] = {
            name: Counter() for name in _COUNTERS
        }
        self._histograms = {name: _Histogram(bounds) for name, (_, bounds) in _HISTOGRAMS.items()}
        self._gauges = gauges

    def count(self, name: str, n: int = 1, **labels: str) -> None:
        """Add to a counter."""
        self._counts[name][tuple(labels.items())] += n

    def embedded(self, done: Embedded, seconds: float) -> None:
        """Count a request for vectors that is about to be answered."""
        self.count("te_request_count", method="single" if done.n_texts == 1 else "batch")
        self.count("te_request_success", method="single" if done.n_texts == 1 else "batch")
        self.count("te_embed_count", done.n_texts)
        self.count("te_embed_success", done.n_texts)
        for name, value in (
            ("te_request_duration", seconds),
            ("te_request_queue_duration", done.queue),
            ("te_request_tokenization_duration", done.cutting),
            ("te_request_inference_duration", done.pooling),
            ("te_request_input_length", float(done.n_tokens)),
            ("te_batch_next_size", float(done.n_together)),
        ):
            self._histograms[name].observe(value)

    def text(self) -> str:
        """Return all of it, as Prometheus reads it."""
        lines: list[str] = []
        for name, about in _COUNTERS.items():
            lines += (f"# HELP {name} {about}", f"# TYPE {name} counter")
            lines += (f"{name}{_labels(labels)} {n}" for labels, n in sorted(self._counts[name].items()))
        for name, (about, _) in _HISTOGRAMS.items():
            lines += (f"# HELP {name} {about}", f"# TYPE {name} histogram")
            lines += self._histograms[name].lines(name)
        for name, (about, value) in self._gauges.items():
            lines += (f"# HELP {name} {about}", f"# TYPE {name} gauge", f"{name} {value()}")
        return "\n".join([*lines, ""])


def _labels(labels: Sequence[tuple[str, str]]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
