"""`xray doctor`: what of all that xray needs holds on this machine, for a bug report."""

import click

from flows.cli.rows import json_option, print_json


@click.command()
@json_option("One JSON object per question: code, state, detail, advice.")
def doctor(as_json: bool) -> None:
    """Check that this machine has what xray needs. The output contains no secret. Exit code 1 if something is wrong."""
    from flows.cli.sql import table
    from flows.doctor import examine
    from xray import settings

    findings = list(examine(settings.home_path()))
    if as_json:
        for finding in findings:
            print_json(finding)
    else:
        click.echo(table(("question", "state", "answer"), [(f.code, f.state, f.detail) for f in findings]))
        for finding in findings:
            if finding.advice:
                click.echo(f"{finding.code}: {finding.advice}", err=True)
    if any(finding.state == "fault" for finding in findings):
        raise SystemExit(1)
