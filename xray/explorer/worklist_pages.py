"""The pages of worklists: make one of a list of images, read it blind, see how readers agree, CSV out and in."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from xray.explorer import addresses
from xray.explorer.addresses import LIST, Refused, View
from xray.explorer.images_page import listing
from xray.explorer.site import Page, identifier, page
from xray.explorer.worklists import (
    ANSWERS,
    LONGEST_NAME,
    MOST,
    Read,
    agreements,
    comment_of,
    exported,
    imported,
    reader_name,
)

LARGEST_FORM: Final = 2 * 2**20
Form = Mapping[str, str]


def routes() -> list[Route]:
    """Where these pages are."""
    return [
        Route("/worklists", worklists),
        Route("/worklists", form(make), methods=["POST"]),
        Route("/worklists/{number}", worklist),
        Route("/worklists/{number}/reads.csv", worklist_csv),
        Route("/worklists/{number}/import", form(bring_in), methods=["POST"]),
        Route("/worklists/{number}/read", read),
        Route("/worklists/{number}/read", form(keep), methods=["POST"]),
        Route("/worklists/{number}/picture/{position}", picture),
    ]


def form(handler: Callable[[Page, Form], Response]) -> Callable[[Request], Any]:
    """Makes an endpoint of a function of a page and of the form that was sent to it, from a page of our own only."""

    async def endpoint(request: Request) -> Response:
        host = request.headers.get("host", "").lower()
        origin = request.headers.get("origin", "").lower()
        if origin not in (f"http://{host}", f"https://{host}"):
            raise Refused(403, "only the explorer's own pages may send a form")
        if (
            request.headers.get("content-type", "").partition(";")[0].strip()
            != "application/x-www-form-urlencoded"
        ):
            raise Refused(415, "expected a form")
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LARGEST_FORM:
                raise Refused(413, f"a form has at most {LARGEST_FORM >> 20} MiB")
        fields = addresses.pairs(bytes(body))
        return await run_in_threadpool(handler, Page(request.app.state.site, request, View()), fields)

    return endpoint


@page(())
def worklists(request: Page) -> Response:
    """All worklists."""
    rows = request.session.rows("worklists", "The worklists")
    return request.render("worklists.html", title="Worklists", rows=rows)


def make(request: Page, fields: Form) -> Response:
    """A new worklist of the first images of a list."""
    values = dict(fields)
    name = addresses.text("name", values.pop("name", "").strip())
    if not 1 <= len(name) <= LONGEST_NAME:
        raise Refused(400, f"name: expected 1 to {LONGEST_NAME} characters")
    count = addresses.identifier("count", values.pop("count", ""))
    if count > MOST:
        raise Refused(400, f"count: at most {MOST} images")
    view, scorer = request.catalogue.settled(addresses.parse(values, LIST))
    asked_for = listing(request.catalogue, view, scorer)
    images = [row.image_id for row in request.site.database.rows(asked_for.question, **asked_for.part(count))]
    if not images:
        raise Refused(400, "this list has no image")
    number = request.site.worklists.make(name, str(view.task), images, view.address("/images"))
    return RedirectResponse(f"/worklists/{number}", 303)


@page(())
def worklist(request: Page) -> Response:
    """One worklist: who has read how much of it, and how they agree."""
    about = _about(request)
    reads = request.session.rows("worklist_reads", "What was read", name=about.name)
    labels = request.site.database.rows("worklist_labels", id=about.id)
    images = request.site.database.rows("worklist_images", id=about.id)
    answers: dict[int, dict[str, str]] = {}
    progress: dict[str, dict[str, int]] = {}
    for row in reads:
        answers.setdefault(row.position, {})[row.reader] = row.answer
        counts = progress.setdefault(row.reader, dict.fromkeys(ANSWERS, 0))
        counts[row.answer] += 1
    return request.render(
        "worklist.html", title=f"Worklist {about.name}", about=about, reads=reads, progress=progress, answers=answers,
        images=images, agreements=agreements(reads, labels),
    )  # fmt: skip


@page(())
def worklist_csv(request: Page) -> Response:
    """A worklist with all that was read, as CSV."""
    about = _about(request)
    images = request.site.database.rows("worklist_images", id=about.id)
    reads = request.site.database.rows("worklist_reads", name=about.name)
    headers = {
        "content-disposition": f'attachment; filename="worklist-{about.id}.csv"',
        "cache-control": "no-store",
    }
    lines = exported(about, images, reads, request.site.identities)
    return StreamingResponse(lines, media_type="text/csv", headers=headers)


def bring_in(request: Page, fields: Form) -> Response:
    """The reads of a CSV, all or none."""
    about = _about(request)
    _only(fields, ("csv",))
    request.site.worklists.keep(about.id, imported(fields.get("csv", "")))
    return RedirectResponse(f"/worklists/{about.id}", 303)


def read(request: Request) -> Response:
    """The image that a reader is to read next, and nothing else of it."""
    parameters = addresses.pairs(request.scope["query_string"])
    _only(parameters, ("reader", "position"))
    page = Page(request.app.state.site, request, View())
    about, reader = _about(page), reader_name(parameters.get("reader", ""))
    position = addresses.identifier("position", parameters["position"]) if "position" in parameters else None
    rows = page.site.database.rows(
        "worklist_next", id=about.id, reader=reader, position=position, unread=position is None
    )
    if position is not None and not rows:
        raise Refused(404, "this worklist has no such image")
    read_by = {
        row.position
        for row in page.site.database.rows("worklist_reads", name=about.name)
        if row.reader == reader
    }
    return page.render(
        "read.html", title=f"{about.task}?".replace("_", " "), about=about, reader=reader, item=rows[0] if rows else None,
        n_read=len(read_by), answers=ANSWERS,
    )  # fmt: skip


def keep(request: Page, fields: Form) -> Response:
    """What a reader says of an image; then the next one."""
    about = _about(request)
    _only(fields, ("reader", "position", "answer", "comment"))
    reader = reader_name(fields.get("reader", ""))
    position = addresses.identifier("position", fields.get("position", ""))
    answer = addresses.choice(ANSWERS)("answer", fields.get("answer", ""))
    reading = Read(position, reader, answer, comment_of(fields.get("comment", "")))
    request.site.worklists.keep(about.id, [reading])
    return RedirectResponse(f"/worklists/{about.id}/read?{urlencode({'reader': reader})}", 303)


@page(())
def picture(request: Page) -> Response:
    """The picture of an image of a worklist, by its position, which says nothing of it."""
    about, position = _about(request), identifier(request.request, "position")
    rows = request.site.database.rows("worklist_next", id=about.id, reader="", position=position)
    if not rows:
        raise Refused(404, "this worklist has no such image")
    content = request.site.pictures.whole(rows[0].image_id)
    return Response(content, media_type="image/png", headers={"cache-control": "private, max-age=3600"})


def _about(request: Page) -> Any:
    rows = request.site.database.rows("worklist", id=identifier(request.request))
    if not rows:
        raise Refused(404, "there is no such worklist")
    return rows[0]


def _only(fields: Form, allowed: tuple[str, ...]) -> None:
    if set(fields) - set(allowed):
        raise Refused(400, "this page has no such parameter")
