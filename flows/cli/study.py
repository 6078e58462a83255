"""`xray study`: run a study file to its report, or show its progress."""

import contextlib
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json
from xray.errors import StudyError

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
        content = read_sited(connection, file)
        now = progress(connection, content)
    if as_json:
        print_json(now)
        return
    click.echo(f"{content.name}: {content.title}")
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
    from xray.learning.models import ensure_model
    from xray.learning.tracking import Tracker
    from xray.plan import requests

    content = read_here(file)
    number = content.seeds[0] if seed is None else seed
    models = [
        model for model in requests(content) if (model.trained_on, model.seed) == (configuration, number)
    ]
    if not models:
        names = ", ".join(entry.name for entry in content.configurations())
        raise StudyError(
            f"{file}: there is no configuration {configuration!r} with seed {number}; known: {names}; seeds "
            + ", ".join(map(str, content.seeds))
        )
    with storage() as databases:
        engine, home = databases.engine(), settings.home()
        for dataset in content.datasets:
            if dataset.name in models[0].datasets:
                prepare(engine, home, dataset, content.protocol, content.recipe.image_size)
        migrations.prepare(databases, ("mlflow",))
        tracker = Tracker(databases.mlflow, settings.artifacts())
        model_id, new = ensure_model(engine, tracker, home, models[0], bar=True)
    click.echo(f"model {model_id} " + ("was trained" if new else "already existed"))


def run_file(file: Path, as_json: bool = False, hints: str = "", store: "Databases | None" = None) -> None:
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
    from xray.report.words import number_of
    from xray.study import read_study

    _check_files(read_study(file))  # a mistake in it is told before a server starts
    file = file.resolve()
    with storage() if store is None else contextlib.nullcontext(store) as databases:
        with databases.engine().begin() as connection:
            study = read_sited(connection, file)
        outcome = done_already(databases, study)
        if outcome is None:
            parts = f"{number_of(len(study.datasets), 'dataset')}, {_models(study)}"
            _log.info("%s: %s [study=%s]", study.title, parts, study.name)
            with watch.database(settings.home(), databases.psql()), prefect_api(databases):
                from flows.study import run_study

                outcome = run_study(str(file))
        with databases.engine().begin() as connection:
            answer = terminal(results.first_screen(connection, study.name))
            table = auc_table(results.performance(connection, study.name))
    if as_json:
        print_json(outcome)
        return
    folder = Path(outcome["folder"])
    click.echo(f"\n{answer}\n\n{table}\n")
    click.echo(_summary(outcome))
    click.echo(
        f"Figures as PNG, SVG and CSV are beside the page, and report.md. To open it: xray report open {study.name}"
    )
    if hints:
        click.echo(hints)
    click.echo(_short(folder / "report.html"))


def _check_files(study: "Study") -> None:
    """Name every table and folder of pictures that is not there at once, and not each after the servers have started."""
    missing = [
        f"{kind} of {dataset.name}: {path}"
        for dataset in study.datasets
        for kind, path in (("table", dataset.labels), ("pictures", dataset.images))
        if path is not None
        and not os.path.exists(path)  # which a folder that may not be entered makes no error
    ]
    if missing:
        raise StudyError(f"{study.path}: not there, or not to be read: {'; '.join(missing)}")


def _models(study: "Study") -> str:
    """What models a study is of, in words."""
    from xray.report.words import number_of

    own = f"{number_of(len(study.configurations()), 'configuration')}, {number_of(len(study.seeds), 'seed')}"
    foreign = f"{number_of(len(study.foreign), 'model')} from elsewhere"
    return ", ".join([*([own] if study.configurations() else []), *([foreign] if study.foreign else [])])


def done_already(databases: "Databases", study: "Study") -> dict[str, Any] | None:
    """What `run_study` would say of a study that is finished, without starting anything; None where something is to be done.

    The label files are read again: a file that has changed since it was registered is an error, not a silent skip.
    """
    from xray import settings
    from xray.data.prepare import register_request
    from xray.plan import progress

    folder = settings.home() / "reports" / study.name
    with databases.engine().begin() as connection:
        now = progress(connection, study)
    if not now.is_done or not (folder / "report.html").exists():
        return None
    for dataset in study.datasets:
        if dataset.phantom or dataset.labels:
            register_request(databases.engine(), dataset, study.protocol, home=settings.home())
    return {
        "study": study.name,
        "n_models": now.models - len(study.foreign),
        "trained": 0,
        "evaluated": 0,
        "analysed": 0,
        "folder": str(folder),
    }


def _summary(outcome: dict[str, Any]) -> str:
    if not outcome["n_models"]:
        work = f"wrote {outcome['evaluated']} evaluations, computed {outcome['analysed']} analyses"
        return f"Nothing had to be trained; {work}."
    if not (outcome["trained"] or outcome["evaluated"] or outcome["analysed"]):
        return f"All {outcome['n_models']} models were trained, scored and analysed already: nothing to do."
    rest = "" if outcome["trained"] == outcome["n_models"] else " (the others existed already)"
    return (
        f"Trained {outcome['trained']} of {outcome['n_models']} models{rest}, wrote {outcome['evaluated']} "
        f"evaluations, computed {outcome['analysed']} analyses."
    )


def _short(path: Path) -> str:
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
