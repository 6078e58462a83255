"""Stored results as parts that a person reads: rows of a view, findings, a figure."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd
from sqlalchemy import Connection

from xray.analyses.analysis import REGISTRY, Analysis, Stored, stored_rows
from xray.analyses.parallel import in_processes
from xray.errors import AnalysisError
from xray.report import published, spots
from xray.report.page import Drawn
from xray.report.parts.part import Part
from xray.report.words import leaking

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS: Final = ("evaluation_ids", "evaluation_id", "cohort_ids")
"""Columns that say something in this database only: another run of the same study counts otherwise."""


def part(connection: Connection, study: str, analysis: Analysis, reference: bool = False) -> Part:
    """One analysis of a study as it is stored. `reference`: with published values beside one's own.

    Raises `AnalysisError` where no published value is of this analysis or of the study's datasets.
    """
    frame = stored_rows(connection, study, analysis)
    values = _published(analysis, frame) if reference else None
    made = analysis.show(Stored(connection, study, frame, values))
    if made.central:  # its findings say what leaks
        return made
    return replace(made, findings=[*made.findings, *leaking(frame.get("warning", ()), "row")])


def write_figure(each: Part, folder: Path) -> list[Path]:
    """The figure of a part as PNG, SVG and CSV in a folder; nothing where it has none, or it would be empty."""
    figure = _figure(each)
    return [] if figure is None else _save(each, figure, folder)


def _figure(each: Part) -> "Figure | None":
    from xray.report.layout import is_empty

    figure = each.draw() if each.draw is not None else None
    return None if figure is None or is_empty(figure) else figure


def _save(each: Part, figure: "Figure", folder: Path) -> list[Path]:
    from xray.report import figures

    data = each.data.drop(columns=[column for column in NUMBERS if column in each.data])
    return figures.save(figure, folder, each.name, data)


def drawn(each: Part, folder: Path) -> Drawn:
    """A part as the page takes it, its figure written into the folder too."""
    return Drawn(each, *_written(each, folder))


def drawn_in_processes(several: Sequence[Part], folder: Path) -> list[Drawn]:
    """As `drawn`, of several parts, on all cores; see `parallel.in_processes`."""
    written = in_processes(partial(_written, folder=folder), several)
    return [Drawn(each, *found) for each, found in zip(several, written, strict=True)]


def _written(each: Part, folder: Path) -> tuple[bytes, float, tuple[spots.Spot, ...]] | tuple[()]:
    """The figure's SVG, its width in inches and what its places answer; nothing without a figure."""
    figure = _figure(each)
    if figure is None:
        return ()
    _, svg, _ = _save(each, figure, folder)
    return svg.read_bytes(), float(figure.get_size_inches()[0]), spots.of(figure)


def _published(analysis: Analysis, frame: pd.DataFrame) -> pd.DataFrame:
    if analysis.metric is None:
        others = ", ".join(each.name for each in REGISTRY.values() if each.metric is not None)
        raise AnalysisError(f"nothing was published of {analysis.name!r}; published: {others}")
    values = published.read(published.FILE, analysis.metric)
    if analysis.metric == published.POOLED_KAPPA:
        values = _halves(frame, values, published.read(published.FILE, published.POOLED_TAU))
    first, second = (
        ("trained_on", "test_dataset") if "trained_on" in frame else ("trained_on_a", "trained_on_b")
    )
    own = set(frame[first])
    if not set(zip(frame[first], frame[second], strict=True)) & set(
        zip(values["trained_on"], values["test_dataset"], strict=True)
    ):
        raise AnalysisError(
            f"no published value is of a model of this study, whose models are trained on {', '.join(sorted(own))}; "
            f"published: {', '.join(dict.fromkeys(values['trained_on']))}"
        )
    return values


def _halves(frame: pd.DataFrame, kappas: pd.DataFrame, taus: pd.DataFrame) -> pd.DataFrame:
    """Published kappas of the pairs as they stand in the rows, and taus of the pairs turned round."""
    pairs = set(zip(frame["trained_on_a"], frame["trained_on_b"], strict=True))

    def of(values: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
        return values[[pair in pairs for pair in zip(values[first], values[second], strict=True)]]

    return pd.concat([of(kappas, "trained_on", "test_dataset"), of(taus, "test_dataset", "trained_on")])
