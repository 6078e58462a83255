"""`xray plan`: how many images a validation needs, from assumed values or from a model's results."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option

Command = Callable[..., None]
SHARE: Final = click.FloatRange(0, 1, min_open=True, max_open=True)
WIDTH: Final = click.FloatRange(0, min_open=True)


def wide(name: str, default: float, measure: str) -> Callable[[Command], Command]:
    """An option for the wanted width of an interval."""
    words = f"Desired width of the 95% interval of {measure}."
    return click.option(f"--{name}-width", type=WIDTH, default=default, show_default=True, help=words)


@click.group(cls=Group)
def plan() -> None:
    """How many images a validation needs, before they are collected."""


@plan.command()
@click.option("--prevalence", type=SHARE, help="Share of images with the finding.")
@click.option("--auc", type=SHARE, help="The expected AUC.")
@click.option(
    "--pilot",
    nargs=4,
    metavar="STUDY MODEL DATASET FINDING",
    help="Take prevalence, AUC, sensitivity, specificity from stored results.",
)
@wide("auc", 0.1, "the AUC")
@wide("ratio", 0.2, "observed/expected positives")
@wide("slope", 0.2, "the calibration slope")
@wide("share", 0.1, "sensitivity and specificity")
@wide("benefit", 0.2, "the standardised net benefit")
@click.option(
    "--logits",
    nargs=2,
    type=float,
    metavar="MEAN SD",
    help="Log odds of the predicted risks (default: from AUC and prevalence).",
)
@click.option("--sensitivity", type=SHARE, help="Expected sensitivity at the threshold.")
@click.option("--specificity", type=SHARE, help="Expected specificity at the threshold.")
@click.option(
    "--threshold",
    type=SHARE,
    help="Probability from which an image is called positive; adds the net benefit.",
)
@click.option(
    "--difference", type=SHARE, help="Difference of two models' AUCs on the same images, to be shown at 5%."
)
@click.option(
    "--correlation",
    type=click.FloatRange(-1, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Correlation of the two AUCs.",
)
@click.option(
    "--power",
    type=SHARE,
    default=0.8,
    show_default=True,
    help="Power: the chance that the difference is shown.",
)
@json_option("One JSON object per line of the table.")
def size(pilot: tuple[str, str, str, str] | None, as_json: bool, **options: Any) -> None:
    """How many images a validation of a model needs, for each desired precision.

    By the formulas of Riley et al. 2021, as in the program pmvalsampsize. With several images per patient, read
    "patients" for images.
    """
    from flows.cli.rows import show_rows
    from xray.errors import XrayError

    expected = ("prevalence", "auc", "sensitivity", "specificity")
    assumed = {name: options[name] for name in expected if options[name] is not None}
    if pilot:
        assumed = {**_of_pilot(*pilot), **assumed}
    if "prevalence" not in assumed or "auc" not in assumed:
        raise click.UsageError("give --prevalence and --auc, or --pilot STUDY MODEL DATASET FINDING")
    try:
        sizes = list(_sizes(assumed, options))
    except ValueError as error:
        raise XrayError(str(error)) from None
    rows = [{"for": words, "images": n, "positives": round(n * assumed["prevalence"])} for words, n in sizes]
    show_rows(rows, as_json, "")
    if not as_json:
        most = max(rows, key=lambda row: row["images"])
        click.echo(f"for all of them: {most['images']} images, {most['positives']} positive", err=True)


def _sizes(assumed: dict[str, float], options: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """What for, and how many images. Raises `ValueError`."""
    from xray.stats import planning

    prevalence, auc = assumed["prevalence"], assumed["auc"]
    width = {name.removesuffix("_width"): options[name] for name in options if name.endswith("_width")}
    yield (
        f"observed/expected, interval {width['ratio']:g} wide",
        planning.size_for_observed_expected(prevalence, width["ratio"]),
    )
    yield (
        f"AUC {auc:.3g}, interval {width['auc']:g} wide",
        planning.size_for_auc(auc, prevalence, width["auc"]),
    )
    logits = (
        planning.normal_logits(*options["logits"])
        if options["logits"]
        else planning.logits_of(auc, prevalence)
    )
    yield (
        f"calibration slope, interval {width['slope']:g} wide",
        planning.size_for_slope(*logits, width["slope"]),
    )
    for name, share in (("sensitivity", prevalence), ("specificity", 1 - prevalence)):
        if name in assumed:
            words = f"{name} {assumed[name]:.3g}, interval {width['share']:g} wide"
            yield words, planning.size_for_share(assumed[name], share, width["share"])
    at = options["threshold"]
    if at is not None:
        if not {"sensitivity", "specificity"} <= assumed.keys():
            raise ValueError("--threshold: the net benefit also needs --sensitivity and --specificity")
        shares = assumed["sensitivity"], assumed["specificity"]
        words = f"net benefit at {at:g}, interval {width['benefit']:g} wide"
        yield words, planning.size_for_net_benefit(*shares, at, prevalence, width["benefit"])
    if options["difference"] is not None:
        other, power = auc - options["difference"], options["power"]
        words = f"AUCs {auc:.3g} and {other:.3g} told apart, power {power:g}"
        yield words, planning.size_for_difference(auc, other, prevalence, options["correlation"], power)


def _of_pilot(study: str, model: str, dataset: str, finding: str) -> dict[str, float]:
    """Prevalence, AUC, and shares at Youden's point, as stored. Raises `XrayError` where there is none."""
    from sqlalchemy import text

    from db.queries import query
    from flows.platform import storage
    from xray.errors import XrayError

    names = {"study": study, "model": model, "dataset": dataset, "task": finding}
    with storage() as databases, databases.engine().connect() as connection:
        row = connection.execute(text(query("pilot")), names).mappings().one_or_none()
    if row is None:
        raise XrayError(
            f"--pilot: study {study!r} has no AUC of {model!r} on {dataset!r} for {finding!r}: xray analyse performance"
        )
    return {name: float(value) for name, value in row.items() if value is not None and 0 < value < 1}
