"""What every page has at hand, and how it is rendered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from xray.analyses.kept import Cache
from xray.explorer import addresses
from xray.explorer.addresses import View
from xray.explorer.asking import Database, Session
from xray.explorer.catalogue import Catalogue, Shelf
from xray.explorer.drawing import circles, score_rows, share
from xray.explorer.identities import Identities
from xray.explorer.pictures import Pictures
from xray.explorer.worklists import Worklists


@dataclass(frozen=True)
class Site:
    """The explorer of one installation."""

    database: Database
    shelf: Shelf
    pictures: Pictures
    identities: Identities
    worklists: Worklists
    cache: Cache = field(default_factory=Cache)

    @cached_property
    def environment(self) -> Environment:
        """Jinja2 with everything escaped."""
        environment = Environment(
            loader=PackageLoader("xray.explorer"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        environment.filters |= {
            "share": share,
            "circles": circles,
            "score_rows": score_rows,
            "words": lambda name: name.replace("_", " "),
            "quoted": lambda name: quote(name, ""),
        }
        environment.globals |= {
            "kinds": addresses.KINDS,
            "label_words": addresses.LABELS,
            "writable": self.worklists.writer is not None,
        }
        return environment


@dataclass(frozen=True)
class Page:
    """One request of a page: its view, and the questions that it asks."""

    site: Site
    request: Request
    view: View
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "session", Session(self.site.database))

    @cached_property
    def catalogue(self) -> Catalogue:
        """What there is to be looked at."""
        return self.site.shelf.current()

    def render(self, template: str, status: int = 200, **values: Any) -> Response:
        """The page of a template."""
        return rendered(
            self.site, template, status, questions=self.session.questions, view=self.view, **values
        )


Handler = Callable[[Page], Response]


def rendered(site: Site, template: str, status: int = 200, **values: Any) -> Response:
    """An HTML page."""
    return HTMLResponse(site.environment.get_template(template).render(**values), status)


def page(allowed: tuple[str, ...]) -> Callable[[Handler], Callable[[Request], Response]]:
    """Makes an endpoint of a function of a page. allowed: the parameters that its address may have."""

    def make(handler: Handler) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            parameters = addresses.pairs(request.scope["query_string"])
            return handler(Page(request.app.state.site, request, addresses.parse(parameters, allowed)))

        return endpoint

    return make


def identifier(request: Request, name: str = "number") -> int:
    """The number of a row in a path. Raises `Refused`, 404, where it is none."""
    try:
        return addresses.identifier(name, request.path_params[name])
    except addresses.Refused:
        raise addresses.Refused(404, "there is no such page") from None
