"""The options of `xray analyse` that name some of the images, models and findings, and what they print."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from xray.analyses.analysis import Analysis

Function = TypeVar("Function", bound=Callable[..., Any])
HIDDEN = (
    "evaluation_ids",
    "evaluation_id",
    "method",
    "bin_n",
    "bin_predicted",
    "bin_observed",
    "bin_lower",
    "bin_upper",
)
"""Columns that a table on a terminal has no room for; --json has them."""


@dataclass(frozen=True)
class CutOptions:
    """What was asked for; nothing of it: all."""

    where: str | None = None
    since: str | None = None
    until: str | None = None
    day: str | None = None
    images: Path | None = None
    model: tuple[str, ...] = ()
    dataset: tuple[str, ...] = ()
    task: tuple[str, ...] = ()

    @property
    def is_set(self) -> bool:
        """Whether anything was asked for."""
        return any(getattr(self, option.name) not in (None, ()) for option in fields(self))


def cut_options(command: Function) -> Function:
    """The options, as arguments of their names."""
    options = (
        click.option(
            "--where", metavar="CONDITIONS", help="Only some images: age >= 70 and sex = 'F' and view = 'AP'."
        ),
        click.option(
            "--from", "since", metavar="DAY", help="Only images from this day on, such as 2024-01-31."
        ),
        click.option("--to", "until", metavar="DAY", help="Only images up to this day, included."),
        click.option(
            "--day", metavar="COLUMN", help="The column of the label files with the day (default: StudyDate)."
        ),
        click.option(
            "--images",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Only the images that a file lists (in its column image, or one name per line).",
        ),
        click.option(
            "--model", multiple=True, help="Only this model, by its name in trained_on; repeatable."
        ),
        click.option("--dataset", multiple=True, help="Only this test dataset; repeatable."),
        click.option("--task", multiple=True, help="Only this finding; repeatable."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def print_cut(
    connection: "Connection", study: str, analysis: "Analysis", options: CutOptions, as_json: bool
) -> None:
    """Print the rows of an analysis on a cut."""
    from flows.cli.rows import show_rows
    from xray.analyses.cuts import DAY, Cutting, Selection, cut
    from xray.data.image_names import image_names

    names = None if options.images is None else image_names(options.images)
    images = cut(options.where, options.since, options.until, options.day or DAY, names)
    selection = Selection(options.model, options.dataset, options.task)
    rows = Cutting(connection, study, images, selection).rows(analysis)
    if as_json:
        show_rows(rows, True, "no result")
        return
    click.echo(
        f"{analysis.question}\n{images}; thresholds are those of the whole test cohorts; nothing is stored:\n"
    )
    show_rows([_short(row) for row in rows], False, "no result")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a terminal has room for it."""
    cells = {name: value for name, value in row.items() if name not in HIDDEN}
    return {name: f"{value:.3f}" if isinstance(value, float) else value for name, value in cells.items()}
