"""The study's report: one HTML file that holds everything and needs nothing from outside."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pandas as pd

from xray.report import spots
from xray.report import tables as forms
from xray.report.answer import LISTED, SPOKEN, VERDICTS, Answer
from xray.report.answer_text import NOTHING_TO_WARN_OF
from xray.report.captions import Caption
from xray.report.limits import LOST, USEFUL, reasons, stated
from xray.report.parts.part import Part
from xray.report.spots import Spot
from xray.report.words import number

if TYPE_CHECKING:
    from markupsafe import Markup

TEMPLATE: Final = "page.html"
SCRIPT: Final = "page.js"

CHAPTERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Where it fails": ("auc", "mean-auc", "leave-one-site-out", "average-precision", "partial-auc"),
    "Why": (
        "images-or-labels", "causes", "interventions", "reader-agreement", "agreement", "pooled-agreement", "bland-altman",
        "classifier-map", "classifier-distance", "feature-map", "view-classifier",
    ),
    "At which threshold": ("threshold-transfer", "operating-points", "net-benefit", "calibration"),
    "For whom": ("subgroups",),
    "How sure": ("seed-agreement",),
    "Further": (),
}  # fmt: skip
"""What is folded behind the answer, in the order in which a reader asks; what is in no chapter is in the last one."""


@dataclass(frozen=True)
class Study:
    """What was asked, and of what.

    question: in one or two sentences. protocol: name and version. network: architecture and input size.
    configurations: what the models are trained on ("nih", "all", "all-but-nih", …). seeds: a model each.
    cohorts: counts, columns `tables.COHORTS`. provenance: label → value (code version, date, …).
    models: any columns; one row per model with its version. foreign: models that were trained elsewhere.
    """

    name: str
    question: str
    protocol: str
    network: str
    configurations: Sequence[str]
    seeds: Sequence[int]
    cohorts: pd.DataFrame
    provenance: Mapping[str, str]
    models: pd.DataFrame = field(default_factory=pd.DataFrame)
    foreign: Sequence[str] = ()


@dataclass(frozen=True)
class Picture:
    """A figure as the page embeds it: an SVG as a data address, its width in CSS pixels, how to read it."""

    address: str
    width: int
    caption: Caption
    spots: "Markup | None" = None
    """What its places answer, as JSON."""


@dataclass(frozen=True)
class Section:
    """A part of the page: how to read it, findings in words, figures, tables."""

    anchor: str
    title: str
    about: str
    findings: Sequence[str]
    pictures: Sequence[Picture]
    tables: Sequence[forms.Table]
    boxed: str = ""
    """What a boxed cell of a table is."""


LARGEST: Final = 700_000
"""Bytes of an SVG that the page still takes in, of a part that is not central."""


@dataclass(frozen=True)
class Drawing:
    """A part of the report: its figure as SVG, if it has one, the figure's width in inches, and its hover spots."""

    part: Part
    svg: bytes | None = None
    inches: float = 0.0
    spots: Sequence[Spot] = ()


def write(
    path: Path,
    *,
    title: str,
    answer: Answer,
    study: Study,
    parts: Sequence[Drawing],
    notes: Sequence[str],
    commands: Sequence[str],
) -> Path:
    """Write the report to `path` (whole or not at all; folders are made) and return it.

    parts: the sections, in order, with their figures; a figure that is too large for a page is named instead.
    answer: what the first screen says. notes: limits and remarks, a sentence or two each.
    commands: shell lines that reproduce the report.
    The same input gives the same bytes.
    """
    from xray.durable import write_whole

    html = render(
        title=title,
        answer=answer,
        study=study,
        parts=parts,
        notes=notes,
        commands=commands,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, html.encode())


def render(
    *,
    title: str,
    answer: Answer,
    study: Study,
    parts: Sequence[Drawing],
    notes: Sequence[str],
    commands: Sequence[str],
) -> str:
    """The report as HTML text. Arguments as in `write`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = _breakable
    script = (Path(__file__).parent / SCRIPT).read_text(encoding="utf-8")
    return environment.get_template(TEMPLATE).render(
        title=title,
        script=Markup(script),
        script_hash=base64.b64encode(sha256(script.encode()).digest()).decode(),
        images_of=lambda images: spots.images_of(images, study.name, study.foreign),
        cells_of=lambda cell: spots.cells_of(cell.models, study.name, study.foreign),
        answer=answer,
        shown=LISTED,
        verdicts=VERDICTS,
        spoken=SPOKEN,
        nothing=NOTHING_TO_WARN_OF,
        useful=number(USEFUL.value, 2),
        lost=number(LOST.value, 2),
        limits=stated(),
        reasons=reasons(),
        study=study,
        cohorts=forms.cohorts(study.cohorts),
        chapters=_chapters([_section(part, study) for part in parts]),
        models=forms.plain("Models", study.models.dropna(axis=1, how="all")) if len(study.models) else None,
        notes=notes,
        commands=commands,
    )


def _section(figure: Drawing, study: Study) -> Section:
    part = figure.part
    pictures, about = [], part.about
    if figure.svg is not None and part.caption is not None:
        if part.central or len(figure.svg) <= LARGEST:
            pictures = [_embedded(figure, figure.svg, part.caption, study)]
        else:
            about = f"{about} The figure is too large for this page: {part.name}.png and {part.name}.svg are beside it."
    tables = list(part.tables)
    if len(part.short_table):
        tables.append(
            forms.plain(
                "The extremes; every row is in the database",
                part.short_table,
                forms.images_of(part.short_table, part.data),
            )
        )
    return Section(
        part.name.replace("_", "-"), part.title, about, part.findings, pictures, tables, part.boxed
    )


def _chapters(sections: Sequence[Section]) -> list[tuple[str, list[Section]]]:
    """The sections by chapter; chapters without one are left out."""
    chapter_of = {anchor: chapter for chapter, anchors in CHAPTERS.items() for anchor in anchors}
    last = list(CHAPTERS)[-1]
    by = {chapter: [s for s in sections if chapter_of.get(s.anchor, last) == chapter] for chapter in CHAPTERS}
    return [(chapter, several) for chapter, several in by.items() if several]


def _breakable(text: str) -> "Markup":
    """The text, escaped, with a place to break the line after each "_" and "-"."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[_-])", text))


def _embedded(figure: Drawing, svg: bytes, caption: Caption, study: Study) -> Picture:
    from markupsafe import Markup

    encoded = base64.b64encode(svg).decode()
    answers = Markup(spots.as_json(figure.spots, study.name, study.foreign)) if figure.spots else None
    return Picture(f"data:image/svg+xml;base64,{encoded}", round(figure.inches * 110), caption, answers)
