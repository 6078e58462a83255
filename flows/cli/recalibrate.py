"""`xray recalibrate`: a model's probabilities made to fit a hospital, before and after, there and at the others."""

from typing import TYPE_CHECKING, Any, Final

import click

from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.analyses.recalibration import Judged, Recalibrated
    from xray.stats.calibration_intervals import Calibrated, Measure
    from xray.stats.flexible_calibration import FlexibleCurve

METHODS: Final = ("intercept", "logistic", "isotonic")
HEADS: Final = ("measure", "perfect", "before", "after")


@click.command()
@click.argument("model")
@click.option("--task", required=True, help="The finding.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default="logistic",
    show_default=True,
    help="Shift all logits; shift and scale them; or any curve that never falls.",
)
@click.option("--dataset", help="Dataset to fit on (default: the study's first that MODEL scored).")
@click.option("--study", help="The study (default: the only one).")
@json_option("As one JSON object, with the curves.")
def recalibrate(
    model: str, task: str, method: Any, dataset: str | None, study: str | None, as_json: bool
) -> None:
    """Recalibrate MODEL's probabilities of a finding for a hospital, and report calibration before and after.

    "After" on the images that it is fitted on is cross-fitted: each patient is judged by a map fitted without the patient.
    Other hospitals of the study are judged with the map as it is. It is stored under a version of its own, and the logits
    stay as they are: xray sql "select … from calibrated_predictions" reads them through it.
    """
    from flows.platform import storage
    from xray.analyses.recalibration import recalibrate_model
    from xray.analyses.stored import study_meant

    with storage() as home, home.engine().begin() as connection:
        recalibration = recalibrate_model(
            connection, study_meant(connection, study, None), model, task, method, dataset
        )
    if as_json:
        print_json(_plain(recalibration))
    else:
        click.echo(_text(recalibration))


def _plain(recalibration: "Recalibrated") -> dict[str, Any]:
    fitted = recalibration.fitted
    isotonic = fitted.method == "isotonic"
    return {
        "model": recalibration.model,
        "task": recalibration.task,
        "calibration": recalibration.version,
        "method": fitted.method,
        "n": fitted.n,
        "n_pos": fitted.n_pos,
        "intercept": None if isotonic else fitted.intercept,
        "slope": None if isotonic else fitted.slope,
        "knots": fitted.knots.tolist() if isotonic else None,
        "probabilities": fitted.probabilities.tolist() if isotonic else None,
        "here": _judged(recalibration.at_home),
        "elsewhere": [_judged(judgement) for judgement in recalibration.elsewhere],
    }


def _judged(judged: "Judged") -> dict[str, Any]:
    return {
        "dataset": judged.dataset,
        "n": judged.before.n,
        "n_pos": judged.before.n_pos,
        "left_out": judged.left_out,
        "before": _measures(judged.before) | {"curve": _curve(judged.curve_before)},
        "after": _measures(judged.after) | {"curve": _curve(judged.curve_after)},
        "brier difference": _bounds(judged.difference),
    }


def _measures(calibrated: "Calibrated") -> dict[str, Any]:
    measures = {name: _bounds(measure) for name, measure in calibrated.measures.items()}
    return measures | {"reason": calibrated.reason or None}


def _bounds(measure: "Measure") -> dict[str, float | None]:
    return {name: _number(getattr(measure, name)) for name in ("value", "lower", "upper")}


def _curve(curve: "FlexibleCurve") -> dict[str, Any]:
    vectors = {name: getattr(curve, name).tolist() for name in ("predicted", "observed", "lower", "upper")}
    return vectors | {"reason": curve.reason or None}


def _number(value: float) -> float | None:
    return float(value) if value == value else None


def _text(recalibration: "Recalibrated") -> str:
    from flows.cli.sql import table
    from xray.stats.calibration_intervals import PERFECT

    fitted = recalibration.fitted
    says = (
        f"{len(fitted.knots)} knots"
        if fitted.method == "isotonic"
        else f"calibrated logit = {fitted.intercept:.3f} + {fitted.slope:.3f} · logit"
    )
    lines = [
        f"{recalibration.model}, {recalibration.task}: calibration {recalibration.version}, {fitted.method}, {says}"
    ]
    for judged in (recalibration.at_home, *recalibration.elsewhere):
        at_home = judged is recalibration.at_home
        manner = "fitted here; after: cross-fitted by patient" if at_home else "the same map"
        out = f", {judged.left_out} images of patients in the fit left out" if judged.left_out else ""
        before, after = judged.before, judged.after
        rows = [
            (name, f"{PERFECT[name]:g}", _in_words(before.measures[name]), _in_words(after.measures[name]))
            for name in PERFECT
        ]
        lines += [
            "",
            f"at {judged.dataset} ({before.n} images, {before.n_pos} positive{out}; {manner})",
            table(HEADS, rows),
            f"Brier score, after minus before: {_in_words(judged.difference, 4)}",
        ]
        lines += [f"{when}: {of.reason}" for when, of in (("before", before), ("after", after)) if of.reason]
    return "\n".join(lines)


def _in_words(measure: "Measure", digits: int = 3) -> str:
    if measure.value != measure.value:
        return "–"
    if measure.lower != measure.lower:
        return f"{measure.value:.{digits}f}"
    return f"{measure.value:.{digits}f} ({measure.lower:.{digits}f} to {measure.upper:.{digits}f})"
