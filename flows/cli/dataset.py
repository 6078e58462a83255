"""`xray dataset`: add, list, count, move and remove datasets."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.data.register import Registration
    from xray.data.request import DatasetRequest
    from xray.pixels.reading import Reading

PATH = click.Path(exists=True, path_type=Path)


@click.group(cls=Group)
def dataset() -> None:
    """Add, list, count, move and remove datasets."""


@dataset.command()
@click.argument("name")
@click.option("--source", help="Native layout of the files: nih, chexpert, … (default: NAME, if it is one).")
@click.option("--labels", type=PATH, help="The label file as published, or its folder.")
@click.option(
    "--manifest",
    type=PATH,
    help="A CSV of your own: image_id, patient_id, path, view, age, sex, one column per finding.",
)
@click.option(
    "--map",
    "mapping",
    type=PATH,
    help="A mapping file, which says what the columns and words of your table mean (xray dataset draft writes one).",
)
@click.option("--images", type=PATH, help="Folder of the pictures (of a manifest: by default its own).")
@click.option("--labels-only", is_flag=True, help="Register labels without pictures: for counts and audits.")
@click.option(
    "--maximum",
    type=int,
    help="The largest possible pixel value, if the files could hold more: 4095 for 12 bits.",
)
@click.option("--window", is_flag=True, help="Show DICOM pictures through the window that each file gives.")
@click.option(
    "--site", help="Where the images come from; patients belong to a site (known for published datasets)."
)
@click.option("--protocol", default="corrected", show_default=True, help="Rules by which cohorts are made.")
@click.option("--strict", is_flag=True, help="Register nothing if anything would have to be set aside.")
@click.option("--partial", is_flag=True, help="Register the usable rows, even if they are less than half.")
@click.option(
    "--finding",
    "findings",
    multiple=True,
    metavar="NAME",
    help="A finding outside the default list, whose column in the file has this name (repeatable).",
)
@click.option(
    "--readers",
    metavar="RULE",
    help="How an image's label follows from those of several readers: majority (the default), any, all, or a reader's name.",
)
@click.option("--dry-run", is_flag=True, help="Check and report everything, but register nothing.")
@json_option("How the file was read, as one JSON object.")
def add(
    name: str,
    source: str | None,
    labels: Path | None,
    manifest: Path | None,
    mapping: Path | None,
    images: Path | None,
    labels_only: bool,
    maximum: int | None,
    window: bool,
    site: str | None,
    protocol: str,
    strict: bool,
    partial: bool,
    findings: tuple[str, ...],
    readers: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Register images and labels as dataset NAME, completely or not at all.

    Rows and pictures that can't be used are set aside, named, counted, and kept with their reasons in table `quarantine`
    (xray dataset quarantine NAME). Where more than half of the rows would be, nothing is registered.
    """
    from flows.events import announce
    from flows.platform import storage
    from xray import settings
    from xray.data.prepare import register_request
    from xray.errors import StudyError
    from xray.findings import declare
    from xray.pixels.reading import Reading

    manner = Reading(maximum, window)
    request = (
        _request(name, source, labels, manifest, images, labels_only, site, manner)
        if mapping is None
        else _mapped(name, source, mapping, labels or manifest, images, labels_only, site, manner)
    )
    request = replace(request, findings=declare(findings, "--finding", StudyError), readers=readers)
    with storage() as databases:
        registration = register_request(
            databases.engine(),
            request,
            protocol,
            home=settings.home(),
            progress=True,
            strict=strict,
            partial=partial,
            look_again=True,
            dry_run=dry_run,
        )
    if not registration.unchanged and not dry_run:
        announce("dataset", name, images=registration.n_images)
    say(registration, dry_run, as_json)


@dataset.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    "-o",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (default: standard output).",
)
@click.option("--sheet", help="Which sheet of a workbook.")
def draft(file: Path, output: Path | None, sheet: str | None) -> None:
    """Write a first mapping file for the table FILE (CSV, TSV, xlsx, Parquet), with comments on what is in it."""
    import os

    from xray.data.mapping.draft import draft as drafted
    from xray.data.tables import Layout

    text = drafted(file, Layout(sheet=sheet))
    if output is None:
        click.echo(text, nl=False)
        return
    if output.exists():
        raise click.UsageError(f"{output} already exists; remove it first, or give another name")
    # the file is named as seen from the mapping
    name = os.path.relpath(file, output.parent)
    output.write_text(
        text.replace(
            f"file = {json.dumps(file.name, ensure_ascii=False)}",
            f"file = {json.dumps(name, ensure_ascii=False)}",
            1,
        ),
        encoding="utf-8",
    )
    click.echo(
        f"{output}: check every line, then run: xray dataset add NAME --site SITE --map {output} --dry-run"
    )


def _mapped(
    name: str,
    source: str | None,
    mapping: Path,
    table: Path | None,
    images: Path | None,
    labels_only: bool,
    site: str | None,
    reading: "Reading",
) -> "DatasetRequest":
    """What a mapping file asks for; the options go before its keys. Raises `UsageError` where neither says it."""
    from xray.data.mapping.model import read_named
    from xray.data.request import DatasetRequest
    from xray.study import check_name

    check_name("NAME", name)
    if source not in (None, "manifest", "dicom"):
        raise click.UsageError(f"--map is for tables of your own; the columns of source {source} are known")
    if images is not None and labels_only:
        raise click.UsageError("choose one of --images and --labels-only")
    mapped = read_named(mapping)
    table = table or mapped.table
    if table is None:
        raise click.UsageError(f'{mapping}: give file = "…", the table, or --labels FILE')
    images = images or mapped.images
    site = site or mapped.site
    if site is None:
        raise click.UsageError("give --site SITE: where the images come from")
    check_name("--site", site)
    return DatasetRequest(
        name,
        site,
        source or "manifest",
        table,
        None if labels_only else images,
        None,
        labels_only,
        reading=reading,
        mapping=mapping,
    )


def _request(
    name: str,
    source: str | None,
    labels: Path | None,
    manifest: Path | None,
    images: Path | None,
    labels_only: bool,
    site: str | None,
    reading: "Reading",
) -> "DatasetRequest":
    """What the options ask for. Raises `UsageError` where they don't say it."""
    from xray.data.request import DatasetRequest
    from xray.data.sources.base import sources
    from xray.data.sources.datasets import published_sites
    from xray.study import check_name

    check_name("NAME", name)
    if source == "dicom" and labels is None:
        labels = images
    if (labels is None) == (manifest is None):
        raise click.UsageError("give --labels FILE of a published dataset, or --manifest FILE of your own")
    if images is not None and labels_only:
        raise click.UsageError("choose one of --images and --labels-only")
    layouts = sorted(sources())
    source = "manifest" if manifest is not None else source or (name if name in layouts else None)
    if source not in layouts:
        raise click.UsageError(
            f"--source: expected one of {', '.join(layouts)}, found {source or 'nothing (and NAME is none of them)'}"
        )
    if images is None and not labels_only and source != "manifest":
        raise click.UsageError("give --images DIR, the folder of the pictures, or --labels-only")
    site = site or published_sites().get(source)
    if site is None:
        raise click.UsageError("give --site SITE: where the images come from")
    check_name("--site", site)
    return DatasetRequest(name, site, source, labels or manifest, images, None, labels_only, reading=reading)


def say(registration: "Registration", dry_run: bool = False, as_json: bool = False) -> None:
    """What was made of the file and the sizes to stdout; notes and what was set aside to stderr; or all of it as JSON."""
    from xray.data.quarantine import describe

    if as_json:
        print_json(registration)
        return
    _say_summary(registration)
    if dry_run:
        click.echo(
            f"{registration.name}: dry run, {registration.n_images} images of {registration.n_patients} patients; "
            "nothing was registered"
        )
    elif registration.unchanged:
        click.echo(
            f"{registration.name}: {registration.n_images} images were registered already; nothing has changed"
        )
    else:
        click.echo(
            f"{registration.name}: registered {registration.n_images} images of {registration.n_patients} patients"
        )
    for line in registration.pictures.lines() if registration.pictures else ():
        click.echo(line)
    for note in registration.notes:
        click.echo(f"note: {note}", err=True)
    for in_dataset, title in ((False, "set aside"), (True, "kept, but to be checked")):
        entries = [entry for entry in registration.quarantine if entry.kept == in_dataset]
        if entries:
            click.echo(f"{len(entries)} row(s) or picture(s) {title}:", err=True)
            click.echo("\n".join(describe(entries)), err=True)
    if registration.quarantine and not dry_run:
        click.echo(f"to list them all: xray dataset quarantine {registration.name}", err=True)


def _say_summary(registration: "Registration") -> None:
    from flows.cli.sql import table

    summary = registration.summary
    if summary is None:
        return
    if summary.about:
        click.echo(f"{registration.name}: read as {summary.about}")
    if summary.columns:
        click.echo(table(("column", "is"), summary.columns) + "\n")
    if summary.findings:
        head = ("finding", "positive", "negative", "uncertain", "not mentioned")
        click.echo(table(head, summary.findings) + "\n")
    if summary.readers:
        heads = ("finding", "images with several readers", "they disagree", "no majority")
        click.echo(table(heads, [(v.finding, v.n, v.disagree, v.tied) for v in summary.readers]) + "\n")
    click.echo("\n".join(summary.lines))


@dataset.command()
@click.argument("name")
def mapping(name: str) -> None:
    """The mapping file by which dataset NAME was read, as JSON."""
    from flows.platform import storage
    from xray.data.registered import dataset_id, read_mapping_of

    with storage() as databases, databases.engine().begin() as connection:
        keys = read_mapping_of(connection, dataset_id(connection, name))
    if keys is None:
        click.echo(f"{name} was read without a mapping file", err=True)
    else:
        click.echo(json.dumps(keys, ensure_ascii=False, indent=2))


@dataset.command("list")
@json_option("One JSON object per dataset.")
def list_(as_json: bool) -> None:
    """Every dataset, with its site and size."""
    from flows.cli.rows import show
    from flows.platform import storage

    with storage() as databases, databases.engine().begin() as connection:
        show(
            connection,
            "datasets",
            {},
            as_json,
            "no dataset yet: xray dataset add NAME --site SITE --manifest labels.csv",
        )


@dataset.command()
@click.argument("name")
@json_option("One JSON object per row.")
def quarantine(name: str, as_json: bool) -> None:
    """What was set aside of dataset NAME, and why."""
    from flows.cli.rows import show
    from flows.platform import storage
    from xray.data.registered import dataset_id

    with storage() as databases, databases.engine().begin() as connection:
        parameters = {"dataset_id": dataset_id(connection, name)}
        show(connection, "quarantine", parameters, as_json, f"{name}: nothing was set aside")


@dataset.command()
@click.argument("name")
@click.option("--protocol", help="Count the cohorts of this protocol instead of all images.")
@click.option("--part", type=click.Choice(["train", "validation", "test"]), help="Only this part.")
@json_option()
def counts(name: str, protocol: str | None, part: str | None, as_json: bool) -> None:
    """Images per task and label state of dataset NAME."""
    from flows.cli.sql import table
    from flows.platform import storage
    from xray.data.counts import count_states

    with storage() as databases, databases.engine().begin() as connection:
        numbers = count_states(connection, name, protocol, part)
    if as_json:
        print_json(numbers)
        return
    states = ("positive", "negative", "uncertain", "not mentioned")
    rows = [(task, *(states_of[s] for s in states)) for task, states_of in numbers["tasks"].items()]
    click.echo(f"{name}: {numbers['images']} images of {numbers['patients']} patients")
    click.echo(table(("task", *states), rows))


@dataset.command()
@click.argument("name")
@click.option("--images", type=PATH, required=True, help="Folder in which the pictures are now.")
def relocate(name: str, images: Path) -> None:
    """Read the pictures of dataset NAME from another folder, after checking that each is the registered one.

    Nothing is prepared again: prepared pictures are cached by content.
    """
    from flows.platform import storage
    from xray import settings
    from xray.data.relocate import relocate as take

    with storage() as databases:
        n = take(databases.engine(), settings.home(), name, images, progress=True)
    click.echo(
        f"{name}: {n} picture(s) are read from {images.resolve()} from now on"
        if n
        else f"{name}: nothing has changed"
    )


@dataset.command()
@click.argument("name")
@click.option(
    "--with-results", is_flag=True, help="Also remove the models, scores and analyses that depend on it."
)
@click.option("--dry-run", is_flag=True, help="Only print what depends on it.")
@json_option("What depends on it, as one JSON object.")
def remove(name: str, with_results: bool, dry_run: bool, as_json: bool) -> None:
    """Remove dataset NAME: its labels, cohorts, and images that no other dataset has. Its files stay.

    If results depend on it, they are listed, and removed only with --with-results.
    """
    from flows.platform import storage
    from xray.data.remove import hanging
    from xray.data.remove import remove as take

    with storage() as databases, databases.engine().begin() as connection:
        going = hanging(connection, name) if dry_run else take(connection, name, with_results=with_results)
    if as_json:
        print_json({"dataset": name, "removed": not dry_run, "hanging": going})
        return
    click.echo(f"{name}: {'would be removed' if dry_run else 'removed'}")
    for line in going.lines():
        click.echo(f"  {line}")
    if not dry_run:
        click.echo(
            "its prepared pictures: xray cache prune; versions of models in MLflow are left there", err=True
        )
