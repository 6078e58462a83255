"""`xray evaluate`: judge models from elsewhere by score files and labels, without training anything."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from flows.cli.predictions import SCALE

if TYPE_CHECKING:
    from xray.evaluate import Evaluated, Site

_log = logging.getLogger(__name__)
FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
REFERENCE: Final = "reference"


@click.command()
@click.argument("scores", nargs=-1, type=FILE)
@click.option(
    "--labels",
    type=FILE,
    help="A table of image names and a column per finding; patient, view, age, sex if known.",
)
@click.option(
    "--map",
    "mapping",
    type=FILE,
    help="A mapping file of the labels, if they use other columns or words (xray dataset draft writes one).",
)
@click.option("--scores-map", type=FILE, help="A mapping file of the scores.")
@click.option("--site", help="The hospital of the images and labels.")
@click.option(
    "--dataset",
    "datasets",
    multiple=True,
    help="Name for the images with these labels (default: SITE), or a registered dataset (repeatable without SCORES).",
)
@click.option(
    "--model",
    "models",
    multiple=True,
    help="A name for each file of scores, in order (default: the file's). Without SCORES: a model's file, or its name.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=FILE,
    help="The same models' scores at the reference hospital, in the same order.",
)
@click.option("--reference-labels", type=FILE, help="Labels of those images.")
@click.option(
    "--reference-site",
    default=REFERENCE,
    show_default=True,
    help="The hospital that the reference comes from.",
)
@click.option(
    "--kind",
    default="probability",
    show_default=True,
    type=SCALE,
    help="What kind of numbers the scores are.",
)
@click.option(
    "--protocol",
    default="external",
    show_default=True,
    help="external-first takes one image of each patient.",
)
@click.option(
    "--study", default="evaluation", show_default=True, help="Name under which results are kept and added to."
)
@click.option(
    "--image-column", help="The column of SCORES with the names of the images (default: image or image_id)."
)
@click.option(
    "--from-model", help="The model whose rows to use, if a file has a column `model` with several."
)
@click.option(
    "--missing-as-nan",
    is_flag=True,
    help="Leave images without a score unscored instead of refusing the file.",
)
@click.option("--ignore-unknown", is_flag=True, help="Leave out rows of images that have no labels.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    metavar="[MODEL:]TASK=VALUE",
    help="An operating point that the model's maker declares, on the scale of --kind (repeatable).",
)
@click.option(
    "--loss-ratio",
    type=click.FloatRange(1, 999),
    help="How many missed causes cost as much as a false one. A cause is named from probability L / (1 + L) (default: 2).",
)
@click.option("--json", "as_json", is_flag=True, help="What was done, every AUC and every verdict, as JSON.")
def evaluate(
    scores: tuple[Path, ...],
    labels: Path | None,
    mapping: Path | None,
    scores_map: Path | None,
    site: str | None,
    datasets: tuple[str, ...],
    models: tuple[str, ...],
    references: tuple[Path, ...],
    reference_labels: Path | None,
    reference_site: str,
    as_json: bool,
    study: str,
    protocol: str,
    thresholds: tuple[str, ...],
    loss_ratio: float | None,
    **reading: Any,
) -> None:
    """Judge models by files of their SCORES (CSV, xlsx or Parquet: a row per image, a column per finding), one per model.

    Every labelled image counts, even several of a patient: patients are the unit of every interval. Images need no pictures
    here. A second call with the same --study adds models and hospitals to it.

    Without SCORES, models score the pictures of registered datasets first: xray evaluate --model vendor.onnx --dataset ours.
    A model's file needs its card beside it (xray model import).
    """
    if not scores:
        context, allowed = (
            click.get_current_context(),
            {"scores", "models", "datasets", "study", "protocol", "as_json", "loss_ratio"},
        )
        others = [
            name
            for name in context.params
            if name not in allowed and context.get_parameter_source(name) is not ParameterSource.DEFAULT
        ]
        if not models or not datasets or others:
            raise click.UsageError(
                "give SCORES with --labels and --site; or, to score pictures, --model FILE (or NAME) and --dataset NAME, "
                "with none of the options of SCORES"
            )
        return _by_pictures(models, datasets, study, protocol, as_json, loss_ratio)
    if len(datasets) > 1:
        raise click.UsageError("--dataset: SCORES belong to one dataset; run the command again for another")
    dataset = datasets[0] if datasets else None
    from flows.platform import storage
    from xray import settings
    from xray.analyses import results
    from xray.data.mapping.model import read_mapping
    from xray.evaluate import Reading
    from xray.evaluate import evaluate as judge

    sites = _sites(scores, labels, site, dataset, models, references, reference_labels, reference_site)
    points = _points(thresholds, [name for name, _ in sites[0].scores])
    with storage() as databases:
        result = judge(
            databases.engine(),
            settings.home(),
            sites,
            study=study,
            protocol=protocol,
            reading=Reading(**reading, mapping=read_mapping(scores_map) if scores_map else None),
            mapping=mapping,
            thresholds=points,
            reference=reference_site if reference_labels is not None else None,
            loss_ratio=loss_ratio,
            processes=True,
        )
        for note in result.notes:
            click.echo(f"note: {note}", err=True)
        with databases.engine().begin() as connection:
            frame = results.performance(connection, study)
            verdicts = results.causes(connection, study)
            answer = "" if as_json else _answer(connection, study, frame)
    click.echo(_json(result, frame, verdicts) if as_json else f"\n{answer}\n\n{result.page}")


def _sites(
    scores: tuple[Path, ...],
    labels: Path | None,
    site: str | None,
    dataset: str | None,
    models: tuple[str, ...],
    references: tuple[Path, ...],
    reference_labels: Path | None,
    reference_site: str,
) -> "list[Site]":
    """The hospitals that the options speak of. Raises `UsageError` where they don't say enough."""
    from xray.evaluate import Site, model_name
    from xray.study import check_name

    if models and len(models) != len(scores):
        raise click.UsageError(
            f"--model: {len(models)} name(s) for {len(scores)} file(s) of scores; give one name per file"
        )
    names = models or tuple(model_name(file) for file in scores)
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise click.UsageError(f"two files would be model {doubled!r}; give each its own name with --model")
    if labels is None and dataset is None:
        raise click.UsageError("give --labels FILE and --site SITE, or --dataset of a registered one")
    if labels is not None and site is None:
        raise click.UsageError("give --site SITE: the hospital that the labels come from")
    if bool(references) != (reference_labels is not None):
        raise click.UsageError("--reference and --reference-labels go together")
    if references and len(references) != len(scores):
        raise click.UsageError(
            f"--reference: {len(references)} file(s) for {len(scores)} model(s); one each, in the order of SCORES"
        )
    name = check_name("--dataset", dataset or str(site))
    requests = [
        Site(name, site and check_name("--site", site), labels, tuple(zip(names, scores, strict=True)))
    ]
    if reference_labels is not None:
        if check_name("--reference-site", reference_site) == name:
            raise click.UsageError(
                f"--reference-site: {name} is the name of the evaluated dataset; give another"
            )
        of_them = tuple(zip(names, references, strict=True))
        requests.append(Site(reference_site, reference_site, reference_labels, of_them))
    return requests


def _points(words: tuple[str, ...], models: list[str]) -> dict[str, dict[str, float]]:
    """Model → task → declared threshold. Raises `UsageError` where it is not said whose one is."""
    from xray.data.operating_points import parse_thresholds

    texts: dict[str, list[str]] = {}
    for text in words:
        model, colon, point = text.rpartition(":")
        if not colon and len(models) > 1:
            raise click.UsageError(f"--threshold {text!r}: name its model, as in {models[0]}:{text}")
        name = model or models[0]
        if name not in models:
            raise click.UsageError(f"--threshold {text!r}: {name} is not one of {', '.join(models)}")
        texts.setdefault(name, []).append(point)
    return {model: parse_thresholds(points) for model, points in texts.items()}


def _by_pictures(
    models: Sequence[str],
    datasets: Sequence[str],
    study: str,
    protocol: str,
    as_json: bool,
    loss_ratio: float | None,
) -> None:
    """Let models, by file or name, score the pictures of registered datasets, and print what a study's run prints."""
    from flows.cli.model import take_in
    from flows.cli.study import run_file
    from flows.platform import begin_forks, storage
    from xray import settings
    from xray.data.foreign_models import get_foreign
    from xray.evaluate import put_study_file

    names = []
    with storage() as databases:
        for model in models:
            if Path(model).is_file():
                _log.info("reading model %s", model)
                begin_forks()
                names.append(take_in(databases, Path(model)).name)
            else:
                with databases.engine().begin() as connection:
                    names.append(get_foreign(connection, model).name)
        path = put_study_file(
            databases.engine(), settings.home(), study, protocol, datasets, names, loss_ratio=loss_ratio
        )
        run_file(path, as_json, store=databases)


ANSWERS: Final = ("performance", "calibration", "net_benefit", "operating_points", "subgroups", "agreement")


def _answer(connection: Any, study: str, frame: Any) -> str:
    """What stands first on the page, the AUCs as a table, and what the main analyses say in words."""
    from xray.analyses import results, shown
    from xray.analyses.run import by_name
    from xray.report.answer_text import terminal
    from xray.report.text import auc_table

    blocks = [terminal(results.first_screen(connection, study)), auc_table(frame)]
    for name in ANSWERS:
        part = shown.part(connection, study, by_name(name))
        if len(part.data):
            blocks.append("\n".join([part.title, *(f"  {line}" for line in part.findings)]))
    return "\n\n".join(blocks)


def _json(result: "Evaluated", frame: Any, verdicts: Any) -> str:
    whole = {
        "study": result.study.name,
        "file": str(result.study.path),
        "page": str(result.page),
        "imported": [entry.model for entry in result.imported if entry.new],
        "notes": list(result.notes),
        "verdicts": json.loads(verdicts.to_json(orient="records", date_format="iso", double_precision=15)),
        "auc": json.loads(frame.drop(columns="seed").to_json(orient="records", double_precision=15)),
    }
    return json.dumps(whole)
