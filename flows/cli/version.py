"""`xray version`, for those who don't think of --version."""

import click


@click.command()
def version() -> None:
    """The version of xray, as --version says it."""
    from importlib.metadata import version

    click.echo(f"xray {version('xray')}")
