"""`xray predictions`: scores made elsewhere into the store, stored scores out of it."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.data.score_tables import Scale

KIND = click.Choice(["probability", "logit"])
SCALE = click.Choice(["probability", "logit", "percent", "ordinal", "call"])


@click.group(cls=Group)
def predictions() -> None:
    """Import scores that were made elsewhere, export those that are stored."""


@predictions.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--model",
    required=True,
    help="Name under which the scores are stored: a new one, or one imported before.",
)
@click.option(
    "--cohort",
    required=True,
    metavar="DATASET",
    help="The dataset whose cohort was scored (xray cohort list).",
)
@click.option("--protocol", default="corrected", show_default=True, help="Protocol: its name or TOML file.")
@click.option("--part", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]))
@click.option(
    "--kind",
    required=True,
    type=SCALE,
    help="What kind of numbers the scores are; call: yes or no without a score.",
)
@click.option(
    "--map",
    "mapping",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A mapping file, which says what the columns and words mean.",
)
@click.option(
    "--missing-as-nan",
    is_flag=True,
    help="Leave images without a score unscored instead of refusing the file.",
)
@click.option(
    "--ignore-unknown", is_flag=True, help="Leave out rows of images that the dataset does not have."
)
@click.option("--from-model", help="The model whose rows to use, if FILE has a column `model` with several.")
@click.option("--image-column", help="The column with the names of the images (default: image or image_id).")
@click.option(
    "--trained-on",
    multiple=True,
    metavar="DATASET",
    help="A dataset that the model was trained on (repeatable).",
)
@click.option("--citation", help="Where the model comes from.")
@click.option(
    "--finding",
    "findings",
    multiple=True,
    metavar="NAME",
    help="A finding that no dataset here has declared (repeatable).",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="TASK=VALUE",
    help="An operating point that its maker declares, on the scale of --kind (repeatable).",
)
@json_option()
def import_(
    file: Path,
    model: str,
    cohort: str,
    protocol: str,
    part: str,
    kind: "Scale",
    mapping: Path | None,
    missing_as_nan: bool,
    ignore_unknown: bool,
    from_model: str | None,
    image_column: str | None,
    trained_on: tuple[str, ...],
    citation: str | None,
    findings: tuple[str, ...],
    thresholds: tuple[str, ...],
    as_json: bool,
) -> None:
    """Store the scores of FILE (CSV, TSV, xlsx or Parquet) as those of a foreign model.

    A row is an image, a study, or an image and a finding; findings have the platform's names or synonyms.

    Every image must be registered, appear once and have a number for each task. Otherwise nothing is stored, and the error
    counts what does not fit, with examples.
    """
    from flows.events import announce
    from flows.platform import storage
    from xray.data import operating_points
    from xray.data.mapping.model import read_mapping
    from xray.data.named_cohorts import find_cohort
    from xray.data.prediction_files import import_predictions
    from xray.errors import PredictionsError
    from xray.findings import declare

    points = operating_points.parse_thresholds(thresholds)
    with storage() as databases, databases.engine().begin() as connection:
        imported = import_predictions(
            connection,
            file,
            model,
            find_cohort(connection, cohort, protocol, part),
            kind,
            mapping=read_mapping(mapping) if mapping is not None else None,
            missing_as_nan=missing_as_nan,
            ignore_unknown=ignore_unknown,
            from_model=from_model,
            image_column=image_column,
            trained_on=trained_on,
            citation=citation,
            findings=declare(findings, "--finding", PredictionsError),
        )
        operating_points.declare(connection, model, points, kind)
    if imported.new:
        announce("model", imported.model, cohort=imported.cohort)
    if as_json:
        print_json(imported)
        return
    for note in imported.notes:
        click.echo(f"note: {note}", err=True)
    scored = imported.n_images - imported.n_missing
    outcome = "imported" if imported.new else "the same scores were imported before:"
    click.echo(
        f"{imported.model}: {outcome} {len(imported.tasks)} tasks of {scored} of the {imported.n_images} images "
        f"of {imported.cohort}"
    )


@predictions.command()
@click.option(
    "--model",
    multiple=True,
    help="The model of the scores (repeatable; default: every model that scored the cohort).",
)
@click.option(
    "--cohort",
    required=True,
    metavar="DATASET",
    help="The dataset whose cohort was scored (xray cohort list).",
)
@click.option("--protocol", default="corrected", show_default=True, help="Protocol: its name or TOML file.")
@click.option("--part", default="test", show_default=True, type=click.Choice(["train", "validation", "test"]))
@click.option("--kind", default="logit", show_default=True, type=KIND, help="What to write.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write, Parquet where it ends with .parquet (default: CSV to standard output).",
)
def export(
    model: tuple[str, ...], cohort: str, protocol: str, part: str, kind: str, output: Path | None
) -> None:
    """Write stored scores of a cohort, a row per model and image, a column per task by torchxrayvision's names.

    Logits are written as they are stored, so that importing them gives the same numbers. A task that a model never learned
    is empty.
    """
    from flows.platform import storage
    from xray.data.named_cohorts import find_cohort
    from xray.data.prediction_export import exported, write_csv, write_parquet
    from xray.durable import replaced

    with storage() as databases, databases.engine().begin() as connection:
        listed = find_cohort(connection, cohort, protocol, part)
        frames = exported(connection, listed, model, "logit" if kind == "logit" else "probability")
        if output is None:
            write_csv(frames, sys.stdout)
            return
        with replaced(output) as new:
            if output.suffix == ".parquet":
                rows = write_parquet(frames, new)
            else:
                with new.open("w", encoding="utf-8", newline="") as file:
                    rows = write_csv(frames, file)
    click.echo(f"{output}: {rows} rows", err=True)
