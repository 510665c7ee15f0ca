"""``/``: the page, and its files below ``/console``."""

from string import Template

from fastapi import APIRouter, Request, Response

from app.console.assets import INDEX, Asset, asset, assets, version
from app.paths import Root
from core.errors import NotFound

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'self'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""Content-Security-Policy: what is not the page's own neither runs nor is loaded."""
FOR_EVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
"""Kept too, and asked for by its entity tag at each use."""

router = APIRouter(include_in_schema=False)


@router.get("/", summary="The console", response_class=Response)
def index(request: Request, root: Root) -> Response:
    """The page; what it needs has addresses below the prefix that a proxy may have given."""
    page = assets()[INDEX]
    text = Template(page.content.decode()).substitute(root=root, version=version())
    return _answer(request, asset(text.encode(), page.media_type), ASK_AGAIN)


@router.get("/console/{of_version}/{path:path}", summary="A file of the console", response_class=Response)
def file(request: Request, of_version: str, path: str) -> Response:
    """A file; one that a page of another release asks for is the present one.

    Raises:
        NotFound: There is none.
    """
    found = assets().get(path)
    if found is None:
        raise NotFound(f"the console has no file {path!r}", field="path")
    return _answer(request, found, FOR_EVER if of_version == version() else ASK_AGAIN)


def _answer(request: Request, found: Asset, caching: str) -> Response:
    headers = {
        "Cache-Control": caching,
        "ETag": found.etag,
        "Vary": "Accept-Encoding",
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
    }
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if found.etag in known:
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"] = "gzip"
        return Response(found.gzipped, headers=headers, media_type=found.media_type)
    return Response(found.content, headers=headers, media_type=found.media_type)
