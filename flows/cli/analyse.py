"""`xray analyse`: bring analyses of a study up to date from its stored predictions, and read them."""

import json
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.cut import CutOptions, cut_options, print_cut
from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

    from xray.analyses.analysis import Analysis
    from xray.report.parts.part import Part

_log = logging.getLogger(__name__)
ALL = "all"


@click.command()
@click.argument("name", required=False)
@click.option("--study", help="The study (default: the only one).")
@click.option("--protocol", help="Only studies under this protocol, such as paper or corrected.")
@click.option(
    "--by", "column", help="Only for performance: AUC by age, sex, view, or a column of the label files."
)
@click.option("--pair", help="Only for bland_altman: one pair of models, TASK:TEST_DATASET:TRAINED_ON.")
@click.option(
    "--uncertain",
    is_flag=True,
    help="Compare three policies for uncertain test labels: left out, positive, negative; nothing is stored.",
)
@cut_options
@click.option("--reference", is_flag=True, help="Show published values in brackets.")
@json_option("One JSON object per row.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for figures (default: the study's report).",
)
def analyse(
    name: str | None,
    study: str | None,
    protocol: str | None,
    column: str | None,
    pair: str | None,
    uncertain: bool,
    reference: bool,
    as_json: bool,
    output: Path | None,
    **cut: Any,
) -> None:
    """Bring the analysis NAME of a study up to date, print it, and draw its figure; "all" means every analysis.

    Without NAME: list the analyses and whether their results are current. Only what is stale is computed, from the stored
    predictions; no model is loaded. Where results changed, the study's page (report.html) is written anew, unless --output
    says otherwise.

    With a cut (--where, --from, --to, --images) or with --model, --dataset or --task, the rows are computed at once from
    the stored scores and printed; nothing is stored.
    """
    from flows.platform import storage
    from xray import settings
    from xray.analyses.analysis import stored_rows
    from xray.analyses.parallel import in_processes
    from xray.analyses.run import ANALYSES, by_name, run
    from xray.analyses.stored import study_meant

    analyses = [by_name(name)] if name not in (None, ALL) else list(ANALYSES)
    with storage() as databases:
        engine = databases.engine()
        with engine.begin() as connection:
            study_name = study_meant(connection, study, protocol)
            if name is None:
                _list(connection, study_name, as_json)
                return
        if column is not None:
            analyses = [_by(name, column)]
        if pair is not None and name != "bland_altman":
            raise click.UsageError("--pair is only for bland_altman")
        options = CutOptions(**cut)
        if options.is_set:
            if name in (None, ALL) or column is not None or pair is not None or reference:
                raise click.UsageError(
                    "a cut needs one analysis, and can't be combined with --by, --pair or --reference"
                )
            with engine.connect() as connection:
                print_cut(connection, study_name, analyses[0], options, as_json)
            return
        if uncertain:
            if name in (None, ALL):
                raise click.UsageError("--uncertain needs one analysis: name it")
            with engine.connect() as connection:
                _uncertain(connection, study_name, analyses[0], as_json)
            return
        changed = _run(engine, study_name, analyses, run)
        page = _rewrite_page(engine, study_name) if changed and output is None else None
        folder = output or settings.home() / "reports" / study_name
        if as_json:
            for analysis in analyses:
                with engine.begin() as connection:
                    _rows(stored_rows(connection, study_name, analysis), len(analyses) > 1 and analysis.name)
            return
        references = [reference and (name != ALL or analysis.metric is not None) for analysis in analyses]
        figures_exist = page is not None and name == ALL and not reference  # the page's figures are these
        show = partial(_show, engine, study_name, pair, folder, figures_exist)
        for part, paths in in_processes(show, list(zip(analyses, references, strict=True))):
            _print(part, whole=name != ALL)
            for path in paths:
                click.echo(f"  {path}")
        if page is not None:
            click.echo(f"\n{page}")
        if reference:
            click.echo("\nTable A.1 of the paper, from label files: xray verify table-a1 --labels FOLDER")


def _show(
    engine: "Engine",
    study: str,
    pair: str | None,
    folder: Path,
    figures_exist: bool,
    request: "tuple[Analysis, bool]",
) -> "tuple[Part, list[Path]]":
    """What is said of an analysis (with published values or not), and the files of its figure, drawn unless there."""
    from dataclasses import replace

    from xray.analyses import shown
    from xray.analyses.pairs import named_pair

    analysis, reference = request
    with engine.begin() as connection:
        part = (
            shown.part(connection, study, analysis, reference)
            if pair is None
            else named_pair(connection, study, analysis, pair)
        )
    paths = sorted(folder.glob(f"{part.name}.*")) if figures_exist else shown.write_figure(part, folder)
    return replace(part, draw=None), paths  # which no process can give to another


def _uncertain(connection: "Connection", study: str, analysis: "Analysis", as_json: bool) -> None:
    """Print an analysis under each policy for uncertain labels; the connection is given back as it was."""
    from flows.cli.rows import show_rows
    from xray.analyses.policies import side_by_side, under_each

    frame = under_each(connection, study, analysis)
    connection.rollback()
    if as_json:
        _rows(frame, False)
        return
    click.echo(
        f"{analysis.question}\nuncertain test labels left out, as positives, as negatives (positives/labelled):\n"
    )
    show_rows(side_by_side(frame, analysis).to_dict("records"), False, "no result")


def _by(name: str, column: str) -> "Analysis":
    from xray.analyses.run import by_column

    if name not in ("performance", "subgroups"):
        raise click.UsageError(
            "--by is only for performance (subgroups by age, sex, view, or a column of the label files)"
        )
    return by_column(column)


def _rewrite_page(engine: "Engine", study: str) -> Path | None:
    """Bring the page of a study's report up to date, if it was written before and the study's file is there still."""
    import shlex

    from xray import settings
    from xray.analyses.report import write_report
    from xray.analyses.shown import drawn_in_processes
    from xray.plan import file_of, read_sited

    folder = settings.home() / "reports" / study
    with engine.begin() as connection:
        file = file_of(connection, study)
        if file is None or not Path(file).exists() or not (folder / "report.html").exists():
            return None
        commands = [f"xray study run {shlex.quote(file)}", "xray ui mlflow"]
        return write_report(
            connection, read_sited(connection, Path(file)), folder, commands, drawn_in_processes
        )


def _run(engine: "Engine", study: str, analyses: "list[Analysis]", run: Any) -> bool:
    """Compute what is stale; whether anything was."""
    outcome = run(engine, study, analyses, in_parts=True)
    current = [name for name, computed in outcome.items() if not computed]
    if current:
        _log.info("already current: %s", ", ".join(current))
    return any(outcome.values())


def _list(connection: "Connection", study: str, as_json: bool) -> None:
    from flows.cli.rows import show_rows
    from xray.analyses.current import is_current
    from xray.analyses.run import ANALYSES
    from xray.analyses.stored import load_study

    stored = load_study(connection, study)
    rows = [
        {
            "analysis": analysis.name,
            "state": "current" if is_current(connection, stored, analysis) else "stale",
            "relation": analysis.view,
            "question": analysis.question,
        }
        for analysis in ANALYSES
    ]
    if not as_json:
        click.echo(f"Analyses of study {study}:\n")
    show_rows(rows, as_json, "")


def _rows(frame: Any, name: str | bool) -> None:
    """One JSON object per row; of several analyses, with its name first."""
    for row in json.loads(frame.to_json(orient="records", date_format="iso", double_precision=15)):
        print_json({"analysis": name, **row} if name else row)


def _print(part: "Part", whole: bool) -> None:
    """Findings, and the table; of "all" the findings only."""
    click.echo(f"\n{part.title}\n")
    for line in part.findings:
        click.echo(f"  {line}")
    if whole:
        click.echo(f"\n{part.text}")
