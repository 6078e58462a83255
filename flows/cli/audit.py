"""`xray audit`: images and patients that are in both training and test."""

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json


@click.group(cls=Group)
def audit() -> None:
    """Images and patients that are in both training and test."""


@audit.command()
@click.option("--protocol", multiple=True, help="Split every dataset under this protocol first (repeatable).")
@json_option("As one JSON object: cohorts, models, not_split.")
def leakage(protocol: tuple[str, ...], as_json: bool) -> None:
    """Overlaps of test cohorts with training and validation cohorts, by image and by patient, across all datasets.

    Compares every two cohorts of a protocol, and every model with every test cohort of its protocol. Copies
    (rsna's images are nih's) and equal pixels count as one image. By SQL: views leaking_cohorts, leaking_models,
    leaking_evaluations.
    """
    from sqlalchemy import text

    from db.queries import query
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray.data.leakage import record_all
    from xray.data.prepare import freeze_all

    with storage() as databases, databases.engine().begin() as connection:
        skipped = freeze_all(connection, protocol)
        record_all(connection)
        cohorts = [dict(row) for row in connection.execute(text(query("leaking_cohorts"))).mappings()]
        models = [dict(row) for row in connection.execute(text(query("leaking_models"))).mappings()]
        silent = connection.scalars(text("select model from foreign_models where trained_on is null")).all()
    if as_json:
        print_json({"cohorts": cohorts, "models": models, "not_split": skipped})
        return
    for note in skipped:
        click.echo(f"note: {note}", err=True)
    for model in silent:
        click.echo(f"note: {model}: its training data are unknown, so no leak can be ruled out", err=True)
    show_rows(cohorts, False, "no cohort shares an image or a patient with a test cohort")
    if models:
        click.echo("\nModels that saw images or patients of a test cohort:")
        show_rows(models, False, "")


@audit.command("near-copies")
@click.option(
    "--distance",
    type=click.IntRange(0, 256),
    default=24,
    show_default=True,
    help="Bits of the 256-bit perceptual hash by which two pictures differ at most.",
)
@json_option("One JSON object per pair.")
def near_copies(distance: int, as_json: bool) -> None:
    """Pictures that look the same though their pixels differ: other sizes, compression, brightness.

    Every pair of registered pictures is compared. A listed pair is a suspicion: look at it yourself. No count of
    `xray audit leakage` includes it.
    """
    from flows.cli.rows import show_rows
    from flows.platform import storage
    from xray.data.near_copies import near_copies as search

    with storage() as databases, databases.engine().begin() as connection:
        pairs = search(connection, distance)
    if not as_json:
        pairs = [{**pair, "across": "; ".join(pair["across"])} for pair in pairs]
    show_rows(pairs, as_json, f"no two pictures are within {distance} bits of each other")
