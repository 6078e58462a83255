"""The first page: findings × datasets of a model, each cell with what its interval allows to say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from xray.explorer.addresses import Refused, View
from xray.explorer.site import Page, page
from xray.report.answer import CANNOT_SAY, FAILS, WORKS
from xray.report.limits import USEFUL
from xray.report.verdicts import causes
from xray.report.why import BLAMED

LIMIT: Final = USEFUL.value
"""The AUC from which on a model is said to work, where the address names no other: the report's."""


@dataclass(frozen=True)
class Entry:
    """One cell of the grid: what can be said, the numbers behind it, what is to blame, where scores and images are."""

    standing: str
    row: Any
    blame: str
    address: str
    images: str


def standing(lower: float | None, upper: float | None, limit: float) -> str:
    """works: the whole 95 % interval of the AUC is at or above the limit; fails: it is below; else it can't be said."""
    if lower is None or upper is None:
        return CANNOT_SAY
    return WORKS if lower >= limit else FAILS if upper < limit else CANNOT_SAY


def blame(verdict: str | None) -> str:
    """What a verdict blames, in the words of the report; nothing where it blames nothing."""
    return " and ".join(BLAMED[cause] for cause in causes(verdict or ""))


@page(("model", "limit", "protocol"))
def grid(request: Page) -> Response:
    """Findings × datasets of one model."""
    scorer = request.catalogue.scorer(request.view.model)
    limit = LIMIT if request.view.limit is None else request.view.limit
    rows = request.session.rows(
        "grid",
        "One row per finding and dataset",
        models=list(scorer.models),
        study=scorer.study,
        trained_on=scorer.trained_on,
        seed=scorer.seed,
    )
    protocols = list(dict.fromkeys(row.protocol for row in rows))
    protocol = request.view.protocol or next(iter(protocols), None)
    if protocol is not None and protocol not in protocols:
        raise Refused(404, "protocol: this model has no scores under it")
    own = [row for row in rows if row.protocol == protocol]
    datasets = list(dict.fromkeys(row.test_dataset for row in own))
    lines = _lines(own, View(model=scorer.name), limit)
    counts = {
        result: sum(e.standing == result for line in lines.values() for e in line.values())
        for result in (FAILS, CANNOT_SAY, WORKS)
    }
    return request.render(
        "grid.html", title=f"{scorer.title}: findings and sites", scorer=scorer, scorers=request.catalogue.scorers.values(),
        datasets=datasets, lines=lines, limit=limit, counts=counts, protocol=protocol, protocols=protocols,
    )  # fmt: skip


def _lines(rows: Sequence[Any], view: View, limit: float) -> dict[str, dict[str, Entry]]:
    """By finding, then by dataset; findings that fail most often first."""
    lines: dict[str, dict[str, Entry]] = {}
    for row in rows:
        cell = {"dataset": row.test_dataset, "task": row.task, "protocol": row.protocol}
        addresses = (view.address(path, **cell) for path in ("/cell", "/images"))
        entry = Entry(standing(row.lower, row.upper, limit), row, blame(row.verdict), *addresses)
        lines.setdefault(row.task, {})[row.test_dataset] = entry
    return dict(
        sorted(lines.items(), key=lambda line: -sum(entry.standing == FAILS for entry in line[1].values()))
    )
