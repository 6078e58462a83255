"""A study's stored results as files: figures with their data, tables, and one page."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from sqlalchemy import Connection, text

from xray.analyses import results, shown
from xray.analyses.run import ANALYSES
from xray.analyses.stored import load_study
from xray.report import captions, figures, grids, page, verdict_grid
from xray.report.parts.part import Part
from xray.settings import code_version
from xray.study import Study

NOTES = (
    "Intervals of AUC are DeLong's where each patient gives one image, and of a bootstrap over patients where some give "
    "several. They say nothing of the chance of another training run; the seeds do.",
    "An ensemble is the mean of its seeds' logits. A cell is undefined where the test cohort lacks a class, and grey where "
    "it has fewer than 10 positives or negatives.",
)


def draw_in_turn(parts: Sequence[Part], folder: Path) -> list[page.Drawn]:
    """Each part with its figure, drawn one after the other."""
    return [shown.drawn(each, folder) for each in parts]


def write_report(
    connection: Connection,
    study: Study,
    folder: Path,
    commands: list[str],
    draw: Callable[[Sequence[Part], Path], list[page.Drawn]] = draw_in_turn,
) -> Path:
    """Write figures (PNG, SVG, CSV) and report.html of a study's stored results into `folder`; the page's path.

    draw: how the figures of the further analyses are made; a program with no other thread may draw on all cores
    (`shown.drawn_in_processes`).
    The same results give the same bytes. Raises `AnalysisError` where nothing is stored yet.
    """
    tables = _tables(connection, study.name)
    illustrations = _figures(tables, folder)
    further = [each for each in ANALYSES if each.name not in shown.IN_FULL]
    made = [shown.part(connection, study.name, each) for each in further]
    parts = draw([each for each in made if len(each.data)], folder)
    return page.write(
        folder / "report.html",
        title=study.title,
        study=_about(connection, study),
        tables=tables,
        figures=illustrations,
        notes=(*NOTES, *results.foreign_notes(connection, study.name)),
        commands=commands,
        parts=parts,
    )


def _tables(connection: Connection, name: str) -> dict[str, pd.DataFrame]:
    auc = results.performance(connection, name)
    return {
        page.PERFORMANCE: auc,
        page.LEAVE_ONE_SITE_OUT: results.leave_one_site_out(load_study(connection, name), auc),
        "comparison": results.comparison(connection, name),
        page.AGREEMENT: results.agreement(connection, name),
        page.IMAGES_OR_LABELS: results.images_or_labels(connection, name),
    }


def _figures(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[page.Illustration]:
    auc, left_out, kappa = (tables[n] for n in (page.PERFORMANCE, page.LEAVE_ONE_SITE_OUT, page.AGREEMENT))
    drawn = [
        page.Illustration(figures.auc_grid(auc), captions.auc_grid(grids.auc_grid(auc)), page.PERFORMANCE),
        page.Illustration(
            figures.leave_one_site_out(left_out),
            captions.leave_one_site_out(left_out),
            page.LEAVE_ONE_SITE_OUT,
        ),
        page.Illustration(
            figures.agreement_grid(kappa), captions.agreement_grid(grids.kappa_grid(kappa)), page.AGREEMENT
        ),
        page.Illustration(
            verdict_grid.draw(tables[page.IMAGES_OR_LABELS]), verdict_grid.CAPTION, page.IMAGES_OR_LABELS
        ),
    ]
    names = {
        page.PERFORMANCE: "auc",
        page.LEAVE_ONE_SITE_OUT: "leave_one_site_out",
        page.AGREEMENT: "agreement",
        page.IMAGES_OR_LABELS: "images_or_labels",
    }
    for each in drawn:
        figures.save(each.figure, folder, names[each.section], tables[each.section])
    return drawn


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
        configurations=[each.name for each in study.configurations()],
        seeds=study.seeds,
        cohorts=results.cohorts(connection, study.name),
        provenance=versions,
        models=results.models(connection, study.name),
    )
