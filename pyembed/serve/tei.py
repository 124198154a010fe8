"""The routes of text-embeddings-inference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from starlette.responses import Response

from .. import __version__
from ..encoders.encoder import normalized
from .answers import arrays, as_json
from .asking import check_prompt, model_name, need_encoder
from .batching import n_threads
from .cutting import cut_for_people, joined
from .embedding import Made, Options, Wanted
from .errors import invalid
from .metrics import CONTENT_TYPE
from .models import Served
from .openai import taken
from .operations import Call, Operation, json_response
from .shapes import (
    BOOL,
    COUNT,
    ID_INPUTS,
    INPUTS,
    MODEL,
    REQUIRED,
    TEXT,
    TEXT_INPUTS,
    Field,
    Inputs,
    Schema,
    Shape,
    one_of,
    read_bool,
    read_count,
    read_ids,
    read_inputs,
    read_text,
    read_texts,
)

_TRUNCATE = Field(
    "truncate", "Cut texts to the model's limit; else longer ones are refused.", BOOL, read_bool, True
)
_DIRECTION = Field(
    "truncation_direction",
    "Which end is cut off; without it the one that the model's files name.",
    *one_of("Right", "right", "Left", "left"),
)
_PROMPT = Field(
    "prompt_name",
    "Which of the model's prompts to put before each text; not with token ids.",
    TEXT,
    read_text,
)
_EMBED = Shape(
    "EmbedRequest",
    (
        Field(
            "inputs",
            "A text, an array of texts, token ids, or arrays of those.",
            INPUTS,
            read_inputs,
            REQUIRED,
        ),
        MODEL,
        Field("normalize", "Divide vectors by their norm.", BOOL, read_bool, True),
        _TRUNCATE,
        _DIRECTION,
        _PROMPT,
        Field("dimensions", "Keep this many numbers of a vector, the first ones.", COUNT, read_count),
    ),
)
_PARAMETERS = Shape("SimilarityParameters", (_TRUNCATE, _DIRECTION, _PROMPT))


def _read_pair(value: Any, name: str) -> Inputs:
    """Read a sentence and those that it is compared with; the first of what is returned is that one."""
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object with source_sentence and sentences", name)
    source = read_text(value.get("source_sentence"), "source_sentence")
    sentences = read_texts(value.get("sentences"), "sentences")
    if sentences.is_one:
        raise invalid("sentences must be an array of texts", "sentences")
    return Inputs([source, *(sentences.texts or ())], None, False)


def _read_parameters(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid(f"{name} must be an object", name)
    return _PARAMETERS.read_value(value)


_SIMILARITY = Shape(
    "SimilarityRequest",
    (
        Field(
            "inputs",
            "A text, and those that it is compared with.",
            {
                "type": "object",
                "required": ["source_sentence", "sentences"],
                "properties": {
                    "source_sentence": TEXT,
                    "sentences": {"type": "array", "minItems": 1, "items": TEXT},
                },
            },
            _read_pair,
            REQUIRED,
        ),
        MODEL,
        Field("parameters", "How texts are cut.", _PARAMETERS.schema(), _read_parameters),
    ),
)
_TOKENIZE = Shape(
    "TokenizeRequest",
    (
        Field("inputs", "A text or an array of texts.", TEXT_INPUTS, read_texts, REQUIRED),
        MODEL,
        Field("add_special_tokens", "Add what begins and ends a text.", BOOL, read_bool, True),
        _PROMPT,
    ),
)
_DECODE = Shape(
    "DecodeRequest",
    (
        Field("ids", "Token ids, or arrays of them.", ID_INPUTS, read_ids, REQUIRED),
        MODEL,
        Field("skip_special_tokens", "Leave special tokens out.", BOOL, read_bool, True),
    ),
)


def _options(
    name: str, given: dict[str, Any], *, normalize: bool | None = None, dim: int | None = None
) -> Options:
    """Return what a request asks for."""
    direction = given["truncation_direction"]
    direction = None if direction is None else direction.lower()
    return Options(name, normalize, dim, given["truncate"], direction, given["prompt_name"])


async def _embed(call: Call) -> Response:
    models = call.service.models

    def read(body: bytes) -> Wanted:
        given = _EMBED.read(body)
        name = model_name(models, given["model"])
        options = _options(name, given, normalize=given["normalize"], dim=given["dimensions"])
        if options.prompt is not None and given["inputs"].texts is None:
            raise invalid("prompt_name is for texts; the inputs are token ids", "prompt_name")
        return Wanted(given["inputs"], options, "inputs", lambda made: arrays(made.vectors))

    done = await call.service.embed(call.body, read)
    return json_response(done.body, taken(done))


async def _similarity(call: Call) -> Response:
    models = call.service.models

    def read(body: bytes) -> Wanted:
        given = _SIMILARITY.read(body)
        how = given["parameters"] or _PARAMETERS.read_value({})
        options = _options(model_name(models, given["model"]), how, normalize=True)
        return Wanted(given["inputs"], options, "inputs", _cosines)

    done = await call.service.embed(call.body, read)
    return json_response(done.body, taken(done))


def _cosines(made: Made) -> bytes:
    """Return how similar the first vector is to each of the others."""
    vectors = normalized(made.vectors).astype(np.float64)
    return as_json(np.clip(vectors[1:] @ vectors[0], -1, 1).tolist())


def _with_prompt(served: Served, inputs: Inputs, name: str | None) -> Inputs:
    """Return texts with the prompt before them whose name was given."""
    if name is None:
        return inputs
    encoder = need_encoder(served)
    check_prompt(encoder, served, name)
    return replace(inputs, texts=[encoder.prompts[name] + text for text in inputs.texts or ()])


async def _tokenize(call: Call) -> Response:
    service = call.service

    def make() -> bytes:
        given = _TOKENIZE.read(call.body)
        with service.models.lease(model_name(service.models, given["model"])) as served:
            inputs = _with_prompt(served, given["inputs"], given["prompt_name"])
            return as_json(cut_for_people(served, inputs, service.limits, given["add_special_tokens"]))

    return json_response(await service.call(make))


async def _decode(call: Call) -> Response:
    service = call.service

    def make() -> bytes:
        given = _DECODE.read(call.body)
        with service.models.lease(model_name(service.models, given["model"])) as served:
            return as_json(joined(served, given["ids"], service.limits, given["skip_special_tokens"]))

    return json_response(await service.call(make))


async def _info(call: Call) -> Response:
    service = call.service
    served, limits = service.models[service.models.default], service.limits
    most = served.encoder.max_length if served.encoder is not None else None
    return json_response(
        as_json(
            {
                "model_id": served.name,
                "model_sha": None,
                "model_dtype": served.table.type,
                "served_model_name": served.name,
                "model_type": {"embedding": {"pooling": "mean"}},
                "max_concurrent_requests": limits.max_concurrent_requests,
                "max_input_length": limits.max_batch_tokens if most is None else most,
                "max_batch_tokens": limits.max_batch_tokens,
                "max_batch_requests": limits.max_batch_requests,
                "max_client_batch_size": limits.max_client_batch_size,
                "auto_truncate": True,
                "tokenization_workers": n_threads(),
                "version": __version__,
                "sha": None,
                "docker_label": None,
            }
        )
    )


async def _health(call: Call) -> Response:
    return Response()


async def _metrics(call: Call) -> Response:
    return Response(call.service.metrics.text(), media_type=CONTENT_TYPE)


_VECTORS: Schema = {"type": "array", "items": {"type": "array", "items": {"type": "number"}}}
_PLACE: Schema = {"type": ["integer", "null"], "minimum": 0}
_TOKEN: Schema = {
    "type": "object",
    "required": ["id", "text", "special", "start", "stop"],
    "properties": {
        "id": {"type": "integer", "minimum": 0},
        "text": {"type": "string"},
        "special": BOOL,
        "start": _PLACE,
        "stop": _PLACE,
    },
}
_TOKENS: Schema = {"type": "array", "items": {"type": "array", "items": _TOKEN}}
_REFUSALS = (400, 404, 413, 422, 429)

OPERATIONS = [
    Operation("POST", "/embed", "Vectors of texts, of length 1.", _embed, _VECTORS, _EMBED, _REFUSALS),
    Operation(
        "POST",
        "/similarity",
        "Cosines of a text with others.",
        _similarity,
        {"type": "array", "items": {"type": "number"}},
        _SIMILARITY,
        _REFUSALS,
    ),
    Operation(
        "POST",
        "/tokenize",
        "The tokens of texts, with their places.",
        _tokenize,
        _TOKENS,
        _TOKENIZE,
        _REFUSALS,
    ),
    Operation(
        "POST",
        "/decode",
        "The texts of token ids.",
        _decode,
        {"type": "array", "items": {"type": "string"}},
        _DECODE,
        _REFUSALS,
    ),
    Operation("GET", "/info", "The first model, and the limits.", _info, {"type": "object"}),
    Operation("GET", "/health", "Whether the server answers.", _health, media_type="text/plain"),
    Operation("GET", "/ping", "The same.", _health, media_type="text/plain"),
    Operation("GET", "/metrics", "Counters for Prometheus.", _metrics, media_type="text/plain"),
]
