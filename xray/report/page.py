"""The study's report: one HTML file that holds everything and needs nothing from outside."""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from xray.report import tables as forms
from xray.report import verdicts
from xray.report.captions import Caption
from xray.report.grids import auc_grid, kappa_grid
from xray.report.parts.part import Part
from xray.report.words import agreement_findings, comparison_findings, performance_findings

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.figure import Figure

TEMPLATE: Final = "page.html"

PERFORMANCE: Final = "performance"
LEAVE_ONE_SITE_OUT: Final = "leave_one_site_out"
AGREEMENT: Final = "agreement"
IMAGES_OR_LABELS: Final = "images_or_labels"
OTHER: Final = "other"
"""Sections that figures can stand in."""


@dataclass(frozen=True)
class Study:
    """What was asked, and of what.

    question: in one or two sentences. protocol: name and version. network: architecture and input size.
    configurations: what the models are trained on ("nih", "all", "all-but-nih", …). seeds: a model each.
    cohorts: counts, columns `tables.COHORTS`. provenance: label → value (code version, date, …).
    models: any columns; one row per model with its version.
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


@dataclass(frozen=True)
class Illustration:
    """A figure, how to read it, and the section that it stands in."""

    figure: "Figure"
    caption: Caption
    section: str = OTHER


@dataclass(frozen=True)
class Picture:
    """An illustration as the page embeds it: an SVG as a data address, and its width in CSS pixels."""

    address: str
    width: int
    caption: Caption


@dataclass(frozen=True)
class Section:
    """A part of the page: how to read it, findings in words, figures, tables."""

    anchor: str
    title: str
    about: str
    findings: Sequence[str]
    pictures: Sequence[Picture]
    tables: Sequence[forms.Table]


_ABOUT: Final = {
    PERFORMANCE: "AUC is the chance that a model ranks a random positive image above a random negative one: "
    "0.5 is guessing, 1 is perfect. Each cell is the ensemble of its seeds, with the 95% interval. "
    "An AUC says nothing about prevalence or about the right threshold.",
    LEAVE_ONE_SITE_OUT: "What would a site get from a model that has never seen its images? For each test "
    "dataset three kinds of model are compared: trained on its own data only, on all sites but this one, and "
    "on all sites. Differences are paired: the same images, first minus second. p values are corrected after "
    "Holm.",
    AGREEMENT: "Do two models give the same answers on the same images, right or wrong? Each model is "
    "compared with the model that was trained on the test dataset. Good AUC with poor agreement, or poor AUC "
    "with good agreement, is a sign that labels may mean different things at different sites; alone it is "
    "no proof.",
    IMAGES_OR_LABELS: "Where a model that was trained on one dataset does worse on another: are the images other, is "
    "the finding more or less common, or do the labels mean something else? The drop in AUC is the sum of what both sites' "
    "own models lose on the second dataset (its images or labels are harder) and of what each model is better at home "
    "(the datasets differ in kind). A verdict is given per task where the tests allow it; each rests on the "
    "assumption that stands beside it, and “cannot tell” names what would settle the matter. p: that nothing "
    "changed, adjusted over the study after Benjamini and Hochberg.",
}


LARGEST: Final = 700_000
"""Bytes of a further part's SVG that the page still takes in."""


@dataclass(frozen=True)
class Drawn:
    """A further part of the report, its figure as SVG, if it has one, and the figure's width in inches."""

    part: Part
    svg: bytes | None = None
    inches: float = 0.0


def write(
    path: Path,
    *,
    title: str,
    study: Study,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Illustration],
    notes: Sequence[str],
    commands: Sequence[str],
    parts: Sequence[Drawn] = (),
) -> Path:
    """Write the report to `path` (whole or not at all; folders are made) and return it.

    tables: result frames by name. "performance", "leave_one_site_out", "comparison", "agreement" and
        "images_or_labels" have the columns of `grids`, `leave_out`, `words` and `verdicts` and get their own
        sections; "published" and "published_agreement" (columns `grids.PUBLISHED`) are shown beside them; any other
        frame as it is.
    notes: limits and remarks, a sentence or two each. commands: shell lines that reproduce the report.
    parts: further sections, with their figures; one that is too large for a page is named instead.
    The same input gives the same bytes. Raises AnalysisError where a frame lacks a column or contradicts
    itself.
    """
    from xray.report.files import write_whole

    html = render(
        title=title,
        study=study,
        tables=tables,
        figures=figures,
        notes=notes,
        commands=commands,
        parts=parts,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_whole(path, html.encode())


def render(
    *,
    title: str,
    study: Study,
    tables: Mapping[str, pd.DataFrame],
    figures: Sequence[Illustration],
    notes: Sequence[str],
    commands: Sequence[str],
    parts: Sequence[Drawn] = (),
) -> str:
    """The report as HTML text. Arguments and errors as in `write`."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["breakable"] = _breakable
    pictures: dict[str, list[Picture]] = {}
    for illustration in figures:
        pictures.setdefault(illustration.section, []).append(_picture(illustration))
    return environment.get_template(TEMPLATE).render(
        title=title,
        study=study,
        cohorts=forms.cohorts(study.cohorts),
        sections=_sections(tables, pictures, parts),
        models=forms.plain("Models", study.models) if len(study.models) else None,
        notes=notes,
        commands=commands,
    )


def _sections(
    tables: Mapping[str, pd.DataFrame], pictures: Mapping[str, Sequence[Picture]], parts: Sequence[Drawn]
) -> list[Section]:
    made = {
        PERFORMANCE: _performance,
        LEAVE_ONE_SITE_OUT: _leave_one_site_out,
        AGREEMENT: _agreement,
        IMAGES_OR_LABELS: _images_or_labels,
    }
    sections = [
        make(tables, pictures.get(name, ()))
        for name, make in made.items()
        if name in tables or name in pictures
    ]
    sections += [_further(drawn) for drawn in parts]
    known = {*made, "comparison", "published", "published_agreement"}
    others = [forms.plain(name, frame) for name, frame in tables.items() if name not in known]
    rest = [picture for name, some in pictures.items() if name not in made for picture in some]
    if others or rest:
        sections.append(Section("more", "Further results", "", (), rest, others))
    return sections


def _performance(tables: Mapping[str, pd.DataFrame], pictures: Sequence[Picture]) -> Section:
    grid = auc_grid(tables.get(PERFORMANCE, pd.DataFrame()), tables.get("published"))
    return Section(
        "performance",
        "How well does each model do on each dataset?",
        _ABOUT[PERFORMANCE],
        performance_findings(grid),
        pictures,
        forms.performance(grid),
    )


def _leave_one_site_out(tables: Mapping[str, pd.DataFrame], pictures: Sequence[Picture]) -> Section:
    comparison = tables.get("comparison", pd.DataFrame())
    rows = tables.get(LEAVE_ONE_SITE_OUT, pd.DataFrame())
    return Section(
        "leave-one-site-out",
        "What is lost where the site was not in training?",
        _ABOUT[LEAVE_ONE_SITE_OUT],
        comparison_findings(comparison),
        pictures,
        [*([forms.leave_one_site_out(rows)] if len(rows) else []), *forms.comparison(comparison)],
    )


def _agreement(tables: Mapping[str, pd.DataFrame], pictures: Sequence[Picture]) -> Section:
    grid = kappa_grid(tables.get(AGREEMENT, pd.DataFrame()), tables.get("published_agreement"))
    return Section(
        "agreement",
        "Do the models agree?",
        _ABOUT[AGREEMENT],
        agreement_findings(grid),
        pictures,
        forms.agreement(grid),
    )


def _images_or_labels(tables: Mapping[str, pd.DataFrame], pictures: Sequence[Picture]) -> Section:
    frame = tables.get(IMAGES_OR_LABELS, pd.DataFrame())
    return Section(
        "images-or-labels",
        "Images or labels?",
        _ABOUT[IMAGES_OR_LABELS],
        verdicts.findings(frame),
        pictures,
        verdicts.tables(frame),
    )


def _further(drawn: Drawn) -> Section:
    part = drawn.part
    pictures, about = [], part.about
    if drawn.svg is not None and part.caption is not None:
        if len(drawn.svg) <= LARGEST:
            pictures = [_embedded(drawn.svg, drawn.inches, part.caption)]
        else:
            about = f"{about} The figure is too large for this page: {part.name}.png and {part.name}.svg are beside it."
    tables = (
        [forms.plain("The extremes; every row is in the database", part.shown)] if len(part.shown) else []
    )
    return Section(part.name.replace("_", "-"), part.title, about, part.findings, pictures, tables)


def _breakable(text: str) -> "Markup":
    """The text, escaped, with a place to break the line after each "_" and "-"."""
    from markupsafe import Markup, escape

    return Markup("<wbr>").join(escape(piece) for piece in re.split(r"(?<=[_-])", text))


def _picture(illustration: Illustration) -> Picture:
    from xray.report.files import svg

    figure: Any = illustration.figure
    return _embedded(svg(figure), float(figure.get_size_inches()[0]), illustration.caption)


def _embedded(drawn: bytes, inches: float, caption: Caption) -> Picture:
    encoded = base64.b64encode(drawn).decode()
    return Picture(f"data:image/svg+xml;base64,{encoded}", round(inches * 110), caption)
