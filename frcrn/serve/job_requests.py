"""/v1/jobs: begin work, ask about it, fetch its parts, cancel it."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from frcrn.serve.answers import described, type_of
from frcrn.serve.jobs import DONE, GONE, PARTS, Jobs, part_of
from frcrn.serve.limits import Refusal
from frcrn.serve.options import RAW, shown, suffix_of
from frcrn.serve.service import Service, as_refusals
from frcrn.serve.uploads import receive
from frcrn.serve.work import suffix_for


async def begin(request: Request) -> Response:
    """Take an upload in, and answer with the number of its job."""
    service: Service = request.app.state.service
    jobs: Jobs = request.app.state.jobs
    ticket, folder = service.take()
    try:
        upload = await receive(request, folder, service.limits, service.models.names)
        if upload.options.suffix[1:] in RAW:
            raise Refusal(400, "the parts of a job are files; ask for a format such as wav")
        job = jobs.start(upload, ticket)
    except BaseException:
        service.leave(ticket, folder)
        raise
    return JSONResponse({"id": job.id, "state": job.state}, 202, {"Location": f"/v1/jobs/{job.id}"})


async def report(request: Request) -> Response:
    """Answer what is known of a job."""
    jobs: Jobs = request.app.state.jobs
    return JSONResponse(jobs.get(request.path_params["id"]).report(), headers={"Cache-Control": "no-store"})


async def delete(request: Request) -> Response:
    """Cancel a job, and remove its files."""
    jobs: Jobs = request.app.state.jobs
    jobs.cancel(jobs.get(request.path_params["id"]))
    return Response(status_code=204)


async def fetch(request: Request) -> Response:
    """Answer one part of a finished job, or a range of its bytes."""
    service: Service = request.app.state.service
    jobs: Jobs = request.app.state.jobs
    job = jobs.get(request.path_params["id"])
    part, form = request.query_params.get("part", "after"), request.query_params.get("format", "")
    if part not in PARTS:
        raise Refusal(400, f"part {shown(part)}: choose {', '.join(PARTS)}")
    if job.report()["state"] != DONE:
        raise Refusal(409, f"this job is {job.state}; its sound is there when it is {DONE}")
    asked = suffix_of(form) or ("" if part == "after" else ".wav")
    if asked[1:] in RAW:
        raise Refusal(415, f"format {shown(form)}: the parts of a job are files; choose one such as wav")
    try:
        with as_refusals():
            suffix = await asyncio.to_thread(suffix_for, job.upload, asked)
            path = await asyncio.wrap_future(service.parts.submit(part_of, job, part, suffix, service.limits))
    except FileNotFoundError as error:  # deleted meanwhile, or by a cleaner of temporary files
        raise Refusal(404, GONE) from error
    if "," in request.headers.get("range", ""):
        # several ranges at once may be ignored; to sort thousands of them takes long
        headers = request.scope["headers"]
        request.scope["headers"] = [(key, value) for key, value in headers if key != b"range"]
    named = {"after": "clean"}.get(part, part)
    return FileResponse(path, headers=described(job.upload.name, named, suffix, {}), media_type=type_of(suffix))
