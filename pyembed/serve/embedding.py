"""Requests for vectors: texts are cut and rows pooled for all of a batch together."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..encoders.encoder import normalized
from ..encoders.rules import Direction
from ..inputs.batching import offsets_of
from .asking import (
    check_answer,
    check_batch_size,
    check_finite,
    check_ids,
    check_prompt,
    need_encoder,
    too_many_tokens,
)
from .batching import Job
from .errors import invalid
from .limits import Limits
from .models import Models, Served
from .shapes import Inputs

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


class Made(NamedTuple):
    """The vectors of a request.

    Attributes
    ----------
    model : str
        The name of the model that made them.
    vectors : numpy.ndarray of float32, shape (inputs, columns)
    n_tokens : int
        Tokens of all inputs together.
    """

    model: str
    vectors: Floats
    n_tokens: int


class Options(NamedTuple):
    """What requests of one batch have in common.

    Attributes
    ----------
    model : str
    normalize : bool or None
        None: as the model says.
    dim : int or None
    truncate : bool
        Whether longer texts are cut to the model's limit, or refused.
    direction : {"right", "left"} or None
        The end that is cut off; None: as the model says.
    prompt : str or None
        The name of what is put before texts; None: as the model says.
    """

    model: str
    normalize: bool | None = None
    dim: int | None = None
    truncate: bool = True
    direction: Direction | None = None
    prompt: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, and how it is answered.

    Attributes
    ----------
    inputs : Inputs
    options : Options
    param : str
        The name of the field that the inputs come from.
    answer : callable
        Makes the body of the response.
    """

    inputs: Inputs
    options: Options
    param: str
    answer: Callable[[Made], bytes]


class Embedded(NamedTuple):
    """A body, and what it took: seconds in the queue, for cutting and for pooling."""

    body: bytes
    n_texts: int
    n_tokens: int
    n_characters: int
    queue: float
    cutting: float
    pooling: float
    n_together: int


@dataclass(eq=False)
class EmbeddingJob(Job[Embedded]):
    """A request for vectors whose body was not looked at yet."""

    body: bytes = b""
    read: Callable[[bytes], Wanted] = lambda body: _unread()


def _unread() -> Wanted:
    raise NotImplementedError


class Embedding:
    """Works on batches of requests for vectors."""

    def __init__(self, models: Models, limits: Limits) -> None:
        self._models, self._limits = models, limits

    def __call__(self, jobs: Sequence[EmbeddingJob]) -> None:
        """Set the result of each job."""
        groups: dict[Options, list[tuple[EmbeddingJob, Wanted]]] = {}
        for job in jobs:
            try:
                wanted = job.read(job.body)
                check_batch_size(wanted.inputs, self._limits, wanted.param)
                groups.setdefault(wanted.options, []).append((job, wanted))
            except Exception as error:
                job.result = error
        for options, group in groups.items():
            self._serve(options, group)

    def _serve(self, options: Options, group: list[tuple[EmbeddingJob, Wanted]]) -> None:
        begin = time.perf_counter()
        try:
            with self._models.lease(options.model) as served:
                cuts = _Cuts(served, options, [wanted.inputs for _, wanted in group])
                cut = time.perf_counter()
                n_tokens = [
                    self._check(served, options, wanted, lengths)
                    for (_, wanted), lengths in zip(group, cuts.lengths(), strict=True)
                ]
                vectors = _pooled(served, options, cuts)
        except Exception as error:
            if len(group) > 1:  # whose fault it is shows when each is alone
                for one in group:
                    self._serve(options, [one])
            else:
                group[0][0].result = error
            return
        pooled = time.perf_counter()
        at = 0
        for (job, wanted), n in zip(group, n_tokens, strict=True):
            made = Made(options.model, vectors[at : at + len(wanted.inputs)], n)
            at += len(wanted.inputs)
            _answer(job, wanted, made, (begin - job.arrived, cut - begin, pooled - cut), len(group))

    def _check(self, served: Served, options: Options, wanted: Wanted, lengths: Ints) -> int:
        """Return how many tokens a request has; refuse it if it cannot be answered, now that they are cut."""
        n_tokens = int(lengths.sum())
        if n_tokens > self._limits.max_batch_tokens:
            raise too_many_tokens(n_tokens, self._limits, wanted.param)
        most = served.encoder.max_length if served.encoder is not None else None
        if not options.truncate and most is not None and lengths.max(initial=0) > most:
            which = int(lengths.argmax())
            raise invalid(
                f"input {which} has {lengths[which]} tokens; the model takes {most}: set truncate", "truncate"
            )
        check_answer(lengths.size, served, wanted.param)
        width = served.table.shape[1]
        if options.dim is not None and options.dim > width:
            raise invalid(
                f"dimensions is {options.dim}; vectors of {options.model} have {width}", "dimensions"
            )
        return n_tokens


def _answer(
    job: EmbeddingJob, wanted: Wanted, made: Made, seconds: tuple[float, float, float], n_together: int
) -> None:
    """Set the result of a request whose vectors are there."""
    try:
        check_finite(made.vectors, "input")
        n_characters = sum(map(len, wanted.inputs.texts or ()))
        body = wanted.answer(made)
        job.result = Embedded(body, len(made.vectors), made.n_tokens, n_characters, *seconds, n_together)
    except Exception as error:
        job.result = error


class _Cuts:
    """The ids of all inputs of a batch, one after the other.

    Attributes
    ----------
    ids : int64 array
    offsets : int64 array
        Input i has ``ids[offsets[i]:offsets[i + 1]]``.
    """

    def __init__(self, served: Served, options: Options, inputs: Sequence[Inputs]) -> None:
        self._sizes = list(map(len, inputs))
        texts = [text for one in inputs for text in one.texts or ()]
        if texts:
            cut, bounds = _cut(served, texts, options)
            if all(one.ids is None for one in inputs):
                self.ids, self.offsets = cut, bounds
                return
        arrays: list[Ints] = []
        n_seen = 0
        for one in inputs:
            if one.ids is not None:
                arrays += (check_ids(served, ids) for ids in one.ids)
                continue
            for index in range(n_seen, n_seen + len(one)):
                arrays.append(cut[bounds[index] : bounds[index + 1]])
            n_seen += len(one)
        self.ids = np.concatenate(arrays)
        self.offsets = offsets_of(list(map(len, arrays)))

    def lengths(self) -> list[Ints]:
        """Return the numbers of tokens, of each request's inputs."""
        lengths = self.offsets[1:] - self.offsets[:-1]
        found, at = [], 0
        for size in self._sizes:
            found.append(lengths[at : at + size])
            at += size
        return found


def _cut(served: Served, texts: list[str], options: Options) -> tuple[Ints, Ints]:
    encoder = need_encoder(served)
    check_prompt(encoder, served, options.prompt)
    return encoder.tokenize(
        texts,
        prompt_name=options.prompt,
        max_length="model" if options.truncate else None,
        truncation_direction=options.direction,
    )


def _pooled(served: Served, options: Options, cuts: _Cuts) -> Floats:
    encoder = served.encoder
    if encoder is not None:
        vectors = encoder.pool(
            cuts.ids,
            cuts.offsets,
            normalize=options.normalize,
            dim=options.dim,
            dtype="float32" if encoder.as_bits else None,
        )
    else:
        vectors = served.table.pool(cuts.ids, cuts.offsets)
        vectors = vectors if options.dim is None else vectors[:, : options.dim]
        if options.normalize:
            vectors = normalized(vectors)
    return np.ascontiguousarray(vectors, np.float32)
