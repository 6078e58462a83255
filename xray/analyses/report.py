"""A study's stored results as files: figures with their data, tables, and one page."""

from collections.abc import Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, text

from xray.analyses import results, shown
from xray.analyses.analysis import Analysis
from xray.analyses.run import ANALYSES
from xray.durable import write_whole
from xray.report import answer_text, page
from xray.report.parts.part import Part
from xray.settings import code_version
from xray.study import Study

NOTES = (
    "Intervals of AUC are DeLong's where each patient gives one image, and of a bootstrap over patients where some give "
    "several.",
    "A cell is undefined where the test cohort lacks a class, and grey where "
    "it has fewer than 10 positives or negatives.",
)
NOTES_ON_SEEDS = (
    "Intervals say nothing of the chance of another training run; the seeds do. An ensemble is the mean of its seeds' "
    "logits.",
)


def write_report(
    connection: Connection,
    study: Study,
    folder: Path,
    commands: list[str],
    draw: Callable[[Connection, shown.Make, Sequence[Analysis]], list[page.Drawing]] = shown.drawn_in_turn,
) -> Path:
    """Write figures (PNG, SVG, CSV), report.html and report.md of a study's stored results into `folder`; the page's path.

    Both pages begin with the answer (`xray.report.answer`).

    draw: how results are read and figures made; a program with no other thread may use all cores
    (`shown.drawn_in_processes`).
    The same results give the same bytes. Raises `AnalysisError` where nothing is stored yet.
    """

    def make(own: Connection, analysis: Analysis) -> page.Drawing | None:
        part = shown.part(own, study.name, analysis)
        if not len(part.data) and not (part.central and _is_asked(study, part)):
            return None
        return shown.drawing_of(part, folder)

    parts = draw(connection, make, ANALYSES)
    first = results.first_screen(connection, study.name)
    notes = (*NOTES, *(NOTES_ON_SEEDS if study.configurations() else ()))
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "report.md", answer_text.markdown(first, study.title, study.question).encode())
    return page.write(
        folder / "report.html",
        title=study.title,
        answer=first,
        study=_about(connection, study),
        parts=parts,
        notes=(*notes, *results.foreign_notes(connection, study.name)),
        commands=commands,
    )


def _is_asked(study: Study, part: Part) -> bool:
    """Whether a study asks a central question: some only where something is trained, one only of models from elsewhere."""
    if part.name == "causes":
        return bool(study.foreign)
    return part.name not in ("leave_one_site_out", "images_or_labels") or bool(study.configurations())


def _about(connection: Connection, study: Study) -> page.Study:
    computed = connection.scalar(
        text(
            "select max(computed_at) from analysis join study on study.id = study_id where study.name = :name"
        ),
        {"name": study.name},
    )
    versions = {"results computed": f"{computed:%Y-%m-%d %H:%M} UTC", **code_version()}
    return page.Study(
        name=study.name,
        question=study.question,
        protocol=study.protocol,
        network=f"{study.recipe.network}, {study.recipe.image_size} × {study.recipe.image_size} pixels",
        configurations=[configuration.name for configuration in study.configurations()],
        seeds=study.seeds,
        cohorts=results.cohorts(connection, study.name),
        provenance=versions,
        models=results.models(connection, study.name),
        foreign=study.foreign,
    )
