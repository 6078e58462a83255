"""`xray threshold`: a threshold for a goal, honest about being chosen, and what it does at other hospitals."""

from typing import TYPE_CHECKING, Any, Final

import click

from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.analyses.threshold import Threshold

SHARE: Final = click.FloatRange(0, 1, min_open=True, max_open=True)
HEADS: Final = ("measure", "on these images", "on further images", "95% interval")


@click.command()
@click.argument("model")
@click.option("--task", required=True, help="The finding.")
@click.option(
    "--sensitivity", type=SHARE, help="The highest threshold that finds this share of the positives."
)
@click.option(
    "--specificity", type=SHARE, help="The lowest threshold that calls this share of the negatives negative."
)
@click.option(
    "--ppv", type=SHARE, help="The lowest threshold at which this share of the positive calls is right."
)
@click.option(
    "--positive-rate",
    type=SHARE,
    help="The lowest threshold that calls at most this share of the images positive.",
)
@click.option("--youden", is_flag=True, help="The highest sum of sensitivity and specificity.")
@click.option(
    "--prevalence",
    type=SHARE,
    help="Prevalence where the threshold will be used (default: that of these images).",
)
@click.option("--dataset", help="Dataset to choose it on (default: the study's first that MODEL scored).")
@click.option("--study", help="The study (default: the only one).")
@json_option()
def threshold(
    model: str,
    task: str,
    youden: bool,
    prevalence: float | None,
    dataset: str | None,
    study: str | None,
    as_json: bool,
    **shares: float | None,
) -> None:
    """A threshold of MODEL for a finding that reaches a goal, with intervals that allow for choosing it on these images.

    "On further images" estimates how it does on other images of the same hospital, corrected for having been chosen on
    these; patients are the unit. Other hospitals of the study are judged at the same threshold.
    """
    from flows.platform import storage
    from xray.analyses.stored import study_meant
    from xray.analyses.threshold import threshold as choose

    goals: dict[str, float] = {
        name.replace("_", " "): share for name, share in shares.items() if share is not None
    }
    if youden:
        goals["youden"] = 0.0
    if len(goals) != 1:
        raise click.UsageError("choose one of --sensitivity, --specificity, --ppv, --positive-rate, --youden")
    ((goal, value),) = goals.items()
    name: Any = goal
    with storage() as databases, databases.engine().begin() as connection:
        study_name = study_meant(connection, study, None)
        result = choose(
            connection,
            study_name,
            model,
            task,
            name,
            value,
            prevalence,
            dataset,
        )
    if as_json:
        print_json(_plain(result))
    else:
        click.echo(_text(result))


def _plain(threshold: "Threshold") -> dict[str, Any]:
    """As JSON: thresholds on the scale of probabilities."""
    from scipy.special import expit

    from xray.stats.chosen import MEASURES

    choice = threshold.choice
    columns = zip(
        MEASURES, choice.apparent, choice.value, choice.value_lower, choice.value_upper, strict=True
    )
    return {
        "model": threshold.model,
        "task": threshold.task,
        "dataset": threshold.dataset,
        "n": choice.n,
        "n_pos": choice.n_pos,
        "reason": choice.reason or None,
        **{
            key: _number(expit(value))
            for key, value in (
                ("threshold", choice.threshold),
                ("lower", choice.lower),
                ("upper", choice.upper),
            )
        },
        "measures": {
            name: dict(zip(("apparent", "value", "lower", "upper"), map(_number, values), strict=True))
            for name, *values in columns
        },
        "elsewhere": [
            {
                "dataset": site.dataset,
                "n": site.n,
                "n_pos": site.n_pos,
                **{
                    name: {"value": _number(s.value), "lower": _number(s.lower), "upper": _number(s.upper)}
                    for name, s in site.shares.items()
                },
            }
            for site in threshold.elsewhere
        ],
    }


def _number(value: Any) -> float | None:
    return float(value) if value == value else None


def _text(threshold: "Threshold") -> str:
    from flows.cli.sql import table

    plain = _plain(threshold)
    subject = (
        f"{threshold.model}, {threshold.task}, chosen on {threshold.dataset} ({plain['n']} images, "
        f"{plain['n_pos']} positive)"
    )
    if plain["threshold"] is None:
        return f"{subject}: no threshold, {plain['reason']}"
    lines = [f"{subject}: {plain['threshold']:.4g} ({plain['lower']:.4g} to {plain['upper']:.4g}, 95 %)"]
    if plain["reason"]:
        lines.append(f"nothing can be said of further images: {plain['reason']}")
    rows = [
        (name, _share(of["apparent"]), _share(of["value"]), f"{_share(of['lower'])} to {_share(of['upper'])}")
        for name, of in plain["measures"].items()
    ]
    lines += ["", table(HEADS, rows)]
    for site in plain["elsewhere"]:
        shares = [
            f"{name} {_share(site[name]['value'])} ({_share(site[name]['lower'])} to {_share(site[name]['upper'])})"
            for name in plain["measures"]
        ]
        lines.append(
            f"at {site['dataset']} ({site['n']} images, {site['n_pos']} positive): {', '.join(shares)}"
        )
    return "\n".join(lines)


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
