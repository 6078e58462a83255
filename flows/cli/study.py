"""`xray study`: run a study file to its report, or show its progress."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from db.connection import Databases
    from xray.study import Study

_log = logging.getLogger(__name__)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(cls=Group)
def study() -> None:
    """Run a study file, or show its progress."""


@study.command()
@click.argument("file", type=FILE)
@json_option("What was done, as JSON, instead of tables.")
def run(file: Path, as_json: bool) -> None:
    """Bring what FILE declares up to date: datasets, models, predictions, results, figures. Does only what is missing."""
    run_file(file, as_json)


@study.command()
@click.argument("file", type=FILE)
@json_option()
def status(file: Path, as_json: bool) -> None:
    """What of FILE is done, and what is missing."""
    from flows.platform import storage
    from xray.plan import progress, read_sited
    from xray.study import read_study

    read_study(file)  # a mistake in it is told before a server starts
    with storage() as databases, databases.engine().begin() as connection:
        asked = read_sited(connection, file)
        now = progress(connection, asked)
    if as_json:
        print_json(now)
        return
    click.echo(f"{asked.name}: {asked.title}")
    click.echo(f"  datasets ready       {now.datasets_ready} of {now.datasets}")
    click.echo(f"  models trained       {now.models_trained} of {now.models}")
    click.echo(f"  evaluations missing  {now.evaluations_missing}")
    click.echo(f"  analyses current     {now.analyses_current} of {now.analyses}")


@study.command()
@click.argument("file", type=FILE)
@click.option("--configuration", required=True, help='What to train on: "nih", "all", "all-but-nih-cc", …')
@click.option("--seed", type=int, default=None, help="Default: the first seed of the study.")
def train(file: Path, configuration: str, seed: int | None) -> None:
    """Train one model of FILE here and now, with a bar for each epoch; `xray study run` finds it afterwards.

    Several processes train it together, one per GPU: accelerate launch --multi_gpu --no_python xray study train FILE …
    On CPUs: ACCELERATE_USE_CPU=true torchrun --nproc-per-node 2 --no-python xray study train FILE …
    """
    from flows import migrations
    from flows.platform import storage
    from flows.studies import read_here
    from xray import settings
    from xray.data.prepare import prepare
    from xray.errors import StudyError
    from xray.learning.models import ensure_model
    from xray.learning.tracking import Tracker
    from xray.plan import requests

    asked = read_here(file)
    number = asked.seeds[0] if seed is None else seed
    models = [model for model in requests(asked) if (model.trained_on, model.seed) == (configuration, number)]
    if not models:
        names = ", ".join(entry.name for entry in asked.configurations())
        raise StudyError(
            f"{file}: there is no configuration {configuration!r} with seed {number}; known: {names}; seeds "
            + ", ".join(map(str, asked.seeds))
        )
    with storage() as databases:
        engine, home = databases.engine(), settings.home()
        for dataset in asked.datasets:
            if dataset.name in models[0].datasets:
                prepare(engine, home, dataset, asked.protocol, asked.recipe.image_size)
        migrations.prepare(databases, ("mlflow",))
        tracker = Tracker(databases.mlflow, settings.artifacts())
        model_id, new = ensure_model(engine, tracker, home, models[0], bar=True)
    click.echo(f"model {model_id} " + ("was trained" if new else "already existed"))


def run_file(file: Path, as_json: bool = False, hints: str = "", opened: "Databases | None" = None) -> None:
    """Run a study with the servers that it needs, and print what came out: the answer, the AUCs, and last its page.

    hints: what to try next, printed before the page's path. opened: the databases, where the caller has them open.
    """
    from flows import watch
    from flows.platform import prefect_api, storage
    from xray import settings
    from xray.analyses import results
    from xray.plan import read_sited
    from xray.report.answer_text import terminal
    from xray.report.text import auc_table
    from xray.report.words import counted
    from xray.study import read_study

    read_study(file)  # a mistake in it is told before a server starts
    file = file.resolve()
    with storage() if opened is None else contextlib.nullcontext(opened) as databases:
        with databases.engine().begin() as connection:
            asked = read_sited(connection, file)
        done = done_already(databases, asked)
        if done is None:
            parts = f"{counted(len(asked.datasets), 'dataset')}, {_models(asked)}"
            _log.info("%s: %s [study=%s]", asked.title, parts, asked.name)
            with watch.database(settings.home(), databases.psql()), prefect_api(databases):
                from flows.study import run_study

                done = run_study(str(file))
        with databases.engine().begin() as connection:
            answer = terminal(results.first_screen(connection, asked.name))
            table = auc_table(results.performance(connection, asked.name))
    if as_json:
        print_json(done)
        return
    folder = Path(done["folder"])
    click.echo(f"\n{answer}\n\n{table}\n")
    click.echo(_summary(done))
    click.echo(
        f"Figures as PNG, SVG and CSV are beside the page, and report.md. To open it: xray report open {asked.name}"
    )
    if hints:
        click.echo(hints)
    click.echo(_short(folder / "report.html"))


def _models(asked: "Study") -> str:
    """What models a study is of, in words."""
    from xray.report.words import counted

    own = f"{counted(len(asked.configurations()), 'configuration')}, {counted(len(asked.seeds), 'seed')}"
    theirs = f"{counted(len(asked.foreign), 'model')} from elsewhere"
    return ", ".join([*([own] if asked.configurations() else []), *([theirs] if asked.foreign else [])])


def done_already(databases: "Databases", asked: "Study") -> dict[str, Any] | None:
    """What `run_study` would say of a study that is finished, without starting anything; None where something is to be done.

    The label files are read again: a file that has changed since it was registered is an error, not a silent skip.
    """
    from xray import settings
    from xray.data.prepare import register_request
    from xray.plan import progress

    folder = settings.home() / "reports" / asked.name
    with databases.engine().begin() as connection:
        now = progress(connection, asked)
    if not now.is_done or not (folder / "report.html").exists():
        return None
    for dataset in asked.datasets:
        if dataset.phantom or dataset.labels:
            register_request(databases.engine(), dataset, asked.protocol, home=settings.home())
    return {
        "study": asked.name,
        "n_models": now.models - len(asked.foreign),
        "trained": 0,
        "evaluated": 0,
        "analysed": 0,
        "folder": str(folder),
    }


def _summary(done: dict[str, Any]) -> str:
    if not done["n_models"]:
        made = f"wrote {done['evaluated']} evaluations, computed {done['analysed']} analyses"
        return f"Nothing was to be trained; {made}."
    if not (done["trained"] or done["evaluated"] or done["analysed"]):
        return f"All {done['n_models']} models were trained, scored and analysed already: nothing was to be done."
    rest = "" if done["trained"] == done["n_models"] else " (the others were there)"
    return (
        f"Trained {done['trained']} of {done['n_models']} models{rest}, wrote {done['evaluated']} "
        f"evaluations, computed {done['analysed']} analyses."
    )


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
