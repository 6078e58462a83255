"""The explorer as a web application: its pages, what they refuse, and how an error is said."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from xray.explorer import cell_page, grid_page, image_page, images_page, worklist_pages
from xray.explorer.addresses import Refused
from xray.explorer.asking import BusyError, Database
from xray.explorer.catalogue import Shelf
from xray.explorer.cell import measure
from xray.explorer.identities import Identities
from xray.explorer.pictures import Pictures
from xray.explorer.site import Site, rendered
from xray.explorer.worklists import Worklists

POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""What a browser may load for our pages: what this server has, and no script or style within a page."""
STATIC: Final = {"explorer.css": "text/css", "explorer.js": "text/javascript", "icon.svg": "image/svg+xml"}
_log = logging.getLogger(__name__)


def create_app(reader: str, writer: str | None, home: Path, key: bytes, *, names: bool = False) -> Starlette:
    """The application, to stand behind a door that knows who may come in.

    reader, writer: SQLAlchemy URLs of our database; what is shown is asked as the reader, the writer keeps what is said
    of worklists, and without one nothing is kept. home: where pictures are. key: what pseudonyms are made with. names: show
    patients' and images' own names.
    """
    database = Database.of(reader)
    site = Site(
        database,
        Shelf(database),
        Pictures(database, home),
        Identities(key, names),
        Worklists(database, writer),
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        measure(np.zeros(2, np.float32), np.array([0, 1], np.int16))  # what is compiled at its first use
        yield
        database.close()

    app = Starlette(
        routes=[
            Route("/", grid_page.grid),
            Route("/cell", cell_page.cell),
            Route("/images", images_page.images),
            Route("/images.csv", images_page.images_csv),
            Route("/image/{number}", image_page.image),
            Route("/thumbnail/{number}", image_page.thumbnail),
            Route("/picture/{number}", image_page.picture),
            *worklist_pages.routes(),
            Route("/static/{name}", static),
            Route("/health", health),
        ],
        exception_handlers={Refused: refused, HTTPException: unknown, BusyError: busy},  # type: ignore[dict-item]
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.site = site
    return app


def static(request: Request) -> Response:
    """Our style sheet and script."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise Refused(404, "there is no such page")
    content = (resources.files("xray.explorer") / "static" / name).read_bytes()
    return Response(content, media_type=STATIC[name], headers={"cache-control": "private, max-age=300"})


def health(request: Request) -> Response:
    """Whether the pages can ask the database."""
    request.app.state.site.database.rows("datasets")
    return PlainTextResponse("OK")


def refused(request: Request, error: Refused) -> Response:
    """What was asked for is not there, or not asked for as it must be."""
    return rendered(
        request.app.state.site, "error.html", error.status, title="Not this way", reason=error.reason
    )


def unknown(request: Request, error: HTTPException) -> Response:
    """No such page, or not with this method."""
    reason = {404: "there is no such page", 405: "this page can't be asked for in that way"}.get(
        error.status_code, error.detail
    )
    response = rendered(
        request.app.state.site, "error.html", error.status_code, title="Not this way", reason=reason
    )
    response.headers.update(error.headers or {})
    return response


def busy(request: Request, error: BusyError) -> Response:
    """The database did not answer."""
    _log.warning("%s: %s", request.url.path, error)
    return rendered(request.app.state.site, "error.html", 503, title="Not now", reason=str(error))
