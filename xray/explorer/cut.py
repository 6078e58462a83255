"""The cut that an address asks for, from vectors that are kept in memory: its scores, and what each analysis says of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from xray.analyses import agreement, calibration, operating_points, performance
from xray.analyses.analysis import REGISTRY
from xray.analyses.cuts import Cut, Cutting, Selection
from xray.analyses.stored import TestSet
from xray.analyses.where import Among, Clause, Condition
from xray.errors import AnalysisError
from xray.explorer.addresses import View
from xray.explorer.catalogue import Scorer
from xray.explorer.site import Page

OF_A_CELL: Final = tuple(
    module.__name__.rpartition(".")[2] for module in (performance, operating_points, calibration, agreement)
)
"""The analyses that a page of a cell shows; importing them registers them."""
SHARES: Final = ("sensitivity", "specificity", "ppv", "npv")


@dataclass(frozen=True)
class Scores:
    """Scores and labels (n_images,) of the images that have both, float32 and 1/0, and how many others there are.

    rows: analysis → its rows on these images; of no analysis for one seed of several, or where a label is asked for.
    """

    logits: NDArray[np.float32]
    labels: NDArray[np.int16]
    n_unlabelled: int
    n_unscored: int
    rows: dict[str, list[dict[str, Any]]]


def scores_of_cut(page: Page, view: View, scorer: Scorer) -> Scores | None:
    """What a settled view asks for; None where the scorer is of no study, or its dataset stands under several protocols."""
    protocols = {cell[2] for cell in page.catalogue.cells_of(scorer) if cell[0] == view.dataset}
    if scorer.study is None or len(protocols) != 1:
        return None
    selection = Selection((scorer.trained_on,), (str(view.dataset),), (str(view.task),))
    images = Cut(tuple(_conditions(page, view)))
    with page.site.database.connection() as connection:
        try:
            cutting = Cutting(connection, scorer.study, images, selection, page.site.cache)
        except AnalysisError:  # no image fits; that there are such names, the catalogue has seen to
            return Scores(np.zeros(0, np.float32), np.zeros(0, np.int16), 0, 0, {})
        test = cutting.scores(str(view.dataset), scorer.trained_on)
        whole = len(scorer.models) == len(test.evaluations) and view.label is None
        rows = {name: cutting.rows(REGISTRY[name]) for name in OF_A_CELL} if whole else {}
    return _scores(test, scorer, view.label, rows)


def shares(rows: dict[str, list[dict[str, Any]]]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The operating points of a cell: of each one row, and the rows of its shares in the order of `SHARES`."""
    by_rule: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows.get("operating_points", []):
        by_rule.setdefault(row["rule"], {})[row["measure"]] = row
    return [(of["sensitivity"], [of[name] for name in SHARES]) for of in by_rule.values()]


def _conditions(page: Page, view: View) -> list[Condition]:
    """The filters of an address."""
    conditions: list[Condition] = [
        Among(name, frozenset([value]))
        for name, value in (("view", view.view), ("sex", view.sex))
        if value is not None
    ]
    for operator, age in ((">=", view.age_from), ("<=", view.age_to)):
        if age is not None:
            conditions.append(Clause("age", operator, repr(age)))
    if view.column is not None:
        names = ("dataset", "column", "value_from", "value_to")
        cells = page.site.database.rows("fitting_cells", **{name: getattr(view, name) for name in names})
        conditions.append(Among(view.column, frozenset(row.cell for row in cells)))
    return conditions


def _scores(
    test: TestSet, scorer: Scorer, label: str | None, rows: dict[str, list[dict[str, Any]]]
) -> Scores:
    """Scores as lists of images have them, rounded to float32."""
    seeds: Sequence[Any] = test.of(scorer.trained_on)
    if len(scorer.models) == len(seeds):
        score = test.ensemble(scorer.trained_on)[:, 0].astype(np.float32)
    else:
        (one,) = (seed for seed in seeds if seed.seed == scorer.seed)
        score = test.logits[one.evaluation_id][0]
    labels = test.cohort.labels[:, 0]
    if label is not None:
        rows_of_label = np.isnan(labels) if label == "none" else labels == int(label)
        score, labels = score[rows_of_label], labels[rows_of_label]
    both = ~np.isnan(score) & ~np.isnan(labels)
    n_unlabelled, n_unscored = int(np.isnan(labels).sum()), int(np.isnan(score).sum())
    return Scores(score[both], labels[both].astype(np.int16), n_unlabelled, n_unscored, rows)
