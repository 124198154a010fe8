"""Routes that no other server has: rows, their neighbours, vectors for prompts, and models opened anew."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import anyio.to_thread
import numpy as np
import numpy.typing as npt
from starlette.responses import Response

from ..errors import ClosedError, FormatError, NotFoundError
from ..inputs.batching import offsets_of
from ..integrations.prompt_embeds import encode
from ..safe_text import quote
from .answers import as_json, listed, objects, rows_list, usage
from .asking import (
    check_answer,
    check_batch_size,
    check_finite,
    check_ids,
    hidden,
    model_name,
    need_encoder,
    no_tokenizer,
    too_many_tokens,
)
from .errors import Reason, Refused, invalid
from .limits import Limits
from .logs import LOGGER, record
from .models import Models, Served
from .openai import EMBEDDING, USAGE, list_of, object_of
from .operations import Call, Operation, json_response
from .service import Service
from .shapes import (
    BOOL,
    COUNT,
    DTYPE,
    ENCODING,
    IDS,
    INPUT,
    METRIC,
    MODEL,
    REQUIRED,
    WORD,
    Field,
    Inputs,
    Shape,
    read_bool,
    read_count,
    read_ids,
    read_word,
)

_MOST_NEIGHBOURS = 1000

_NEAREST = Shape(
    "NearestRequest",
    (
        MODEL,
        Field("input", "A whole word, the id of a token, or a vector.", WORD, read_word, REQUIRED),
        Field("k", f"How many neighbours, at most {_MOST_NEIGHBOURS}.", COUNT, read_count, 10),
        METRIC,
        Field("leave_out_variants", "Leave out other spellings of the word.", BOOL, read_bool, False),
    ),
)
_ROWS = Shape("RowsRequest", (MODEL, Field("ids", "The ids of tokens.", IDS, read_ids, REQUIRED), ENCODING))
_PROMPT = Shape(
    "PromptEmbedsRequest",
    (
        MODEL,
        INPUT,
        DTYPE,
        Field("add_special_tokens", "Add what begins and ends a text, such as bos.", BOOL, read_bool, True),
        Field(
            "parse_special_tokens",
            "Let control tokens that are spelled out in a text be those tokens: for prompts after a chat "
            "template. In texts of others they may forge the end of a turn.",
            BOOL,
            read_bool,
            False,
        ),
    ),
)


async def _nearest(call: Call) -> Response:
    models = call.service.models

    def make() -> bytes:
        given = _NEAREST.read(call.body)
        if given["k"] > _MOST_NEIGHBOURS:
            raise invalid(f"k is {given['k']}; expected at most {_MOST_NEIGHBOURS}", "k")
        with models.lease(model_name(models, given["model"])) as served:
            return _neighbours(served, given)

    return json_response(await call.service.call(make))


def _neighbours(served: Served, given: dict[str, Any]) -> bytes:
    query = given["input"]
    if isinstance(query, int):
        check_ids(served, np.array([query]))
    elif isinstance(query, np.ndarray) and query.shape != (served.table.shape[1],):
        raise invalid(
            f"the vector has {query.size} numbers; rows of {quote(served.name)} have {served.table.shape[1]}",
            "input",
        )
    k = min(given["k"], len(served.table))
    try:
        found = served.geometry.nearest(
            query, k, given["metric"], leave_out_variants=given["leave_out_variants"]
        )
    except ClosedError:
        raise
    except (NotFoundError, FormatError, ValueError) as error:
        raise invalid(hidden(served, str(error)), "input") from None
    return objects(served.name, ({"object": "neighbour", **one._asdict()} for one in found))


async def _rows(call: Call) -> Response:
    service = call.service

    def make() -> bytes:
        given = _ROWS.read(call.body)
        if not given["ids"].is_one:
            raise invalid("ids must be one array of token ids", "ids")
        (ids,) = given["ids"].ids
        with service.models.lease(model_name(service.models, given["model"])) as served:
            check_answer(ids.size, served, "ids")
            rows = served.table.gather(check_ids(served, ids))
            check_finite(rows, "id number")
            return rows_list(served.name, ids.tolist(), rows, given["encoding_format"])

    return json_response(await service.call(make))


async def _prompt_embeds(call: Call) -> Response:
    service = call.service

    def make() -> bytes:
        given = _PROMPT.read(call.body)
        with service.models.lease(model_name(service.models, given["model"])) as served:
            return _prompts(served, given, service.limits)

    return json_response(await service.call(make))


def _prompts(served: Served, given: dict[str, Any], limits: Limits) -> bytes:
    inputs = given["input"]
    check_batch_size(inputs, limits, "input")
    ids, offsets = _ids_of(served, inputs, given)
    if ids.size > limits.max_batch_tokens:
        raise too_many_tokens(ids.size, limits, "input")
    check_answer(ids.size, served, "input")
    if (np.diff(offsets) == 0).any():
        raise invalid(f"input {int(np.argmin(np.diff(offsets)))} has no tokens", "input")
    rows = served.table.gather(ids, dtype=given["dtype"])

    def items() -> Iterator[bytes]:
        for index, (begin, end) in enumerate(pairwise(offsets)):
            yield b'{"object":"prompt_embeds","index":%d,"n_tokens":%d,"prompt_embeds":"%b"}' % (
                index,
                end - begin,
                encode(rows[begin:end]).encode("ascii"),
            )

    return listed(served.name, items(), usage=usage(ids.size))


def _ids_of(
    served: Served, inputs: Inputs, given: dict[str, Any]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ids of prompts, one after the other, and where each begins."""
    if inputs.ids is not None:
        ids = [check_ids(served, one) for one in inputs.ids]
        return np.concatenate(ids), offsets_of(list(map(len, ids)))
    if served.model is None:
        return need_encoder(served).tokenize(inputs.texts or [])
    if served.vocabulary is None:
        raise no_tokenizer(served)
    try:
        cut = served.model.tokenize(
            inputs.texts or [],
            add_special=given["add_special_tokens"],
            parse_special=given["parse_special_tokens"],
        )
    except (FormatError, ImportError) as error:
        raise Refused(Reason.NO_TOKENIZER, hidden(served, str(error)), "input") from None
    return check_ids(served, cut.ids.astype(np.int64)), cut.offsets


# ------------------------------------------------------------------------------------------------ reloading

_RELOAD = Shape("ReloadRequest", (MODEL,))


def reload_models(service: Service, names: list[str]) -> list[dict[str, object]]:
    """Open models anew, one after the other, and return of each what became of it. May take long."""
    return [_reload(service.models, name) for name in names]


def _reload(models: Models, name: str) -> dict[str, object]:
    try:
        models.reload(name)
    except (OSError, ValueError, ImportError, MemoryError) as error:
        message = str(error).replace(models[name].path, name)
        record(logging.ERROR, "reload refused", model=name, reason=str(error))
        return {"object": "reload", "id": name, "ok": False, "message": message}
    except Exception as error:
        LOGGER.error("reload refused", exc_info=error, extra={"facts": {"model": name}})
        return {"object": "reload", "id": name, "ok": False, "message": "it failed; the log says why"}
    record(logging.INFO, "reloaded", model=name)
    return {"object": "reload", "id": name, "ok": True, "message": ""}


def count_reloads(service: Service, done: list[dict[str, object]]) -> None:
    """Count what `reload_models` returned; on the loop."""
    for one in done:
        service.metrics.count(
            "pyembed_reloads", model=str(one["id"]), result="ok" if one["ok"] else "refused"
        )


async def _reloading(call: Call) -> Response:
    service = call.service
    given = _RELOAD.read(call.body)
    wanted = given["model"]
    names = list(service.models) if wanted is None else [model_name(service.models, wanted)]
    # Not by the threads that work on requests: a model may take seconds, and the next one waits for it.
    done = await anyio.to_thread.run_sync(reload_models, service, names)
    count_reloads(service, done)
    refused = [f"{one['id']}: {one['message']}" for one in done if not one["ok"]]
    if refused:
        raise Refused(Reason.REFUSED, f"what was there stays: {'; '.join(refused)}", "model")
    return json_response(as_json({"object": "list", "data": done}))


_REFUSALS = (400, 404, 413, 422, 429)
_INTEGER = {"type": "integer", "minimum": 0}

OPERATIONS = [
    Operation(
        "POST",
        "/v1/nearest",
        "The rows that are most similar to a word, a row or a vector.",
        _nearest,
        list_of(
            object_of(
                "neighbour",
                id=_INTEGER,
                text={"type": ["string", "null"]},
                score={"type": ["number", "null"]},
            ),
            model={"type": "string"},
        ),
        _NEAREST,
        _REFUSALS,
    ),
    Operation(
        "POST",
        "/v1/rows",
        "Rows as the file has them.",
        _rows,
        list_of(object_of("row", index=_INTEGER, id=_INTEGER, embedding=EMBEDDING), model={"type": "string"}),
        _ROWS,
        _REFUSALS,
    ),
    Operation(
        "POST",
        "/v1/prompt_embeds",
        "Rows of prompts as the field prompt_embeds of vLLM takes them.",
        _prompt_embeds,
        list_of(
            object_of(
                "prompt_embeds",
                index=_INTEGER,
                n_tokens=_INTEGER,
                prompt_embeds={"type": "string", "contentEncoding": "base64"},
            ),
            model={"type": "string"},
            usage=USAGE,
        ),
        _PROMPT,
        _REFUSALS,
    ),
]
#: Only for servers that ask for a key.
ADMIN_OPERATIONS = [
    Operation(
        "POST",
        "/admin/reload",
        "Open a model anew, or all without a name; if one is not what it should be, the old one stays.",
        _reloading,
        list_of(
            object_of("reload", id={"type": "string"}, ok=BOOL, message={"type": "string"}),
        ),
        _RELOAD,
        (400, 404, 409),
    ),
]
