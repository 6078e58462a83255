"""Stored results as parts that a person reads: rows of a view, findings, a figure."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from sqlalchemy import Connection, column, literal_column, select, table

from xray.analyses import results
from xray.analyses.bland_altman import calibrated
from xray.analyses.parallel import in_processes
from xray.analyses.run import Definition
from xray.analyses.stored import StoredStudy, load_study, load_tests
from xray.errors import AnalysisError
from xray.report import published
from xray.report.captions import Caption
from xray.report.page import Drawn
from xray.report.parts import accuracy, agreement, images_or_labels, operating, representation
from xray.report.parts.part import Part, plain, renamed, with_figure
from xray.report.words import leaking
from xray.tasks import TASK_INDEX

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xray.report.scatter import Pair

ORDER: Final = ("task_position", "train_position", "dataset_position", "position")
HIDDEN: Final = ("study", "computed_at", *ORDER)
NUMBERS: Final = ("evaluation_ids", "evaluation_id", "cohort_ids")
"""Columns that say something in this database only: another run of the same study counts otherwise."""
IN_FULL: Final = ("performance", "leave_one_site_out", "agreement", "images_or_labels")
"""Analyses whose every number is in the page; of the others the findings, the figure and the extremes."""
REFERENCES: Final = {
    "performance": published.AUC,
    "agreement": published.KAPPA,
    "pooled_agreement": published.POOLED_KAPPA,
    "threshold_transfer": published.TRANSFER,
}
"""Analyses whose values were published, and under which metric."""


def rows(connection: Connection, study: str, analysis: Definition) -> pd.DataFrame:
    """The stored rows of one analysis of a study by names, in the study's order; without columns that only sort.

    Rows of subgroups by other columns than the analysis's own are left out.
    """
    stored = table(analysis.view, column("study"))
    found: Any = connection.execute(
        select(literal_column("*")).select_from(stored).where(stored.c.study == study)
    )
    frame = pd.DataFrame(found.all(), columns=list(found.keys()))
    if "grouping" in frame:
        frame = frame[frame["grouping"].isin(analysis.groupings or analysis.columns)]
    keys = [key for key in ORDER if key in frame]
    return frame.sort_values(keys, kind="stable", ignore_index=True).drop(
        columns=[c for c in HIDDEN if c in frame]
    )


def part(connection: Connection, study: str, analysis: Definition, reference: bool = False) -> Part:
    """One analysis of a study as it is stored. `reference`: with published values beside one's own.

    Raises `AnalysisError` where no published value is of this analysis or of the study's datasets.
    """
    frame = rows(connection, study, analysis)
    values = _published(analysis.name, frame) if reference else None
    make: dict[str, Callable[[], Part]] = {
        "performance": lambda: accuracy.performance(results.performance(connection, study), values),
        "mean_auc": lambda: accuracy.mean_auc(frame),
        "leave_one_site_out": lambda: _leave_one_site_out(connection, study),
        "images_or_labels": lambda: images_or_labels.images_or_labels(frame),
        "threshold_transfer": lambda: operating.threshold_transfer(frame, values),
        "agreement": lambda: agreement.agreement(frame, values),
        "pooled_agreement": lambda: agreement.pooled_agreement(frame, values),
        "seed_agreement": lambda: agreement.seed_agreement(frame),
        "bland_altman": lambda: _bland_altman(connection, study, frame),
        "operating_points": lambda: operating.operating_points(frame),
        "average_precision": lambda: accuracy.average_precision(frame),
        "calibration": lambda: operating.calibration(frame),
        "net_benefit": lambda: operating.net_benefit(frame),
        "classifier_map": lambda: representation.classifier_map(frame),
        "classifier_distance": lambda: representation.classifier_distance(frame),
        "feature_map": lambda: representation.feature_map(frame),
        "view_classifier": lambda: representation.view_classifier(frame),
    }
    if analysis.name in make:
        made = make[analysis.name]()
    elif analysis.table.__tablename__ == "subgroup_auc":
        made = accuracy.subgroups(frame)
    else:
        made = plain(analysis.name, analysis.question, frame)
    if analysis.name in IN_FULL:  # their findings say what leaks
        return made
    return replace(made, findings=[*made.findings, *leaking(frame.get("warning", ()), "row")])


def write_figure(each: Part, folder: Path) -> list[Path]:
    """The figure of a part as PNG, SVG and CSV in a folder; nothing where it has none."""
    return [] if each.draw is None else _save(each, each.draw(), folder)


def _save(each: Part, figure: "Figure", folder: Path) -> list[Path]:
    from xray.report import figures

    data = each.data.drop(columns=[column for column in NUMBERS if column in each.data])
    return figures.save(figure, folder, each.name, data)


def drawn(each: Part, folder: Path) -> Drawn:
    """A part as the page takes it, its figure written into the folder too."""
    return Drawn(each, *_written(each, folder))


def drawn_in_processes(several: Sequence[Part], folder: Path) -> list[Drawn]:
    """As `drawn`, of several parts, on all cores; see `parallel.in_processes`."""
    written = in_processes(partial(_written, folder=folder), several)
    return [Drawn(each, *found) for each, found in zip(several, written, strict=True)]


def _written(each: Part, folder: Path) -> tuple[bytes, float] | tuple[()]:
    """The figure's SVG and its width in inches; nothing where the part has none."""
    if each.draw is None:
        return ()
    figure = each.draw()
    _, svg, _ = _save(each, figure, folder)
    return svg.read_bytes(), float(figure.get_size_inches()[0])


def _published(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    if name not in REFERENCES:
        raise AnalysisError(f"nothing was published of {name!r}; published: {', '.join(REFERENCES)}")
    values = published.read(published.FILE, REFERENCES[name])
    if name == "pooled_agreement":
        values = _halves(frame, values, published.read(published.FILE, published.POOLED_TAU))
    first, second = (
        ("trained_on", "test_dataset") if "trained_on" in frame else ("trained_on_a", "trained_on_b")
    )
    own = set(frame[first])
    if not set(zip(frame[first], frame[second], strict=True)) & set(
        zip(values["trained_on"], values["test_dataset"], strict=True)
    ):
        raise AnalysisError(
            f"no published value is of a model of this study, whose models are trained on {', '.join(sorted(own))}; "
            f"published: {', '.join(dict.fromkeys(values['trained_on']))}"
        )
    return values


def _leave_one_site_out(connection: Connection, study: str) -> Part:
    rows = results.leave_one_site_out(load_study(connection, study), results.performance(connection, study))
    return accuracy.leave_one_site_out(results.comparison(connection, study), rows)


def _halves(frame: pd.DataFrame, kappas: pd.DataFrame, taus: pd.DataFrame) -> pd.DataFrame:
    """Published kappas of the pairs as they stand in the rows, and taus of the pairs turned round."""
    pairs = set(zip(frame["trained_on_a"], frame["trained_on_b"], strict=True))

    def of(values: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
        return values[[pair in pairs for pair in zip(values[first], values[second], strict=True)]]

    return pd.concat([of(kappas, "trained_on", "test_dataset"), of(taus, "test_dataset", "trained_on")])


def _bland_altman(connection: Connection, study: str, frame: pd.DataFrame) -> Part:
    chosen = agreement.contrasting_pairs(frame)
    return _with_pairs(agreement.bland_altman(frame), connection, study, chosen)


def named_pair(connection: Connection, study: str, analysis: Definition, name: str) -> Part:
    """Limits of agreement of one pair by name, "TASK:TEST_DATASET:TRAINED_ON", against the test dataset's own model."""
    frame = rows(connection, study, analysis)
    pieces = name.split(":")
    if len(pieces) != 3:
        raise AnalysisError(
            f"--pair {name!r}: expected TASK:TEST_DATASET:TRAINED_ON, such as Effusion:nih:padchest"
        )
    task, dataset, trained_on = pieces
    same = frame[
        (frame["task"] == task) & (frame["test_dataset"] == dataset) & (frame["trained_on"] == trained_on)
    ]
    if not len(same):
        raise AnalysisError(
            f"--pair {name!r}: there is no such pair; tasks: {', '.join(dict.fromkeys(frame['task']))}; test "
            f"datasets: {', '.join(dict.fromkeys(frame['test_dataset']))}; trained on: "
            f"{', '.join(dict.fromkeys(frame['trained_on']))}"
        )
    row = same.iloc[0]
    if pd.isna(row["sd"]):
        raise AnalysisError(f"--pair {name!r}: undefined: {row['reason']}")
    made = _with_pairs(agreement.bland_altman(same), connection, study, {"As asked for": row})
    return renamed(made, f"bland_altman_{task}_{dataset}_{trained_on}".replace(" ", "_"))


def _with_pairs(made: Part, connection: Connection, study: str, chosen: "dict[str, pd.Series[Any]]") -> Part:
    """The part with the scatter of these pairs, whose scores are read now: no connection is there when it is drawn."""
    if not chosen:
        return made
    stored = load_study(connection, study)
    pairs = [_pair(connection, stored, heading, row) for heading, row in chosen.items()]
    caption = Caption(
        "Bland-Altman plots of contrasting pairs of models",
        "Each dot is an image: mean of the two models' calibrated scores against their difference. Left "
        "coloured by label, right by whether the two answers agree. Lines: mean difference, and limits that "
        "hold 95% of the differences; bands: their 95% bounds. Lines that the dots form are images to "
        "which one model gives nearly the same score.",
        "Bland-Altman plots of "
        + "; ".join(f"{p.task} on {p.test_dataset}: {p.names[0]} and {p.names[1]}" for p in pairs),
    )
    points = pd.concat(
        [
            pd.DataFrame(
                {
                    "pair": p.heading, "task": p.task, "test_dataset": p.test_dataset, "first": p.names[0],
                    "second": p.names[1], "score_first": p.first, "score_second": p.second, "label": p.labels.astype(int),
                }
            )
            for p in pairs
        ]
    )  # fmt: skip
    return with_figure(made, points, partial(_scatter, pairs), caption)


def _scatter(pairs: "list[Pair]") -> "Figure":
    from xray.report import figures

    return figures.bland_altman(pairs)


def _pair(connection: Connection, study: StoredStudy, heading: str, row: "pd.Series[Any]") -> "Pair":
    from xray.report.scatter import Pair

    names = (str(row["reference"]), str(row["trained_on"]))
    (test,) = load_tests(connection, study, datasets=[str(row["test_dataset"])], trained_on=names)
    task = TASK_INDEX[str(row["task"])]
    first, second = (calibrated(test, name, [task])[:, 0] for name in names)
    kept = ~np.isnan(first) & ~np.isnan(second)

    def bounds(name: str) -> tuple[float, float, float]:
        return float(row[name]), float(row[f"{name}_from"]), float(row[f"{name}_to"])

    return Pair(
        heading, str(row["task"]), str(row["test_dataset"]), names, (float(row["auc_reference"]), float(row["auc"])),
        float(row["kappa"]), first[kept], second[kept], test.cohort.labels[kept, task].astype(np.float64),
        bounds("bias"), bounds("lower_limit"), bounds("upper_limit"),
    )  # fmt: skip
