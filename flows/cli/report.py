"""`xray report`: where a study's page is, or the page itself."""

from pathlib import Path

import click

OPEN = "open"


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="[open] STUDY")
def report(words: tuple[str, ...]) -> None:
    """Print where the page of STUDY is; with "open", open it in the browser too. STUDY: its name, or its file.

    A study that is itself called "open": xray report open open.
    """
    opened = len(words) == 2 and words[0] == OPEN
    if len(words) != 1 + opened:
        raise click.UsageError("expected STUDY, or: open STUDY")
    page = page_of(words[-1])
    click.echo(str(page))
    if opened and click.launch(address(page)):
        click.echo(f"no browser could be started here; open this file yourself: {page}", err=True)


def address(page: Path) -> str:
    """The page's address for a browser, with the explorer's where `xray up` keeps one, so that cells lead to images."""
    from flows.standing.place import here

    standing = here().running()
    explorer = standing.url("explorer") if standing is not None else ""
    return f"{page.as_uri()}#explorer={explorer}" if explorer else page.as_uri()


def page_of(study: str) -> Path:
    """The page of a study, by its name or its file. Raises `StudyError` where there is none yet."""
    from xray import settings
    from xray.errors import StudyError
    from xray.study import read_study

    file = Path(study)
    name = read_study(file).name if file.suffix == ".toml" and file.is_file() else study
    pages = {page.parent.name: page for page in sorted((settings.home() / "reports").glob("*/report.html"))}
    if name not in pages:
        written = f"; there are pages of {', '.join(pages)}" if pages else ""
        raise StudyError(
            f"study {name!r} has no page under {settings.home()}{written}. A run writes it: xray study run FILE"
        )
    return pages[name].resolve()
