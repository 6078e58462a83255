"""`xray compare`: two models on the same images, or one model on two subsets of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flows.cli.rows import json_option, print_json

if TYPE_CHECKING:
    from xray.analyses.compare import Compared


@click.command()
@click.argument("first")
@click.argument("second", required=False)
@click.option("--study", help="The study (default: the only one).")
@click.option(
    "--where", metavar="CONDITIONS", help="Only some images: age >= 70 and sex = 'F' and view = 'AP'."
)
@click.option(
    "--against",
    metavar="CONDITIONS",
    help="Without SECOND: the images that those of --where are compared with, such as StudyDate < 2024-01-01.",
)
@click.option(
    "--margin",
    type=float,
    help="Non-inferiority margin: FIRST is no worse if its AUC is at most this much lower.",
)
@click.option(
    "--probability", type=float, default=0.1, show_default=True, help="Threshold probability of net benefit."
)
@click.option(
    "--disagreements",
    type=click.Path(dir_okay=False, path_type=Path),
    help="CSV file to write: every image that one model calls positive and the other negative.",
)
@json_option("One JSON object per dataset and finding.")
def compare(
    first: str,
    second: str | None,
    study: str | None,
    where: str | None,
    against: str | None,
    margin: float | None,
    probability: float,
    disagreements: Path | None,
    as_json: bool,
) -> None:
    """Compare models FIRST and SECOND of a study on the same images; differences are FIRST minus SECOND. Or FIRST alone
    on two subsets of the images, --where minus --against.

    AUC by DeLong, sensitivity and specificity at each one's threshold (declared by its maker, else the best on these
    images), net benefit, kappa of their calls. Patients are the unit of intervals; p of AUC is adjusted after Holm over all
    rows.
    """
    from flows.platform import storage
    from xray import csv_cells
    from xray.analyses.compare import compare as run
    from xray.analyses.stored import study_meant

    if (second is None) == (against is None):
        raise click.UsageError("give SECOND, or --where and --against")
    if against is not None:
        if where is None or margin is not None or disagreements is not None:
            raise click.UsageError("--against needs --where, and takes neither --margin nor --disagreements")
        _subsets(first, study, where, against, as_json)
        return
    assert second is not None
    with storage() as databases, databases.engine().begin() as connection:
        study_name = study_meant(connection, study, None)
        comparison = run(
            connection, study_name, first, second, where=where, margin=margin, probability=probability
        )
    if as_json:
        for row in comparison.rows:
            print_json(row)
    else:
        click.echo(_text(comparison, margin))
    if disagreements is not None:
        csv_cells.cells(comparison.images).to_csv(disagreements, index=False)
        click.echo(f"{disagreements}: {len(comparison.images)} images and findings", err=True)


def _subsets(model: str, study: str | None, where: str, against: str, as_json: bool) -> None:
    """Compare one model on two subsets, and print the rows."""
    from flows.cli.sql import table
    from flows.platform import storage
    from xray.analyses.compare_subsets import compare_subsets
    from xray.analyses.stored import study_meant
    from xray.report.words import p_cell

    with storage() as databases, databases.engine().begin() as connection:
        rows = compare_subsets(connection, study_meant(connection, study, None), model, where, against)
    if as_json:
        for row in rows:
            print_json(row)
        return
    heads = (
        "tested on",
        "task",
        "where: n, positive",
        "AUC",
        "against: n, positive",
        "AUC",
        "difference",
        "p, Holm",
    )
    cells = [
        [
            row["test_dataset"],
            row["task"],
            *(
                text
                for side in "ab"
                for text in (f"{row[f'n_{side}']}, {row[f'n_pos_{side}']}", _share(row[f"auc_{side}"]))
            ),
            _between(row, ""),
            p_cell(row["p_holm"]),
            *(_between(row, f"{name}_") for name in ("sensitivity", "specificity")),
        ]
        for row in rows
    ]
    click.echo(table((*heads, "sensitivity", "specificity"), [tuple(map(str, line)) for line in cells]))
    click.echo(f"{model}: {where}, minus {against}. Patients are the units of all intervals.")
    if any(row["threshold_is"] != "declared" for row in rows):
        click.echo("Where no threshold is declared it is the best on the images of both (Youden).")


def _text(comparison: "Compared", margin: float | None) -> str:
    from flows.cli.sql import table
    from xray.report.words import p_cell

    heads = [
        "tested on",
        "task",
        "n",
        "positive",
        f"AUC {comparison.first}",
        f"AUC {comparison.second}",
        "difference",
        "p, Holm",
    ]
    heads += ["sensitivity", "specificity", "net benefit", "kappa"] + (
        ["no worse"] if margin is not None else []
    )
    rows = []
    for row in comparison.rows:
        cells = [
            row["test_dataset"],
            row["task"],
            row["n"],
            row["n_pos"],
            _share(row["auc_a"]),
            _share(row["auc_b"]),
        ]
        cells += [_between(row, ""), p_cell(row["p_holm"])]
        cells += [_between(row, f"{name}_") for name in ("sensitivity", "specificity", "net_benefit")]
        cells += [_share(row["kappa"])]
        if margin is not None:
            cells.append({True: "yes", False: "not shown", None: "–"}[row["no_worse"]])
        rows.append(cells)
    lines = [table(tuple(heads), [tuple(map(str, cells)) for cells in rows]), *_sentences(comparison)]
    return "\n".join(lines)


def _sentences(comparison: "Compared") -> list[str]:
    from xray.report.words import number_of

    tested = [row for row in comparison.rows if row["p_holm"] is not None]
    significant = [row for row in tested if row["p_holm"] < 0.05]
    better = sum(row["difference"] > 0 for row in significant)
    sentences = [
        f"{comparison.first} ranks better in {better} and worse in {len(significant) - better} of "
        f"{number_of(len(tested), 'comparison')} (p < 0.05 after Holm); a difference that is not shown may still exist."
    ]
    best = [row for row in comparison.rows if "best on these images" in row["thresholds"]]
    if best:
        sentences.append(
            "Where no threshold is declared it is the best on these images (Youden), which flatters sensitivity and "
            "specificity."
        )
    return sentences


def _between(row: dict[str, Any], prefix: str) -> str:
    value, lower, upper = (row[prefix + name] for name in ("difference", "lower", "upper"))
    if value is None:
        return "–"
    bounds = "" if lower is None else f" ({lower:.3f} to {upper:.3f})"
    return f"{value:+.3f}{bounds}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
