"""What a server grants its clients."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Limits:
    """What a request may ask for, and how many there may be.

    Attributes
    ----------
    max_batch_tokens : int
        Tokens of one request, in all of its texts together. A request with more is answered with 413.
        Requests that wait at the same time are worked on together while they have no more than that.
    max_batch_requests : int
        Requests that are worked on together at most; 1: each alone.
    max_client_batch_size : int
        Texts of one request; 422 for more.
    max_concurrent_requests : int
        Requests that are read or worked on at a time; 429 for one more.
    payload_limit : int
        Bytes of a request's body; 413 for more.
    body_seconds : float
        How long a body may take to arrive; 408 after that.
    """

    max_batch_tokens: int = 300_000
    max_batch_requests: int = 64
    max_client_batch_size: int = 2048
    max_concurrent_requests: int = 512
    payload_limit: int = 2_000_000
    body_seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise ValueError(f"{field.name} is {value!r}; expected more than 0")
