"""The pages a person opens in a browser: `/`, `/docs` and their assets, from the files in `api/ui`.

They are served unchanged, except that the home page shows its own address. Everything that a page needs is served by
this process; its Content-Security-Policy refuses other origins.
"""

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles

from api.services import Services
from api.turns import open_turn

router = APIRouter(include_in_schema=False, dependencies=[open_turn])

_UI: Final = Path(__file__).resolve().parent.parent / "ui"
_NOWHERE_ELSE: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; img-src 'self'"
_HOME_POLICY: Final = f"{_NOWHERE_ELSE}; style-src 'self'"
# Swagger UI draws its icons from data: URLs and colours the answer of a tried operation with style attributes.
_DOCS_POLICY: Final = f"{_NOWHERE_ELSE} data:; style-src 'self' 'unsafe-inline'; script-src 'self'; connect-src 'self'"
_ADDRESS: Final = re.compile(r"https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?(?:/[A-Za-z0-9._~/-]*)?")
_SIMULATED: Final = (
    '<p class="simulated"><strong>This is a simulation.</strong> The built-in <code>echo</code> answers '
    "with the question itself, in place of a provider.</p>\n"
)
_USUAL_ADDRESS: Final = "http://127.0.0.1:8000"


@router.api_route("/", methods=["GET", "HEAD"])
async def home(request: Request) -> HTMLResponse:
    """Return the page that says what Breakwater is and where to go on; its command works where it is read."""
    page = _home_page().replace("{{ base_url }}", escape(_base_url(request)))
    services: Services | None = getattr(request.app.state, "services", None)
    in_force = services.in_force.last if services else None
    is_simulated = in_force is not None and bool(in_force.registry.simulated_providers)
    page = page.replace("{{ simulated }}", _SIMULATED if is_simulated else "")
    return HTMLResponse(page, headers=_headers(_HOME_POLICY))


@router.api_route("/docs", methods=["GET", "HEAD"])
async def docs() -> FileResponse:
    """Return the Swagger page; the app is built with `docs_url=None`, whose page would load from a CDN."""
    return FileResponse(_UI / "docs.html", media_type="text/html", headers=_headers(_DOCS_POLICY))


def mount_static(app: FastAPI) -> None:
    """Serve `api/ui/static` under `/static`; call it once, while the app is composed."""
    app.mount("/static", _Assets(directory=_UI / "static"), name="static")


class _Assets(StaticFiles):
    """The assets of pages, which a browser keeps and asks for again by their tag."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        """Return a file, or 304."""
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


@cache
def _home_page() -> str:
    return (_UI / "home.html").read_text(encoding="utf-8")


def _base_url(request: Request) -> str:
    """Return the address of the page; the usual one if the Host header isn't safe to paste into a shell."""
    address = str(request.base_url).rstrip("/")
    return address if _ADDRESS.fullmatch(address) else _USUAL_ADDRESS


def _headers(policy: str) -> dict[str, str]:
    """Return the headers of a page, which holds nothing of anybody's jobs."""
    return {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
