"""The command line `xray`. Commands are imported when they are called, so that `xray --help` is quick."""

import contextlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from flows import leave_garbage
from flows.cli.groups import LazyGroup

if TYPE_CHECKING:
    from flows.ends import Command

COMMANDS = {
    "demo": ("flows.cli.demo:demo", "From nothing to figures: four synthetic sites, 18 models, one report."),
    "study": ("flows.cli.study:study", "Run a study file, or show its progress."),
    "report": ("flows.cli.report:report", "Print where a study's page is; xray report open STUDY opens it."),
    "evaluate": (
        "flows.cli.evaluate:evaluate",
        "Evaluate models that you have by their scores and labels; nothing is trained.",
    ),
    "compare": (
        "flows.cli.compare:compare",
        "Two models on the same images: which is better, and where they differ.",
    ),
    "plan": ("flows.cli.plan:plan", "How many images a validation needs, before they are collected."),
    "threshold": (
        "flows.cli.threshold:threshold",
        "Choose a threshold for a goal; see how it does on further images and at other hospitals.",
    ),
    "recalibrate": (
        "flows.cli.recalibrate:recalibrate",
        "Recalibrate a model's probabilities for a hospital; stored next to the scores, which stay.",
    ),
    "analyse": (
        "flows.cli.analyse:analyse",
        "Analyses of a study from its stored predictions: tables, figures, JSON.",
    ),
    "dataset": ("flows.cli.dataset:dataset", "Add, list and count datasets."),
    "worklist": (
        "flows.cli.worklist:worklist",
        "Lists of images read again in the explorer, and their answers as labels.",
    ),
    "reread": (
        "flows.cli.reread:reread",
        'Plan re-reads that settle a "cannot tell", and add their answers.',
    ),
    "intervene": (
        "flows.cli.intervene:intervene",
        "Measure image loss: one site's images, changed to look like another's and scored again.",
    ),
    "labels": ("flows.cli.labels:labels", "Where a label comes from, and whether two labellers agree."),
    "protocol": ("flows.cli.protocol:protocol", "The rules of a protocol, and what changes between two."),
    "cohort": ("flows.cli.cohort:cohort", "Frozen cohorts as a CSV of ids, to publish and rebuild."),
    "model": ("flows.cli.model:model", "Models from elsewhere: import, list, show; export one of ours."),
    "predictions": (
        "flows.cli.predictions:predictions",
        "Import scores made elsewhere; export stored scores.",
    ),
    "audit": ("flows.cli.audit:audit", "Images and patients that are in both training and test."),
    "verify": ("flows.cli.verify:verify", "Published numbers, recomputed from label files."),
    "explain": ("flows.cli.explain:explain", "Where a result comes from: code, data, configuration, worker."),
    "provenance": (
        "flows.cli.explain:provenance",
        "Where a model comes from, what it scored, and where it would leak.",
    ),
    "cache": ("flows.cli.cache:cache", "Prepared pictures: list, verify, remove unused ones."),
    "sql": ("flows.cli.sql:sql", 'Ask the database: xray sql "select …".'),
    "db": ("flows.cli.db:db", "The database: check, size, vacuum, backup, restore, upgrade, grant."),
    "up": ("flows.cli.stack:up", "Start the standing platform: servers, deployments, workers."),
    "down": ("flows.cli.stack:down", "Stop the standing platform."),
    "status": ("flows.cli.stack:status", "What runs, waits or is missing in the standing platform."),
    "logs": ("flows.cli.stack:logs", "Logs of the standing platform's services."),
    "env": ("flows.cli.stack:env", "Environment variables to reach the standing platform's servers."),
    "doctor": ("flows.cli.doctor:doctor", "Check that this machine has what xray needs."),
    "version": ("flows.cli.version:version", "The version of xray."),
    "explore": (
        "flows.cli.explore:explore",
        "Open the pages: findings and sites, scores, images, worklists.",
    ),
    "ui": ("flows.cli.ui:ui", "Open the MLflow or Prefect web interface."),
}

_GOES_ON: Final = "stopped; the next run continues where this one stopped"
_WHOLE: Final = "stopped; nothing was left half done; run the same command again"
ENDS: Final = {
    **dict.fromkeys(("demo", "study", "evaluate", "analyse", "dataset", "intervene"), _GOES_ON),
    **dict.fromkeys(("model", "predictions", "cohort", "cache", "db", "verify", "audit"), _WHOLE),
    "up": "stopped, with all services that had started; xray up starts them again",
}
"""What a command says when it is told to end; others say nothing."""
OWN_WORDS: Final = ("sql", "ui", "explore")
"""Commands that say themselves how they end, and may take longer for it."""

LOG_OPTIONS: Final = ("--verbose", "--quiet")


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--verbose", is_flag=True, help="Log more: servers, addresses, the time that each analysis took."
)
@click.option("--quiet", is_flag=True, help="Log warnings only, and show no progress.")
@click.version_option(package_name="xray", message="xray %(version)s")
def cli(verbose: bool, quiet: bool) -> None:
    """Does a chest X-ray classifier trained at one hospital work at another, and if not, is it the images or the labels?

    Everything is kept under XRAY_HOME (default .xray); XRAY_DATABASE_URL names a PostgreSQL server of your own.
    XRAY_LOG is the level of the log, which goes to standard error: DEBUG, INFO, WARNING or ERROR (default INFO).
    """
    from db import logs

    if verbose and quiet:
        raise click.UsageError("choose one of --verbose and --quiet")
    logs.start("DEBUG" if verbose else "WARNING" if quiet else None)


def main(arguments: list[str] | None = None) -> Any:
    """Run a command. What a user can put right is one sentence and exit code 1; a fault of ours has its traceback."""
    from db.terminal import styled
    from flows.ends import attended
    from flows.surroundings import enter
    from xray import settings

    if arguments is None:
        leave_garbage()
    enter()
    words = _options_first(sys.argv[1:] if arguments is None else arguments)
    command = _command(next((word for word in words if not word.startswith("-")), ""))
    # who calls this as a function has signals and an end of its own
    with attended(command) if arguments is None else contextlib.nullcontext():
        try:
            try:
                with settings.environment({settings.COMMAND: shlex.join(["xray", *words])}):
                    return cli.main(words, prog_name="xray", standalone_mode=True)
            finally:
                sys.stdout.flush()
        except Exception as error:
            refused = _refusal_of_output(error) or error
            if not isinstance(refused, BrokenPipeError):  # whoever read (head, less) has had enough
                click.echo(f"{styled('error:', 'bold red', sys.stderr)} {_message_of(refused)}", err=True)
            if arguments is None:
                command.fail()
            sys.exit(1)


def _options_first(words: list[str]) -> list[str]:
    """The same words, and what concerns the log before the command's name, wherever it was written."""
    end = words.index("--") if "--" in words else len(words)
    front = [word for word in words[:end] if word in LOG_OPTIONS]
    return [*front, *(word for word in words[:end] if word not in LOG_OPTIONS), *words[end:]]


def _refusal_of_output(error: Exception) -> OSError | None:
    """Why standard output takes no more, if it doesn't; nothing is written to it then from here on."""
    from flows.refusals import FULL, is_full
    from xray import settings

    try:
        sys.stdout.flush()
    except OSError as again:
        refused = again
    else:
        if not isinstance(error, OSError) or error.filename is not None or error.errno not in FULL:
            return None
        if is_full(settings.home_path()):
            return None
        refused = error
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    refused.filename = "standard output"
    return refused


def _command(name: str) -> "Command":
    """What a command says when it is told to end."""
    from flows.ends import Command

    if name in OWN_WORDS:
        return Command(patience=4.5)
    return Command(ENDS.get(name, ""))


def _message_of(error: Exception) -> str:
    """An error in one sentence; below its traceback where it may be ours."""
    from flows.refusals import sentence
    from xray import settings

    message = sentence(error, settings.home_path())
    if message is None:
        import traceback

        traceback.print_exception(error)
        message = "a fault of xray: please report it with the lines above and what `xray doctor` says"
    return message
