"""`xray cohort`: frozen cohorts, published and rebuilt as a CSV of ids."""

from pathlib import Path

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json


@click.group(cls=Group)
def cohort() -> None:
    """List, export and import frozen cohorts."""


@cohort.command("list")
@json_option("One JSON object per cohort.")
def list_(as_json: bool) -> None:
    """Every frozen cohort with its size and hash."""
    from flows.cli.rows import show
    from flows.platform import storage

    with storage() as databases, databases.engine().begin() as connection:
        show(connection, "cohorts", {}, as_json, "no cohort yet: xray dataset add …")


@cohort.command()
@click.argument("dataset")
@click.option("--protocol", default="corrected", show_default=True, help="Name or TOML file.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write (default: standard output).",
)
def export(dataset: str, protocol: str, output: Path | None) -> None:
    """Write the cohorts of DATASET as a CSV of image ids, with their hashes, without labels or pixels."""
    from flows.platform import storage
    from xray.data.cohort_files import export_cohorts
    from xray.data.protocol import load_protocol
    from xray.data.registered import read_named

    rules = load_protocol(protocol)
    with storage() as databases, databases.engine().begin() as connection:
        content = export_cohorts(connection, read_named(connection, dataset), rules)
    if output is None:
        click.echo(content, nl=False)
    else:
        output.write_text(content, encoding="utf-8", newline="")


@cohort.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dataset", help="The dataset's name here (default: as in FILE).")
@click.option("--protocol", help="TOML file of the protocol, if it is one of your own.")
@json_option()
def import_(file: Path, dataset: str | None, protocol: str | None, as_json: bool) -> None:
    """Freeze the cohorts that FILE lists, from the dataset registered here; refused if the hashes would differ."""
    from flows.events import announce
    from flows.platform import storage
    from xray.data.cohort_files import import_cohorts, read_cohort_file
    from xray.data.protocol import NAMED, load_protocol
    from xray.data.registered import read_named
    from xray.errors import DataError

    about, _ = read_cohort_file(file)
    name = dataset or str(about["dataset"])
    if protocol is None and about["protocol"] not in NAMED:
        raise DataError(
            f"{file.name}: the rules of protocol {str(about['protocol'])!r} are not in the file; give theirs with --protocol"
        )
    rules = load_protocol(protocol or str(about["protocol"]))
    with storage() as databases, databases.engine().begin() as connection:
        cohorts, new = import_cohorts(connection, read_named(connection, name), rules, file)
    if new:
        announce("cohort", f"{name}.{rules.name}", cohorts=list(cohorts))
    if as_json:
        print_json({"dataset": name, "protocol": rules.name, "cohorts": cohorts, "new": new})
        return
    outcome = "are frozen now, with the same hashes" if new else "were frozen already, with the same hashes"
    click.echo(f"{name}: cohorts {', '.join(cohorts)} of {rules.name} {outcome}")
