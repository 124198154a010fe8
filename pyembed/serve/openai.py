"""The routes of OpenAI's interface."""

from __future__ import annotations

from starlette.responses import Response

from .answers import as_json, openai_list
from .asking import model_name
from .embedding import Embedded, Made, Options, Wanted
from .models import Served
from .operations import Call, Operation, json_response
from .shapes import DIMENSIONS, ENCODING, INPUT, MODEL, Schema, Shape

_EMBEDDINGS = Shape("EmbeddingsRequest", (MODEL, INPUT, DIMENSIONS, ENCODING))

_VECTOR: Schema = {
    "anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "string", "contentEncoding": "base64"}]
}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_MODEL: Schema = {
    "type": "object",
    "required": ["id", "object", "created", "owned_by"],
    "properties": {
        "id": {"type": "string"},
        "object": {"const": "model"},
        "created": _COUNT,
        "owned_by": {"type": "string"},
    },
}


def list_of(item: Schema, **others: Schema) -> Schema:
    """Return the schema of a list as this interface has them."""
    return {
        "type": "object",
        "required": ["object", "data", *others],
        "properties": {"object": {"const": "list"}, "data": {"type": "array", "items": item}, **others},
    }


def object_of(kind: str, **properties: Schema) -> Schema:
    """Return the schema of an object of some kind in such a list."""
    return {
        "type": "object",
        "required": ["object", *properties],
        "properties": {"object": {"const": kind}, **properties},
    }


USAGE: Schema = {
    "type": "object",
    "required": ["prompt_tokens", "total_tokens"],
    "properties": {"prompt_tokens": _COUNT, "total_tokens": _COUNT},
}
EMBEDDING: Schema = _VECTOR


async def _embeddings(call: Call) -> Response:
    models = call.service.models

    def read(body: bytes) -> Wanted:
        given = _EMBEDDINGS.read(body)
        encoding = given["encoding_format"]
        options = Options(model_name(models, given["model"]), dim=given["dimensions"])

        def answer(made: Made) -> bytes:
            return openai_list(made.model, made.vectors, encoding, made.n_tokens)

        return Wanted(given["input"], options, "input", answer)

    done = await call.service.embed(call.body, read)
    return json_response(done.body, taken(done))


def taken(done: Embedded) -> list[tuple[bytes, bytes]]:
    """Return what a request took, in header fields as text-embeddings-inference has them."""
    return [
        (b"x-compute-type", b"cpu"),
        (b"x-compute-characters", b"%d" % done.n_characters),
        (b"x-compute-tokens", b"%d" % done.n_tokens),
        (b"x-total-time", b"%d" % (1e3 * (done.queue + done.cutting + done.pooling))),
        (b"x-queue-time", b"%d" % (1e3 * done.queue)),
        (b"x-tokenization-time", b"%d" % (1e3 * done.cutting)),
        (b"x-inference-time", b"%d" % (1e3 * done.pooling)),
    ]


def _facts(served: Served) -> dict[str, object]:
    return {"id": served.name, "object": "model", "created": served.opened, "owned_by": "pyembed"}


async def _models(call: Call) -> Response:
    data = [_facts(served) for served in call.service.models.values()]
    return json_response(as_json({"object": "list", "data": data}))


async def _model(call: Call) -> Response:
    models = call.service.models
    return json_response(as_json(_facts(models[model_name(models, call.path["name"])])))


_EMBEDDINGS_ANSWER = list_of(
    object_of("embedding", index=_COUNT, embedding=_VECTOR), model={"type": "string"}, usage=USAGE
)
_REFUSALS = (400, 404, 413, 422, 429)

OPERATIONS = [
    *(
        Operation(
            "POST",
            path,
            "Vectors of texts, or of token ids.",
            _embeddings,
            _EMBEDDINGS_ANSWER,
            _EMBEDDINGS,
            _REFUSALS,
        )
        for path in ("/v1/embeddings", "/embeddings")
    ),
    Operation("GET", "/v1/models", "The models of this server.", _models, list_of(_MODEL)),
    Operation("GET", "/v1/models/{name:path}", "One of them.", _model, _MODEL, refusals=(404,)),
]
