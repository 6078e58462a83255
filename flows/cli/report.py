"""`xray report`: where a study's page is, or the page itself; drafts for reporting guidelines, and model cards."""

from pathlib import Path
from typing import Any

import click

OPEN = "open"
GUIDELINES = ("stard-ai", "tripod+ai", "claim")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[open] STUDY")
@click.option(
    "--checklist",
    type=click.Choice(GUIDELINES, case_sensitive=False),
    help="Draft a reporting guideline from the study's results, as Markdown.",
)
@click.option("--card", metavar="MODEL", help="Draft a model card of one of the study's models, as Markdown.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the draft to a file."
)
def report(words: tuple[str, ...], checklist: str | None, card: str | None, output: Path | None) -> None:
    """Print where the page of STUDY is; with "open", open it in the browser too. STUDY: its name, or its file.

    A study that is itself called "open": xray report open open. With --checklist or --card a draft is printed instead:
    each item with what the results say, the questions that give the rows, and what only a person can say.
    """
    if checklist or card:
        if checklist and card:
            raise click.UsageError("choose one of --checklist and --card")
        if len(words) != 1:
            raise click.UsageError("expected one STUDY")
        _draft(words[0], checklist, card, output)
        return
    if output:
        raise click.UsageError("-o goes with --checklist or --card")
    opens = len(words) == 2 and words[0] == OPEN
    if len(words) != 1 + opens:
        raise click.UsageError("give STUDY, or: open STUDY")
    page = page_of(words[-1])
    click.echo(str(page))
    if opens and click.launch(address(page)):
        click.echo(f"no browser could be started; open this file yourself: {page}", err=True)


def _draft(study: str, checklist: str | None, card: str | None, output: Path | None) -> None:
    """Print or write the draft of a guideline or of a model card."""
    from db.question import ask
    from flows.platform import storage
    from xray.durable import write_whole
    from xray.report.checklist import CARD, CHECKLISTS, markdown

    with storage() as databases:

        def rows(statement: str) -> list[dict[str, Any]]:
            with ask(databases.reader or databases.xray, statement) as answer:
                return [
                    dict(zip(answer.columns, row, strict=True)) for batch in answer.batches for row in batch
                ]

        file = CHECKLISTS[checklist] if checklist else CARD
        draft = markdown(file, rows, name_of(study), card or "")
    if output is None:
        click.echo(draft, nl=False)
    else:
        write_whole(output, draft.encode())
        click.echo(str(output))


def address(page: Path) -> str:
    """The page's address for a browser, with the explorer's where `xray up` keeps one, so that cells lead to images."""
    from flows.standing.place import this_stack

    standing = this_stack().running()
    explorer = standing.url("explorer") if standing is not None else ""
    return f"{page.as_uri()}#explorer={explorer}" if explorer else page.as_uri()


def page_of(study: str) -> Path:
    """The page of a study, by its name or its file. Raises `StudyError` where there is none yet."""
    from xray import settings
    from xray.errors import StudyError

    name = name_of(study)
    pages = {page.parent.name: page for page in sorted((settings.home() / "reports").glob("*/report.html"))}
    if name not in pages:
        others = f"; there are pages of {', '.join(pages)}" if pages else ""
        raise StudyError(
            f"study {name!r} has no page under {settings.home()}{others}. A run writes it: xray study run FILE"
        )
    return pages[name].resolve()


def name_of(study: str) -> str:
    """The name of a study that is given by its name or its file."""
    from xray.study import read_study

    file = Path(study)
    return read_study(file).name if file.suffix == ".toml" and file.is_file() else study
