"""`xray dataset`: add, list and count datasets."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.groups import Group

if TYPE_CHECKING:
    from xray.data.register import Registration
    from xray.data.request import DatasetRequest

PATH = click.Path(exists=True, path_type=Path)


@click.group(cls=Group)
def dataset() -> None:
    """Add, list and count datasets."""


@dataset.command()
@click.argument("name")
@click.option("--source", help="Native layout of the files: nih, chexpert, … (default: NAME, if it is one).")
@click.option("--labels", type=PATH, help="The label file as its owners publish it, or the folder it is in.")
@click.option(
    "--manifest",
    type=PATH,
    help="A CSV of your own: image_id, patient_id, path, view, age, sex, one column per task.",
)
@click.option("--images", type=PATH, help="Folder of the pictures (of a manifest: by default its own).")
@click.option("--labels-only", is_flag=True, help="Register labels without pictures: for counts and audits.")
@click.option(
    "--site", help="Where the images come from; patients belong to a site (known for published ones)."
)
@click.option("--protocol", default="corrected", show_default=True, help="Rules by which cohorts are made.")
@click.option("--strict", is_flag=True, help="Register nothing where anything would have to be set aside.")
@click.option("--partial", is_flag=True, help="Register what is there, even if it is less than half.")
def add(
    name: str,
    source: str | None,
    labels: Path | None,
    manifest: Path | None,
    images: Path | None,
    labels_only: bool,
    site: str | None,
    protocol: str,
    strict: bool,
    partial: bool,
) -> None:
    """Register images and labels as dataset NAME, whole or not at all.

    Rows and pictures that can't be used are set aside, named, counted, and kept with their reasons in table `quarantine`
    (xray dataset quarantine NAME). Where more than half of the rows would be, nothing is registered.
    """
    from flows.events import announce
    from flows.platform import storage
    from xray import settings
    from xray.data.prepare import register_request

    request = _request(name, source, labels, manifest, images, labels_only, site)
    with storage() as found:
        done = register_request(
            found.engine(),
            request,
            protocol,
            home=settings.home(),
            progress=True,
            strict=strict,
            partial=partial,
            look_again=True,
        )
    if not done.unchanged:
        announce("dataset", name, images=done.n_images)
    say(done)


def _request(
    name: str,
    source: str | None,
    labels: Path | None,
    manifest: Path | None,
    images: Path | None,
    labels_only: bool,
    site: str | None,
) -> "DatasetRequest":
    """What the options ask for. Raises `UsageError` where they don't say it."""
    from xray.data.request import DatasetRequest
    from xray.data.sources.base import sources
    from xray.data.sources.datasets import published_datasets
    from xray.study import check_name

    check_name("NAME", name)
    if (labels is None) == (manifest is None):
        raise click.UsageError("give --labels FILE of a published dataset, or --manifest FILE of your own")
    if images is not None and labels_only:
        raise click.UsageError("choose one of --images and --labels-only")
    known = sorted(sources())
    source = "manifest" if manifest is not None else source or (name if name in known else None)
    if source not in known:
        raise click.UsageError(
            f"--source: expected one of {', '.join(known)}, found {source or 'nothing (and NAME is none of them)'}"
        )
    if images is None and not labels_only and source != "manifest":
        raise click.UsageError("give --images DIR, the folder of the pictures, or --labels-only")
    published = published_datasets().get(source)
    site = site or (published.site if published else None)
    if site is None:
        raise click.UsageError("give --site SITE: where the images come from")
    check_name("--site", site)
    return DatasetRequest(name, site, source, labels or manifest, images, None, labels_only)


def say(done: "Registration") -> None:
    """The closing summary: sizes to stdout; notes and what was set aside to stderr."""
    from xray.data.quarantine import describe

    if done.unchanged:
        click.echo(f"{done.name}: {done.n_images} images were registered already, nothing has changed")
    else:
        click.echo(f"{done.name}: registered {done.n_images} images of {done.n_patients} patients")
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    for kept, said in ((False, "set aside"), (True, "kept, but to be looked at")):
        entries = [entry for entry in done.quarantine if entry.kept == kept]
        if entries:
            click.echo(f"{len(entries)} row(s) or picture(s) {said}:", err=True)
            click.echo("\n".join(describe(entries)), err=True)
    if done.quarantine:
        click.echo(f"all of them: xray dataset quarantine {done.name}", err=True)


@dataset.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per dataset.")
def list_(as_json: bool) -> None:
    """Every dataset, with its site and size."""
    from flows.cli.rows import show
    from flows.platform import storage

    with storage() as found, found.engine().begin() as connection:
        show(
            connection,
            "datasets",
            {},
            as_json,
            "no dataset yet: xray dataset add NAME --site SITE --manifest labels.csv",
        )


@dataset.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per row.")
def quarantine(name: str, as_json: bool) -> None:
    """What was set aside of dataset NAME, and why."""
    from flows.cli.rows import show
    from flows.platform import storage
    from xray.data.registered import dataset_id

    with storage() as found, found.engine().begin() as connection:
        given = {"dataset_id": dataset_id(connection, name)}
        show(connection, "quarantine", given, as_json, f"{name}: nothing was set aside")


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
