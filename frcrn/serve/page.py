"""The page's files: read when the service begins, so that nothing else can be asked for."""

from __future__ import annotations

import hashlib
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from frcrn.serve.limits import Refusal

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "webmanifest": "application/manifest+json",
    "svg": "image/svg+xml",
    "png": "image/png",
    "ico": "image/vnd.microsoft.icon",
    "woff2": "font/woff2",
    "wav": "audio/wav",
}
POLICY = (
    "default-src 'self'; media-src 'self' blob:; img-src 'self' blob: data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
INDEX = "index.html"
SHARED = ("wav.js",)
"""What the page for browsers alone has too."""


class PageFile(NamedTuple):
    """A file's content, type and mark, by which a browser knows it again."""

    content: bytes
    kind: str
    mark: str


class Page:
    """All files of the page by their paths."""

    def __init__(self, folder: Traversable | None = None) -> None:
        self.files = dict(found(folder or resources.files("frcrn.serve") / "page"))
        self.files |= {
            name: file for name, file in found(resources.files("frcrn.export.web") / "package") if name in SHARED
        }

    def answer(self, name: str, request: Request) -> Response:
        """Answer one file."""
        file = self.files.get(name)
        if file is None and name == INDEX:
            raise Refusal(404, "this server has no page; it answers programs at /v1/enhance, see /openapi.json")
        if file is None:
            raise Refusal(404, "the page has no such file")
        headers = {"ETag": file.mark, "Cache-Control": "no-cache", "Content-Security-Policy": POLICY}
        if request.headers.get("if-none-match") == file.mark:
            return Response(status_code=304, headers=headers)
        return Response(file.content, media_type=file.kind, headers=headers)


def found(folder: Traversable, before: str = "") -> list[tuple[str, PageFile]]:
    """Read a folder and those in it; files of other types, and hidden ones, are no part of the page."""
    files: list[tuple[str, PageFile]] = []
    for item in folder.iterdir() if folder.is_dir() else ():
        kind = TYPES.get(item.name.rpartition(".")[2])
        if item.is_dir():
            files += found(item, f"{before}{item.name}/")
        elif kind is not None and not item.name.startswith("."):
            content = item.read_bytes()
            mark = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
            files.append((before + item.name, PageFile(content, kind, mark)))
    return files


async def index(request: Request) -> Response:
    """Answer the page."""
    page: Page = request.app.state.page
    return page.answer(INDEX, request)


async def static(request: Request) -> Response:
    """Answer one of its files."""
    page: Page = request.app.state.page
    return page.answer(request.path_params["path"], request)
