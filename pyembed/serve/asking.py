"""What is asked of a model in every route that needs it: that it is there, cuts texts, has a row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..encoders import Encoder
from ..safe_text import quote
from .errors import Reason, Refused, invalid
from .limits import Limits
from .models import Models, Served
from .shapes import Inputs

#: Numbers of one answer: 32 MiB of float32.
_MOST_NUMBERS = 1 << 23


def model_name(models: Models, wanted: str | None) -> str:
    """Return the name of the model that a request means."""
    if wanted is None:
        return models.default
    if wanted not in models:
        known = ", ".join(map(quote, models))
        raise Refused(Reason.NO_MODEL, f"there is no model {quote(wanted)} here; there is {known}", "model")
    return wanted


def need_encoder(served: Served) -> Encoder:
    """Return what makes vectors of texts."""
    if served.encoder is None:
        raise no_tokenizer(served)
    return served.encoder


def check_prompt(encoder: Encoder, served: Served, name: str | None) -> None:
    """Refuse the name of a prompt that the model does not have."""
    if name is not None and name not in encoder.prompts:
        known = ", ".join(map(quote, encoder.prompts))
        has = f"has {known}" if known else "has none: put the prompt into the text"
        raise invalid(
            f"there is no prompt {quote(name)}: the model {quote(served.name)} {has}", "prompt_name"
        )


def no_tokenizer(served: Served) -> Refused:
    """Return the refusal of a text where there is nothing to cut it."""
    why = f": {hidden(served, served.no_texts)}" if served.no_texts else ""
    return Refused(
        Reason.NO_TOKENIZER, f"the model {quote(served.name)} has no tokenizer: send token ids{why}", "input"
    )


def hidden(served: Served, message: str) -> str:
    """Return a message without the path of the model, which is nobody's business."""
    return message.replace(served.path, served.name)


def check_ids(served: Served, ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return ids that are rows of a model."""
    n_rows = len(served.table)
    outside = np.flatnonzero((ids < 0) | (ids >= n_rows))
    if outside.size:
        where = int(outside[0])
        raise invalid(
            f"id {ids[where]} at position {where} is not a token of {quote(served.name)}, which has "
            f"{n_rows}: ids must come from its own tokenizer",
            "input",
        )
    return ids


def check_batch_size(inputs: Inputs, limits: Limits, param: str) -> None:
    """Refuse more inputs than a client may send at once."""
    n = len(inputs)
    if n > limits.max_client_batch_size:
        raise Refused(
            Reason.TOO_MANY_INPUTS,
            f"{n} inputs; at most {limits.max_client_batch_size} are taken at once",
            param,
        )


def too_many_tokens(n_tokens: int, limits: Limits, param: str) -> Refused:
    """Return the refusal of a request with too many tokens."""
    return Refused(
        Reason.TOO_MANY_TOKENS,
        f"{n_tokens} tokens in one request; at most {limits.max_batch_tokens} are taken: send less at once",
        param,
    )


def check_answer(n_rows: int, served: Served, param: str) -> None:
    """Refuse an answer that would be too large."""
    width = served.table.shape[1]
    if n_rows * width > _MOST_NUMBERS:
        raise Refused(
            Reason.TOO_LARGE,
            f"{n_rows} rows of {width} numbers are asked for; at most {_MOST_NUMBERS // width} are sent "
            "at once",
            param,
        )


def check_finite(vectors: npt.NDArray[np.float32], what: str) -> None:
    """Refuse vectors that hold NaN or infinity, which a damaged table makes."""
    if not np.isfinite(vectors).all():
        which = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise Refused(
            Reason.NOT_FINITE,
            f"the vector of {what} {which} is not finite: the model's rows are damaged there",
        )
