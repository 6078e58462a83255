"""`xray model`: models from elsewhere beside those that were trained here."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from db.connection import Databases
    from xray.learning.foreign_import import Imported

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def model() -> None:
    """Import a model from elsewhere, export one of ours, list and show them all."""


@model.command("import")
@click.argument("file", type=FILE)
@click.option(
    "--card", type=FILE, help="The model's card, a TOML file (default: FILE with the ending .toml)."
)
@click.option(
    "--xrv", metavar="WEIGHTS", help="FILE is torchxrayvision's model of this name: densenet121-res224-all, …"
)
@click.option("--name", help="Name for its results (default: the card's, or WEIGHTS).")
@click.option(
    "--trained-on", multiple=True, metavar="DATASET", help="A dataset that it was trained on (repeatable)."
)
@click.option("--trust", is_flag=True, help="Load FILE even if that runs its author's code.")
@json_option()
def import_(
    file: Path,
    card: Path | None,
    xrv: str | None,
    name: str | None,
    trained_on: tuple[str, ...],
    trust: bool,
    as_json: bool,
) -> None:
    """Import a model that was trained elsewhere: ONNX, TorchScript, a torch.export program, or weights alone.

    A file that can run its author's code (TorchScript, torch.export programs, pickles of whole modules) is refused without
    --trust; ONNX, safetensors and weights alone are allowed. The model is scored by the next `xray study run` of a study
    that names it (foreign = ["NAME"]).
    """
    from flows.events import announce
    from flows.platform import storage

    if card is not None and xrv is not None:
        raise click.UsageError("choose one of --card and --xrv")
    with storage() as databases:
        imported = take_in(databases, file, card=card, xrv=xrv, name=name, trained_on=trained_on, trust=trust)
    if imported.new:
        announce("model", imported.name)
    if as_json:
        print_json(imported)
        return
    outcome = "imported" if imported.new else "was imported before"
    click.echo(
        f'{imported.name}: {outcome} ({imported.format}); name it in a study file: foreign = ["{imported.name}"]'
    )


def take_in(
    databases: "Databases",
    file: Path,
    *,
    card: Path | None = None,
    xrv: str | None = None,
    name: str | None = None,
    trained_on: Sequence[str] = (),
    trust: bool = False,
) -> "Imported":
    """Import a model's file with its card: the one given, torchxrayvision's, or that beside it."""
    import dataclasses

    from flows.migrations import prepare
    from xray import settings
    from xray.errors import ForeignModelError
    from xray.learning.foreign_card import read_card
    from xray.learning.foreign_import import import_model
    from xray.learning.foreign_xrv import xrv_card
    from xray.learning.tracking import Tracker

    beside = card or file.with_suffix(".toml")
    if xrv is None and not beside.exists():
        raise ForeignModelError(
            f"{file.name}: there is no card {beside.name} beside it: write one, or give --card"
        )
    content = xrv_card(xrv, xrv) if xrv is not None else read_card(beside)
    content = dataclasses.replace(content, name=name or content.name)
    prepare(databases, ("mlflow",))
    tracker = Tracker(databases.mlflow, settings.artifacts())
    imported = import_model(databases.engine(), tracker, file, content, trust=trust, trained_on=trained_on)
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)
    return imported


@model.command()
@click.argument("name")
@click.option("--format", "kind", required=True, type=click.Choice(["onnx", "torchscript"]))
@click.option(
    "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="File to write."
)
def export(name: str, kind: str, output: Path) -> None:
    """Write the model NAME, trained here, as one file for other programs, and its card beside it (OUTPUT.toml)."""
    from flows.migrations import prepare
    from flows.platform import storage
    from xray import settings
    from xray.learning.export_model import export_model
    from xray.learning.tracking import Tracker

    with storage() as databases:
        prepare(databases, ("mlflow",))
        card = export_model(
            databases.engine(), Tracker(databases.mlflow, settings.artifacts()), name, kind, output
        )
    click.echo(
        f"{output}: pixels (n, 1, size, size) in [-1024, 1024] → logits (n, findings); its card: {card}"
    )


@model.command("list")
@json_option("One JSON object per model.")
def list_(as_json: bool) -> None:
    """Every model, trained here or foreign."""
    from flows.cli.rows import show
    from flows.platform import storage

    with storage() as databases, databases.engine().begin() as connection:
        show(connection, "models", {}, as_json, "no model yet: xray study run …, xray model import …")


@model.command()
@click.argument("name")
@json_option()
def show(name: str, as_json: bool) -> None:
    """Describe the model NAME: where it comes from, what it was trained on, what it has scored."""
    from flows.platform import storage
    from xray.data.foreign_models import describe_model

    with storage() as databases, databases.engine().begin() as connection:
        description = describe_model(connection, name)
    if as_json:
        print_json(description)
        return
    width = max(map(len, description))
    for key, value in description.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        click.echo(f"{key.ljust(width)}  {'–' if text in (None, '') else text}")


@model.command()
@click.argument("name")
def remove(name: str) -> None:
    """Drop the model NAME and its scores from the database; its file stays in MLflow.

    A model that was trained here is trained anew by the next run of its study.
    """
    from flows.platform import storage
    from xray.data.foreign_models import remove_model

    with storage() as databases, databases.engine().begin() as connection:
        remove_model(connection, name)
    click.echo(f"{name}: removed with its scores")
