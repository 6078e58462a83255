"""`xray reread`: a way out of "cannot tell": what to read again by whose rules, and what the reads change."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.groups import Group
from flows.cli.rows import json_option, print_json, show_rows

if TYPE_CHECKING:
    from sqlalchemy import Engine


@click.group(cls=Group)
def reread() -> None:
    """Plan re-reads that settle a verdict, and add their answers."""


@reread.command()
@click.argument("study")
@click.option(
    "--budget",
    type=click.IntRange(20, 10_000),
    default=100,
    show_default=True,
    help="Number of images to read.",
)
@click.option("--model", help="Only verdicts on this model from elsewhere.")
@click.option("--task", help="Only this finding, in doubt or not.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the list (default: reread-STUDY-N.csv here).",
)
@click.option("--seed", type=click.IntRange(0), help="Seed of the draw (default: random; it is stored).")
@click.option("--dry-run", is_flag=True, help="Only print what would be read, and the chance of success.")
@json_option("One JSON object per finding that is read.")
def plan(
    study: str, budget: int, model: str | None, task: str | None, to: Path | None, seed: int | None, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Choose images to read again to settle each "cannot tell" of STUDY, with the chance of success.

    Writes a blind list, CSV: a row per image, in random order, without label, score and site. Readers fill the columns
    reader and answer (yes, no, unsure), each in a copy of their own; xray reread add FILE takes the copies.
    """
    from flows.platform import storage
    from xray.analyses.reread_plan import plan as planned
    from xray.data.rereads import blind_list, put_plan
    from xray.errors import XrayError

    number = secrets.randbits(31) if seed is None else seed
    with storage() as home, home.engine().begin() as connection:
        loaded, shares, samples = planned(connection, study, budget, number, model, task)
        content, path = "", None
        if not dry_run:
            worklists = put_plan(connection, loaded.id, study, samples, number)
            content = blind_list(connection, worklists, number)
            path = to or Path(f"reread-{study}-{worklists[0]}.csv")
            try:
                with path.open("x", encoding="utf-8", newline="") as file:
                    file.write(content)
            except OSError as error:
                raise XrayError(
                    f"{path}: the list can't be written: {error.strerror}; choose another file with --to"
                ) from None
    rows = [
        {
            "task": share.task,
            "model": share.trained_on,
            "read images of": share.read,
            "by the rules of": share.rules_of,
            "reads": share.reads,
            "drop in AUC": round(share.drop, 3),
            "P(label)": round(share.probability, 2),
            "chance to settle": round(share.chance, 2),
            "settles all": round(share.whole, 2),
            "by pipeline": round(share.piped, 2),
        }
        for share in shares
    ]
    show_rows(rows, as_json, "")
    better = [share.task for share in shares if share.piped > share.whole]
    if better:
        click.echo(
            f"{', '.join(better)}: scores of the reference's pictures through the other site's pipeline would settle "
            f"more than reads: xray reread pipeline {study}",
            err=True,
        )
    if path is not None:
        click.echo(
            f"{path}: {content.count(chr(10)) - 1} rows; fill the columns reader and answer, then run: "
            f"xray reread add {path}",
            err=True,
        )


@reread.command()
@click.argument("study")
@click.option(
    "--budget", type=click.IntRange(20), help="Number of images of A to score (default: all with a label)."
)
@click.option("--model", help="Only verdicts on this model from elsewhere.")
@click.option("--task", help="Only this finding, in doubt or not.")
@click.option(
    "--to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File of the list (default: pipeline-STUDY.csv here).",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the draw.")
@click.option("--dry-run", is_flag=True, help="Only print what would be scored, and the chance of success.")
@json_option("One JSON object per finding in doubt.")
def pipeline(
    study: str, budget: int | None, model: str | None, task: str | None, to: Path | None, seed: int, dry_run: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Which images of the reference to score through the other site's pipeline, to settle the verdicts of STUDY.

    Writes a list, CSV: image, path. Put these pictures through the other site's pipeline, score them by the same model, and
    hand the scores in by xray intervene add. It prints the chances that image loss is named or ruled out, and that all
    causes are: by these scores, by 200 reads instead (xray reread plan), and by both.
    """
    from flows.platform import storage
    from xray.analyses.pipeline_plan import image_list, plan
    from xray.errors import XrayError

    with storage() as home, home.engine().connect() as connection:
        plans = plan(connection, study, budget, seed, model, task)
        content = image_list(connection, plans[0])
    first = plans[0]
    show_rows(
        [
            {
                "task": of.task,
                "model": of.pair.model,
                "images of": of.pair.a.dataset,
                "through": of.pair.b.dataset,
                "images": int(first.images.size),
                "P(image)": round(float(of.probability[0]), 2),
                "settles image": round(of.image, 2),
                "settles all": round(of.whole, 2),
                "by reads": round(of.reads, 2),
                "by both": round(of.both, 2),
            }
            for of in plans
        ],
        as_json,
        "",
    )
    if dry_run:
        return
    path = to or Path(f"pipeline-{study}.csv")
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(content)
    except OSError as error:
        raise XrayError(
            f"{path}: the list can't be written: {error.strerror}; choose another file with --to"
        ) from None
    pair = first.pair
    click.echo(
        f"{path}: {first.images.size} images, drawn for {first.task}; score them through the pipeline of {pair.b.dataset}, "
        f"then: xray intervene add FILE --model {pair.model} --from {pair.a.dataset} --to {pair.b.dataset} --missing-as-nan",
        err=True,
    )


@reread.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check the file; store nothing.")
@json_option("One JSON object: what was added, and the verdicts after it.")
def add(file: Path, dry_run: bool, as_json: bool) -> None:
    """Add the answers of a list from xray reread plan, and update its verdicts.

    Everything is checked before anything is stored. Rows without an answer are left for later: within images of one class
    and range of scores, what is not read is taken to be missing at random. Labels of datasets stay as they are.
    """
    from flows.platform import storage
    from xray.data.rereads import add_reads

    with storage() as home:
        engine = home.engine()
        with engine.connect() as connection:
            added = add_reads(connection, file)
            if dry_run:
                connection.rollback()
            else:
                connection.commit()
        verdicts = [] if dry_run else [row for study in added.studies for row in _verdicts(engine, study)]
    counts = {
        "new": added.new,
        "known": added.repeated,
        "without answer": added.empty,
        "readers": added.readers,
    }
    if as_json:
        print_json(counts | {"stored": not dry_run, "verdicts": verdicts})
        return
    outcome = "would be added" if dry_run else "added"
    rest = f"{added.repeated} stored before, {added.empty} rows without answer"
    click.echo(f"{added.new} answers {outcome} ({', '.join(added.readers)}), {rest}", err=True)
    show_rows(verdicts, False, "" if dry_run else "no verdict uses these reads yet: each stratum needs two")


def _verdicts(engine: "Engine", study: str) -> list[dict[str, Any]]:
    """The verdicts of a study that rest on reads, after they were brought up to date."""
    from sqlalchemy import text

    from db.queries import query
    from xray.analyses.run import by_name, run

    run(engine, study, [by_name("causes")])
    with engine.connect() as connection:
        rows = connection.execute(text(query("reread_verdicts")), {"study": study}).mappings().all()
    return [dict(row) for row in rows]
