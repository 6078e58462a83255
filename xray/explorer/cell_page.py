"""The page of a cell: distributions by label, the ROC curve, a threshold to be moved, and what it makes of a prevalence."""

from dataclasses import replace
from typing import Any

import numpy as np
from starlette.responses import Response

from db.copy import read_array
from xray.explorer import drawing
from xray.explorer.addresses import CELL, FILTERS, View
from xray.explorer.catalogue import Scorer
from xray.explorer.cell import Cell, counts, measure, ppv_at, same_calls
from xray.explorer.cut import Scores, scores_of_cut, shares
from xray.explorer.site import Page, page


def score_parameters(view: View, scorer: Scorer) -> dict[str, Any]:
    """The parameters of the question `scores` for a settled view."""
    parameters = {name: getattr(view, name) for name in ("dataset", "task", "protocol", *FILTERS)}
    parameters["unlabelled"] = view.label == "none"
    parameters["label"] = int(view.label) if view.label in ("0", "1") else None
    return {"models": list(scorer.models), **parameters}


@page((*CELL, *FILTERS, "t", "prevalence"))
def cell(request: Page) -> Response:
    """One model, one finding, one dataset."""
    view, scorer = request.catalogue.settled(request.view)
    parameters = score_parameters(view, scorer)
    row = scores_of_cut(request, view, scorer) or _row_by_row(request, parameters)
    request.session.show("scores", "The scores and labels of this page", parameters)
    logits, labels = row.logits, row.labels
    measured = _as_analysed(measure(logits, labels), row)
    points = request.session.rows(
        "operating_points", "Operating points", study=scorer.study, trained_on=scorer.trained_on, dataset=view.dataset,
        task=view.task,
    ) if scorer.study else []  # fmt: skip
    scores = logits.astype(np.float64)
    threshold = (
        view.t if view.t is not None else same_calls(scores, float(points[0].threshold) if points else 0.0)
    )
    confusion = counts(scores, labels, threshold)
    prevalence = view.prevalence if view.prevalence is not None else _prevalence(measured)
    settled = replace(view, t=threshold, prevalence=None)
    return request.render(
        "cell.html",
        title=f"{view.task} at {view.dataset}".replace("_", " "),
        settled=settled, scorer=scorer, scorers=request.catalogue.scorers.values(), catalogue=request.catalogue,
        cells=request.catalogue.cells_of(scorer), row=row, cell=measured, threshold=threshold, prevalence=prevalence,
        table=dict(zip(("tp", "fp", "fn", "tn"), confusion, strict=True)), values=_values(confusion, prevalence),
        roc=drawing.roc(measured.curve), marks=[_mark(measured, float(p.threshold), p.rule) for p in points],
        mark=_mark(measured, threshold, "threshold"), steps=drawing.steps(measured.histogram),
        data=_data(measured, threshold), shares=shares(row.rows), x=drawing.unit_x(), y=drawing.unit_y(), drawing=drawing,
    )  # fmt: skip


def _row_by_row(request: Page, parameters: dict[str, Any]) -> Scores:
    """The scores of a model of no study, asked row by row."""
    row = request.session.rows("cell", **parameters)[0]
    logits, labels = (read_array(memoryview(v), k) for v, k in ((row.logits, "float4"), (row.labels, "int2")))
    return Scores(logits, labels, row.n_unlabelled, row.n_unscored, {})


def _as_analysed(measured: Cell, scores: Scores) -> Cell:
    """A cell with the AUC and interval of the results: by patient, where patients have several images."""
    for row in scores.rows.get("performance", []):
        if row["seed"] is None:
            value, lower, upper = (np.nan if row[k] is None else row[k] for k in ("auc", "lower", "upper"))
            return replace(measured, auc=value, lower=lower, upper=upper, reason=row["reason"] or "")
    return measured


def _prevalence(measured: Cell) -> float:
    return measured.curve.n_pos / measured.n if measured.n else 0.1


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _values(confusion: tuple[int, int, int, int], prevalence: float) -> dict[str, float]:
    """What the confusion table says, and what would be at another prevalence."""
    tp, fp, fn, tn = confusion
    sensitivity, specificity = _ratio(tp, tp + fn), _ratio(tn, tn + fp)
    ppv, npv = ppv_at(sensitivity, specificity, prevalence)
    return {
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "ppv_there": ppv,
        "npv_there": npv,
    }


def _mark(measured: Cell, threshold: float, name: str) -> dict[str, Any]:
    """Where a threshold is on the ROC curve and on the axis of scores."""
    curve = measured.curve
    at = curve.at(threshold)
    fpr, tpr = (
        _ratio(int(part[at]), whole) for part, whole in ((curve.fp, curve.n_neg), (curve.tp, curve.n_pos))
    )
    finite = np.isfinite(fpr) and np.isfinite(tpr)
    return {
        "name": name,
        "threshold": threshold,
        "x": drawing.unit_x()(fpr) if finite else None,
        "y": drawing.unit_y()(tpr) if finite else None,
    }


def _data(measured: Cell, threshold: float) -> dict[str, Any]:
    """The curve, for the slider: thresholds from low to high, so that it moves to the right as they rise."""
    curve = measured.curve
    finite = curve.threshold[1:]
    return {
        "threshold": finite[::-1].tolist(),
        "tp": curve.tp[1:][::-1].tolist(),
        "fp": curve.fp[1:][::-1].tolist(),
        "n_pos": curve.n_pos,
        "n_neg": curve.n_neg,
        "at": max(0, finite.size - max(curve.at(threshold), 1)),
        "edges": [float(measured.histogram.edges[0]), float(measured.histogram.edges[-1])],
    }
