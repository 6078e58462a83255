"""`xray db check`: what should not be there, by queries that return no row when all is well."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from db.upkeep.audits import Outcome

SHOWN = 10


@click.command()
@json_option("As one JSON object: clean, checks.")
def check(as_json: bool) -> None:
    """Look for half rows, wrong lengths, orphans, patients in two parts, lost or damaged files. Changes nothing.

    Exit code 1 if anything is found. All checks see the database as of one moment, even while a study runs.
    """
    from flows.cli.db import owned
    from xray import settings
    from xray.upkeep.checks import Installation, outcomes

    with owned() as databases:
        looked = list(outcomes(Installation(databases.engine(), databases.mlflow, settings.home())))
    clean = all(outcome.is_well for outcome in looked)
    if as_json:
        print_json({"clean": clean, "checks": [_plain(outcome) for outcome in looked]})
    else:
        _show(looked)
    if not clean:
        sys.exit(1)


def _plain(outcome: "Outcome") -> dict[str, object]:
    audit = outcome.audit
    return {
        "name": audit.name,
        "finds": audit.finds,
        "rows": list(outcome.rows),
        "more": outcome.more,
        "skipped": outcome.skipped,
        "then": audit.remedy,
    }


def _show(looked: Sequence["Outcome"]) -> None:
    from flows.cli.sql import table

    rows = [(outcome.audit.name, _count(outcome), outcome.audit.finds) for outcome in looked]
    click.echo(table(("check", "found", "finds"), rows))
    for outcome in looked:
        if outcome.is_well:
            continue
        click.echo(f"\n{outcome.audit.name}: {outcome.skipped or outcome.audit.finds}")
        for row in outcome.rows[:SHOWN]:
            click.echo(
                "  " + ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
            )
        if len(outcome.rows) > SHOWN:
            click.echo(f"  … {_count(outcome)} in all; the first 100 with --json")
        click.echo(f"  then: {outcome.audit.remedy}")
    wrong = sum(not outcome.is_well for outcome in looked)
    click.echo(f"\n{len(looked)} checks: {f'{wrong} found something' if wrong else 'nothing found'}")


def _count(outcome: "Outcome") -> str:
    return "–" if outcome.skipped else f"{len(outcome.rows)}{'+' if outcome.more else ''}"
