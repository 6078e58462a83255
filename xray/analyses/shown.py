"""Stored results as parts that a person reads: rows of a view, findings, a figure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import pandas as pd
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool

from xray.analyses.analysis import REGISTRY, Analysis, Stored, stored_rows
from xray.analyses.parallel import in_processes
from xray.errors import AnalysisError
from xray.report import published, spots
from xray.report.page import Drawing
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
    shown_part = analysis.show(Stored(connection, study, frame, values))
    if shown_part.central:  # its findings name the leaks
        return shown_part
    return replace(shown_part, findings=[*shown_part.findings, *leaking(frame.get("warning", ()), "row")])


def write_figure(part: Part, folder: Path) -> list[Path]:
    """The figure of a part as PNG, SVG and CSV in a folder; nothing where it has none, or it would be empty."""
    figure = _figure(part)
    return [] if figure is None else _save(part, figure, folder)


def _figure(part: Part) -> "Figure | None":
    from xray.report.layout import is_empty

    figure = part.draw() if part.draw is not None else None
    return None if figure is None or is_empty(figure) else figure


def _save(part: Part, figure: "Figure", folder: Path) -> list[Path]:
    from xray.report import figures

    data = part.data.drop(columns=[column for column in NUMBERS if column in part.data])
    return figures.save(figure, folder, part.name, data)


def drawing_of(part: Part, folder: Path) -> Drawing:
    """A part as the page takes it, its figure written into the folder too."""
    return Drawing(part, *_svg(part, folder))


Make: TypeAlias = Callable[[Connection, Analysis], Drawing | None]
"""Reads one analysis as it is stored and draws its figure; None where there is nothing to show."""


def drawn_in_turn(connection: Connection, make: Make, analyses: Sequence[Analysis]) -> list[Drawing]:
    """What `make` makes of each, one after the other."""
    return [drawing for analysis in analyses if (drawing := make(connection, analysis)) is not None]


def drawn_in_processes(connection: Connection, make: Make, analyses: Sequence[Analysis]) -> list[Drawing]:
    """As `drawn_in_turn`, on all cores (`parallel.in_processes`); each reads, by its own connection, what is committed.

    The last are begun first, as they take longest, so that no core waits for one at the end.
    """
    from xray.report import figures  # noqa: F401  # once, and not in each process

    url = connection.engine.url

    def apart(analysis: Analysis) -> Drawing | None:
        with create_engine(url, poolclass=NullPool).connect() as own:
            drawing = make(own, analysis)
        return (
            None if drawing is None else replace(drawing, part=replace(drawing.part, draw=None))
        )  # which can't be handed over

    return [drawing for drawing in reversed(list(in_processes(apart, analyses[::-1]))) if drawing is not None]


def _svg(part: Part, folder: Path) -> tuple[bytes, float, tuple[spots.Spot, ...]] | tuple[()]:
    """The figure's SVG, its width in inches and its clickable spots; nothing without a figure."""
    figure = _figure(part)
    if figure is None:
        return ()
    _, svg, _ = _save(part, figure, folder)
    return svg.read_bytes(), float(figure.get_size_inches()[0]), spots.of(figure)


def _published(analysis: Analysis, frame: pd.DataFrame) -> pd.DataFrame:
    if analysis.metric is None:
        names = ", ".join(entry.name for entry in REGISTRY.values() if entry.metric is not None)
        raise AnalysisError(f"nothing was published of {analysis.name!r}; published: {names}")
    values = published.read(published.FILE, analysis.metric)
    if analysis.metric == published.POOLED_KAPPA:
        values = _halves(frame, values, published.read(published.FILE, published.POOLED_TAU))
    first, second = (
        ("trained_on", "test_dataset") if "trained_on" in frame else ("trained_on_a", "trained_on_b")
    )
    models = set(frame[first])
    if not set(zip(frame[first], frame[second], strict=True)) & set(
        zip(values["trained_on"], values["test_dataset"], strict=True)
    ):
        raise AnalysisError(
            f"no published value is of a model of this study, whose models are trained on {', '.join(sorted(models))}; "
            f"published: {', '.join(dict.fromkeys(values['trained_on']))}"
        )
    return values


def _halves(frame: pd.DataFrame, kappas: pd.DataFrame, taus: pd.DataFrame) -> pd.DataFrame:
    """Published kappas of the pairs as in the rows, and taus of the same pairs in reverse order."""
    pairs = set(zip(frame["trained_on_a"], frame["trained_on_b"], strict=True))

    def of(values: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
        return values[[pair in pairs for pair in zip(values[first], values[second], strict=True)]]

    return pd.concat([of(kappas, "trained_on", "test_dataset"), of(taus, "test_dataset", "trained_on")])
