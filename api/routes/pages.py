"""The pages a person opens in a browser: `/`, `/docs` and their assets. Files as they lie in `api/ui`; no templates.

Everything a page needs is served by this process, and its Content-Security-Policy refuses whatever isn't.
"""

from pathlib import Path
from typing import Final

from fastapi import APIRouter, FastAPI
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter(include_in_schema=False)

_UI: Final = Path(__file__).resolve().parent.parent / "ui"
_NOWHERE_ELSE: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self'"
_HOME_POLICY: Final = f"{_NOWHERE_ELSE}; style-src 'self'"
# Swagger UI draws its icons from data: URLs and colours the answer of a tried operation with style attributes.
_DOCS_POLICY: Final = f"{_NOWHERE_ELSE} data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'"


@router.api_route("/", methods=["GET", "HEAD"])
async def home() -> FileResponse:
    """Return the page that says what Breakwater is and where to go on."""
    return _page(_UI / "static" / "index.html", policy=_HOME_POLICY)


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs() -> FileResponse:
    """Return the Swagger page; the app is built with `docs_url=None`, whose page would load from a CDN."""
    return _page(_UI / "docs.html", policy=_DOCS_POLICY)


def mount_static(app: FastAPI) -> None:
    """Serve `api/ui/static` under `/static`; call it once, while the app is composed."""
    app.mount("/static", StaticFiles(directory=_UI / "static"), name="static")


def _page(file: Path, *, policy: str) -> FileResponse:
    """Return an HTML file with the headers that keep it to itself."""
    return FileResponse(
        file,
        media_type="text/html",
        headers={
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
        },
    )
