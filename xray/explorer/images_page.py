"""Lists of images: the most confident errors, what two models, two versions or two labellers see differently; as CSV too."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response, StreamingResponse

from xray.csv_cells import row as safe
from xray.explorer.addresses import LIST, Refused, View
from xray.explorer.catalogue import Catalogue, Scorer
from xray.explorer.cell_page import score_parameters
from xray.explorer.identities import Identities
from xray.explorer.site import Page, page

ROWS: Final = 48
_OF_KIND: Final[dict[str, dict[str, Any]]] = {
    "all": {"direction": 1},
    "false-positives": {"direction": 1, "label": 0, "called": True},
    "false-negatives": {"direction": -1, "label": 1, "not_called": True},
    "true-positives": {"direction": 1, "label": 1, "called": True},
    "true-negatives": {"direction": -1, "label": 0, "not_called": True},
}


@dataclass(frozen=True)
class Listing:
    """A list of images as a question: its name, parameters, and title."""

    question: str
    parameters: dict[str, Any]
    title: str

    def part(self, rows: int | None, after: int | None = None) -> dict[str, Any]:
        """The parameters of a page of it."""
        return {**self.parameters, "rows": rows, "after": after}


def listing(catalogue: Catalogue, view: View, scorer: Scorer) -> Listing:
    """The list that a settled view asks for. Raises `Refused` where it lacks the other model, or labeller."""
    kind = view.kind or "all"
    parameters = score_parameters(view, scorer)
    subject = f"{view.task} at {view.dataset}".replace("_", " ")
    if kind in ("disagreements", "changed"):
        other = catalogue.scorer(_required(view.other, "other"))
        if (view.dataset, view.task, view.protocol) not in catalogue.cells_of(other):
            raise Refused(404, "other: this model has no scores of the same images")
        parameters |= {
            "others": list(other.models),
            "changed": kind == "changed",
            "better": False,
            "worse": False,
        }
        parameters |= {"t": view.t or 0.0, "t_other": view.t_other or 0.0}
        relation = "calls that change from" if kind == "changed" else "where they disagree:"
        return Listing(
            "disagreements",
            parameters,
            f"{subject}, {relation} {scorer.title} {'to' if kind == 'changed' else 'and'} {other.title}",
        )
    if kind == "labellers":
        other_dataset = _required(view.other_dataset, "other_dataset")
        if other_dataset not in catalogue.labellers_beside(view.dataset or ""):
            raise Refused(404, "other_dataset: no other dataset of this site")
        return Listing(
            "labellers",
            {**parameters, "other_dataset": other_dataset},
            f"{subject}, labelled differently in {other_dataset}",
        )
    own = _OF_KIND[kind]
    if "label" in own and view.label is not None:
        raise Refused(400, "label: this list has a label already")
    label = own.get("label", parameters["label"])
    calls, other_calls = "called" in own, "not_called" in own and view.t is not None
    parameters |= {"direction": own["direction"], "label": label, "t": view.t or 0.0}
    parameters |= {"called": calls and view.t is not None, "not_called": other_calls}
    words = {"all": "all images", "false-positives": "most confident false positives"}
    return Listing("images", parameters, f"{subject}: {words.get(kind, kind.replace('-', ' '))}")


@page((*LIST, "after"))
def images(request: Page) -> Response:
    """A page of a list of images."""
    view, scorer = request.catalogue.settled(request.view)
    asked_for = listing(request.catalogue, view, scorer)
    rows = request.session.rows(
        asked_for.question, "The images of this page", **asked_for.part(ROWS + 1, view.after)
    )
    if view.after is not None and not rows and not _is_listed(request, asked_for, view.after):
        raise Refused(404, "after: this list has no such image")
    page_rows = rows[:ROWS]
    return request.render(
        "images.html",
        title=asked_for.title,
        settled=view,
        scorer=scorer,
        scorers=request.catalogue.scorers.values(),
        catalogue=request.catalogue,
        cells=request.catalogue.cells_of(scorer),
        rows=page_rows,
        identities=request.site.identities,
        next=page_rows[-1].image_id if len(rows) > ROWS else None,
        beside=request.catalogue.labellers_beside(view.dataset or ""),
    )


@page(LIST)
def images_csv(request: Page) -> Response:
    """The whole list as a CSV file, row by row as the rows come."""
    view, scorer = request.catalogue.settled(request.view)
    asked_for = listing(request.catalogue, view, scorer)
    rows = request.site.database.stream(asked_for.question, **asked_for.part(None))
    columns = next(rows)
    headers = {"content-disposition": 'attachment; filename="images.csv"', "cache-control": "no-store"}
    return StreamingResponse(
        csv_lines(columns, rows, request.site.identities), media_type="text/csv", headers=headers
    )


def csv_lines(columns: Sequence[str], rows: Iterator[Sequence[Any]], identities: Identities) -> Iterator[str]:
    """Lines of a CSV file: formulas harmless, patients and images by their pseudonyms."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    site, image, patient, number = (columns.index(name) for name in ("site", "image", "patient", "image_id"))
    writer.writerow(columns)
    for count, row in enumerate(rows, start=1):
        cells = list(row)
        cells[patient] = identities.patient(cells[site], cells[patient])
        cells[image] = identities.image(cells[number], cells[image])
        writer.writerow(safe(cells))
        if count % 500 == 0:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def _is_listed(request: Page, asked_for: Listing, after: int) -> bool:
    """Whether a list has an image, which then is its last."""
    return any(
        row.image_id == after
        for row in request.site.database.rows(asked_for.question, **asked_for.part(None))
    )


def _required(value: str | None, name: str) -> str:
    if value is None:
        raise Refused(400, f"{name}: this list needs it")
    return value
