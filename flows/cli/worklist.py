"""`xray worklist`: lists of images that people read again, and their answers as labels."""

import dataclasses

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option


@click.group(cls=Group)
def worklist() -> None:
    """Lists of images read again in the explorer, and their answers as labels."""


@worklist.command("list")
@json_option("One JSON object per worklist.")
def list_(as_json: bool) -> None:
    """Every worklist: its finding, its images, and how many each reader has read."""
    from flows.cli.rows import show
    from flows.platform import storage

    with storage() as databases, databases.engine().connect() as connection:
        show(connection, "worklists", {}, as_json, "no worklist yet: save a list of images in xray explore")


@worklist.command()
@click.argument("name")
@click.argument("dataset")
@click.option(
    "--rule",
    type=click.Choice(["majority", "any", "all"]),
    default="majority",
    show_default=True,
    help="How the answers of several readers become one label.",
)
@click.option("--reader", help="Take this reader's answers alone.")
@click.option("--protocol", default="corrected", show_default=True, help="Rules by which cohorts are made.")
@json_option()
def labels(name: str, dataset: str, rule: str, reader: str | None, protocol: str, as_json: bool) -> None:
    """Register the answers to worklist NAME as dataset DATASET: the same images under one more labeller.

    Its images are known, so nothing has to be scored again: xray study run takes it as a guest, and
    xray labels agreement compares it with the dataset that the images came from.
    """
    from flows.cli.dataset import say
    from flows.events import announce
    from flows.platform import storage
    from xray.data.prepare import freeze_dataset
    from xray.data.reads import register_reads
    from xray.study import check_name

    check_name("DATASET", dataset)
    with storage() as databases, databases.engine().begin() as connection:
        registration = register_reads(connection, name, dataset, rule, reader)
        notes = freeze_dataset(connection, registration.dataset_id, protocol, required=["test"])
    if not registration.unchanged:
        announce("dataset", dataset, images=registration.n_images)
    say(dataclasses.replace(registration, notes=[*registration.notes, *notes]), as_json=as_json)
