"""The command line `xray`. Commands are imported when they are called, so that `xray --help` is quick."""

import importlib
import sys
from typing import Any

import click

COMMANDS = {
    "demo": ("flows.cli.demo:demo", "From nothing to figures: four drawn sites, 18 models, one report."),
    "study": ("flows.cli.study:study", "Run a study file, or see how far it is."),
    "analyse": (
        "flows.cli.analyse:analyse",
        "Analyses of a study from its stored predictions: tables, figures, JSON.",
    ),
    "dataset": ("flows.cli.dataset:dataset", "Add, list and count datasets."),
    "labels": ("flows.cli.labels:labels", "Where a label comes from; do two labellers agree?"),
    "protocol": ("flows.cli.protocol:protocol", "The rules of a protocol, and what changes between two."),
    "cohort": ("flows.cli.cohort:cohort", "Frozen cohorts as a CSV of ids, to publish and to rebuild."),
    "model": ("flows.cli.model:model", "Models from elsewhere: import, list, show; export one of ours."),
    "predictions": (
        "flows.cli.predictions:predictions",
        "Scores made elsewhere, imported; stored ones, exported.",
    ),
    "audit": ("flows.cli.audit:audit", "Images and patients that stand in training and in a test."),
    "verify": ("flows.cli.verify:verify", "Published numbers, recomputed from label files."),
    "explain": ("flows.cli.explain:explain", "Where a result comes from: code, data, configuration, worker."),
    "sql": ("flows.cli.sql:sql", 'Ask the database: xray sql "select …".'),
    "db": ("flows.cli.db:db", "The database: who may read it."),
    "up": ("flows.cli.stack:up", "Start the standing platform: servers, deployments, workers."),
    "down": ("flows.cli.stack:down", "Stop the standing platform."),
    "status": ("flows.cli.stack:status", "What of the standing platform runs, waits and is missing."),
    "logs": ("flows.cli.stack:logs", "What its services wrote."),
    "env": ("flows.cli.stack:env", "What a shell needs to talk to its servers."),
    "doctor": ("flows.cli.doctor:doctor", "What of all that xray needs holds on this machine."),
    "ui": ("flows.cli.ui:ui", "Open the MLflow or Prefect web interface."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported one by one, when asked for. lazy: name → (module:function, what it does)."""

    def __init__(self, *given: Any, lazy: dict[str, tuple[str, str]], **options: Any) -> None:
        super().__init__(*given, **options)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of `lazy`."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.lazy:
            return None
        module, name = self.lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self.lazy.items()])


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="xray", message="xray %(version)s")
def cli() -> None:
    """Does a chest X-ray classifier trained at one hospital work at another, and if not, is it the images or the labels?

    Everything is kept under XRAY_HOME (default .xray); XRAY_DATABASE_URL names a PostgreSQL server of your own.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run a command; an error that a user can put right is one message and exit code 1, not a traceback."""
    from db.errors import XrayError

    try:
        return cli.main(arguments, prog_name="xray", standalone_mode=True)
    except XrayError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
