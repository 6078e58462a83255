"""`xray dataset`: add, list and count datasets."""

import json
from pathlib import Path

import click

PATH = click.Path(exists=True, path_type=Path)


@click.group()
def dataset() -> None:
    """Add, list and count datasets."""


@dataset.command()
@click.argument("name")
@click.option("--site", required=True, help="Where the images come from; patients belong to a site.")
@click.option(
    "--manifest",
    type=PATH,
    required=True,
    help="CSV: image_id, patient_id, path, view, age, sex, one column per task.",
)
@click.option("--images", type=PATH, help="Folder that the paths are relative to (default: the manifest's).")
@click.option("--protocol", default="corrected", show_default=True, help="Rules by which cohorts are made.")
def add(name: str, site: str, manifest: Path, images: Path | None, protocol: str) -> None:
    """Register the images and labels of a CSV as dataset NAME, whole or not at all."""
    from flows.platform import storage
    from xray.data.prepare import DatasetRequest, register_request
    from xray.study import check_name

    check_name("NAME", name)
    check_name("--site", site)
    request = DatasetRequest(name, site, "manifest", manifest, images, None)
    with storage() as found:
        done = register_request(found.engine(), request, protocol, progress=True)
    if done.unchanged:
        click.echo(f"{name}: {done.n_images} images were registered already, nothing has changed")
    else:
        click.echo(f"{name}: registered {done.n_images} images of {done.n_patients} patients")


@dataset.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per dataset.")
def list_(as_json: bool) -> None:
    """Every dataset, with its site and size."""
    from sqlalchemy import text

    from db.queries import query
    from flows.cli.sql import table
    from flows.platform import storage

    with storage() as found, found.engine().begin() as connection:
        answer = connection.execute(text(query("datasets")))
        columns, rows = list(answer.keys()), [tuple(row) for row in answer]
    if as_json:
        for row in rows:
            click.echo(json.dumps(dict(zip(columns, row, strict=True)), default=str))
    elif rows:
        click.echo(table(columns, rows))
    else:
        click.echo("no dataset yet: xray dataset add NAME --site SITE --manifest labels.csv")


@dataset.command()
@click.argument("name")
@click.option("--protocol", help="Count the cohorts of this protocol instead of all images.")
@click.option("--part", type=click.Choice(["train", "validation", "test"]), help="Only this part.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def counts(name: str, protocol: str | None, part: str | None, as_json: bool) -> None:
    """Images per task and label state of dataset NAME."""
    from flows.cli.sql import table
    from flows.platform import storage
    from xray.data.counts import count_states

    with storage() as found, found.engine().begin() as connection:
        counted = count_states(connection, name, protocol, part)
    if as_json:
        click.echo(json.dumps(counted))
        return
    states = ("positive", "negative", "uncertain", "not mentioned")
    rows = [(task, *(states_of[s] for s in states)) for task, states_of in counted["tasks"].items()]
    click.echo(f"{name}: {counted['images']} images of {counted['patients']} patients")
    click.echo(table(("task", *states), rows))
