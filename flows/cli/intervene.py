"""`xray intervene`: one site's images made to look like another's and scored again by the same model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.evaluate import FILE
from flows.cli.groups import Group
from flows.cli.predictions import SCALE
from flows.cli.rows import json_option, print_json, show_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from xray.data.score_tables import Scale

KINDS = ("histogram", "resolution", "noise", "borders", "all")


@click.group(cls=Group)
def intervene() -> None:
    """Measure what a model loses when one site's images are changed to look like another's."""


@intervene.command()
@click.argument("study")
@click.option(
    "--model",
    default="",
    help="Only this configuration, or model from elsewhere (default: those that have verdicts).",
)
@click.option(
    "--from", "a", default="", metavar="A", help="Dataset of the images (default: the model's own)."
)
@click.option(
    "--to",
    "b",
    default="",
    metavar="B",
    help="Dataset that they are made to look like (default: that of each other site).",
)
@click.option(
    "--kinds",
    default=",".join(KINDS),
    show_default=True,
    help="What to change, separated by commas; all: everything together.",
)
@click.option(
    "--images", type=click.IntRange(2), help="Number of images of A, drawn by the seed (default: all)."
)
@click.option(
    "--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of everything that is drawn."
)
@click.option("--dry-run", is_flag=True, help="Only print what would be scored.")
@json_option("One JSON object per result; with --dry-run per model and pair of sites.")
def run(
    study: str,
    model: str,
    a: str,
    b: str,
    kinds: str,
    images: int | None,
    seed: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Score test images of A again, made to look like B's, by models of STUDY, and say what each model loses by it.

    Only what is missing is done; a run that was stopped continues there. The scores are kept apart from all others, in
    the views interventions and intervention_predictions; the losses are in intervention_results and on the study's page.
    """
    from flows import watch
    from flows.platform import prefect_api, storage
    from xray import settings
    from xray.analyses.intervene_plan import Asking, as_rows, steps

    asking = Asking(model, a, b, _kinds(kinds), images, seed)
    with storage() as databases:
        with databases.engine().begin() as connection:
            plan = steps(connection, study, asking)
        if dry_run:
            show_rows(as_rows(plan), as_json, "everything is scored already")
            return
        if plan:
            with watch.database(settings.home(), databases.psql()), prefect_api(databases):
                from flows.interventions import intervene as score_again

                score_again(study, model, a, b, list(asking.kinds), images, seed)
        rows = _results(databases.engine(), study, asking.model, asking.a, asking.b)
    show_rows(rows, as_json, "no finding is labelled in these images and known to the model")


@intervene.command()
@click.argument("file", type=FILE)
@click.option(
    "--model", required=True, help="The model that gave the scores; it has scored A's unchanged images."
)
@click.option("--from", "a", required=True, metavar="A", help="Dataset of the images.")
@click.option("--to", "b", required=True, metavar="B", help="Dataset whose pipeline they went through.")
@click.option(
    "--kind",
    default="probability",
    show_default=True,
    type=SCALE,
    help="What kind of numbers the scores are.",
)
@click.option("--protocol", help="Protocol, if the model has scored A under several.")
@click.option(
    "--map", "mapping", type=FILE, help="A mapping file, which says what the columns and words mean."
)
@click.option(
    "--missing-as-nan", is_flag=True, help="Leave out images without a score instead of refusing the file."
)
@click.option(
    "--ignore-unknown", is_flag=True, help="Leave out rows of images that the dataset does not have."
)
@click.option("--from-model", help="The model whose rows to use, if FILE has a column `model` with several.")
@click.option("--image-column", help="The column with the names of the images (default: image or image_id).")
@json_option("One JSON object: what was added, and the results after it.")
def add(
    file: Path,
    model: str,
    a: str,
    b: str,
    kind: "Scale",
    protocol: str | None,
    mapping: Path | None,
    missing_as_nan: bool,
    ignore_unknown: bool,
    from_model: str | None,
    image_column: str | None,
    as_json: bool,
) -> None:
    """Add the scores that MODEL gave to A's test images after B's pipeline: they measure all of image loss.

    FILE is as for xray predictions import: a row per image, a column per finding. Its images are those that the model has
    scored as they are. Only interventions use these scores.
    """
    from flows.platform import storage
    from xray.data.intervention_files import add_intervention
    from xray.data.mapping.model import read_mapping
    from xray.data.score_files import Manner

    with storage() as databases:
        engine = databases.engine()
        with engine.begin() as connection:
            manner = Manner(kind, missing_as_nan, read_mapping(mapping) if mapping is not None else None)
            added = add_intervention(
                connection,
                file,
                model,
                a,
                b,
                manner,
                protocol=protocol,
                ignore_unknown=ignore_unknown,
                from_model=from_model,
                image_column=image_column,
            )
        rows = [
            {"study": study, **row}
            for study in added.studies
            for row in _results(engine, study, "", a, b)
            if row["kind"] == "pipeline"
        ]
        for study in {row["study"]: None for row in rows}:
            _write_page(engine, study)
    if as_json:
        print_json({**vars(added), "results": rows})
        return
    for note in added.notes:
        click.echo(f"note: {note}", err=True)
    outcome = "added" if added.new else "the same scores were added before:"
    scored = added.n_images - added.n_missing
    scores = (
        f"{len(added.tasks)} tasks of {scored} of the {added.n_images} images of {a}, through {b}'s pipeline"
    )
    click.echo(f"{added.model}: {outcome} {scores}", err=True)
    show_rows(
        rows, False, "nothing to compare yet: a study needs the model, each of its seeds, and both datasets"
    )


def _write_page(engine: "Engine", study: str) -> None:
    """Write a study's page anew, where its file is here."""
    import shlex

    from xray import settings
    from xray.analyses.report import write_report
    from xray.plan import file_of, read_sited

    with engine.begin() as connection:
        file = file_of(connection, study)
        if file is not None and Path(file).exists():
            commands = [f"xray study run {shlex.quote(file)}", "xray ui mlflow"]
            content = read_sited(connection, Path(file))
            write_report(connection, content, settings.home() / "reports" / study, commands)


def _kinds(text: str) -> tuple[str, ...]:
    from xray.errors import XrayError
    from xray.names import unknown

    kinds = tuple(dict.fromkeys(kind.strip() for kind in text.split(",") if kind.strip()))
    for kind in kinds:
        if kind not in KINDS:
            raise XrayError(f"--kinds: {unknown('kind', kind, KINDS)}")
    if not kinds:
        raise XrayError(f"--kinds is empty; expected some of {', '.join(KINDS)}")
    return kinds


def _results(engine: "Engine", study: str, model: str, a: str, b: str) -> list[dict[str, Any]]:
    """Results as they are shown, brought up to date."""
    from sqlalchemy import text

    from db.queries import query
    from xray.analyses.run import by_name, run

    run(engine, study, [by_name("interventions")])
    parameters = {"study": study, "trained_on": model, "train_dataset": a, "test_dataset": b}
    with engine.connect() as connection:
        rows = connection.execute(text(query("intervention_shown")), parameters).mappings().all()
    return [dict(row) for row in rows]
