"""The page of one image: its picture, every label with its source, every model's score, what else is known of it."""

from typing import Any, Final

from starlette.responses import Response

from xray.explorer import drawing
from xray.explorer.addresses import LIST, WINDOW, Refused
from xray.explorer.site import Page, identifier, page, rendered

CACHED: Final = {"cache-control": "private, max-age=3600"}


@page((*LIST, *WINDOW))
def image(request: Page) -> Response:
    """One image."""
    number = identifier(request.request)
    images = request.session.rows("image", id=number)
    if not images:
        raise Refused(404, "there is no such image")
    session, about = request.session, images[0]
    scores = session.rows("image_scores", "Every model's score of this image", id=number)
    labels = session.rows("image_labels", "Every label of this image", id=number)
    cells = session.rows("image_cells", "What the label files say of it", id=number)
    siblings = session.rows("image_siblings", "Other images of the patient", id=number)
    view, within = request.view, request.view != request.view.only(*WINDOW)
    if within:  # it was come by from a list
        view, _ = request.catalogue.settled(view)
    marked = request.catalogue.scorers[view.model].models if view.model in request.catalogue.scorers else ()
    rows, height = drawing.dot_plot(scores, marked)
    return rendered(
        request.site,
        "image.html",
        questions=session.questions,
        view=view,
        title=request.site.identities.image(number, about.image),
        number=number,
        about=about,
        labels=by_task(labels),
        datasets=list(dict.fromkeys(row.dataset for row in labels)),
        cells=[
            cell
            for cell in cells
            if request.site.identities.shows(cell.native_column, cell.value, about.image, about.patient)
        ],
        siblings=siblings,
        rows=rows,
        height=height,
        scores=scores,
        identities=request.site.identities,
        back=within,
    )


@page(())
def thumbnail(request: Page) -> Response:
    """A small picture of an image."""
    picture = request.site.pictures.thumbnail(identifier(request.request))
    return Response(picture, media_type="image/webp", headers=CACHED)


@page(())
def picture(request: Page) -> Response:
    """The picture of an image."""
    picture = request.site.pictures.whole(identifier(request.request))
    return Response(picture, media_type="image/png", headers=CACHED)


def by_task(labels: Any) -> dict[str, dict[str, Any]]:
    """Labels by finding, then by dataset; findings that nobody says anything of last."""
    lines: dict[str, dict[str, Any]] = {}
    for row in labels:
        lines.setdefault(row.task, {})[row.dataset] = row
    return dict(
        sorted(lines.items(), key=lambda line: all(row.state == "not mentioned" for row in line[1].values()))
    )
