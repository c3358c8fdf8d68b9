"""The description of the interface, as OpenAPI 3.1 has it, made from the table of options."""

from __future__ import annotations

from typing import Any

from frcrn import __version__
from frcrn.serve.options import OPTIONS
from frcrn.serve.uploads import FILE

BINARY = {"type": "string", "contentMediaType": "application/octet-stream"}
ERRORS = {
    400: "an option or the body is wrong",
    401: "a user and a password are needed",
    403: "the name or the page by which the server is called is not allowed",
    404: "no such model or job",
    408: "nothing came for too long",
    413: "the file is too large or too long",
    415: "this is no sound, or the format cannot be written",
    429: "too many wrong passwords",
    503: "all places are taken; Retry-After says when to come again",
}
FACTS = {
    "seconds": "number",
    "rate": "integer",
    "channels": "integer",
    "in_dbfs": "number",
    "out_dbfs": "number",
    "removed_dbfs": "number",
    "removed_db": "number",
    "model": "string",
}
STREAM = (
    "A WebSocket. First message, JSON: rate (default: the model's), format (s16le or f32le), channels (default 1), "
    "model, strength, band. The answer is a message with ready, rate, channels, format and latency_ms. Then binary "
    "messages of samples in and out, of any size. {'strength': S} changes the strength; {'end': true} brings the rest "
    "and a message with ended and samples. An error is a message with error; the WebSocket is closed after it."
)


def description(models: list[str]) -> dict[str, Any]:
    """Return the whole description, with the models of this server."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "frcrn", "version": __version__, "description": "Removes noise from speech."},
        "paths": paths(models),
        "components": {"schemas": {"Error": error(), "Job": job(), "Levels": levels()}},
    }


def paths(models: list[str]) -> dict[str, Any]:
    """Return all addresses."""
    id = [parameter("id", {"type": "string"}, "the number of a job", "path")]
    gone = errors(401, 403, 404)
    return {
        "/": {"get": operation("The page", {"200": content("the page", "text/html")})},
        "/static/{path}": {"get": static()},
        "/health": {"get": operation("Whether the server answers", {"200": json("its state")})},
        "/metrics": {"get": operation("Counts, for Prometheus", {"200": content("counts", "text/plain")})},
        "/openapi.json": {"get": operation("This description", {"200": json("this")})},
        "/v1/models": {"get": operation("Models, limits, formats", {"200": json("what there is")})},
        "/v1/sample": {"get": operation("A noisy sample", {"200": content("a wav file", "audio/wav")})},
        "/v1/enhance": {"post": upload("Enhance a file", enhanced(), models)},
        "/v1/jobs": {"post": upload("Begin to enhance a file", {"202": json("the number of the job, as id")}, models)},
        "/v1/jobs/{id}": {
            "get": operation("What a job is at", {"200": json("the job", ref("Job"))} | gone, id),
            "delete": operation("Cancel a job, remove its files", {"204": {"description": "done"}} | gone, id),
        },
        "/v1/jobs/{id}/audio": {"get": part(id)},
        "/v1/stream": {"get": operation(STREAM, {"101": {"description": "the WebSocket is open"}})},
    }


def operation(summary: str, responses: dict[str, Any], parameters: list[Any] | None = None) -> dict[str, Any]:
    """Return what one method of an address does."""
    return {"summary": summary, "parameters": parameters or [], "responses": responses}


def upload(summary: str, responses: dict[str, Any], models: list[str]) -> dict[str, Any]:
    """Return a method that takes a file and options."""
    schemas = {option.name: {**option.schema, "description": option.about} for option in OPTIONS}
    schemas["model"]["enum"] = models
    form = {"type": "object", "properties": {FILE: BINARY, **schemas}, "required": [FILE]}
    body = {"application/octet-stream": {"schema": BINARY}, "multipart/form-data": {"schema": form}}
    asked = [parameter(name, schema, schema["description"]) for name, schema in schemas.items()]
    answers = responses | errors(400, 401, 403, 404, 408, 413, 415, 429, 503)
    return operation(summary, answers, asked) | {"requestBody": {"required": True, "content": body}}


def parameter(name: str, schema: dict[str, Any], about: str, where: str = "query") -> dict[str, Any]:
    """Return one option in an address."""
    plain = {key: value for key, value in schema.items() if key != "description"}
    return {"name": name, "in": where, "required": where == "path", "schema": plain, "description": about}


def enhanced() -> dict[str, Any]:
    """Return the answer that is sound."""
    headers = {
        f"X-Frcrn-{key.replace('_', '-').title()}": {"schema": {"type": kind}, "required": False}
        for key, kind in FACTS.items()
    }
    about = "the clean form; levels are left out where it is sent while it is made (wav and raw, from 30 s on)"
    return {"200": content(about, "audio/*") | {"headers": headers}}


def part(id: list[Any]) -> dict[str, Any]:
    """Return the address of the parts of a job."""
    which = {"type": "string", "enum": ["before", "after", "removed"]}
    asked = [*id, parameter("part", which, "which sound (default: after)")]
    asked.append(parameter("format", {"type": "string"}, "its format (default: the upload's, wav for the others)"))
    return operation(
        "A part of a finished job", {"200": content("sound", "audio/*")} | errors(400, 404, 409, 415), asked
    )


def static() -> dict[str, Any]:
    """Return the address of the page's files."""
    name = [parameter("path", {"type": "string"}, "the name of a file of the page", "path")]
    return operation("A file of the page", {"200": content("the file", "*/*")} | errors(404), name)


def errors(*statuses: int) -> dict[str, Any]:
    """Return the answers that are errors."""
    return {str(status): json(ERRORS.get(status, "not now"), ref("Error")) for status in statuses}


def content(about: str, kind: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an answer of a type."""
    return {"description": about, "content": {kind: {"schema": schema or {"type": "string"}}}}


def json(about: str, schema: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return an answer of JSON."""
    return content(about, "application/json", schema or {"type": "object"})


def ref(name: str) -> dict[str, Any]:
    """Point to a schema below."""
    return {"$ref": f"#/components/schemas/{name}"}


def error() -> dict[str, Any]:
    """Return the schema of an error."""
    return {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def levels() -> dict[str, Any]:
    """Return the schema of what is known of an enhanced file."""
    return {"type": "object", "properties": {key: {"type": kind} for key, kind in FACTS.items()}}


def job() -> dict[str, Any]:
    """Return the schema of a job."""
    states = {"type": "string", "enum": ["queued", "running", "done", "failed", "cancelled"]}
    text = {"type": ["string", "null"]}
    known = {"id": {"type": "string"}, "state": states, "name": {"type": "string"}, "error": text}
    known["progress"] = {"type": "number", "minimum": 0, "maximum": 1}
    return {"type": "object", "properties": known | {"levels": ref("Levels")}}
